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
class OutputFormat:
    """Rate, length and level that decoded audio is brought to."""

    sample_rate_hz: int
    channels: int
    """Channels of the result; a single decoded channel is copied to all of them."""
    n_samples: int
    gain: float = 1.0
    """Factor that was applied before encoding, undone here."""
    lufs: float | None = None
    """Output loudness in LUFS; None or -inf (silence): unchanged."""
    limited: bool = True
    """Change the level by MAX_CORRECTION_DB at most."""
    meter: LoudnessMeter | None = None
    """Meter of the input, for the loudness of its beginning."""

    def first(self, n_samples: int) -> OutputFormat:
        """The format of a result that stops early: as loud as the input is up to there."""
        lufs = self.lufs if self.meter is None or self.lufs is None else self.meter.lufs_of_first(n_samples)
        return dataclasses.replace(self, n_samples=n_samples, lufs=lufs)

    def untouched(self) -> OutputFormat:
        """The same without loudness matching: kept audio keeps its level."""
        return dataclasses.replace(self, lufs=None)


class RestoredSource:
    """Spooled decoded audio at an output's rate, length and loudness, its peaks limited to -1 dBFS."""

    def __init__(self, spool: Spool, codec_hz: int, output: OutputFormat) -> None:
        """`spool` holds audio at the codec's rate `codec_hz`, as much as `output` is long or more."""
        self._spool, self._codec_hz, self._output = spool, codec_hz, output
        self.sample_rate_hz, self.channels, self.n_samples = output.sample_rate_hz, output.channels, output.n_samples
        self._gain: np.float32 | None = None

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, n) from sample `first` on, float32."""
        gain, repeats = np.float32(self.level), self.channels // self._spool.channels
        place = 0
        for block in limited((block * gain for block in self._at_rate()), self.sample_rate_hz):
            if place + block.shape[1] > first:
                yield np.repeat(block[:, max(first - place, 0) :], repeats, axis=0)
            place += block.shape[1]

    @property
    def level(self) -> float:
        """Factor from decoded audio to this, before its peaks are limited."""
        if self._gain is None:
            self._gain = self._measured_gain()
        return float(self._gain)

    def close(self) -> None:
        """Give the spool's file back, where nobody will read the source any more."""
        self._spool.close()

    def _at_rate(self) -> Iterator[Samples]:
        return to_rate(self._spool.blocks(), self._codec_hz, self.sample_rate_hz, self.n_samples)

    def _measured_gain(self) -> np.float32:
        output, base, correction = self._output, 1.0 / self._output.gain, 1.0
        if output.lufs is not None and math.isfinite(output.lufs):
            meter = LoudnessMeter(self.sample_rate_hz, self._spool.channels)
            for block in self._at_rate():
                meter.add(block)
            own_lufs = meter.integrated_lufs + 20 * math.log10(base)
            limit = 10 ** (MAX_CORRECTION_DB / 20) if output.limited else math.inf
            correction = min(max(gain_to(own_lufs, output.lufs), 1 / limit), limit)
        return np.float32(base * correction)


def to_rate(decoded: Iterable[Samples], codec_hz: int, rate_hz: int, n_samples: int) -> Iterator[Samples]:
    """Blocks at the codec's rate, padding at their end included -> exactly `n_samples` at another rate."""
    n_codec = resampled_length(n_samples, rate_hz, codec_hz)
    return resample_blocks(_first(decoded, n_codec), codec_hz, rate_hz, n_samples)


def _first(blocks: Iterable[Samples], n_samples: int) -> Iterator[Samples]:
    left = n_samples
    for block in blocks:
        yield block[:, :left]
        left -= min(left, block.shape[1])
