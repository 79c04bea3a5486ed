"""Does music to words have what the words say? Sketches, and what the model makes of them at three distances.

    python -m benchmarks.controls.words FOLDER [--pieces 40] [--model] [--output docs/results/X.md]

Pieces over 5 tempi and 8 keys, each with a progression of its key in a style of the composer, 8 bars, as a loop. Every
piece is listened to (vampnet.controls.extraction) and compared with its words; `--model` also vamps each sketch with
three prompts and compares those. The seam is the largest step from a loop's last to its first samples (5 ms) over the
99th percentile of such steps within it: 1 and below is no seam. FOLDER keeps audio and figures, so that a second run
goes on; `--pieces 4` takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import report, table
from vampnet.audio.files import Audio, read, write
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.names import key_text, parse_chord
from vampnet.controls.ranking import chord_overlap, compare_controls
from vampnet.controls.sketching import Sketch, sketch
from vampnet.controls.words import ControlWords

TEMPI = (72.0, 90.0, 108.0, 126.0, 150.0)
KEYS = ((0, "major"), (9, "minor"), (7, "major"), (2, "minor"), (5, "major"), (4, "minor"), (10, "major"), (6, "minor"))
PROGRESSIONS = {
    "major": ("C | Am | F | G", "Cmaj7 | Am7 | Dm7 | G7", "C | G | Am | F", "C F | G | C F | G7"),
    "minor": ("Am | Dm | E7 | Am", "Am | F | Dm | E7", "Am7 | Dm7 | Am7 | E7", "Am | Dm | E | E7"),
}
STYLES = ("pop", "rock", "funk", "house", "hiphop", "synthwave", "country", "bossa")
DISTANCES = ("periodic(3)", "periodic(7)", "periodic(13) | beats(after=75ms)")
"""Prompts that keep less and less of the sketch."""


def words_of(index: int) -> ControlWords:
    """The words of piece `index`: every tempo with every key once in 40."""
    tonic, mode = KEYS[index % 8]
    written = PROGRESSIONS[mode][index // 8 % 4]
    shift = tonic - (0 if mode == "major" else 9)
    chords = " | ".join(
        " ".join(str(parse_chord(name).transpose(shift)) for name in bar.split()) for bar in written.split(" | ")
    )
    return ControlWords(
        bpm=TEMPI[index % 5],
        key=key_text(tonic, mode),
        chords=chords,
        bars=8,
        metre="4/4",
        style=STYLES[index // 5 % 8],
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


def vamp(sketch_path: Path, output: Path, prompt: str, seed: int) -> None:
    """A vamp of a sketch with the embedded model, as a loop, unless it is there."""
    if output.exists():
        return
    import vampnet

    model = vampnet.load()
    made = model.loop(read(sketch_path), prompt=prompt, sampling=vampnet.SamplingConfig(seed=seed))
    write(output, made.audio)


def figures_of(folder: Path, index: int, with_model: bool) -> dict[str, Any]:
    path, kept = folder / f"{index:03d}.wav", folder / f"{index:03d}.json"
    made = sketch(words_of(index), seed=index)
    if not path.exists():
        write(path, made.audio)
    figures: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    if "sketch" not in figures:
        figures["sketch"] = measure(made.audio, made)
    for number, prompt in enumerate(DISTANCES) if with_model else ():
        if prompt not in figures:
            output = folder / f"{index:03d}-{number}.wav"
            vamp(path, output, prompt, index)
            figures[prompt] = measure(read(output), made)
    kept.write_text(json.dumps(figures))
    return figures


def summarize(rows: list[dict[str, Any]]) -> str:
    titles = {"tempo": "tempo within 4 %", "octave": "or double, half", "beats": "beat F", "key": "key",
              "chords": "chords (root and third)", "seam": "seam (largest)"}  # fmt: skip
    lines = {}
    for way in ("sketch", *DISTANCES):
        chosen = [row[way] for row in rows if way in row]
        if chosen:
            cells = {t: f"{np.mean([c[n] for c in chosen]):.2f}" for n, t in titles.items() if n != "seam"}
            lines[f"{way.replace('|', 'or')} ({len(chosen)})"] = {
                **cells,
                titles["seam"]: f"{max(c['seam'] for c in chosen):.2f}",
            }
    return table("what", lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=40)
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = [figures_of(options.folder, index, options.model) for index in range(options.pieces)]
    report(summarize(rows), {"rows": rows}, options.output)


if __name__ == "__main__":
    main()
