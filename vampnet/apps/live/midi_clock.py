"""MIDI clock: tempo and beat of a clock that jitters, and the ticks of a clock of our own.

A clock sends 24 ticks per beat. Its tempo is the slope of a line through the ticks of the last beats, its beat the
line's place: both by medians, so that late ticks, which every system has, do not pull them.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

TICKS_PER_BEAT = 24
WINDOW_TICKS = 4 * TICKS_PER_BEAT
LEAST_TICKS = TICKS_PER_BEAT
TICKS_PER_SIXTEENTH = 6
PAUSE_S = 1.0
"""After a longer silence it is another clock."""


class ClockReader:
    """Reads a clock, tick by tick."""

    def __init__(self) -> None:
        self._ticks: deque[tuple[int, float]] = deque(maxlen=WINDOW_TICKS)
        self._next = 0
        """Number of the next tick, from the song's start."""

    def locate(self, sixteenths: int) -> None:
        """Song position pointer: the next tick is that of a sixteenth note, from 0. Start is sixteenth 0."""
        self._ticks.clear()
        self._next = sixteenths * TICKS_PER_SIXTEENTH

    def tick(self, time_s: float) -> None:
        """A tick has come."""
        if self._ticks and time_s - self._ticks[-1][1] > PAUSE_S:
            self._ticks.clear()
        self._ticks.append((self._next, time_s))
        self._next += 1

    @property
    def is_sixteenth(self) -> bool:
        """True after the tick that begins a sixteenth note."""
        return bool(self._ticks) and self._ticks[-1][0] % TICKS_PER_SIXTEENTH == 0

    def read(self, time_s: float) -> tuple[float, float] | None:
        """Tempo in bpm, and the beat at a time, from 0 at the song's start; None before a beat has passed."""
        if len(self._ticks) < LEAST_TICKS:
            return None
        number = np.array([number for number, _ in self._ticks], float)
        time = np.array([time for _, time in self._ticks])
        half = len(number) // 2
        gap_s = float(np.median((time[half:] - time[:-half]) / (number[half:] - number[:-half])))
        if gap_s <= 0:
            return None
        start_s = float(np.median(time - gap_s * number))
        return 60.0 / (gap_s * TICKS_PER_BEAT), (time_s - start_s) / (gap_s * TICKS_PER_BEAT)


class ClockSender:
    """Says which ticks of a clock are due, and when."""

    def __init__(self) -> None:
        self._next: int | None = None

    def restart(self) -> None:
        """Begin again with the next tick."""
        self._next = None

    def due(self, beat: float, beats_per_s: float, horizon_s: float) -> list[float]:
        """Seconds from now of each tick within a horizon, where the song is at `beat` now. Each is given once."""
        place = beat * TICKS_PER_BEAT
        first = math.ceil(place - 1e-6)
        if self._next is None or not first - TICKS_PER_BEAT <= self._next <= first + TICKS_PER_BEAT:
            self._next = first
        found = []
        while (wait_s := (self._next - place) / TICKS_PER_BEAT / beats_per_s) <= horizon_s:
            found.append(max(wait_s, 0.0))
            self._next += 1
        return found
