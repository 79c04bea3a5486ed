"""Control signals from events in time: phases from beats, chroma from chords, melody from notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import median_filter
from scipy.signal import find_peaks

from vampnet.controls.charts import ChordSpan
from vampnet.controls.signals import REST, Controls, Floats

ROOT_SHARE, TONE_SHARE, UPPER_SHARE = 1.0, 0.8, 0.5
"""Strength in the chroma of a chord of its root, its third and fifth, and the tones above."""

ONSET_AROUND_S, ONSET_MERGE_S = 0.5, 0.035
"""Surroundings that an onset must stand out of; onsets of both bands this close are one, seconds."""
LOW_RISE_DB, HIGH_RISE_DB = 3.0, 1.5
"""Rise of an onset above the median of its surroundings in the low and the high band, dB."""


def trace_phase(events_s: Sequence[float], times_s: np.ndarray) -> Floats:
    """Place between the events around each time, 0 on an event up to 1; before the first and after the last the
    neighbouring gap goes on. NaN everywhere for fewer than two events."""
    if len(events_s) < 2:
        return np.full(len(times_s), np.nan, np.float32)
    events = np.asarray(events_s, dtype=np.float64)
    before, after = events[1] - events[0], events[-1] - events[-2]
    n_before = max(int(np.ceil((events[0] - times_s[0]) / before)) + 1, 0)
    n_after = max(int(np.ceil((times_s[-1] - events[-1]) / after)) + 1, 0)
    grid = np.concatenate([
        events[0] - before * np.arange(n_before, 0, -1), events, events[-1] + after * np.arange(1, n_after + 1)
    ])  # fmt: skip
    return np.mod(np.interp(times_s, grid, np.arange(len(grid))), 1.0).astype(np.float32) % np.float32(1.0)


def paint_chords(spans: Sequence[ChordSpan], times_s: np.ndarray) -> tuple[Floats, Floats]:
    """Chroma and bass chroma (12, T) of chords as written; zero where no chord sounds, NaN where nothing is said."""
    chroma_PT = np.full((12, len(times_s)), np.nan, np.float32)
    bass_PT = chroma_PT.copy()
    for span in spans:
        inside = (times_s >= span.start_s) & (times_s < span.end_s)
        chroma_PT[:, inside] = bass_PT[:, inside] = 0.0
        if span.chord is None:
            continue
        for interval in span.chord.intervals:
            share = ROOT_SHARE if interval == 0 else TONE_SHARE if interval in (3, 4, 7) else UPPER_SHARE
            chroma_PT[(span.chord.root + interval) % 12, inside] = share
        bass_PT[span.chord.root if span.chord.bass is None else span.chord.bass, inside] = 1.0
    return chroma_PT, bass_PT


def paint_melody(notes: Sequence[tuple[float, float, float]], times_s: np.ndarray) -> Floats:
    """Pitch per frame (T,) of notes (start_s, end_s, MIDI pitch); REST between them."""
    melody_T = np.full(len(times_s), REST, np.float32)
    for start_s, end_s, pitch in notes:
        melody_T[(times_s >= start_s) & (times_s < end_s)] = pitch
    return melody_T


def paint_onsets(events: Sequence[tuple[float, float]], frames: Controls) -> Floats:
    """Onset strength per frame (T,) of events (time_s, dB): each in the frame that holds it."""
    strength_T = np.zeros(frames.n_frames, np.float32)
    for time_s, rise_db in events:
        frame = int(time_s * frames.frames_per_s)
        if 0 <= frame < frames.n_frames:
            strength_T[frame] = max(strength_T[frame], rise_db)
    return strength_T


def read_onsets(low_T: Floats, high_T: Floats, times_s: np.ndarray) -> tuple[float, ...]:
    """Moments in seconds at which notes begin: peaks of either band's onset strength above its surroundings."""
    moments: list[float] = []
    frame_s = float(times_s[1] - times_s[0]) if len(times_s) > 1 else 1.0
    around = max(round(ONSET_AROUND_S / frame_s), 1) | 1
    for strength_T, rise_db in ((low_T, LOW_RISE_DB), (high_T, HIGH_RISE_DB)):
        filled = np.where(np.isfinite(strength_T), strength_T, 0.0)
        height = np.concatenate([[0.0], filled - median_filter(filled, around, mode="nearest"), [0.0]])
        peaks, _ = find_peaks(height, height=rise_db)
        moments += times_s[peaks - 1].tolist()
    merged: list[float] = []
    for moment_s in sorted(moments):
        if not merged or moment_s - merged[-1] > ONSET_MERGE_S:
            merged.append(moment_s)
    return tuple(merged)


def read_beats(phase_T: Floats, times_s: np.ndarray) -> tuple[float, ...]:
    """Moments in seconds at which a phase passes through 0: the beats, or the downbeats, that it counts."""
    moments: list[float] = []
    places = np.flatnonzero(phase_T[1:] - phase_T[:-1] < -0.5)
    for place in places:
        rest, begun = 1.0 - float(phase_T[place]), float(phase_T[place + 1])
        share = rest / max(rest + begun, 1e-6)
        moments.append(float(times_s[place] + share * (times_s[place + 1] - times_s[place])))
    rises = np.diff(phase_T[: min(len(phase_T), 64)])
    rises = rises[np.isfinite(rises) & (rises > 0)]
    if len(rises) and np.isfinite(phase_T[0]):  # a beat at the very start lies before the first frame's centre
        frame_s = float(times_s[1] - times_s[0])
        first_s = float(times_s[0] - phase_T[0] / np.median(rises) * frame_s)
        if first_s > -frame_s:
            moments.insert(0, max(first_s, 0.0))
    return tuple(moments)
