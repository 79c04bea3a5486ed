"""Decoded audio on disk until its loudness is known, and a source that reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from vampnet.audio.files import BLOCK_SAMPLES, Samples
from vampnet.errors import AudioError
from vampnet.storage import cause


class SpoolSource:
    """Audio that was spooled at some rate."""

    def __init__(self, spool: Spool, sample_rate_hz: int) -> None:
        self.spool, self.sample_rate_hz = spool, sample_rate_hz
        self.channels, self.n_samples = spool.channels, spool.n_samples

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        for start in range(first, self.n_samples, BLOCK_SAMPLES):
            yield self.spool.read(start, min(start + BLOCK_SAMPLES, self.n_samples))


class Spool:
    """Decoded audio on disk, at the codec's rate, until its loudness is known: `with Spool(channels) as spool`."""

    def __init__(self, channels: int, path: Path | None = None, n_kept: int = 0, folder: Path | None = None) -> None:
        """`path`: a file that stays, of which the first `n_kept` samples per channel count; without it a temporary one.

        `folder`: where the temporary one lies; the system's folder for such files may be held in memory.
        Raises AudioError when the file holds fewer, or cannot be made.
        """
        self.channels, self.n_samples = channels, n_kept
        place = path or folder or tempfile.gettempdir()
        try:
            if path is None:  # closed by __exit__, as the other
                self._file: IO[bytes] = tempfile.TemporaryFile(prefix=".vampnet-", dir=folder)  # noqa: SIM115
                return
            self._file = open(path, "r+b" if n_kept else "w+b")  # noqa: SIM115
            n_bytes = 4 * channels * n_kept
            if self._file.seek(0, 2) < n_bytes:
                raise AudioError(f"{path}: is shorter than it should be; start anew, without --resume")
            self._file.truncate(n_bytes)
            self._file.seek(n_bytes)
        except OSError as error:
            raise AudioError(f"{place}: cannot keep unfinished audio: {cause(error)}") from None

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def add(self, block: Samples) -> None:
        """Take in the next block (channels, n)."""
        try:
            self._file.write(np.ascontiguousarray(block.T, dtype=np.float32).tobytes())
            self._file.flush()
        except OSError as error:
            raise AudioError(f"cannot keep decoded audio: {cause(error)}") from None
        self.n_samples += block.shape[1]

    def read(self, first: int, stop: int) -> Samples:
        """Samples `first` to `stop` - 1 of what was added, (channels, n)."""
        self._file.seek(4 * self.channels * first)
        data = self._file.read(4 * self.channels * (stop - first))
        self._file.seek(0, 2)
        return np.frombuffer(bytearray(data), np.float32).reshape(-1, self.channels).T

    def blocks(self) -> Iterator[Samples]:
        """All that was added, from the start."""
        for start in range(0, self.n_samples, BLOCK_SAMPLES):
            yield self.read(start, min(start + BLOCK_SAMPLES, self.n_samples))
