"""Audio files in and out, whole or in blocks of bounded memory.

Samples are float32 arrays (channels, samples), full scale at 1.0. What can be read and written is listed in
`formats.py`; files are told apart by content, not by ending. Every failure is an AudioError of one line with the file's
name and the cause; `integrity.py` says which cut or damaged files are recognised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import numpy as np
import soundfile

from vampnet.audio.decoders import UNKNOWN_LENGTH, Dtype, make_decoder
from vampnet.audio.formats import ENDINGS
from vampnet.audio.integrity import open_checked, quoted
from vampnet.audio.levels import find_scale
from vampnet.audio.metadata import read_metadata
from vampnet.audio.resampling import resample, resample_blocks
from vampnet.audio.samples import (
    BLOCK_SAMPLES,
    MAX_CHANNELS,
    MAX_RATE_HZ,
    MIN_RATE_HZ,
    Audio,
    AudioInfo,
    Samples,
    check_finite,
    check_rate,
)
from vampnet.audio.units import samples_to_seconds
from vampnet.audio.writing import LINEAR_SUBTYPES, AudioWriter, output_coding
from vampnet.errors import AudioError

__all__ = [
    "BLOCK_SAMPLES",
    "ENDINGS",
    "MAX_CHANNELS",
    "MAX_RATE_HZ",
    "MIN_RATE_HZ",
    "Audio",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Samples",
    "changed",
    "output_coding",
    "probe",
    "read",
    "resample",
    "resample_blocks",
    "write",
]

_WIDER_THAN_FLOAT32 = ("PCM_32", "DOUBLE")


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Facts of a file, without decoding it. Raises AudioError as reading does, but for damage inside."""
    with AudioReader(path, check_level=False) as reader:
        return reader.info


def read(path: str | os.PathLike[str]) -> Audio:
    """Read a whole file. Raises AudioError if it is missing, damaged, cut short, empty, or holds NaN samples."""
    with AudioReader(path) as reader:
        # Blocks are collected as they come: memory is not asked for on a header's word.
        return Audio(np.concatenate(list(reader), axis=1), reader.info.sample_rate_hz)


def write(
    path: str | os.PathLike[str], audio: Audio, subtype: str | None = None, like: AudioInfo | None = None
) -> list[str]:
    """Write a file, see AudioWriter for the coding and the errors. Returns what the format could not hold."""
    with AudioWriter(path, audio.sample_rate_hz, audio.channels, subtype, like) as writer:
        for start in range(0, audio.n_samples, BLOCK_SAMPLES):
            writer.write(audio.samples[:, start : start + BLOCK_SAMPLES])
    return writer.warnings


def changed(name: str) -> AudioError:
    """The error about a file that changed while it was read."""
    return AudioError(f"{name}: changed while it was read; run the same command again when it is finished")


class AudioReader:
    """Reads a file in blocks: `with AudioReader(path) as reader: for block in reader: ...`.

    Blocks are float32 (channels, n), together exactly `info.n_samples` long. Iterating goes on where it stopped.
    With `exact` they are float64 where float32 cannot hold all values of the coding (32-bit integers, 64-bit floats).
    Float files whose values are on the scale of whole numbers are scaled to a full scale of 1.0, and `info.warnings`
    says so; `scale` is the factor where it is known from an earlier reading, `check_level` False leaves values alone.
    Raises AudioError: on making it for a file that cannot be opened, in the iteration for damage and NaN samples.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        block_samples: int = BLOCK_SAMPLES,
        exact: bool = False,
        *,
        check_level: bool = True,
        scale: float | None = None,
    ) -> None:
        self._name = quoted(path)
        self._block_samples = block_samples
        self._done = 0
        self._checked = open_checked(path)
        self.stamp = self._stamp_now()
        """Inode, size and time of the file: others when somebody writes to it, or puts another one in its place."""
        self._warnings = list(self._checked.warnings)
        try:
            self._file = make_decoder(self._checked, self._name)
        except BaseException as error:
            with contextlib.closing(self._checked.file):
                if isinstance(error, AudioError):  # where the file could not be read, that is the cause
                    self._checked.check(self._name)
            raise
        try:
            file = self._file
            self._warnings += file.warnings
            metadata = read_metadata(self._checked.file, self._checked.offset, file.tags)
            self.info = AudioInfo(
                file.sample_rate_hz, file.channels, file.n_samples, file.format, file.subtype, metadata
            )
            self._check_header()
            self._dtype: Dtype = "float64" if exact and self.info.subtype in _WIDER_THAN_FLOAT32 else "float32"
            self.scale = 1.0 if scale is None else scale
            if check_level and scale is None and self.info.subtype.startswith(("FLOAT", "DOUBLE", "PCM_F")):
                self.scale = self._find_scale()
            self.info = dataclasses.replace(self.info, warnings=tuple(self._warnings))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()
        self._checked.file.close()

    def __iter__(self) -> Iterator[Samples]:
        while self._done < self.info.n_samples:
            yield self._next_block(self._block_samples)
        self._check_unchanged()

    def skip(self, n_samples: int) -> None:
        """Leave out the next samples."""
        stop = min(self._done + n_samples, self.info.n_samples)
        if self.info.subtype in LINEAR_SUBTYPES:
            self._seek(stop)
            self._done = stop
        # Decoders of lossy formats start with other values after a jump than they have when they come by.
        while self._done < stop:
            self._next_block(min(self._block_samples, stop - self._done))

    def _check_header(self) -> None:
        info = self.info
        if info.n_samples <= 0:
            raise AudioError(f"cannot read {self._name}: it has no samples")
        if info.n_samples >= UNKNOWN_LENGTH:
            raise AudioError(
                f"cannot read {self._name}: its header does not say how long it is; convert it to WAV first"
            )
        if not 1 <= info.channels <= MAX_CHANNELS:
            raise AudioError(
                f"cannot read {self._name}: it has {info.channels} channels, but 1 to {MAX_CHANNELS} can be read"
            )
        check_rate(self._name, info.sample_rate_hz)

    def _find_scale(self) -> float:
        """Factor to a full scale of 1.0, found by reading all samples once; not-a-numbers are left for later."""
        peak = 0.0
        while self._done < self.info.n_samples:
            data = self._decode(self._block_samples, "float64")
            peak = max(peak, float(np.abs(data, where=np.isfinite(data), out=np.zeros_like(data)).max(initial=0.0)))
            self._done += len(data)
        self._seek(0)
        self._done = 0
        scale, warning = find_scale(peak, self._name)
        if warning:
            self._warnings.append(warning)
        return scale

    def _next_block(self, n_samples: int) -> Samples:
        data = self._decode(n_samples, self._dtype)
        block = np.ascontiguousarray(data.T)
        check_finite(self._name, block, self._done, self.info.sample_rate_hz)
        self._done += block.shape[1]
        return block if self.scale == 1.0 else block * block.dtype.type(self.scale)

    def _decode(self, n_samples: int, dtype: Dtype) -> np.ndarray:
        """The next samples (n, channels), at least one."""
        try:
            data = self._file.read(n_samples, dtype)
            self._checked.check(self._name)
        except (soundfile.LibsndfileError, AudioError) as error:
            self._checked.check(self._name)
            self._check_unchanged()
            if isinstance(error, AudioError):
                raise
            raise AudioError(f"cannot read {self._name}: damaged or truncated after {self._at_s():.3f} s") from None
        if not len(data):
            self._check_unchanged()
            raise AudioError(
                f"cannot read {self._name}: damaged or truncated, it ends after {self._at_s():.3f} s"
                f" of {self.info.duration_s:.3f} s"
            )
        return data

    def _stamp_now(self) -> tuple[int, int, int]:
        stat = os.fstat(self._checked.file.fileno())
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _check_unchanged(self) -> None:
        if self._stamp_now() != self.stamp:
            raise changed(self._name)

    def _seek(self, sample: int) -> None:
        try:
            self._file.seek(sample)
            self._checked.check(self._name)
        except soundfile.LibsndfileError:
            self._checked.check(self._name)
            raise AudioError(
                f"cannot read {self._name}: damaged or truncated before {sample / self.info.sample_rate_hz:.3f} s"
            ) from None

    def _at_s(self) -> float:
        return samples_to_seconds(self._done, self.info.sample_rate_hz)
