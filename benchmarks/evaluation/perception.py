"""ViSQOL of the codec on recordings, and ViSQOL itself beside its reference values.

    python -m benchmarks.evaluation.perception FILE [FILE ...] [--conformance FOLDER] [--output docs/results/X.md]

8 s from a third of each file on are encoded and decoded with all codebooks and with four. `--conformance` is a folder
with the WAV files of testdata/conformance_testdata_subset of github.com/google/visqol; their scores are compared with
those of the C++ program, as visqol-python lists them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.tables import report, table
from vampnet.audio.files import read, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.evaluation.metrics.perception import visqol
from vampnet.models.bundle import load_codec

SECONDS = 8.0
REFERENCE = {
    "strauss48_stereo_lp35": 1.3889, "steely48_stereo_lp7": 2.2502, "sopr48_stereo_256kbps_aac": 4.6823,
    "ravel48_stereo_128kbps_opus": 4.4651, "moonlight48_stereo_128kbps_aac": 4.6843,
    "harpsichord48_stereo_96kbps_mp3": 4.2237, "guitar48_stereo_64kbps_aac": 4.3497,
    "glock48_stereo_48kbps_aac": 4.3325, "contrabassoon48_stereo_24kbps_aac": 2.3469, "castanets48_stereo": 4.7321,
}  # fmt: skip
"""Scores of the C++ program, version 3.3.3."""


def conformance(folder: Path) -> dict[str, dict[str, str]]:
    """Reference scores and ours."""
    lines = {}
    for name, expected in REFERENCE.items():
        pair = [read(folder / f"{stem}.wav") for stem in (name, f"{name.split('_stereo')[0]}_stereo")]
        mono = [audio.samples.mean(axis=0, keepdims=True) for audio in pair]
        found = visqol(mono[0], mono[1], pair[0].sample_rate_hz)
        lines[name] = {"C++": f"{expected:.4f}", "here": f"{found:.4f}"}
        print(name, lines[name], flush=True)
    return lines


def codec_scores(path: Path) -> dict[str, float]:
    """Scores of a recording through the embedded codec, with all and with four codebooks."""
    codec = load_codec("default")
    audio = read(path)
    mono = resample(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz, codec.sample_rate_hz)
    length = round(SECONDS * codec.sample_rate_hz) // codec.hop * codec.hop
    start = min(mono.shape[1] // 3, max(mono.shape[1] - length, 0))
    mono = mono[:, start : start + length // codec.hop * codec.hop]
    mono = mono * np.float32(gain_to(measure(mono, codec.sample_rate_hz)))
    found = {}
    with torch.no_grad():
        codes_BCT = codec.encode(torch.from_numpy(np.ascontiguousarray(mono)))
        for n in (codec.n_codebooks, 4):
            blocks = [block.float().cpu() for block in codec.decode_blocks(codes_BCT[:, :n])]
            made = torch.cat(blocks, dim=1).numpy()[:, : mono.shape[1]]
            found[f"{n} codebooks"] = visqol(made, mono[:, : made.shape[1]], codec.sample_rate_hz)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--conformance", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    text, figures = "", {}
    if options.conformance:
        figures["conformance"] = conformance(options.conformance)
        text += table("pair", figures["conformance"]) + "\n"
    if options.files:
        scores = {path.stem: codec_scores(path) for path in options.files}
        scores["mean"] = {n: float(np.mean([row[n] for row in scores.values()])) for n in next(iter(scores.values()))}
        text += table("recording", {k: {n: f"{x:.2f}" for n, x in row.items()} for k, row in scores.items()})
        figures["codec"] = scores
    report(text, figures, options.output)


if __name__ == "__main__":
    main()
