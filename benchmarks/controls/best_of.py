"""What does choosing among candidates gain, and what does it cost? Vamps that keep little, the best of 1, 2, 4 and 8.

    python -m benchmarks.controls.best_of FOLDER INPUTS [INPUTS ...] [--files 12] [--steps 12] [--prompt "periodic(13)"]
                                          [--output docs/results/X.md]

Of every file of INPUTS (folders of music), up to FILES in all, 10 s from a third of its length on are varied eight
times with seeds of their own. Candidates are compared with the input by beats and chords, as `--follow beats,chords`
does. The best of n is the mean over the 8 / n disjoint groups of n candidates. "Judged" columns were no part of the
choice: beats by librosa's tracker, chroma similarity and mel distance of vampnet/evaluation/metrics. "In windows" is
what could be had by choosing anew every 5 s and joining the pieces, which is not built. FOLDER keeps candidates and
figures, so that a second run goes on; `--files 1` takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import vampnet
from benchmarks.tables import report, table
from vampnet.audio.files import Audio, read, write
from vampnet.audio.folders import audio_files_in
from vampnet.audio.units import seconds_to_samples
from vampnet.beats.events import TrackerConfig
from vampnet.beats.tracking import track_events
from vampnet.controls.extraction import extract_controls
from vampnet.controls.ranking import compare_controls, keep_followed
from vampnet.controls.signals import Controls
from vampnet.evaluation.metrics.paired import Pair, find_metrics, measure_pair
from vampnet.evaluation.metrics.rhythm import beat_f_measure

EXCERPT_S, WINDOW_S = 10.0, 5.0
N_CANDIDATES = 8
SIZES = (1, 2, 4, 8)
FIGURES = {"score": "score", "beats": "beat F", "tempo": "tempo", "chords": "chords", "key": "key"}
JUDGED = {"librosa beats": "judged: beat F (librosa)", "chroma": "judged: chroma", "mel": "judged: mel distance"}


def excerpt_of(path: Path) -> Audio:
    """The part of a file that is varied."""
    audio = read(path)
    n_samples = min(seconds_to_samples(EXCERPT_S, audio.sample_rate_hz), audio.n_samples)
    start = min(audio.n_samples // 3, audio.n_samples - n_samples)
    return Audio(audio.samples[:, start : start + n_samples], audio.sample_rate_hz)


def make_candidates(
    source: Audio, folder: Path, prompt: str, steps: int, model: list[vampnet.VampNet]
) -> list[tuple[Audio, float]]:
    """Candidates and their kept share, those that are there and those that are missing."""
    found = []
    for number in range(N_CANDIDATES):
        path, share = folder / f"{number}.wav", folder / f"{number}.kept"
        if not share.exists():
            if not model:
                model.append(vampnet.load())
            made = model[0].vamp(source, prompt=prompt, sampling=vampnet.SamplingConfig(seed=number, steps=steps))
            write(path, made.audio)
            share.write_text(repr(made.kept_share))
        found.append((read(path), float(share.read_text())))
    return found


def measure(candidate: Audio, source: Audio, wanted: Controls) -> dict[str, Any]:
    """Agreement of a candidate with the input, in all and in windows, and judgements that the choice does not see."""
    heard = extract_controls(candidate)
    agreement = compare_controls(heard, wanted)
    row: dict[str, Any] = {name: getattr(agreement, name) for name in FIGURES}
    size = round(WINDOW_S * wanted.frames_per_s)
    starts = range(0, wanted.n_frames - size + 1, size)
    row["windows"] = [compare_controls(heard.slice(k, k + size), wanted.slice(k, k + size)).score for k in starts]
    beats = [
        track_events([audio.samples], audio.sample_rate_hz, audio.n_samples, TrackerConfig("librosa")).beats_s
        for audio in (candidate, source)
    ]
    row["librosa beats"] = beat_f_measure(*beats)
    mono = [audio.samples.mean(axis=0) for audio in (source, candidate)]
    return row | measure_pair(Pair(mono[0], mono[1], source.sample_rate_hz), find_metrics(["chroma", "mel"]))


def figures_of(path: Path, folder: Path, prompt: str, steps: int, model: list[vampnet.VampNet]) -> dict[str, Any]:
    """Figures of the candidates of a file."""
    place = folder / path.stem
    place.mkdir(parents=True, exist_ok=True)
    kept = place / "figures.json"
    if not kept.exists():
        source = excerpt_of(path)
        made = make_candidates(source, place, prompt, steps, model)
        wanted = keep_followed(extract_controls(source), ("beats", "chords"))
        rows = [{"kept": share, **measure(audio, source, wanted)} for audio, share in made]
        kept.write_text(json.dumps({"file": path.name, "candidates": rows}))
    return json.loads(kept.read_text())


def best_of(candidates: Sequence[dict[str, Any]], size: int) -> dict[str, float]:
    """Mean figures of the best of each group of `size` candidates."""
    groups = [candidates[k : k + size] for k in range(0, len(candidates), size)]
    best = [max(group, key=lambda row: row["score"]) for group in groups]
    found = {
        name: float(np.mean([row[name] for row in best]))
        for name in (*FIGURES, *JUDGED, "kept")
        if all(row[name] is not None for row in best)
    }
    found["whole"] = float(np.mean([np.mean(row["windows"]) for row in best]))
    in_windows = [np.max([row["windows"] for row in group], axis=0).mean() for group in groups]
    found["in windows"] = float(np.mean(in_windows))
    return found


def summarize(rows: list[dict[str, Any]]) -> str:
    """One line per n."""
    titles = {**FIGURES, **JUDGED, "whole": "score over windows", "in windows": "if chosen in windows", "kept": "kept"}
    lines = {}
    for size in SIZES:
        chosen = [best_of(row["candidates"], size) for row in rows]
        cells = {}
        for name, title in titles.items():
            values = [row[name] for row in chosen if name in row and np.isfinite(row[name])]
            cells[title] = f"{np.mean(values):.3f}" if values else "-"
        lines[f"{size}"] = {**cells, "work": f"{size} x"}
    return table(f"best of ({len(rows)} files)", lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--files", type=int, default=12)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--prompt", default="periodic(13)")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    per_folder = -(-options.files // len(options.inputs))
    files = [path for place in options.inputs for path in audio_files_in(place)[:per_folder]][: options.files]
    model: list[vampnet.VampNet] = []
    rows = [figures_of(path, options.folder, options.prompt, options.steps, model) for path in files]
    report(summarize(rows), {"rows": rows}, options.output)


if __name__ == "__main__":
    main()
