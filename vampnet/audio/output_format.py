"""Rate, length and loudness of an output, and how decoded audio is brought to them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vampnet.audio.files import Samples, resample_blocks
from vampnet.audio.limiter import limited
from vampnet.audio.loudness import LoudnessMeter, gain_to
from vampnet.audio.spool import Spool
from vampnet.audio.units import resampled_length

MAX_CORRECTION_DB = 12.0
"""The output's loudness is corrected by at most this much either way, so that near-silence is not blown up."""


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


def restored(spool: Spool, codec_hz: int, target: Target) -> Iterator[Samples]:
    """What was spooled at the target's rate, length and loudness, its peaks limited to 1 dB below full scale."""

    def blocks() -> Iterator[Samples]:
        return to_rate(spool.blocks(), codec_hz, target.sample_rate_hz, target.n_samples)

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


def to_rate(decoded: Iterable[Samples], codec_hz: int, rate_hz: int, n_samples: int) -> Iterator[Samples]:
    """Blocks at the codec's rate, padding at their end included -> exactly `n_samples` at another rate."""
    n_codec = resampled_length(n_samples, rate_hz, codec_hz)
    return resample_blocks(_first(decoded, n_codec), codec_hz, rate_hz, n_samples)


def _first(blocks: Iterable[Samples], n_samples: int) -> Iterator[Samples]:
    left = n_samples
    for block in blocks:
        yield block[:, :left]
        left -= min(left, block.shape[1])
