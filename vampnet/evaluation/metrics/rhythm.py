"""Rhythm metrics: beats, tempo and onset density of an output against its input.

Both sides are tracked by the same tracker (`vampnet.beats.tracking`), or the input's beats are given. Where the input
has no beat a measure is NaN: it says nothing, and averages leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vampnet.audio.files import Samples
from vampnet.beats.events import Events
from vampnet.beats.tracking import track_events
from vampnet.errors import require
from vampnet.evaluation.metrics.onsets import mel_db_of, onset_times_s

BEAT_WINDOW_S = 0.07
"""A beat counts as found when it lies this close (Dixon 2001, mir_eval's default)."""
TEMPO_TOLERANCE = 0.04
"""Tempi agree within this share (Gouyon et al. 2006, MIREX)."""
TEMPO_RATIOS = (2.0, 0.5, 3.0, 1 / 3)
"""Ratios of output to input tempo that count as octave errors: the same pulse, counted otherwise."""


@dataclass(frozen=True)
class RhythmAgreement:
    """Agreement of an output's rhythm with its input's."""

    beat_f: float
    """F-measure of its beats, 0 to 1."""
    tempo: str
    """"same", "octave" (double, half, triple or a third), "other", or "none" where either has no tempo."""
    reference_bpm: float
    bpm: float


def rhythm_of(samples: Samples, sample_rate_hz: int) -> Events:
    """Beats and onsets of a signal (channels, samples)."""
    return track_events([samples], sample_rate_hz, samples.shape[1])


def compare_rhythm(rhythm: Events, reference: Events) -> RhythmAgreement:
    """Agreement of an output's beats with the input's."""
    bpm, reference_bpm = tempo_bpm(rhythm.beats_s), tempo_bpm(reference.beats_s)
    beat_f = beat_f_measure(rhythm.beats_s, reference.beats_s)
    return RhythmAgreement(beat_f, tempo_agreement(bpm, reference_bpm), reference_bpm, bpm)


def onset_ratio(samples: Samples, reference: Samples, sample_rate_hz: int) -> float:
    """Onsets per second of an output over those of its input, by `onsets`; 1 is alike, NaN where the input has none."""
    ours, theirs = (len(onset_times_s(mel_db_of(x, sample_rate_hz))) / x.shape[1] for x in (samples, reference))
    return ours / theirs if theirs else math.nan


def beat_f_measure(beats_s: Sequence[float], reference_s: Sequence[float], window_s: float = BEAT_WINDOW_S) -> float:
    """F-measure of beats, 0 to 1: 2 P R / (P + R), each beat matched with at most one within `window_s`.

    By mir_eval (Raffel et al. 2014), but nothing is trimmed: its usual cut of the first 5 s would take half of a 10 s
    excerpt. NaN when the reference has no beats, 0 when only the output has none. Raises DependencyError without
    mir_eval.
    """
    require("mir_eval", "beat measures")
    from mir_eval.beat import f_measure

    if not reference_s:
        return math.nan
    if not beats_s:
        return 0.0
    return float(f_measure(np.asarray(reference_s, float), np.asarray(beats_s, float), f_measure_threshold=window_s))


def tempo_bpm(beats_s: Sequence[float]) -> float:
    """60 / median distance of beats, beats per minute; NaN for fewer than three beats."""
    return 60 / float(np.median(np.diff(beats_s))) if len(beats_s) >= 3 else math.nan


def tempo_agreement(bpm: float, reference_bpm: float, tolerance: float = TEMPO_TOLERANCE) -> str:
    """ "same", "octave", "other" or "none", see RhythmAgreement."""
    if math.isnan(bpm) or math.isnan(reference_bpm):
        return "none"
    ratio = bpm / reference_bpm
    if abs(ratio - 1) <= tolerance:
        return "same"
    return "octave" if any(abs(ratio / r - 1) <= tolerance for r in TEMPO_RATIOS) else "other"
