"""Bootstrap intervals of a mean.

Resampling units are independent of each other (excerpts, files, listeners), never frames of one excerpt. Everything is
a function of the values and the seed. NaN values (a metric that is not defined for an item) are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vampnet.config import check
from vampnet.errors import SettingsError

LEVEL = 0.95
RESAMPLES = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval."""

    value: float
    """The estimate from all values."""
    low: float
    """Lower end of the interval; NaN when there is too little to say (fewer than 2 values)."""
    high: float
    """Upper end."""
    level: float
    """Confidence level, 0 to 1."""
    n: int
    """Values that count."""
    n_undefined: int = 0
    """Values that were NaN and are left out."""

    def __str__(self) -> str:
        if np.isnan(self.low) and not np.isnan(self.value):
            return f"{self.value:.4g} (too few for an interval)"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def bootstrap_mean(values: ArrayLike, *, level: float = LEVEL, n_resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean of (N,) values with its percentile bootstrap interval (Efron 1979), values resampled with replacement."""
    _check_settings(level, n_resamples)
    given = _values(values, "values")
    kept = given[~np.isnan(given)]
    lost = len(given) - len(kept)
    if len(kept) < 2:
        return Interval(float(kept.mean()) if len(kept) else math.nan, math.nan, math.nan, level, len(kept), lost)
    means = resample_counts(len(kept), n_resamples, np.random.default_rng(seed)) @ kept / len(kept)
    return Interval(float(kept.mean()), *percentiles(means, level), level, len(kept), lost)


def resample_counts(n: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Draw counts of each of `n` units in each resample: (n_resamples, n), rows sum to n."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)


def percentiles(values: ArrayLike, level: float) -> tuple[float, float]:
    """The central `level` of the values."""
    tail = 50 * (1 - level)
    low, high = np.percentile(np.asarray(values, dtype=np.float64), [tail, 100 - tail])
    return float(low), float(high)


def recentre(values: Sequence[float] | Floats, value: float, level: float) -> tuple[float, float]:
    """Percentile interval of bootstrap values, moved so that their mean lies on `value`.

    For statistics that resampling biases, as the Fréchet distance, which grows when excerpts occur twice.
    """
    low, high = percentiles(values, level)
    shift = value - float(np.mean(values))
    return low + shift, high + shift


def _values(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise SettingsError(f"{name} have shape {array.shape}, but must be one row of numbers")
    return array


def _check_settings(level: float, n_resamples: int) -> None:
    check("level", level, 0.01, 0.9999)
    check("number of resamples", n_resamples, 20, 1_000_000)
