"""Sources of audio that can be read as often as needed: in memory, in a file, repeated."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from vampnet.audio.files import BLOCK_SAMPLES, Audio, AudioInfo, AudioReader, Samples, changed
from vampnet.audio.integrity import quoted

log = logging.getLogger("vampnet")


class Source(Protocol):
    """Audio that can be read as often as needed."""

    sample_rate_hz: int
    channels: int

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        ...

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, n) from sample `first` on, float32; with `exact`, float64 where that alone holds them."""
        ...


class MemorySource:
    """Audio in memory."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio
        self.sample_rate_hz, self.channels, self.n_samples = audio.sample_rate_hz, audio.channels, audio.n_samples

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        for start in range(first, self.n_samples, BLOCK_SAMPLES):
            yield self.audio.samples[:, start : start + BLOCK_SAMPLES]


class FileSource:
    """An audio file, never held in memory as a whole."""

    def __init__(self, path: str | Path) -> None:
        """Raises AudioError for a file that cannot be read; what is odd about one that can is logged."""
        self.path = path
        with AudioReader(path) as reader:
            self.info: AudioInfo = reader.info
            self._scale, self._stamp = reader.scale, reader.stamp
        for warning in self.info.warnings:
            log.warning("%s: %s", path, warning)
        self.sample_rate_hz, self.channels = self.info.sample_rate_hz, self.info.channels
        self.n_samples = self.info.n_samples

    @property
    def stamp(self) -> Hashable:
        """Fingerprint of the file, which changes when it is written to or replaced."""
        return self._stamp

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        with AudioReader(self.path, exact=exact, scale=self._scale) as reader:
            if reader.stamp != self._stamp:
                raise changed(quoted(self.path))
            reader.skip(first)
            yield from reader


class RepeatedSource:
    """Audio in memory, over and over up to a length."""

    def __init__(self, audio: Audio, n_samples: int) -> None:
        self.audio, self.n_samples = audio, n_samples
        self.sample_rate_hz, self.channels = audio.sample_rate_hz, audio.channels

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        for start in range(first, self.n_samples, BLOCK_SAMPLES):
            stop = min(start + BLOCK_SAMPLES, self.n_samples)
            yield self.audio.samples[:, np.arange(start, stop) % self.audio.n_samples]
