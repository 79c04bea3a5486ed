"""Does generated music stay itself? Tempo, key, level and movement over 60 s, beside real music.

    python -m benchmarks.generation.long_range CORPUS [--pieces 8] [--seconds 60] [--mask-temperature 10.5] [-o \
        docs/results/long-range.md]

Music from nothing and music from the first 4 s of held-out pieces (what was generated after them), with the theme that
`vampnet generate` and `continue` have by default and without ("free"), and the pieces themselves, each cut into parts
of 10 s. Every part is compared with the first one; figures are means over pieces, then over parts. A piece has
collapsed when one of its parts is 40 dB below its loudest (silence) or has fewer than a fifth of the onsets per second
that the real pieces have on average (drone).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.tables import report, table
from vampnet.audio.files import Audio, Samples, read
from vampnet.audio.folders import audio_files_in
from vampnet.evaluation.metrics.harmony import KeyEstimate, chroma_of, key_agreement, key_of
from vampnet.evaluation.metrics.onsets import mel_db_of, onset_times_s, spectral_flux_db
from vampnet.evaluation.metrics.rhythm import rhythm_of, tempo_agreement, tempo_bpm
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.defaults import DEFAULT_THEME
from vampnet.tasks.model import VampNet, load

PART_S, OPENING_S = 10.0, 4.0
SILENT_DB, DRONE_SHARE = 40.0, 0.2


@dataclass(frozen=True)
class Part:
    """What is heard in 10 s."""

    bpm: float
    key: KeyEstimate
    level_db: float
    onsets_hz: float
    flux_db: float


def cut(audio: Audio, first: int, stop: int) -> Audio:
    return Audio(audio.samples[:, first:stop], audio.sample_rate_hz)


def part_of(samples: Samples, rate_hz: int) -> Part:
    mel_db = mel_db_of(samples, rate_hz)
    return Part(
        tempo_bpm(rhythm_of(samples, rate_hz).beats_s),
        key_of(chroma_of(samples, rate_hz)),
        10 * math.log10(float(np.square(samples, dtype=np.float64).mean()) + 1e-12),
        len(onset_times_s(mel_db)) * rate_hz / samples.shape[1],
        float(spectral_flux_db(mel_db).mean()),
    )


def parts_of(audio: Audio) -> list[Part]:
    """Whole parts, in order."""
    size = round(PART_S * audio.sample_rate_hz)
    starts = range(0, audio.n_samples - size + 1, size)
    return [part_of(audio.samples[:, start : start + size], audio.sample_rate_hz) for start in starts]


def figures_of(pieces: Sequence[Sequence[Part]], real_onsets_hz: float) -> dict[str, float]:
    """Means over pieces of at least two parts."""
    pairs = [(piece[0], part) for piece in pieces for part in piece[1:]]
    tempi = [tempo_agreement(part.bpm, first.bpm) for first, part in pairs]
    known = [tempo in ("same", "octave") for tempo in tempi if tempo != "none"]
    return {
        "pieces": len(pieces),
        "tempo stays": float(np.mean(known)) if known else math.nan,
        "parts with a tempo": sum(not math.isnan(part.bpm) for p in pieces for part in p) / sum(map(len, pieces)),
        "key stays": float(np.nanmean([key_agreement(part.key, first.key) for first, part in pairs])),
        "level change (dB)": float(np.mean([abs(part.level_db - first.level_db) for first, part in pairs])),
        "onsets (1/s)": float(np.mean([part.onsets_hz for piece in pieces for part in piece])),
        "onsets, last over first": float(np.mean([p[-1].onsets_hz / p[0].onsets_hz for p in pieces if p[0].onsets_hz])),
        "flux (dB)": float(np.mean([part.flux_db for piece in pieces for part in piece])),
        "collapsed": float(np.mean([_collapsed(piece, real_onsets_hz) for piece in pieces])),
    }


def _collapsed(piece: Sequence[Part], real_onsets_hz: float) -> bool:
    loudest = max(part.level_db for part in piece)
    return any(p.level_db < loudest - SILENT_DB or p.onsets_hz < DRONE_SHARE * real_onsets_hz for p in piece)


def made(
    model: VampNet, openings: Sequence[Audio], seconds: float, sampling: SamplingConfig
) -> Iterator[tuple[str, Audio]]:
    """Generated pieces and what they were made from; each with a seed of its own."""
    for number, opening in enumerate(openings):
        sampling = replace(sampling, seed=number)
        for free, theme in (("", DEFAULT_THEME), (", free", None)):
            yield f"from nothing{free}", model.generate(seconds=seconds, sampling=sampling, theme=theme).audio
            whole = model.outpaint(opening, after_s=seconds - OPENING_S, sampling=sampling, theme=theme).audio
            yield f"from 4 s{free}", cut(whole, opening.n_samples, whole.n_samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of held-out music")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--pieces", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mask-temperature", type=float, default=SamplingConfig().mask_temperature)
    parser.add_argument("-o", "--output", type=Path, default=None, help="Markdown to write, JSON beside it")
    options = parser.parse_args()
    started, model = time.perf_counter(), load(options.bundle, backend=options.backend)
    names = ("real", "from nothing", "from nothing, free", "from 4 s", "from 4 s, free")
    pieces: dict[str, list[list[Part]]] = {name: [] for name in names}
    openings = []
    for path in audio_files_in(options.corpus):
        audio = read(path)
        if len(openings) < options.pieces and audio.duration_s >= 2 * PART_S + OPENING_S:
            openings.append(cut(audio, 0, round(OPENING_S * audio.sample_rate_hz)))
            pieces["real"].append(parts_of(audio))
    sampling = SamplingConfig(mask_temperature=options.mask_temperature)
    for name, audio in made(model, openings, options.seconds, sampling):
        pieces[name].append(parts_of(audio))
    real_onsets_hz = float(np.mean([part.onsets_hz for piece in pieces["real"] for part in piece]))
    figures = {name: figures_of(own, real_onsets_hz) for name, own in pieces.items()}
    rows = {name: {key: f"{value:.3g}" for key, value in own.items()} for name, own in figures.items()}
    took = f"{options.seconds:g} s of music each; {time.perf_counter() - started:.0f} s of work."
    report("\n".join([__doc__ or "", table("music", rows), took, ""]), figures, options.output)


if __name__ == "__main__":
    main()
