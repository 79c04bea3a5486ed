"""Does inpainting carry the beat on? A region of four seconds, with and without the theme of the bars before it.

    python -m benchmarks.controls.inpaint_grid FOLDER INPUTS [INPUTS ...] [--steps 12] [--output docs/results/X.md]

Of every file, 14 s from a third of its length on; seconds 6 to 10 of them are generated anew, once as "nothing" (they
go their own way), once with the default theme, and with --follow also with the network following the beats of the
looped bars, by two guidances. With --task continue the first 6 seconds are continued by 4 instead. What is heard in
the region is compared with the recording itself: beats within 70 ms, tracked in the whole output ("beat F") and in the
region alone; the correlation of onsets; mel distance and chroma similarity. Files without beats in the region count
for neither beat figure. FOLDER keeps outputs and figures, so that a second run goes on.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import vampnet
from benchmarks.tables import report, table
from vampnet.audio.files import Audio, read, write
from vampnet.beats.tracking import track_events
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.ranking import compare_controls
from vampnet.evaluation.metrics.paired import Pair, find_metrics, measure_pair
from vampnet.evaluation.metrics.rhythm import beat_f_measure
from vampnet.tasks.defaults import DEFAULT_THEME

EXCERPT_S, REGION_S = 14.0, (6.0, 10.0)
CONDITIONS: dict[str, dict[str, Any]] = {
    "own way": {"theme": None},
    "theme": {"theme": DEFAULT_THEME, "follow": "nothing"},
}
FOLLOWED: dict[str, dict[str, Any]] = {
    "theme, beats x1": {"theme": DEFAULT_THEME, "follow": "beats", "guidance": "1"},
    "theme, beats x2": {"theme": DEFAULT_THEME, "follow": "beats", "guidance": "2"},
}
FIGURES = {"beats": "beat F", "alone": "beat F, region alone", "rhythm": "onsets", "mel": "mel distance",
           "chroma": "chroma"}  # fmt: skip


def excerpt_of(path: Path, mono: bool) -> Audio:
    """The part of a file that is inpainted."""
    audio = read(path)
    audio = Audio(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz) if mono else audio
    n_samples = min(round(EXCERPT_S * audio.sample_rate_hz), audio.n_samples)
    start = min(audio.n_samples // 3, audio.n_samples - n_samples)
    return Audio(audio.samples[:, start : start + n_samples], audio.sample_rate_hz)


def region_of(audio: Audio) -> Audio:
    """The region alone."""
    first, stop = (round(s * audio.sample_rate_hz) for s in REGION_S)
    return Audio(audio.samples[:, first:stop], audio.sample_rate_hz)


def beats_of(audio: Audio) -> tuple[float, ...]:
    """Beats, seconds."""
    return track_events([audio.samples], audio.sample_rate_hz, audio.n_samples).beats_s


def measure(made: Audio, source: Audio) -> dict[str, Any]:
    """Agreement of the region with the recording's own."""
    first_s, stop_s = REGION_S
    found, wanted = ([time_s for time_s in beats_of(audio) if first_s <= time_s < stop_s] for audio in (made, source))
    alone = [first_s + time_s for time_s in beats_of(region_of(made))]
    onsets = ExtractionConfig(("onset_low", "onset_high"))
    heard = [extract_controls(region_of(audio), onsets) for audio in (made, source)]
    mono = [region_of(audio).samples.mean(axis=0) for audio in (source, made)]
    return {
        "beats": beat_f_measure(found, wanted),
        "alone": beat_f_measure(alone, wanted),
        "rhythm": compare_controls(*heard).rhythm,
        **measure_pair(Pair(mono[0], mono[1], source.sample_rate_hz), find_metrics(["mel", "chroma"])),
    }


def make(model: vampnet.VampNet, source: Audio, task: str, told: dict[str, Any]) -> Audio:
    """An excerpt with the region made anew, or its beginning continued by as much."""
    if task == "inpaint":
        return model.inpaint(source, regions=[REGION_S], **told).audio
    begun = Audio(source.samples[:, : round(REGION_S[0] * source.sample_rate_hz)], source.sample_rate_hz)
    return model.continue_(begun, seconds=REGION_S[1] - REGION_S[0], **told).audio


def figures_of(
    path: Path, folder: Path, conditions: dict[str, dict[str, Any]], options: Any, model: list[vampnet.VampNet]
) -> dict[str, Any]:
    """Figures of a file under each condition; what is missing is made."""
    kept = folder / f"{path.stem}.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {"file": path.name}
    if missing := {name: told for name, told in conditions.items() if name not in found}:
        source = excerpt_of(path, options.mono)
        for name, told in missing.items():
            output = folder / f"{path.stem}-{name.replace(' ', '-').replace(',', '')}.wav"
            if not output.exists():
                model = model or [vampnet.load()]
                sampling = vampnet.SamplingConfig(seed=1, steps=options.steps)
                write(output, make(model[0], source, options.task, {"sampling": sampling, **told}))
            found[name] = measure(read(output), source)
        kept.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--task", choices=("inpaint", "continue"), default="inpaint")
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--mono", action="store_true")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    model: list[vampnet.VampNet] = []
    conditions = {**CONDITIONS, **(FOLLOWED if options.follow else {})}
    rows = [figures_of(path, options.folder, conditions, options, model) for path in options.inputs]
    lines = {}
    for name in conditions:
        values = {
            title: [row[name][key] for row in rows if row[name][key] is not None] for key, title in FIGURES.items()
        }
        lines[name] = {title: f"{np.nanmean(found):.2f}" if found else "-" for title, found in values.items()}
    report(table(f"{options.task} ({len(rows)} files)", lines), {"rows": rows}, options.output)


if __name__ == "__main__":
    main()
