"""Audio of any rate, level and length <-> codes, in bounded memory: the two ends of the pipeline.

In: loudness and peak are measured in a first pass, then blocks are resampled, brought to -24 LUFS and encoded, one
codec item per channel. Out: decoded blocks are spooled to disk as they come; when all are there, or as many as there
will be, they are resampled to exactly the length that is asked for, measured, and given the input's own loudness.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

import numpy as np
import torch
from torch import Tensor

from vampnet.audio import BLOCK_SAMPLES, Audio, AudioInfo, AudioReader, Samples, resample_blocks
from vampnet.codec.base import Codec
from vampnet.codec.blockwise import BLOCK_FRAMES
from vampnet.errors import AudioError
from vampnet.frames import resampled_length, samples_to_frames
from vampnet.limiter import limited
from vampnet.loudness import LoudnessMeter, gain_to

MAX_CORRECTION_DB = 12.0
"""The output's loudness is corrected by at most this much either way, so that near-silence is not blown up."""


class Source(Protocol):
    """Audio that can be read as often as needed."""

    sample_rate_hz: int
    channels: int
    n_samples: int

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, n) from sample `first` on, float32; with `exact`, float64 where that alone holds them."""
        ...


class MemorySource:
    """Audio in memory."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio
        self.sample_rate_hz, self.channels, self.n_samples = audio.sample_rate_hz, audio.channels, audio.n_samples

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        for start in range(first, self.n_samples, BLOCK_SAMPLES):
            yield self.audio.samples[:, start : start + BLOCK_SAMPLES]


class FileSource:
    """An audio file, never held in memory as a whole."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with AudioReader(path) as reader:
            self.info: AudioInfo = reader.info
        self.sample_rate_hz, self.channels = self.info.sample_rate_hz, self.info.channels
        self.n_samples = self.info.n_samples
        if self.n_samples == 0:
            raise AudioError(f"{path}: holds no samples")

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        with AudioReader(self.path, exact=exact) as reader:
            reader.skip(first)
            yield from reader


class SpoolSource:
    """Audio that was spooled at some rate."""

    def __init__(self, spool: Spool, sample_rate_hz: int) -> None:
        self.spool, self.sample_rate_hz = spool, sample_rate_hz
        self.channels, self.n_samples = spool.channels, spool.n_samples

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        for start in range(first, self.n_samples, BLOCK_SAMPLES):
            yield self.spool.read(start, min(start + BLOCK_SAMPLES, self.n_samples))


class RepeatedSource:
    """Audio in memory, over and over up to a length."""

    def __init__(self, audio: Audio, n_samples: int) -> None:
        self.audio, self.n_samples = audio, n_samples
        self.sample_rate_hz, self.channels = audio.sample_rate_hz, audio.channels

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        for start in range(first, self.n_samples, BLOCK_SAMPLES):
            stop = min(start + BLOCK_SAMPLES, self.n_samples)
            yield self.audio.samples[:, np.arange(start, stop) % self.audio.n_samples]


@dataclass(frozen=True)
class Target:
    """Rate, length and level that decoded audio is brought to."""

    sample_rate_hz: int
    channels: int
    """Of the result; a single decoded channel is copied to all of them."""
    n_samples: int
    gain: float = 1.0
    """Factor that was applied before encoding, undone here."""
    lufs: float | None = None
    """Loudness that the result gets; -inf (silence) and None leave it as it comes."""
    limited: bool = True
    """Change the level by MAX_CORRECTION_DB at most."""
    meter: LoudnessMeter | None = None
    """What measured the input, for the loudness of its beginning."""

    def first(self, n_samples: int) -> Target:
        """The target of a result that stops early: as loud as the input is up to there."""
        lufs = self.lufs if self.meter is None else self.meter.lufs_of_first(n_samples)
        return dataclasses.replace(self, n_samples=n_samples, lufs=lufs)


@dataclass(frozen=True, eq=False)
class Material:
    """Codes to begin with, as a stream, and what their result is brought to."""

    n_frames: int
    n_items: int
    """Channels N that are encoded: one item of codes each."""
    codes: Callable[[int], Iterator[Tensor]]
    """Given a number of blocks to leave out: the others, int32 (N, C, t), in order."""
    target: Target


def material_of(source: Source, codec: Codec) -> Material:
    """Measure a source; its codes are computed as they are asked for."""
    meter, peak = LoudnessMeter(source.sample_rate_hz, source.channels), 0.0
    for block in source.blocks():
        meter.add(block)
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    lufs = meter.integrated_lufs
    gain = min(gain_to(lufs), 1.0 / peak) if peak > 0 else 1.0
    n_codec = resampled_length(source.n_samples, source.sample_rate_hz, codec.sample_rate_hz)

    def codes(skip_blocks: int) -> Iterator[Tensor]:
        resampled = resample_blocks(source.blocks(), source.sample_rate_hz, codec.sample_rate_hz, n_codec)
        levelled = (torch.from_numpy(np.ascontiguousarray(block)) * gain for block in resampled)
        return (part.to("cpu", torch.int32) for part in codec.encode_blocks(levelled, skip_blocks))

    target = Target(source.sample_rate_hz, source.channels, source.n_samples, gain, lufs, meter=meter)
    return Material(samples_to_frames(n_codec, codec.hop), source.channels, codes, target)


def material_of_codes(codes_NCT: Tensor, target: Target) -> Material:
    """Material whose codes, int32, are known."""
    blocks = codes_NCT.split(BLOCK_FRAMES, dim=2)
    return Material(codes_NCT.shape[2], len(codes_NCT), lambda skip_blocks: iter(blocks[skip_blocks:]), target)


@dataclass(frozen=True)
class Encoded:
    """Codes of a source and what is needed to give the result its rate, length and level."""

    codes_NCT: Tensor
    """int32 codes (channels, C, T), one item per channel."""
    sample_rate_hz: int
    n_samples: int
    lufs: float
    """The source's loudness; -inf for silence."""
    gain: float
    """Factor that was applied before encoding."""


def encode(source: Source, codec: Codec, progress: Callable[[int, int], None] | None = None) -> Encoded:
    """Encode every channel of a source. `progress` is told (frames done, of all)."""
    material, parts = material_of(source, codec), []
    for codes in material.codes(0):
        parts.append(codes)
        if progress is not None:
            progress(sum(p.shape[2] for p in parts), material.n_frames)
    lufs, gain = material.target.lufs, material.target.gain
    assert lufs is not None
    return Encoded(torch.cat(parts, dim=2), source.sample_rate_hz, source.n_samples, lufs, gain)


def decode_blocks(codes_NCT: Tensor, codec: Codec, sample_rate_hz: int, n_samples: int) -> Iterator[Samples]:
    """Codes, one item per channel -> blocks (channels, n) at `sample_rate_hz`, exactly `n_samples` in all."""
    decoded = (block.float().cpu().numpy() for block in codec.decode_blocks(codes_NCT.long()))
    return _brought_to_rate(decoded, codec.sample_rate_hz, sample_rate_hz, n_samples)


class Spool:
    """Decoded audio on disk, at the codec's rate, until it is known how loud it is: `with Spool(channels) as spool`."""

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
            raise AudioError(f"{place}: cannot keep unfinished audio ({error.strerror})") from None

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def add(self, block: Samples) -> None:
        """Take in the next block (channels, n)."""
        try:
            self._file.write(np.ascontiguousarray(block.T, dtype=np.float32).tobytes())
            self._file.flush()
        except OSError as error:
            raise AudioError(f"cannot keep decoded audio: {error.strerror}; free some disk space") from None
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


def restored(spool: Spool, codec_hz: int, target: Target) -> Iterator[Samples]:
    """What was spooled at the target's rate, length and loudness, its peaks limited to 1 dB below full scale."""

    def blocks() -> Iterator[Samples]:
        return _brought_to_rate(spool.blocks(), codec_hz, target.sample_rate_hz, target.n_samples)

    base = 1.0 / target.gain
    correction = 1.0
    if target.lufs is not None and math.isfinite(target.lufs):
        meter = LoudnessMeter(target.sample_rate_hz, spool.channels)
        for block in blocks():
            meter.add(block)
        heard_lufs = meter.integrated_lufs + 20 * math.log10(base)
        limit = 10 ** (MAX_CORRECTION_DB / 20) if target.limited else math.inf
        correction = min(max(gain_to(heard_lufs, target.lufs), 1 / limit), limit)
    gain = np.float32(base * correction)
    for block in limited((block * gain for block in blocks()), target.sample_rate_hz):
        yield np.repeat(block, target.channels // spool.channels, axis=0)


def _brought_to_rate(decoded: Iterable[Samples], codec_hz: int, rate_hz: int, n_samples: int) -> Iterator[Samples]:
    """Blocks at the codec's rate, padding at their end included -> exactly `n_samples` at another rate."""
    n_codec = resampled_length(n_samples, rate_hz, codec_hz)
    return resample_blocks(_first(decoded, n_codec), codec_hz, rate_hz, n_samples)


def _first(blocks: Iterable[Samples], n_samples: int) -> Iterator[Samples]:
    left = n_samples
    for block in blocks:
        yield block[:, :left]
        left -= min(left, block.shape[1])
