"""Bootstrap intervals: coverage, determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vampnet.errors import SettingsError
from vampnet.evaluation.metrics.statistics import bootstrap_mean, recentre


def test_interval_is_that_of_the_normal_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = bootstrap_mean(values, n_resamples=4000)
    reach = 1.96 * values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.03)
    assert bootstrap_mean(values, n_resamples=4000) == found
    assert bootstrap_mean(values, n_resamples=4000, seed=1) != found
    assert 0 < found.low < found.value < found.high


def test_coverage() -> None:
    rng = np.random.default_rng(1)
    found = [bootstrap_mean(rng.exponential(1.0, 60), n_resamples=300, level=0.9) for _ in range(400)]
    held = [interval.low <= 1.0 <= interval.high for interval in found]
    assert np.mean(held) == pytest.approx(0.88, abs=0.05)  # the percentile interval falls a little short of 0.9


def test_undefined_values_and_too_few() -> None:
    found = bootstrap_mean([1.0, math.nan, 3.0])
    assert (found.value, found.n, found.n_undefined) == (2.0, 2, 1)
    single = bootstrap_mean([4.0])
    assert single.value == 4.0 and math.isnan(single.low) and math.isnan(single.high)
    assert math.isnan(bootstrap_mean([]).value)
    with pytest.raises(SettingsError, match="level"):
        bootstrap_mean([1.0, 2.0], level=1.5)


def test_recentred_moves_the_interval_only() -> None:
    low, high = recentre(np.linspace(10, 20, 1001), 3.0, 0.9)
    assert (low, high) == pytest.approx((-1.5, 7.5))
