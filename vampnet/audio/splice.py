"""Splices: an input with crossfaded overlays of new audio on it or around it, in bounded memory.

Samples that no overlay covers are those of the input, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vampnet.audio.files import BLOCK_SAMPLES, Samples
from vampnet.audio.sources import Source
from vampnet.audio.spool import Spool


@dataclass(frozen=True, eq=False)
class Overlay:
    """New audio for samples `start` to `stop` - 1."""

    start: int
    stop: int
    spool: Spool
    """The audio, at the output's rate."""
    fade_in: int = 0
    """Samples at its beginning over which it is crossfaded, linearly."""
    fade_out: int = 0

    def weight(self, first: int, stop: int) -> Samples:
        """Share of the overlay in samples `first` to `stop` - 1 of the output, which it covers."""
        place = np.arange(first - self.start, stop - self.start)
        weight = np.ones(len(place), np.float32)
        for n_fade, from_edge in ((self.fade_in, place), (self.fade_out, self.stop - self.start - 1 - place)):
            if n_fade:
                ramp = (from_edge.astype(np.float32) + np.float32(0.5)) / np.float32(n_fade)
                weight = np.where(from_edge < n_fade, ramp, weight)
        return weight


class Splice:
    """A source of the input's rate and channels; silent where there is neither input nor overlay."""

    def __init__(self, source: Source, n_before: int = 0, n_after: int = 0) -> None:
        """`n_before`, `n_after`: samples that are added around the input."""
        self.source, self.n_before = source, n_before
        self.sample_rate_hz, self.channels = source.sample_rate_hz, source.channels
        self.n_samples = n_before + source.n_samples + n_after
        self.overlays: list[Overlay] = []

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        for start, block in self._beneath(first, exact):
            stop = start + block.shape[1]
            for overlay in self.overlays:
                if overlay.start < stop and start < overlay.stop:
                    block = _laid_over(block, start, overlay)
            yield block

    def slice(self, first: int, stop: int) -> Slice:
        """Samples `first` to `stop` - 1."""
        return Slice(self, first, stop)

    def _beneath(self, first: int, exact: bool) -> Iterator[tuple[int, Samples]]:
        """Places and blocks without overlays."""
        end_of_input = self.n_before + self.source.n_samples
        yield from self._silence(first, self.n_before)
        place = max(first, self.n_before)
        if place < end_of_input:
            for block in self.source.blocks(place - self.n_before, exact):
                yield place, block
                place += block.shape[1]
        yield from self._silence(max(first, end_of_input), self.n_samples)

    def _silence(self, first: int, stop: int) -> Iterator[tuple[int, Samples]]:
        for start in range(first, stop, BLOCK_SAMPLES):
            yield start, np.zeros((self.channels, min(BLOCK_SAMPLES, stop - start)), np.float32)


class Slice:
    """Samples `first` to `stop` - 1 of a source."""

    def __init__(self, source: Source, first: int, stop: int) -> None:
        self.source, self.first, self.n_samples = source, first, stop - first
        self.sample_rate_hz, self.channels = source.sample_rate_hz, source.channels

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        left = self.n_samples - first
        if left <= 0:
            return
        for block in self.source.blocks(self.first + first, exact):
            yield block[:, :left]
            left -= min(left, block.shape[1])
            if not left:
                return


def _laid_over(block: Samples, start: int, overlay: Overlay) -> Samples:
    """A block whose first sample is `start` of the output, with the part of the overlay that falls on it."""
    first, stop = max(start, overlay.start), min(start + block.shape[1], overlay.stop)
    new = overlay.spool.read(first - overlay.start, stop - overlay.start)
    weight, place = overlay.weight(first, stop), slice(first - start, stop - start)
    result = block.copy()
    result[:, place] = np.where(weight < 1, block[:, place] * (1 - weight) + new * weight, new)
    return result
