"""Power analysis of listening tests: the number of listeners that a difference needs, by simulation.

The tests are those of the analysis: Wilcoxon's signed-rank test over listeners for MUSHRA, a sign test over listeners
for preferences, both at 5 % after dividing by the number of comparisons (the first step of Holm's method).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from vampnet.config import check

LEVEL = 0.05
"""Probability of a false alarm, over all comparisons together."""
POWER = 0.8
"""Probability with which a true difference is to be found."""
MAX_LISTENERS = 500
_SIMULATED = 2000

Simulate = Callable[[int, np.random.Generator], np.ndarray]
"""Number of listeners, generator -> p values of the simulated tests."""


@dataclass(frozen=True)
class ListenerModel:
    """Spread of listeners and of their answers."""

    items: int = 12
    """Items that each listener hears in a comparison."""
    comparisons: int = 1
    """Comparisons of the test, for the correction."""
    between: float = 8.0
    """MUSHRA: standard deviation, between listeners, of the difference of two conditions, points of 100."""
    within: float = 18.0
    """MUSHRA: standard deviation of one listener's differences from item to item, points."""
    taste: float = 0.1
    """Preference: standard deviation, between listeners, of the share of answers for one side."""

    def __post_init__(self) -> None:
        check("items", self.items, 1, 1000)
        check("comparisons", self.comparisons, 1, 1000)
        for name, highest in (("between", 100.0), ("within", 100.0), ("taste", 0.5)):
            check(name, getattr(self, name), 0.0, highest)


def listeners_for_ratings(difference: float, model: ListenerModel | None = None) -> int | None:
    """Listeners for a true difference of ratings, points of 100 (0.1 to 100); None above MAX_LISTENERS."""
    check("difference", difference, 0.1, 100.0)
    own = model or ListenerModel()
    spread = math.hypot(own.between, own.within / math.sqrt(own.items))

    def simulate(n: int, generator: np.random.Generator) -> np.ndarray:
        found = generator.normal(difference, spread, (_SIMULATED, n))
        outcome: Any = stats.wilcoxon(found, axis=1)
        return np.asarray(outcome.pvalue)

    return _fewest(simulate, own)


def listeners_for_preference(share: float, model: ListenerModel | None = None) -> int | None:
    """Listeners for a true share of answers for one side (0.51 to 1); None above MAX_LISTENERS."""
    check("share", share, 0.51, 1.0)
    own = model or ListenerModel()

    def simulate(n: int, generator: np.random.Generator) -> np.ndarray:
        shares = np.clip(generator.normal(share, own.taste, (_SIMULATED, n)), 0.0, 1.0)
        lead = 2 * generator.binomial(own.items, shares) - own.items
        wins, losses = (lead > 0).sum(axis=1), (lead < 0).sum(axis=1)  # listeners without a preference are left out
        fewer = np.minimum(wins, losses)
        return np.minimum(2 * stats.binom.cdf(fewer, wins + losses, 0.5), 1.0)

    return _fewest(simulate, own)


def _fewest(simulate: Simulate, model: ListenerModel) -> int | None:
    """The smallest number of listeners from which on POWER is reached."""

    def suffices(n: int) -> bool:
        p = simulate(n, np.random.default_rng(n))
        return float(np.mean(p < LEVEL / model.comparisons)) >= POWER

    high = 4
    while not suffices(high):
        high *= 2
        if high > 2 * MAX_LISTENERS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high if high <= MAX_LISTENERS else None
