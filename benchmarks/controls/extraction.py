"""How well are controls heard? On held-out pieces of the composer, whose truth is exact.

    python -m benchmarks.controls.extraction FOLDER [--pieces 200] [--soundfont FILE] [--output docs/results/X.md]

FOLDER keeps the pieces (20 to 30 s of the test split, every other one with the sound font, if one is given) and the
figures of each, so that a second run goes on. `--pieces 8` takes about a minute. Beats, onsets, keys, chords and melody
are measured by mir_eval: beats within 70 ms, onsets within 50 ms, MIREX key score, chords by duration (root, majmin,
sevenths), melody on frames of 17 ms. "band" are pieces with an accompaniment of chords, pad or arpeggio; a mode counts
as the major or minor key of its third.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import mir_eval
import numpy as np
import soundfile

from benchmarks.tables import report, table
from synthcorpus.compose.piece import ComposeConfig, Piece, compose
from synthcorpus.render.render import RenderConfig, render
from synthcorpus.splits import piece_seed
from synthcorpus.truth import PieceTruth, piece_truth
from vampnet.audio.files import Audio, read
from vampnet.controls.composed import controls_of_truth
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.names import TONICS, chord_of_tones, parse_key, third_of_mode
from vampnet.controls.signals import Controls
from vampnet.controls.timeline import read_beats, read_onsets

COMPOSE = ComposeConfig(min_duration_s=20.0, max_duration_s=30.0)
SEED = 28
FIGURES = {
    "tempo": "tempo within 4 %",
    "octave": "or double, half",
    "beats": "beat F",
    "downbeats": "downbeat F",
    "onsets": "onset F",
    "key": "key exact",
    "key_score": "key score",
    "root": "chord root",
    "majmin": "chord majmin",
    "sevenths": "chord sevenths",
    "pitch": "melody pitch",
    "pitch_class": "melody class",
    "overall": "melody overall",
    "speed": "s per min",
}


def piece_audio(folder: Path, index: int, soundfont: str | None) -> tuple[Piece, Audio]:
    """A held-out piece and its sound, rendered once."""
    seed = piece_seed("test", SEED, index)
    piece, path = compose(seed, COMPOSE), folder / f"{index:04d}.flac"
    if not path.exists():
        settings = RenderConfig(soundfont=soundfont if index % 2 else None)
        rendered = render(piece, settings, np.random.default_rng(np.random.SeedSequence((*seed, 1))))
        soundfile.write(path.with_suffix(".partial"), rendered.audio.T, settings.sample_rate_hz, format="FLAC")
        path.with_suffix(".partial").rename(path)
    return piece, read(path)


def measure(piece: Piece, audio: Audio) -> dict[str, Any]:
    """Figures of one piece; those that do not apply are left out."""
    truth = piece_truth(piece)
    started = time.process_time()
    heard = extract_controls(audio, ExtractionConfig())
    seconds = time.process_time() - started
    wanted = controls_of_truth(truth, n_frames=heard.n_frames)
    row: dict[str, Any] = {"style": piece.style, "speed": 60 * seconds / audio.duration_s}
    row["band"] = bool({"chords", "pad", "arpeggio"} & {track.role for track in piece.tracks})
    row |= measure_rhythm(heard, wanted, truth)
    starts = np.unique(np.round([note[0] for track in piece.tracks for note in track.notes], 2))
    starts = starts[np.concatenate([[True], np.diff(starts) > 0.03])]
    found = read_onsets(heard.signal("onset_low"), heard.signal("onset_high"), heard.times_s)
    row["onsets"] = mir_eval.onset.f_measure(starts, np.array(found))[0]
    if piece.style != "drums_only":
        row |= measure_key(heard, wanted)
    if truth.chords:
        row |= measure_chords(heard, truth)
    if truth.melody:
        row |= measure_melody(heard, wanted)
    return row


def measure_rhythm(heard: Controls, wanted: Controls, truth: PieceTruth) -> dict[str, float]:
    ratio = (heard.tempo_bpm or 0.0) / truth.tempo_bpm
    near = [abs(ratio / factor - 1) <= 0.04 for factor in (1.0, 2.0, 0.5)]
    row = {"tempo": float(near[0]), "octave": float(any(near))}
    for name, phase in (("beats", "beat_phase"), ("downbeats", "bar_phase")):
        if getattr(wanted, phase) is None:
            continue
        times = [
            read_beats(c.signal(phase), c.times_s) if getattr(c, phase) is not None else () for c in (wanted, heard)
        ]
        row[name] = mir_eval.beat.f_measure(np.array(times[0]), np.array(times[1])) if times[1] else 0.0
    return row


def measure_key(heard: Controls, wanted: Controls) -> dict[str, float]:
    if wanted.key is None:
        return {}
    names = []
    for key in (wanted.key, heard.key):
        tonic, mode = parse_key(key) if key else (0, "other")
        names.append(f"{TONICS[tonic]} {third_of_mode(mode) if key else 'other'}")
    score = mir_eval.key.weighted_score(*names) if heard.key else 0.0
    return {"key": float(score == 1.0), "key_score": float(score)}


def measure_chords(heard: Controls, truth: PieceTruth) -> dict[str, float]:
    intervals = np.array([[chord[0], chord[1]] for chord in truth.chords])
    labels = [chord_of_tones(chord[2], tuple(chord[3])).harte for chord in truth.chords]
    spans = [span for span in heard.chords or () if span.end_s > span.start_s]
    found = np.array([[span.start_s, span.end_s] for span in spans])
    names = ["N" if span.chord is None else span.chord.harte for span in spans]
    found, names = mir_eval.util.adjust_intervals(found, names, intervals.min(), intervals.max(), "N", "N")
    merged, wanted, got = mir_eval.util.merge_labeled_intervals(intervals, labels, found, names)
    durations = mir_eval.util.intervals_to_durations(merged)
    measures = {"root": mir_eval.chord.root, "majmin": mir_eval.chord.majmin, "sevenths": mir_eval.chord.sevenths}
    scores = {n: float(mir_eval.chord.weighted_accuracy(m(wanted, got), durations)) for n, m in measures.items()}
    return {name: score for name, score in scores.items() if np.isfinite(score)}


def measure_melody(heard: Controls, wanted: Controls) -> dict[str, float]:
    hertz = [np.where(c.signal("melody") > 0, 440 * 2 ** ((c.signal("melody") - 69) / 12), 0) for c in (wanted, heard)]
    scores = mir_eval.melody.evaluate(heard.times_s, hertz[0], heard.times_s, hertz[1])
    names = {"pitch": "Raw Pitch Accuracy", "pitch_class": "Raw Chroma Accuracy", "overall": "Overall Accuracy"}
    return {short: float(scores[name]) for short, name in names.items()}


def summarize(rows: list[dict[str, Any]]) -> str:
    groups = {
        "all": rows,
        "band": [row for row in rows if row["band"]],
        "no accompaniment": [row for row in rows if not row["band"] and row["style"] != "drums_only"],
        "drums only": [row for row in rows if row["style"] == "drums_only"],
    }
    lines: dict[str, dict[str, str]] = {}
    for group, chosen in groups.items():
        if not chosen:
            continue
        lines[f"{group} ({len(chosen)})"] = {
            title: f"{np.mean(values):.2f}" if (values := [row[name] for row in chosen if name in row]) else "-"
            for name, title in FIGURES.items()
        }
    return table("pieces", lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--soundfont", default=None)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(options.pieces):
        kept = options.folder / f"{index:04d}.json"
        if not kept.exists():
            kept.write_text(json.dumps(measure(*piece_audio(options.folder, index, options.soundfont))))
        rows.append(json.loads(kept.read_text()))
    report(summarize(rows), {"rows": rows}, options.output)


if __name__ == "__main__":
    main()
