"""Transport: where the song is at each output sample, and its grid of bars and beats.

Positions of the song are counted in samples of the loops. Without a clock to follow they advance by one per output
sample; behind a clock by a rate near one, so that loops are read a little faster or slower.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT_SEGMENTS = 4096
SLOWEST, FASTEST = 0.9, 1.1
"""Largest change of speed with which loops follow a clock."""


@dataclass(frozen=True)
class Segment:
    """A stretch of constant rate."""

    output: int
    """Its first output sample."""
    song: float
    """Position of the song there."""
    rate: float
    """Positions per output sample."""

    @property
    def is_exact(self) -> bool:
        """True where every output sample falls on a sample of the loops."""
        return self.rate == 1.0 and float(self.song).is_integer()

    def song_at(self, output: float) -> float:
        """Position at an output sample."""
        return self.song + self.rate * (output - self.output)

    def output_of(self, song: float) -> float:
        """Output sample of a position."""
        return self.output + (song - self.song) / self.rate


class Transport:
    """Song positions by output samples."""

    def __init__(self) -> None:
        self._segments = deque([Segment(0, 0.0, 1.0)], maxlen=KEPT_SEGMENTS)

    @property
    def last(self) -> Segment:
        """The present stretch."""
        return self._segments[-1]

    def set_rate(self, output: int, rate: float) -> None:
        """Go on at another rate from an output sample on, within what loops are bent."""
        rate = min(max(rate, SLOWEST), FASTEST)
        if rate == self.last.rate:
            return
        song = self.last.song_at(output)
        self._segments.append(Segment(output, float(round(song)) if rate == 1.0 else song, rate))

    def song_at(self, output: float) -> float:
        """Position at an output sample, a past one too."""
        return self._segment_at(output).song_at(output)

    def positions(self, output: int, n: int) -> NDArray[np.floating[Any]]:
        """Positions of `n` output samples of the present stretch."""
        return self.last.song + self.last.rate * (np.arange(output, output + n) - self.last.output)

    def output_at(self, song: float) -> int:
        """First output sample of the present stretch at or after a position."""
        return math.ceil(self.last.output_of(song))

    def stretches(self, output: int, n: int) -> list[tuple[int, int, Segment]]:
        """Whole positions `first` to `stop` - 1 that output samples `output` to `output + n` - 1 reach, by stretch."""
        found, segments = [], list(self._segments)
        for number, segment in enumerate(segments):
            end = segments[number + 1].output if number + 1 < len(segments) else output + n
            first, last = max(output, segment.output if number else output), min(output + n, end)
            if first < last:
                found.append((math.ceil(segment.song_at(first)), math.ceil(segment.song_at(last)), segment))
        return found

    def _segment_at(self, output: float) -> Segment:
        for segment in reversed(self._segments):
            if segment.output <= output:
                return segment
        return self._segments[0]


@dataclass
class Grid:
    """Bars and beats over the song."""

    zero: float = 0.0
    """Position of the first bar's beginning."""
    beat: float | None = None
    """Samples per beat; None while there is no tempo."""
    beats_per_bar: int = 4

    @property
    def bar(self) -> float | None:
        """Samples per bar."""
        return None if self.beat is None else self.beat * self.beats_per_bar

    def next_bar(self, song: float) -> float:
        """The first bar line at or after a position; the position itself where there is no tempo."""
        if self.bar is None:
            return song
        return self.zero + math.ceil((song - self.zero) / self.bar - 1e-6) * self.bar

    def beats(self, start: float, stop: float) -> list[tuple[float, bool]]:
        """Beats from `start` to before `stop`, and whether each begins a bar."""
        if self.beat is None:
            return []
        first = math.ceil((start - self.zero) / self.beat - 1e-9)
        last = math.ceil((stop - self.zero) / self.beat - 1e-9)
        return [(self.zero + k * self.beat, k % self.beats_per_bar == 0) for k in range(first, last)]


def guess_bars(length_s: float, beats_per_bar: int = 4) -> int:
    """Number of bars of a loop played without a tempo: the power of two that puts the tempo into 80 to 160 bpm."""
    bars = 1
    while 60 * beats_per_bar * bars / length_s < 80:
        bars *= 2
    return bars
