"""Does music to words have what the words say? Sketches, and what the model makes of them at three distances.

    python -m benchmarks.controls.words FOLDER [--first 0] [--pieces 40] [--model] [--ways 2,4,3,1] [--steps 12]
                                               [--reference FOLDER] [--output docs/results/X.md]

Pieces over 5 tempi and 8 keys, each with a progression of its key in a style of the composer, 8 bars, as a loop.
Pieces 0 to 39 are those by which the default distance was chosen; 40 to 79 (`--first 40`) have other tempi, keys,
progressions and styles, and judge the choice.
Every piece is listened to (vampnet.controls.extraction) and compared with its words. `--model` also has the model
generate to the words with three prompts, and as much music from nothing; `--reference` is a folder of other composed
music, to which the Fréchet audio distance of each set is measured (embedding "mel"). Distances to the sketch are the
mel distance and the chroma similarity of vampnet/evaluation/metrics. The seam is the largest step from a loop's last
to its first samples (5 ms) over the 99th percentile of such steps within it: 1 and below is no seam. FOLDER keeps
audio and figures, so that a second run goes on; `--pieces 4` takes about a minute.
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
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.names import key_text, parse_chord
from vampnet.controls.ranking import chord_overlap, compare_controls
from vampnet.controls.sketching import Sketch, sketch
from vampnet.controls.words import ControlWords
from vampnet.evaluation.compare import CompareConfig, compare
from vampnet.evaluation.metrics.paired import Pair, find_metrics, measure_pair

TEMPI = (72.0, 90.0, 108.0, 126.0, 150.0)
KEYS = ((0, "major"), (9, "minor"), (7, "major"), (2, "minor"), (5, "major"), (4, "minor"), (10, "major"), (6, "minor"))
PROGRESSIONS = {
    "major": ("C | Am | F | G", "Cmaj7 | Am7 | Dm7 | G7", "C | G | Am | F", "C F | G | C F | G7"),
    "minor": ("Am | Dm | E7 | Am", "Am | F | Dm | E7", "Am7 | Dm7 | Am7 | E7", "Am | Dm | E | E7"),
}
STYLES = ("pop", "rock", "funk", "house", "hiphop", "synthwave", "country", "bossa")
JUDGING_TEMPI = (66.0, 82.0, 100.0, 118.0, 140.0)
JUDGING_KEYS = (
    (3, "major"), (11, "minor"), (9, "major"), (0, "minor"), (8, "major"), (7, "minor"), (2, "major"), (1, "minor")
)  # fmt: skip
JUDGING_PROGRESSIONS = {
    "major": ("C | F | G | C", "Cmaj7 | Em7 | Fmaj7 | G7", "Am | F | C | G", "C | Dm | F G | C"),
    "minor": ("Am | G | F | E7", "Am7 | C | F | G", "Am | Em | F | G", "Am Dm | G C | F Dm | E7"),
}
JUDGING_STYLES = ("disco", "techno", "folk", "reggae", "ballad", "jazz_swing", "latin", "gospel")
DISTANCES = ("periodic(3)", "periodic(7)", "periodic(13) | beats(after=75ms)")
"""Prompts that keep less and less of the sketch."""
NOTHING = "from nothing"


def words_of(index: int) -> ControlWords:
    """The words of piece `index`: every tempo with every key once in 40."""
    judging = index // 40 % 2 == 1
    tempi, keys, styles = (JUDGING_TEMPI, JUDGING_KEYS, JUDGING_STYLES) if judging else (TEMPI, KEYS, STYLES)
    tonic, mode = keys[index % 8]
    written = (JUDGING_PROGRESSIONS if judging else PROGRESSIONS)[mode][index // 8 % 4]
    shift = tonic - (0 if mode == "major" else 9)
    chords = " | ".join(
        " ".join(str(parse_chord(name).transpose(shift)) for name in bar.split()) for bar in written.split(" | ")
    )
    return ControlWords(
        bpm=tempi[index % 5],
        key=key_text(tonic, mode),
        chords=chords,
        bars=8,
        metre="4/4",
        style=styles[index // 5 % 8],
    )


def measure(audio: Audio, made: Sketch) -> dict[str, float]:
    """Agreement of audio with the words of a sketch."""
    heard = extract_controls(audio, ExtractionConfig(("tempo_bpm", "beat_phase", "key", "chords")))
    agreement = compare_controls(heard, made.controls.keep_only("tempo_bpm", "beat_phase", "key"))
    tempo = agreement.tempo or 0.0
    return {
        "tempo": float(tempo == 1.0),
        "octave": float(tempo > 0.0),
        "beats": agreement.beats or 0.0,
        "key": agreement.key or 0.0,
        "chords": chord_overlap(heard.chords or (), made.controls.chords or ()),
        "seam": seam_of(audio),
    }


def seam_of(audio: Audio) -> float:
    """The step at the loop's seam over the steps within it."""
    turned = np.roll(audio.samples.mean(axis=0), audio.n_samples // 2)
    window = max(round(0.005 * audio.sample_rate_hz), 2)
    steps = np.abs(np.diff(turned))
    at_seam = steps[audio.n_samples // 2 - window : audio.n_samples // 2 + window].max()
    within = steps[: len(steps) // window * window].reshape(-1, window).max(axis=1)
    return float(at_seam / max(np.percentile(within, 99), 1e-9))


def compare_with_sketch(audio: Audio, made: Sketch) -> dict[str, float]:
    """Distance of audio to the sketch: L1 of log-mels, and similarity of the chroma."""
    mono = [one.samples.mean(axis=0) for one in (made.audio, audio)]
    pair = Pair(mono[0], mono[1], made.audio.sample_rate_hz)
    return measure_pair(pair, find_metrics(["mel", "chroma"]))


def generate_way(way: str, index: int, seconds: float, output: Path, steps: int, model: list[vampnet.VampNet]) -> Audio:
    """What the model makes of words with a prompt, or from nothing, unless it is there."""
    if not output.exists():
        if not model:
            model.append(vampnet.load())
        sampling = vampnet.SamplingConfig(seed=index, steps=steps)
        if way == NOTHING:
            made = model[0].generate(seconds=seconds, sampling=sampling)
        else:
            made = model[0].generate(words=words_of(index), prompt=way, sampling=sampling)
        write(output, made.audio)
    return read(output)


def figures_of(
    folder: Path, index: int, ways: Sequence[str], steps: int, model: list[vampnet.VampNet]
) -> dict[str, Any]:
    """Figures of some ways to a piece, beside those that are kept."""
    path, kept = folder / "sketch" / f"{index:03d}.wav", folder / f"{index:03d}.json"
    made = sketch(words_of(index), seed=index)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write(path, made.audio)
    figures: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    if "sketch" not in figures:
        figures["sketch"] = measure(made.audio, made)
    for way in ways:
        if way in figures:
            continue
        output = folder / folder_of((*DISTANCES, NOTHING).index(way)) / path.name
        output.parent.mkdir(exist_ok=True)
        audio = generate_way(way, index, made.audio.duration_s, output, steps, model)
        figures[way] = measure(audio, made)
        if way != NOTHING:
            figures[way] |= compare_with_sketch(audio, made)
        kept.write_text(json.dumps(figures))
    kept.write_text(json.dumps(figures))
    return figures


def folder_of(number: int) -> str:
    """Folder of the outputs of a way."""
    return f"distance-{number + 1}" if number < len(DISTANCES) else "nothing"


def frechet_distances(folder: Path, reference: Path) -> dict[str, str]:
    """Fréchet audio distance of every way's outputs to a folder of music."""
    folders = {"sketch": "sketch", **{way: folder_of(number) for number, way in enumerate((*DISTANCES, NOTHING))}}
    found = {}
    for way, name in folders.items():
        if (folder / name).is_dir():
            result = compare(reference, folder / name, CompareConfig(metrics=("fad",))).frechet
            assert result is not None
            found[way] = f"{result.value:.2f} [{result.interval.low:.2f}, {result.interval.high:.2f}]"
    return found


def summarize(rows: list[dict[str, Any]], frechet: dict[str, str]) -> str:
    """One line per way."""
    titles = {"tempo": "tempo within 4 %", "octave": "or double, half", "beats": "beat F", "key": "key",
              "chords": "chords (root and third)", "mel": "mel distance to the sketch",
              "chroma": "chroma similarity"}  # fmt: skip
    lines = {}
    for way in ("sketch", *DISTANCES, NOTHING):
        chosen = [row[way] for row in rows if way in row]
        if not chosen:
            continue
        values = {title: [row[name] for row in chosen if name in row] for name, title in titles.items()}
        cells = {title: f"{np.nanmean(found):.2f}" if found else "-" for title, found in values.items()}
        seams = [row["seam"] for row in chosen]
        cells["seam: median, largest"] = "-" if way == NOTHING else f"{np.median(seams):.2f}, {max(seams):.2f}"
        cells["FAD to other composed music"] = frechet.get(way, "-")
        lines[f"{way.replace('|', 'or')} ({len(chosen)})"] = cells
    return table("what", lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--pieces", type=int, default=40)
    parser.add_argument("--ways", default="2,4,3,1", help="1 to 3: a distance, 4: from nothing")
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--reference", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    model: list[vampnet.VampNet] = []
    rows: list[dict[str, Any]] = []
    all_ways = (*DISTANCES, NOTHING)
    indices = range(options.first, options.first + options.pieces)
    for ways in [(all_ways[int(k) - 1],) for k in options.ways.split(",")] if options.model else [()]:
        rows = [figures_of(options.folder, index, ways, options.steps, model) for index in indices]
    frechet = frechet_distances(options.folder, options.reference) if options.reference else {}
    report(summarize(rows, frechet), {"rows": rows, "fad": frechet}, options.output)


if __name__ == "__main__":
    main()
