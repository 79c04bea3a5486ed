"""Audio of any rate, level and length <-> codes, in bounded memory: the two ends of the pipeline.

In: loudness and peak are measured in a first pass, then blocks are resampled, brought to -24 LUFS and encoded, one
codec item per channel. Out: decoded blocks are resampled back to exactly the input's length, spooled, measured, and
given the input's own loudness.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vampnet.audio import BLOCK_SAMPLES, Audio, AudioInfo, AudioReader, Samples, resample_blocks
from vampnet.codec.base import Codec
from vampnet.errors import AudioError
from vampnet.frames import resampled_length
from vampnet.loudness import LoudnessMeter, gain_to, soft_limit

MAX_CORRECTION_DB = 12.0
"""The output's loudness is corrected by at most this much either way, so that near-silence is not blown up."""


class Source(Protocol):
    """Audio that can be read from the start as often as needed."""

    sample_rate_hz: int
    channels: int
    n_samples: int

    def blocks(self) -> Iterator[Samples]: ...


class MemorySource:
    """Audio in memory."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio
        self.sample_rate_hz, self.channels, self.n_samples = audio.sample_rate_hz, audio.channels, audio.n_samples

    def blocks(self) -> Iterator[Samples]:
        for start in range(0, self.n_samples, BLOCK_SAMPLES):
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

    def blocks(self) -> Iterator[Samples]:
        with AudioReader(self.path) as reader:
            yield from reader


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
    """Encode every channel of a source. `progress` is told (codec samples done, of all)."""
    meter, peak = LoudnessMeter(source.sample_rate_hz, source.channels), 0.0
    for block in source.blocks():
        meter.add(block)
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    lufs = meter.integrated_lufs
    gain = min(gain_to(lufs), 1.0 / peak) if peak > 0 else 1.0
    n_codec = resampled_length(source.n_samples, source.sample_rate_hz, codec.sample_rate_hz)
    resampled = resample_blocks(source.blocks(), source.sample_rate_hz, codec.sample_rate_hz, n_codec)
    parts = []
    for codes in codec.encode_blocks(torch.from_numpy(np.ascontiguousarray(b)) * gain for b in resampled):
        parts.append(codes.to("cpu", torch.int32))
        if progress is not None:
            progress(min(sum(p.shape[2] for p in parts) * codec.hop, n_codec), n_codec)
    return Encoded(torch.cat(parts, dim=2), source.sample_rate_hz, source.n_samples, lufs, gain)


def decode_blocks(codes_NCT: Tensor, codec: Codec, sample_rate_hz: int, n_samples: int) -> Iterator[Samples]:
    """Codes, one item per channel -> blocks (channels, n) at `sample_rate_hz`, exactly `n_samples` in all."""
    n_codec = resampled_length(n_samples, sample_rate_hz, codec.sample_rate_hz)
    decoded = (block.float().cpu().numpy() for block in codec.decode_blocks(codes_NCT.long()))
    trimmed = _first(decoded, n_codec)
    return resample_blocks(trimmed, codec.sample_rate_hz, sample_rate_hz, n_samples)


def _first(blocks: Iterable[Samples], n_samples: int) -> Iterator[Samples]:
    left = n_samples
    for block in blocks:
        yield block[:, :left]
        left -= min(left, block.shape[1])


class Spool:
    """Decoded audio on disk until its loudness is known; read back with the input's loudness.

    `with Spool(channels, rate) as spool: spool.add(block) ...; for block in spool.levelled(lufs, gain): ...`
    """

    def __init__(self, channels: int, sample_rate_hz: int) -> None:
        self._channels = channels
        self._meter = LoudnessMeter(sample_rate_hz, channels)
        self._file = tempfile.TemporaryFile(prefix="vampnet-")  # noqa: SIM115  (closed by __exit__)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, block: Samples) -> None:
        """Take in the next block (channels, n)."""
        self._meter.add(block)
        self._file.write(np.ascontiguousarray(block.T, dtype=np.float32).tobytes())

    def levelled(self, encoded: Encoded) -> Iterator[Samples]:
        """All blocks at the loudness of what was encoded, peaks bent below full scale."""
        base = 1.0 / encoded.gain
        heard_lufs = self._meter.integrated_lufs + 20 * math.log10(base)
        limit = 10 ** (MAX_CORRECTION_DB / 20)
        gain = np.float32(base * min(max(gain_to(heard_lufs, encoded.lufs), 1 / limit), limit))
        self._file.seek(0)
        while chunk := self._file.read(4 * self._channels * BLOCK_SAMPLES):
            yield soft_limit(np.frombuffer(chunk, np.float32).reshape(-1, self._channels).T * gain)
