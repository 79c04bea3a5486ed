"""Tape: the last seconds of the input, by sample number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.apps.live.takes import TAPS, interpolate_turns
from vampnet.audio.samples import Samples


class Tape:
    """A ring of input samples. What was never written, or is gone, is silence."""

    def __init__(self, channels: int, n_samples: int) -> None:
        self._ring = np.zeros((channels, n_samples), np.float32)
        self.end = 0
        """Number of the next input sample."""

    def start_at(self, number: int) -> None:
        """Say which number the first sample has."""
        self.end = number

    def add(self, block: Samples) -> None:
        """Take up input samples (channels, n)."""
        place = np.arange(self.end, self.end + block.shape[1]) % self._ring.shape[1]
        self._ring[:, place] = block
        self.end += block.shape[1]

    def read(self, first: int, n: int) -> Samples:
        """Samples `first` to `first + n` - 1."""
        number = np.arange(first, first + n)
        known = (number < self.end) & (number >= self.end - self._ring.shape[1])
        return self._ring[:, number % self._ring.shape[1]] * known

    def read_between(self, places: NDArray[np.floating[Any]]) -> Samples:
        """Samples at places between those that were taken up."""
        first = int(np.floor(places[0])) - TAPS
        n = int(np.ceil(places[-1])) + TAPS - first
        return interpolate_turns(self.read(first, n), places - first)
