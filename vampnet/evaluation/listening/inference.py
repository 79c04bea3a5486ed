"""The statistics of listening tests: intervals and tests, each by its name in the field.

The unit is the listener wherever that is possible: ratings of one listener depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean by Student's t; NaN for fewer than two values."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(values))
    return mean - half, mean + half


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); NaN for n = 0."""
    if n == 0:
        return math.nan, math.nan
    interval = stats.binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def binomial_p(successes: int, n: int, alternative: str) -> float:
    """Exact p of `successes` or a more extreme number in n fair coin tosses; `alternative` is greater or two-sided.
    1 for n = 0."""
    return float(stats.binomtest(successes, n, 0.5, alternative=alternative).pvalue) if n else 1.0


def wilcoxon_p(differences: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, zero differences left out; 1 if all are zero.

    Exact without ties, as far as scipy has it; with n pairs it cannot fall below 2 / 2**n.
    """
    kept = np.array([d for d in differences if d != 0])
    if not len(kept):
        return 1.0
    outcome: Any = stats.wilcoxon(kept)
    return float(outcome.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the order given (Holm 1979): each may be compared with the level."""
    n = len(p_values)
    corrected, highest = [0.0] * n, 0.0
    for rank, index in enumerate(sorted(range(n), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (n - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
