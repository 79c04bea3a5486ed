"""The embedded codec beside Opus on the same excerpts, in one run: distances, measured rates, codebook perplexities.

    python -m benchmarks.codec.codec_quality --rendered FOLDER --excerpts 100 --audio FOLDER
        -o docs/results/codec/quality.md

`--rendered`: held-out music, 10 s from the middle of each of `--excerpts` files, as means with 95 % intervals
(bootstrap over files). `--audio`: real recordings, up to 60 s from the middle of each, a row per file. All are mixed
to mono at the codec's rate and levelled to -24 LUFS, as the codec hears them. Opus needs opus-tools or ffmpeg and is
left out without; its rates are those of the whole files, container included. `-o` writes Markdown, and JSON beside it.
About 8 s of one core per excerpt of 10 s; `--workers 2` shares the excerpts out.
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tables import report, table
from vampnet.audio.files import Samples
from vampnet.audio.folders import audio_files_in
from vampnet.audio.mel import mel_distance
from vampnet.codec.base import Codec
from vampnet.codec.perplexity import codebook_perplexity
from vampnet.evaluation.experiments.conditions import opus_missing, through_opus
from vampnet.evaluation.metrics.distances import si_sdr, stft_distance
from vampnet.evaluation.metrics.harmony import Chroma, chroma_of, chroma_similarity
from vampnet.evaluation.metrics.onsets import mel_db_of, onset_times_s
from vampnet.evaluation.metrics.perception import visqol
from vampnet.evaluation.metrics.rhythm import beat_f_measure
from vampnet.evaluation.metrics.statistics import Interval, bootstrap_mean
from vampnet.models.bundle import load_codec
from vampnet.training.data.wave_dataset import levelled_excerpt

GROUPS = (1, 4, 8, 14)
RATES_KBPS = (6, 8, 12, 16, 24)
RENDERED_S, REAL_S = 10.0, 60.0
ONSET_WINDOW_S = 0.05
MEASURES = {
    "mel": "the paper's distance: L1 of log10 mel magnitudes, FFT 2048 and 512; lower is better",
    "STFT": "multi-resolution STFT distance (spectral convergence + log magnitude); lower is better",
    "SI-SDR": "dB; higher is better. Compares waveforms, so phases that are made up cost all of it",
    "chroma": "correlation of pitch classes frame by frame, 1 is alike, unrelated music about 0",
    "ViSQOL": "mean opinion score in audio mode, 1 to 4.73; higher is better",
    "onsets": "F-measure of onsets within 50 ms; higher is better",
    "kbit/s": "measured; of codes: bits per code x codebooks x frames per second",
}
DECIMALS = {"SI-SDR": 1, "kbit/s": 2}


@dataclass(frozen=True)
class Heard:
    """What is known of an excerpt, found once."""

    audio_S: Samples
    chroma: Chroma
    onsets_s: Sequence[float]


@dataclass(frozen=True, eq=False)
class Measured:
    """One excerpt."""

    name: str
    values: dict[str, dict[str, float]]
    """Condition -> measure -> value."""
    codes_CT: np.ndarray


def measure_excerpt(job: tuple[Path, float], bundle: str) -> Measured:
    """Everything about one file. `job`: it, and the seconds of its middle that count."""
    path, seconds = job
    codec = _codec(bundle)
    audio_S = levelled_excerpt(path, codec.sample_rate_hz, seconds)
    heard = Heard(audio_S, chroma_of(audio_S[None], codec.sample_rate_hz), _onsets_s(audio_S, codec.sample_rate_hz))
    codes_1CT = codec.encode(torch.from_numpy(audio_S)[None])
    values = {}
    for n in [n for n in GROUPS if n <= codec.n_codebooks]:
        decoded_S = codec.decode(codes_1CT[:, :n])[0, : len(audio_S)].float().numpy()
        bits = n * math.log2(codec.codebook_size) * codes_1CT.shape[2]
        values[label(n)] = compare(decoded_S, heard, codec.sample_rate_hz, bits)
    for kbps in () if opus_missing() else RATES_KBPS:
        decoded_S, bits = through_opus(audio_S, codec.sample_rate_hz, kbps)
        values[f"Opus {kbps}"] = compare(decoded_S, heard, codec.sample_rate_hz, bits)
    return Measured(path.name, values, codes_1CT[0].numpy().astype(np.int16))


def compare(decoded_S: Samples, heard: Heard, rate_hz: int, bits: float) -> dict[str, float]:
    """All measures of one decoded excerpt, and its rate."""
    pair = torch.from_numpy(np.ascontiguousarray(decoded_S))[None], torch.from_numpy(heard.audio_S)[None]
    return {
        "mel": float(mel_distance(*pair, rate_hz)),
        "STFT": float(stft_distance(*pair)),
        "SI-SDR": float(si_sdr(*pair)),
        "chroma": chroma_similarity(chroma_of(decoded_S[None], rate_hz), heard.chroma),
        "ViSQOL": visqol(decoded_S[None], heard.audio_S[None], rate_hz),
        "onsets": beat_f_measure(_onsets_s(decoded_S, rate_hz), heard.onsets_s, ONSET_WINDOW_S),
        "kbit/s": bits * rate_hz / len(decoded_S) / 1000,
    }


def label(n_codebooks: int) -> str:
    return f"{n_codebooks} codebook" + ("s" if n_codebooks > 1 else "")


def _onsets_s(audio_S: Samples, rate_hz: int) -> list[float]:
    return onset_times_s(mel_db_of(audio_S[None], rate_hz)).tolist()


@functools.cache
def _codec(bundle: str) -> Codec:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return load_codec(bundle)


def run(jobs: list[tuple[Path, float]], bundle: str, workers: int) -> list[Measured]:
    """In the order of the jobs, whatever the number of workers; a line of progress now and then."""
    work = functools.partial(measure_excerpt, bundle=bundle)
    found = []
    with multiprocessing.get_context("spawn").Pool(workers) if workers > 1 else _Alone() as pool:
        for measured in pool.imap(work, jobs):
            found.append(measured)
            if len(found) % 10 == 0 or len(found) == len(jobs):
                print(f"{len(found)} of {len(jobs)}", flush=True)
    return found


class _Alone:
    """A pool of this process."""

    imap = staticmethod(map)

    def __enter__(self) -> _Alone:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def summarise(rendered: list[Measured], real: list[Measured], codec: Codec) -> dict[str, Any]:
    """What is written as JSON."""
    codes_CT = np.concatenate([m.codes_CT for m in rendered or real], axis=1).astype(np.int64)
    perplexities = codebook_perplexity(torch.from_numpy(codes_CT)[None], codec.codebook_size)
    return {
        "codec_id": codec.id,
        "frames_per_s": codec.frames_per_s,
        "codebook_size": codec.codebook_size,
        "perplexities": perplexities.tolist(),
        "perplexity_frames": codes_CT.shape[1],
        "measures": MEASURES,
        "rendered": {"excerpts": [m.name for m in rendered], "means": means(rendered)} if rendered else None,
        "differences": differences(rendered),
        "real": {m.name: m.values for m in real},
        "mean of real": means(real),
    }


def means(found: list[Measured]) -> dict[str, dict[str, list[float]]]:
    """Condition -> measure -> [mean, low, high] over excerpts, the interval a 95 % one."""
    found_means = {}
    for condition in found[0].values if found else ():
        found_means[condition] = {
            m: _triple(bootstrap_mean([one.values[condition][m] for one in found])) for m in MEASURES
        }
    return found_means


def differences(found: list[Measured]) -> dict[str, dict[str, list[float]]]:
    """All codebooks minus each rate of Opus, [mean, low, high], paired by excerpt."""
    ours = label(max(GROUPS))
    return {
        f"{ours} - {condition}": {
            m: _triple(bootstrap_mean([one.values[ours][m] - one.values[condition][m] for one in found]))
            for m in MEASURES
        }
        for condition in (found[0].values if found and ours in found[0].values else ())
        if condition.startswith("Opus")
    }


def _triple(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def markdown(summary: dict[str, Any], command: str) -> str:
    """The tables."""
    rendered, real = summary["rendered"], summary["real"]
    parts = [f"# The codec beside Opus\n\n`{command}`\n"]
    parts.append(f"Codec {summary['codec_id']}, {summary['frames_per_s']:.2f} frames per second.\n")
    parts.append("\n".join(f"- **{name}**: {meaning}" for name, meaning in MEASURES.items()) + "\n")
    if rendered:
        parts.append(f"## {len(rendered['excerpts'])} held-out rendered excerpts\n\nMeans with 95 % intervals.\n")
        rows = {c: {m: _interval(m, *v) for m, v in row.items()} for c, row in rendered["means"].items()}
        parts.append(table("", rows))
    if summary["differences"]:
        parts.append("The differences, excerpt by excerpt; an interval without 0 in it is one that can be relied on:\n")
        rows = {c: {m: _interval(m, *v) for m, v in row.items()} for c, row in summary["differences"].items()}
        parts.append(table("", rows))
    if real:
        parts.append("## Real recordings\n\nNot part of the project.\n")
        rows = {
            c: {m: f"{v[0]:.{DECIMALS.get(m, 3)}f}" for m, v in row.items()}
            for c, row in summary["mean of real"].items()
        }
        parts.append(f"Mean of {len(real)} files:\n\n{table('', rows)}")
        for measure in [m for m in MEASURES if m != "kbit/s"]:
            files = {
                f: {c: f"{row[measure]:.{DECIMALS.get(measure, 3)}f}" for c, row in v.items()} for f, v in real.items()
            }
            parts.append(f"{measure} of each file:\n\n{table('file', files)}")
    figures = " ".join(f"{p:.0f}" for p in summary["perplexities"])
    parts.append(
        f"## Codebook perplexities\n\nOf {summary['codebook_size']} entries each, over {summary['perplexity_frames']}"
        f" frames of {'the rendered excerpts' if rendered else 'the recordings'}: {figures}.\n"
    )
    return "\n".join(parts)


def _interval(measure: str, value: float, low: float, high: float) -> str:
    if measure == "kbit/s":
        return f"{value:.2f}"
    digits = DECIMALS.get(measure, 3)
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rendered", type=Path, help="folder of held-out rendered music, averaged")
    parser.add_argument("--excerpts", type=int, default=100)
    parser.add_argument("--audio", type=Path, help="folder of real recordings, a row each")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    files = audio_files_in(options.rendered)[: options.excerpts] if options.rendered else []
    recordings = audio_files_in(options.audio) if options.audio else []
    if not files and not recordings:
        parser.error("give --rendered, --audio or both")
    if missing := opus_missing():
        print(f"Opus is left out: {missing}")
    found = run([(f, RENDERED_S) for f in files] + [(f, REAL_S) for f in recordings], options.bundle, options.workers)
    summary = summarise(found[: len(files)], found[len(files) :], _codec(options.bundle))
    places = (
        f"--rendered FOLDER --excerpts {options.excerpts}" if files else "",
        "--audio FOLDER" if recordings else "",
    )
    command = " ".join(part for part in ("python -m benchmarks.codec.codec_quality", *places) if part)
    text = markdown(summary, command + (f" -o {options.output}" if options.output else ""))
    report(text, summary, options.output)


if __name__ == "__main__":
    main()
