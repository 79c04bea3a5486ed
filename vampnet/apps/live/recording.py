"""Recordings: input on its way into a loop, as a new turn of its own or on top of the one that plays."""

from __future__ import annotations

import numpy as np

from vampnet.apps.live.takes import Take, crossfade_gains, likeness
from vampnet.apps.live.tape import Tape
from vampnet.apps.live.transport import Segment
from vampnet.audio.samples import Samples


class Recording:
    """A new turn, from song position `start` on.

    What came right before the start is crossfaded into the turn's end, so that the end leads into the start.
    """

    def __init__(self, channels: int, start: int, n_max: int, n_fade: int) -> None:
        self.start, self.stop = start, start + n_max
        self.is_open = True
        """True while its end is not known."""
        self._n_fade = n_fade
        self._buffer = np.zeros((channels, n_fade + n_max), np.float32)
        self.take = Take(self._buffer[:, n_fade:], is_complete=False, origin=start)

    def close_at(self, stop: int, bars: int = 0) -> None:
        """Say where it ends. From here on its take can be played, before the last of it is in."""
        self.stop, self.is_open, self.take.bars = stop, False, bars
        self.take.samples = self._buffer[:, self._n_fade : self._n_fade + stop - self.start]

    @property
    def begins_at(self) -> int:
        """First position of the input that it needs."""
        return self.start - self._n_fade

    def write(self, tape: Tape, first: int, stop: int, segment: Segment, latency: int) -> bool:
        """Take in positions `first` to `stop` - 1, of one stretch; True when that was the last of it."""
        low, high = max(first, self.begins_at), min(stop, self.stop)
        if low < high:
            place = low - self.begins_at
            self._buffer[:, place : place + high - low] = read_input(tape, low, high, segment, latency)
        if stop < self.stop or self.is_open:
            return False
        self._join()
        return True

    def _join(self) -> None:
        n, n_fade = self.take.n_samples, min(self._n_fade, self.take.n_samples // 2)
        samples = self.take.samples.copy()
        before = self._buffer[:, self._n_fade - n_fade : self._n_fade]
        end = samples[:, n - n_fade :]
        old, new = crossfade_gains(0, n_fade, n_fade, likeness(end, before))
        samples[:, n - n_fade :] = end * old + before * new
        self.take.samples, self.take.is_complete = samples, True


class Overdub:
    """Input laid over a copy of the turn that plays, until it is stopped."""

    def __init__(self, beneath: Take, start: int, n_fade: int) -> None:
        """`start`: position of the song from which on the input counts."""
        self.start, self.stop = start, start + (1 << 60)
        self.is_open = True
        self._n_fade = n_fade
        self.take = Take(beneath.samples.copy(), is_complete=False, origin=beneath.origin, bars=beneath.bars)

    def close_at(self, stop: int) -> None:
        """Say where it ends."""
        self.stop, self.is_open = max(stop, self.start), False

    def write(self, tape: Tape, first: int, stop: int, segment: Segment, latency: int) -> bool:
        """Lay positions `first` to `stop` - 1 over the turn; True when that was the last of it."""
        low, high = max(first, self.start), min(stop, self.stop)
        if low < high:
            place = np.arange(low, high)
            edges = np.minimum(place - self.start + 1, self.stop - place) / self._n_fade
            sound = read_input(tape, low, high, segment, latency) * np.minimum(edges, 1.0).astype(np.float32)
            samples, turn = self.take.samples, (place - self.take.origin) % self.take.n_samples
            for begin in range(0, high - low, self.take.n_samples):  # no place twice in one addition
                part = slice(begin, begin + self.take.n_samples)
                samples[:, turn[part]] += sound[:, part]
        if stop < self.stop:
            return False
        self.take.is_complete = True
        return True


def read_input(tape: Tape, low: int, high: int, segment: Segment, latency: int) -> Samples:
    """Input that was played to positions `low` to `high` - 1 of the song, `latency` samples later."""
    if segment.is_exact:
        return tape.read(int(segment.output_of(low)) + latency, high - low)
    return tape.read_between(segment.output + (np.arange(low, high) - segment.song) / segment.rate + latency)
