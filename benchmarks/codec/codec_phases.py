"""How phases are found, and what it costs: rounds of Griffin-Lim and the phases that they start from.

    python -m benchmarks.codec.codec_phases FOLDER [FOLDER ...] [--bundle default] [--excerpts 12] [-o \
        docs/results/codec/phases.md]

On the middle 8 s of files of each folder, in turn, levelled. Columns: mel distance and chroma of what is decoded from
all codebooks; mel distance of a waveform made of the true magnitudes, which is what the search alone costs; seconds of
one core for the search and the transforms of 10 s, the least of all excerpts.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from benchmarks.tables import report, table
from vampnet.audio.folders import audio_files_in
from vampnet.audio.mel import mel_distance
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.evaluation.metrics.harmony import chroma_of, chroma_similarity
from vampnet.models.bundle import load_codec
from vampnet.training.data.wave_dataset import levelled_excerpt

SECONDS = 8.0
SEARCHES = (
    (32, 6, False),
    (32, 3, False),
    (32, 1, True),
    (32, 2, True),
    (32, 3, True),
    (32, 6, True),
    (16, 3, True),
    (24, 3, True),
    (48, 3, True),
)
"""Rounds below the crossover, above it, and whether those above start from phases of tones."""


def with_search(codec: MagnitudeCodec, low: int, high: int, tonal: bool) -> MagnitudeCodec:
    codec.config = dataclasses.replace(codec.config, low_rounds=low, high_rounds=high)
    codec.tonal_start = tonal
    return codec


@torch.no_grad()
def measured(codec: MagnitudeCodec, path: Path) -> dict[tuple[int, int, bool], tuple[float, float, float, float]]:
    """Figures of every search on one file, in the order of the columns."""
    rate_hz, hop = codec.sample_rate_hz, codec.hop
    audio_1S = torch.from_numpy(levelled_excerpt(path, rate_hz, SECONDS))[None]
    audio_1S = audio_1S[:, : audio_1S.shape[1] // hop * hop]
    chroma = chroma_of(audio_1S.numpy(), rate_hz)
    true = codec.magnitudes(audio_1S)
    low_BFU, high_BFU = codec.decoder(codec.quantizer.decode(codec.encode(audio_1S)))
    said, found = (low_BFU.exp(), high_BFU.exp()), {}
    for search in SEARCHES:
        with_search(codec, *search)
        started = time.process_time()
        decoded_1S = codec.synthesise(*said)
        spent_s = (time.process_time() - started) * 10.0 * rate_hz / audio_1S.shape[1]
        similar = chroma_similarity(chroma_of(decoded_1S.numpy(), rate_hz), chroma)
        lost = float(mel_distance(codec.synthesise(*true), audio_1S, rate_hz))
        found[search] = (float(mel_distance(decoded_1S, audio_1S, rate_hz)), similar, lost, spent_s)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--excerpts", type=int, default=12, help="files of each folder, evenly spread")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    codec = load_codec(options.bundle)
    assert isinstance(codec, MagnitudeCodec)
    text = "# Finding phases\n\n`python -m benchmarks.codec.codec_phases " + " ".join("FOLDER" for _ in options.folders)
    text += f" --excerpts {options.excerpts}`\n\nCodec {codec.id}, all codebooks, {SECONDS:g} s of each file.\n"
    results = {}
    for folder in options.folders:
        files = audio_files_in(folder)
        files = files[:: max(len(files) // options.excerpts, 1)][: options.excerpts]
        each = [measured(codec, path) for path in files]
        rows = {}
        for low, high, tonal in SEARCHES:
            own = torch.tensor([found[low, high, tonal] for found in each])
            mel, chroma, lost = own[:, :3].nanmean(0).tolist()
            name = f"{low} below, {high} above{', from tones' if tonal else ''}"
            rows[name] = {"mel": mel, "chroma": chroma, "mel, true magnitudes": lost, "s": float(own[:, 3].min())}
        results[folder.name] = rows
        shown = {name: {key: f"{value:.4f}" for key, value in row.items()} for name, row in rows.items()}
        text += f"\n{len(files)} files of {folder.name}:\n\n{table('rounds', shown)}\n"
    report(text, results, options.output)


if __name__ == "__main__":
    main()
