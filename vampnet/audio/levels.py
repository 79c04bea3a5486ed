"""Level checks: floats on the scale of integers or out of all range, constant offsets (DC)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vampnet.errors import AudioError

LOUDEST_FLOAT = 16.0
"""Highest peak of float samples whose full scale is taken to be 1.0: 24 dB above it."""
_SCALES = {8: 2.0**7, 16: 2.0**15, 24: 2.0**23, 32: 2.0**31}
_OFFSET_SHARE = 0.9
"""Share of the energy that a constant offset must have to be called one; music has next to none."""
_SILENT_DB = -90.0
_LEAST_OFFSET = 1e-3
"""A smaller constant offset is silence as converters have it."""
_LEAST_SAMPLES = 100
"""A click of fewer samples has a mean of its own."""


def find_scale(peak: float, name: str) -> tuple[float, str]:
    """Factor that brings float samples of this peak to a full scale of 1.0, and a warning unless it is 1.

    Raises AudioError for a peak beyond the scale of 32-bit whole numbers.
    """
    if peak <= LOUDEST_FLOAT:
        return 1.0, ""
    for bits, full in _SCALES.items():
        if peak <= full:
            said = f"its float samples reach {peak:.6g} where 1.0 is full scale; they are read as {bits}-bit numbers"
            return 1.0 / full, said
    raise AudioError(
        f"cannot read {name}: its float samples reach {peak:.3g} where 1.0 is full scale; it is damaged, or no audio"
    )


class LevelMeter:
    """Mean, peak and energy of a stream of blocks, for warnings about its level."""

    def __init__(self, channels: int) -> None:
        self.peak = 0.0
        self._n_samples = 0
        self._sum_C = np.zeros(channels)
        self._energy_C = np.zeros(channels)

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in the next samples (channels, n)."""
        wide = block.astype(np.float64)
        self.peak = max(self.peak, float(np.abs(wide).max(initial=0.0)))
        self._n_samples += block.shape[1]
        self._sum_C += wide.sum(axis=1)
        self._energy_C += np.square(wide).sum(axis=1)

    @property
    def offset(self) -> float:
        """Constant offset (DC) of the channel where it is largest, full scale at 1.0."""
        return float(np.abs(self._sum_C).max()) / max(self._n_samples, 1)

    @property
    def offset_share(self) -> float:
        """Share of the energy that the constant offset has, 0 to 1; 0 for silence."""
        energy = float(self._energy_C.sum())
        return float(np.square(self._sum_C).sum()) / self._n_samples / energy if energy > 0 else 0.0

    def check(self, name: str) -> list[str]:
        """Warnings about the level. Raises AudioError where there is nothing but a constant offset."""
        if self.offset_share < _OFFSET_SHARE or self.offset < _LEAST_OFFSET or self._n_samples < _LEAST_SAMPLES:
            return []
        rest = max(float(self._energy_C.sum()) * (1 - self.offset_share) / self._n_samples, 0.0)
        rest_db = 10 * math.log10(rest) if rest > 0 else -math.inf
        if rest_db < _SILENT_DB:
            raise AudioError(
                f"{name} holds no sound: every sample is {self.offset:.4g} (a constant offset, DC); record or export it"
                " again"
            )
        return [
            f"it has a constant offset (DC) of {self.offset:.3g} that is stronger than its sound, which makes for"
            " noise; remove the offset first (a high-pass filter at 20 Hz does it)"
        ]


def check_levels(blocks: Iterable[NDArray[np.float32]], channels: int, name: str) -> list[str]:
    """Warnings about the level of a whole stream of blocks; see LevelMeter.check."""
    meter = LevelMeter(channels)
    for block in blocks:
        meter.add(block)
    return meter.check(name)
