"""How well are beats and downbeats found? On held-out pieces of the composer, whose beats are known exactly.

    python -m benchmarks.evaluation.beats FOLDER --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2 [--pieces 200] \
        [--trackers ...]

FOLDER keeps the excerpts (30 s each, from a random place of a piece of the test split; every metre has its share, a
quarter of the pieces sway in tempo); they are rendered when missing. F-measures are mir_eval's (within 70 ms), with and
without the first 5 s left out; CMLt and AMLt are mir_eval's continuity at the annotated and at any allowed level.
Each excerpt is counted once: right (F at least 0.8), else double, half, thirds (3 for 2 or the reverse) or off-beat
where F against the beats so changed is at least 0.8, else lost.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
import soundfile

from synthcorpus.beat_pieces import beat_pieces
from synthcorpus.compose.piece import ComposeConfig
from synthcorpus.render.render import RenderConfig
from vampnet.audio.files import read
from vampnet.beats.events import Events, TrackerConfig
from vampnet.beats.tracking import track_events

EXCERPT_S = 30.0
RIGHT = 0.8
COMPOSE = ComposeConfig(min_duration_s=31.0, max_duration_s=50.0, score_share=0.05)
KINDS = ("right", "double", "half", "thirds", "off-beat", "lost")


@dataclass(frozen=True)
class Row:
    """How one tracker did on one excerpt."""

    metre: str
    sways: bool
    beat: float
    beat_trimmed: float
    downbeat: float
    downbeat_trimmed: float
    same_bars: bool
    """Whether the most frequent number of beats between downbeats is the metre's."""
    cmlt: float
    amlt: float
    kind: str
    seconds: float
    """Time it took, for 30 s of audio."""


def render_excerpts(folder: Path, count: int, soundfont: str | None) -> list[dict[str, object]]:
    """The excerpts as lines of an index: file, metre, beats, downbeats."""
    index = folder / "beats.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()] if index.exists() else []
    if len(lines) == count:
        return lines
    folder.mkdir(parents=True, exist_ok=True)
    settings, lines = RenderConfig(soundfont=soundfont), []
    for piece in beat_pieces("test", 0, count, COMPOSE):
        rng = np.random.default_rng((piece.index, 4))
        start_s = float(rng.uniform(0.0, max(piece.piece.duration_s - EXCERPT_S, 0.0)))
        first = round(start_s * settings.sample_rate_hz)
        audio = piece.render(settings)[:, first : first + round(EXCERPT_S * settings.sample_rate_hz)]
        name, end_s = f"test-{piece.index:05d}.flac", start_s + audio.shape[1] / settings.sample_rate_hz
        soundfile.write(folder / name, audio.T, settings.sample_rate_hz)
        beats, downbeats = (
            [round(t - start_s, 4) for t in times if start_s <= t < min(end_s, piece.piece.duration_s)]
            for times in (piece.piece.beat_times_s, piece.piece.downbeat_times_s)
        )
        facts = {"metre": piece.piece.metre, "style": piece.piece.style, "bpm": piece.piece.tempo_bpm}
        lines.append({"file": name, **facts, "sways": piece.drifts, "beats": beats, "downbeats": downbeats})
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def f_measure(wanted: np.ndarray, found: np.ndarray, trimmed: bool = False) -> float:
    if trimmed:
        wanted, found = mir_eval.beat.trim_beats(wanted), mir_eval.beat.trim_beats(found)
    return float(mir_eval.beat.f_measure(wanted, found))


def kind_of(wanted: np.ndarray, found: np.ndarray) -> str:
    """What the found beats are to the wanted ones."""
    middles = (wanted[1:] + wanted[:-1]) / 2
    thirds = np.interp(np.arange(0, len(wanted) - 1, 1 / 3), np.arange(len(wanted)), wanted)
    versions = {
        "right": [wanted],
        "double": [np.sort(np.concatenate([wanted, middles])), thirds],
        "half": [wanted[::2], wanted[1::2], wanted[::3], wanted[1::3], wanted[2::3]],
        "thirds": [thirds[::2], thirds[1::2]],
        "off-beat": [middles],
    }
    for kind, beats in versions.items():
        if max(f_measure(b, found) for b in beats) >= RIGHT:
            return kind
    return "lost"


def measure(line: dict[str, object], rhythm: Events, seconds: float) -> Row:
    wanted, downs = np.array(line["beats"]), np.array(line["downbeats"])
    found, found_downs = np.array(rhythm.beats_s), np.array(rhythm.downbeats_s)
    _, cmlt, _, amlt = mir_eval.beat.continuity(mir_eval.beat.trim_beats(wanted), mir_eval.beat.trim_beats(found))
    return Row(
        str(line["metre"]),
        bool(line["sways"]),
        f_measure(wanted, found),
        f_measure(wanted, found, True),
        f_measure(downs, found_downs),
        f_measure(downs, found_downs, True),
        beats_per_bar(found, found_downs) == beats_per_bar(wanted, downs),
        float(cmlt),
        float(amlt),
        kind_of(wanted, found),
        seconds,
    )


def beats_per_bar(beats: np.ndarray, downbeats: np.ndarray) -> int:
    """The most frequent number of beats from one downbeat to the next; 0 where there is none."""
    counts = Counter(np.diff(np.searchsorted(beats, downbeats - 0.01)).tolist())
    return counts.most_common(1)[0][0] if counts else 0


def run(tracker: str, folder: Path, lines: list[dict[str, object]]) -> list[Row]:
    rows, warm = [], False
    for line in lines:
        audio = read(folder / str(line["file"]))
        if not warm:
            track_events([audio.samples], audio.sample_rate_hz, audio.n_samples, TrackerConfig(tracker))
            warm = True
        started = time.perf_counter()
        rhythm = track_events([audio.samples], audio.sample_rate_hz, audio.n_samples, TrackerConfig(tracker))
        rows.append(measure(line, rhythm, time.perf_counter() - started))
    return rows


def table(rows: dict[str, list[Row]]) -> str:
    """One line per tracker and group of pieces."""
    text = "| tracker | pieces | beat F | trimmed | CMLt | AMLt | downbeat F | trimmed | metre right | "
    out = [text + " | ".join(KINDS) + " | s per min |", "|---" * (10 + len(KINDS)) + "|"]
    for tracker, all_rows in rows.items():
        groups = {
            "all": all_rows,
            **{m: [r for r in all_rows if r.metre == m] for m in sorted({r.metre for r in all_rows})},
        }
        groups |= {"steady": [r for r in all_rows if not r.sways], "swaying": [r for r in all_rows if r.sways]}
        for group, chosen in groups.items():
            if not chosen:
                continue
            names = ("beat", "beat_trimmed", "cmlt", "amlt", "downbeat", "downbeat_trimmed", "same_bars")
            means = [f"{np.mean([getattr(r, name) for r in chosen]):.3f}" for name in names]
            kinds = Counter(r.kind for r in chosen)
            counts = [str(kinds[kind]) for kind in KINDS]
            speed = f"{np.mean([r.seconds for r in chosen]) * 60 / EXCERPT_S:.2f}"
            out.append(f"| {tracker} | {group} ({len(chosen)}) | {' | '.join([*means, *counts, speed])} |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--soundfont", default=None)
    parser.add_argument("--trackers", nargs="+", default=["librosa", "learned"])
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Reference beats are empty|Estimated beats are empty")
    lines = render_excerpts(options.folder, options.pieces, options.soundfont)
    print(table({tracker: run(tracker, options.folder, lines) for tracker in options.trackers}))


if __name__ == "__main__":
    main()
