"""Chords and keys heard in semitone spectra: linear classifiers alike for all roots, and the best path of chords.

Chords: the chroma of four registers in each segment (half beats, or 0.25 s where no beat is known) is read relative to
each of twelve roots by one classifier of seven kinds of chord; a path through the segments, in which staying on a chord
is likelier than changing, is the result (Viterbi). Keys: the chroma of the whole piece and the chords heard are read
relative to each tonic in the same way. benchmarks/controls/fit_harmony.py fits the weights (harmony_weights.json) to
pieces of the composer's train split.

Axis letters: P pitch class, U spectrum, K segment, H chord.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vampnet.controls.charts import ChordSpan, merge_spans
from vampnet.controls.names import chord_of_tones, key_text, third_of_mode
from vampnet.controls.spectra import SemitoneSpectra

CHORD_KINDS: tuple[tuple[int, ...], ...] = (
    (0, 4, 7),
    (0, 3, 7),
    (0, 4, 7, 10),
    (0, 4, 7, 11),
    (0, 3, 7, 10),
    (0, 3, 6),
    (0, 5, 7),
)
"""Kinds of chord that are heard, semitones above the root."""
KEY_MODES = ("major", "minor")
REGISTERS = ((28, 45), (45, 57), (57, 69), (69, 104))
"""First and last-but-one MIDI pitch of each register whose chroma is read."""
CHANGE_NATS = 4.0
"""Cost of a change of chord, nats."""
SILENT_DB = 45.0
"""A segment this far below the loudest has no chord, dB."""
NO_CHORD_NATS = -6.0
"""A segment in which no chord is likelier than this has none, log probability."""
SEGMENT_S = 0.25
MISSING_SHARE = 0.03
"""A written tone that sounds for less of the time than this is missing."""
WEIGHTS = Path(__file__).with_name("harmony_weights.json")

Floats = NDArray[np.float64]
_FROM_ROOT = (np.arange(12)[:, None] + np.arange(12)[None, :]) % 12


def find_chords(spectra: SemitoneSpectra, beats_s: Sequence[float], duration_s: float) -> tuple[ChordSpan, ...]:
    """Chords of a recording in order, without gaps; None in silence and where nothing has a pitch."""
    edges_s = segment_edges(beats_s, duration_s)
    chroma_KRP, level_K = segment_chroma(spectra, edges_s)
    silent_K = (level_K < level_K.max() - SILENT_DB) | (np.abs(chroma_KRP).max(axis=(1, 2)) < 1e-6)
    return trace_chords(classify(chroma_KRP, "chords").T, silent_K, edges_s)


def match_tones(time_KP: Floats, lowest_K: NDArray[np.int64]) -> Floats:
    """Log-likelihood of each chord (H, K), nats, of written notes: time per pitch class (K, 12), class of the lowest.

    A chord gains by the time of its own tones, and loses by tones that are missing and by another tone in the bass.
    """
    share_KP = time_KP / np.maximum(time_KP.sum(axis=1, keepdims=True), 1e-9)
    rows = []
    for tones in CHORD_KINDS:
        for root in range(12):
            classes = [(root + tone) % 12 for tone in tones]
            missing_K = (share_KP[:, classes] < MISSING_SHARE).sum(axis=1)
            rows.append(12.0 * (share_KP[:, classes].sum(axis=1) - 1.0) - 2.0 * missing_K - (lowest_K != root))
    return np.array(rows)


def trace_chords(likely_HK: Floats, silent_K: NDArray[np.bool_], edges_s: Floats) -> tuple[ChordSpan, ...]:
    """The best path through chords (12 roots of each kind) over segments, in nats; None in silent ones."""
    likely_HK = np.vstack([np.where(silent_K, -30.0, likely_HK), np.where(silent_K, 0.0, NO_CHORD_NATS)])
    path_K = _best_path(likely_HK)
    spans = []
    for place, (start_s, end_s) in zip(path_K.tolist(), pairwise(edges_s), strict=True):
        kind, root = divmod(place, 12)
        chord = None if kind == len(CHORD_KINDS) else chord_of_tones(root, CHORD_KINDS[kind])
        spans.append(ChordSpan(float(start_s), float(end_s), chord))
    return merge_spans(spans)


def find_key(spectra: SemitoneSpectra, chords: Sequence[ChordSpan]) -> str | None:
    """The major or minor key of a recording; None where no chord was heard."""
    if all(span.chord is None for span in chords):
        return None
    likely = classify(key_features(spectra, chords)[None], "keys")[0]
    mode, tonic = divmod(int(likely.argmax()), 12)
    return key_text(tonic, KEY_MODES[mode])


def keys_agree(key: str, reference: str) -> bool:
    """Whether two keys have one tonic and one third: "D dorian" agrees with "D minor"."""
    (tonic, mode), (other, other_mode) = (text.split(" ", 1) for text in (key, reference))
    return tonic == other and third_of_mode(mode) == third_of_mode(other_mode)


def segment_edges(beats_s: Sequence[float], duration_s: float) -> Floats:
    """Ends of the segments in seconds: half beats, which go on to both ends, or even steps."""
    beats = np.asarray(beats_s, dtype=np.float64)
    if len(beats) < 4:
        return np.linspace(0.0, duration_s, max(round(duration_s / SEGMENT_S), 1) + 1)
    grid = np.interp(np.arange(0.0, len(beats) - 0.75, 0.5), np.arange(len(beats)), beats)
    step_s = float(np.median(np.diff(grid)))
    early = np.arange(grid[0] - step_s, 0.0, -step_s)[::-1]
    late = np.arange(grid[-1] + step_s, duration_s, step_s)
    inner = np.concatenate([early, grid, late])
    inner = inner[(inner > 0.3 * step_s) & (inner < duration_s - 0.3 * step_s)]
    return np.concatenate([[0.0], inner, [duration_s]])


def segment_chroma(spectra: SemitoneSpectra, edges_s: Floats) -> tuple[Floats, Floats]:
    """Chroma of each register (K, registers, 12), the strongest class at 1, less its mean; and level in dB (K,)."""
    places = np.minimum(np.searchsorted(spectra.times_s, edges_s), spectra.strength_NU.shape[1] - 1)
    registers = np.stack([spectra.sum_classes(low, high) for low, high in REGISTERS])
    rows, levels = [], []
    for first, last in pairwise(places):
        stop = max(last, first + 1)
        rows.append(registers[:, :, first:stop].mean(axis=2))
        levels.append(spectra.level_db_U[first:stop].mean())
    return scale_chroma(np.array(rows, dtype=np.float64)), np.array(levels)


def scale_chroma(chroma_KRP: Floats) -> Floats:
    """Each chroma with its strongest class at 1, less its mean; zero where nothing sounds."""
    scaled = chroma_KRP / np.maximum(chroma_KRP.max(axis=2, keepdims=True), 1e-6)
    return scaled - scaled.mean(axis=2, keepdims=True)


def key_features(spectra: SemitoneSpectra, chords: Sequence[ChordSpan]) -> Floats:
    """Features of a key, rows of twelve: chroma of each register, time of each kind of chord, first and last."""
    sounding_U = spectra.level_db_U > spectra.level_db_U.max() - SILENT_DB
    rows = []
    for low, high in REGISTERS:
        mean_P = spectra.sum_classes(low, high)[:, sounding_U].mean(axis=1)
        rows.append(3.0 * mean_P / max(float(mean_P.sum()), 1e-9) - 0.25)
    times = np.zeros((len(CHORD_KINDS), 12))
    sounding = [(span, span.chord) for span in chords if span.chord is not None]
    for span, chord in sounding:
        if chord.intervals in CHORD_KINDS:
            times[CHORD_KINDS.index(chord.intervals), chord.root] += span.end_s - span.start_s
    ends = np.zeros((2, 12))
    if sounding:
        ends[0, sounding[0][1].root] = ends[1, sounding[-1][1].root] = 0.3
    return np.vstack([*rows, 2.0 * times / max(float(times.sum()), 1e-9), ends])


def classify(features: Floats, task: str) -> Floats:
    """Log probabilities (n, classes * 12) of features (n, rows, 12), class by class, each at twelve roots."""
    weight, bias = load_weights()[task]
    turned = features[:, :, _FROM_ROOT]
    logits = np.einsum("krpi,cri->kcp", turned, weight) + bias[None, :, None]
    flat = logits.reshape(len(features), -1)
    flat = flat - flat.max(axis=1, keepdims=True)
    return flat - np.log(np.exp(flat).sum(axis=1, keepdims=True))


@functools.lru_cache(maxsize=1)
def load_weights() -> dict[str, tuple[Floats, Floats]]:
    """Weights (classes, rows, 12) and biases (classes,) of both classifiers."""
    data = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return {task: (np.array(data[task]["weight"]), np.array(data[task]["bias"])) for task in ("chords", "keys")}


def _best_path(likely_HK: Floats) -> NDArray[np.int64]:
    """The path of chords with the highest log probability, less the cost of its changes."""
    score_H = likely_HK[:, 0].copy()
    back = np.zeros(likely_HK.shape, dtype=np.int64)
    for number in range(1, likely_HK.shape[1]):
        best = int(score_H.argmax())
        moved = score_H[best] - CHANGE_NATS
        stays = score_H >= moved
        back[:, number] = np.where(stays, np.arange(len(score_H)), best)
        score_H = np.where(stays, score_H, moved) + likely_HK[:, number]
    path = np.zeros(likely_HK.shape[1], dtype=np.int64)
    path[-1] = int(score_H.argmax())
    for number in range(likely_HK.shape[1] - 1, 0, -1):
        path[number - 1] = back[path[number], number]
    return path
