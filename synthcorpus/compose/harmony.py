"""Keys, chords, progressions and voicings. Pure functions; pitches are MIDI numbers, positions are sixteenths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthcorpus.compose.styles import MODES

LOOPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "pop": (
        (0, 4, 5, 3),
        (5, 3, 0, 4),
        (0, 5, 3, 4),
        (0, 3, 4, 3),
        (0, 3, 5, 4),
        (3, 4, 0, 5),
        (0, 2, 3, 4),
        (0, 4, 3, 0),
        (0, 1, 3, 0),
        (5, 4, 3, 4),
        (0, 4, 5, 2, 3, 0, 3, 4),
    ),
    "modal": ((0, 6, 5, 6), (0, 6, 3, 0), (0, 5, 6, 0), (0, 3, 0, 6), (0, 1, 0, 6), (0, 2, 6, 3), (0, 5, 2, 6)),
    "vamp": ((0, 0, 0, 0), (0, 3, 0, 3), (0, 0, 3, 3), (0, 5, 0, 5), (0, 0, 0, 4), (0, 6, 0, 6)),
    "jazz": (
        (1, 4, 0, 5),
        (1, 4, 0, 0),
        (0, 5, 1, 4),
        (2, 5, 1, 4),
        (0, 3, 2, 5, 1, 4, 0, 0),
        (3, 6, 2, 5, 1, 4, 0, 4),
        (1, 4, 2, 5),
        (0, 0, 1, 4),
    ),
    "blues": ((0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4), (0, 3, 0, 0, 3, 3, 0, 5, 1, 4, 0, 4)),
    "classical": (
        (0, 4, 0, 4),
        (0, 3, 4, 0),
        (0, 5, 1, 4),
        (0, 4, 5, 2, 3, 0, 3, 4),
        (0, 3, 6, 2, 5, 1, 4, 0),
        (0, 1, 4, 0),
        (5, 1, 4, 0),
    ),
}
"""Chord roots as scale degrees (0 is the tonic), one per bar."""


@dataclass(frozen=True)
class Key:
    """A tonic (0 is C) and a mode of patterns.MODES."""

    tonic: int
    mode: str

    @property
    def name(self) -> str:
        """Name of the key, such as "A minor"."""
        names = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
        return f"{names[self.tonic]} {self.mode}"

    def pitch_class(self, degree: int) -> int:
        """Pitch class of a scale degree; any integer, 7 is the octave."""
        return (self.tonic + MODES[self.mode][degree % 7]) % 12

    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the melody's scale, sorted from the tonic; blues adds blue notes."""
        if self.mode == "blues":
            return tuple((self.tonic + step) % 12 for step in (0, 3, 4, 5, 6, 7, 9, 10))
        return tuple(self.pitch_class(degree) for degree in range(7))


@dataclass(frozen=True)
class Chord:
    """A chord that sounds from `start` for `steps` sixteenths, counted from the section's start."""

    root: int
    """Pitch class of the root, 0 to 11."""
    intervals: tuple[int, ...]
    """Semitones above the root, the root included."""
    start: int
    steps: int
    bass: int | None = None
    """Pitch class of the bass where it is not the root (C/E)."""
    sounds: bool = True
    """False for a stretch that a chart marks as without chord; the tones then only fill the gap."""

    @property
    def lowest(self) -> int:
        """Pitch class that the bass plays."""
        return self.root if self.bass is None else self.bass

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Pitch classes of the chord's notes, 0 to 11, root first."""
        return tuple((self.root + interval) % 12 for interval in self.intervals)


def chord_intervals(key: Key, degree: int, seventh: bool, rng: np.random.Generator) -> tuple[int, ...]:
    """Thirds stacked on a degree; now and then suspended, with a ninth, or as a dominant where the root is a fifth."""
    root = key.pitch_class(degree)
    third, fifth, upper = ((key.pitch_class(degree + step) - root) % 12 for step in (2, 4, 6))
    if key.mode == "blues":
        return (0, 4, 7, 10)
    if key.mode in ("minor", "harmonic_minor") and degree % 7 == 4 and rng.random() < 0.6:
        third = 4  # the leading note makes a cadence in minor
        upper = 10
    if fifth != 7 and not seventh:
        fifth = 7 if rng.random() < 0.5 else fifth
    draw = rng.random()
    if not seventh:
        if draw < 0.06:
            return (0, 5, fifth)
        return (0, 2, third, fifth) if draw < 0.12 else (0, third, fifth)
    return (0, third, fifth, upper, 14) if draw < 0.25 else (0, third, fifth, upper)


def progression(
    key: Key, pools: tuple[str, ...], bars: int, bar_steps: int, sevenths: bool, rng: np.random.Generator
) -> tuple[Chord, ...]:
    """Chords that fill `bars` bars: a loop repeated, with its last round varied, at one chord per bar or per half."""
    pool = LOOPS[pools[rng.integers(len(pools))]]
    loop = pool[rng.integers(len(pool))]
    rate = 1.0 if len(loop) == 12 else float(rng.choice((1.0, 1.0, 1.0, 0.5, 2.0)))
    steps = int(bar_steps * rate)
    if steps * 2 != int(bar_steps * rate * 2) or steps % 2:
        steps = bar_steps
    shapes: dict[int, tuple[int, ...]] = {}
    chords = []
    total = bars * bar_steps
    for position, start in enumerate(range(0, total, steps)):
        degree = loop[position % len(loop)]
        last = start + steps >= total and len(loop) < 12
        if last and rng.random() < 0.25:
            degree = 4 if key.mode in ("major", "minor", "harmonic_minor") else 6
        if degree not in shapes:
            shapes[degree] = chord_intervals(key, degree, sevenths, rng)
        root = key.pitch_class(degree)
        if rng.random() < 0.03 and key.mode == "major" and degree == 3:
            chords.append(Chord(root, (0, 3, 7), start, min(steps, total - start)))  # borrowed minor subdominant
            continue
        chords.append(Chord(root, shapes[degree], start, min(steps, total - start)))
    return tuple(chords)


def chord_at(chords: tuple[Chord, ...], step: float) -> Chord:
    """The chord that sounds at a position; positions past the end belong to the last chord."""
    for chord in chords:
        if step < chord.start + chord.steps:
            return chord
    return chords[-1]


def nearest(pitch_class: int, centre: float) -> int:
    """The pitch of a class that lies closest to `centre`."""
    return round((centre - pitch_class) / 12.0) * 12 + pitch_class


def voicing(chord: Chord, centre: float, voices: int, previous: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Pitches of a chord near `centre`, `voices` at most, moving as little as possible from the chord before."""
    target = float(np.mean(previous)) * 0.7 + centre * 0.3 if previous else centre
    intervals = chord.intervals
    if len(intervals) > voices:
        keep = [interval for interval in intervals if interval not in (0, 7)] or list(intervals)
        intervals = tuple(([0, *keep] if len(keep) < voices else keep)[:voices])
    pitches = sorted(nearest((chord.root + interval) % 12, target) for interval in intervals)
    if voices > len(pitches):
        pitches = [pitches[0] - 12 if pitches[0] - 12 > 35 else pitches[-1], *pitches]
    return tuple(sorted(set(pitches)))


def scale_pitches(key: Key, low: int, high: int) -> np.ndarray:
    """All pitches of the key's melody scale in low..high, rising."""
    classes = set(key.scale())
    return np.array([pitch for pitch in range(low, high + 1) if pitch % 12 in classes])
