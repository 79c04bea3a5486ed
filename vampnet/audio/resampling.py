"""Resampling, whole signals and streams of blocks (soxr, very high quality)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from vampnet.audio.units import resampled_length

Samples = NDArray[np.float32]

BLOCK_SAMPLES = 65536

_QUALITY = "VHQ"


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The whole signal (channels, samples) at another rate, `units.resampled_length` samples; unchanged if equal."""
    if from_hz == to_hz:
        return samples
    n_out = resampled_length(samples.shape[1], from_hz, to_hz)
    result = soxr.resample(np.ascontiguousarray(samples.T, dtype=np.float32), from_hz, to_hz, _QUALITY)
    fitted = np.zeros((len(samples), n_out), np.float32)
    fitted[:, : len(result)] = result[:n_out].T
    return fitted


def resample_blocks(blocks: Iterable[Samples], from_hz: int, to_hz: int, n_out: int) -> Iterator[Samples]:
    """Resample a stream of blocks (channels, n) in bounded memory, exactly `n_out` samples in all.

    What comes out too long or short is cut off or filled up with zeros; take `units.resampled_length` of the length
    for `n_out` and neither is needed but for a few samples. The result equals that of `resample`.
    """
    return _fit(blocks if from_hz == to_hz else _resampled(blocks, from_hz, to_hz), n_out)


def _resampled(blocks: Iterable[Samples], from_hz: int, to_hz: int) -> Iterator[Samples]:
    stream, channels = None, 0
    for block in blocks:
        if stream is None:
            channels = len(block)
            stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality=_QUALITY)
        yield stream.resample_chunk(np.ascontiguousarray(block.T, dtype=np.float32)).T
    if stream is not None:
        yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def _fit(blocks: Iterable[Samples], n_out: int) -> Iterator[Samples]:
    """The blocks, cut off or filled up with zeros to `n_out` samples; without empty ones; nothing if there are none."""
    left, channels = n_out, 0
    for block in blocks:
        channels = len(block)
        if block.shape[1] and left:
            yield block[:, :left]
            left -= min(left, block.shape[1])
    while left and channels:
        yield np.zeros((channels, min(left, BLOCK_SAMPLES)), np.float32)
        left -= min(left, BLOCK_SAMPLES)
