"""Fréchet distance against closed forms, at full and deficient rank, and its resampling."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.linalg import sqrtm

from vampnet.errors import SettingsError
from vampnet.evaluation.metrics.frechet import (
    GroupedMoments,
    Moments,
    factor,
    fit_inverse,
    frechet,
    frechet_distance,
    frechet_infinite,
    quick_distance,
)


def with_moments(mean: ArrayLike, covariance: ArrayLike, n: int = 50) -> Moments:
    return Moments(n, np.asarray(mean, float), (n - 1) * np.asarray(covariance, float))


def rotation(dim: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


def test_one_dimension() -> None:
    # (m1 - m2)^2 + (s1 - s2)^2
    assert frechet_distance(with_moments([1.0], [[9.0]]), with_moments([3.0], [[1.0]])) == pytest.approx(8.0)


def test_commuting_covariances() -> None:
    # A common rotation of diagonals a and b: |m|^2 + sum (sqrt a - sqrt b)^2.
    turn, a, b = rotation(12), np.linspace(0.1, 4, 12), np.linspace(3, 0.5, 12)
    shift = np.arange(12) / 10
    one = with_moments(np.zeros(12), turn @ np.diag(a) @ turn.T)
    other = with_moments(turn @ shift, turn @ np.diag(b) @ turn.T)
    expected = shift @ shift + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_general_covariances_agree_with_the_matrix_square_root() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 20)) @ rng.normal(size=(20, 20)), rng.normal(size=(300, 20)) + 1
    mean, root = x.mean(0) - y.mean(0), sqrtm(np.cov(x.T) @ np.cov(y.T))
    expected = mean @ mean + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * np.real(root))
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=1e-9)


def test_deficient_rank() -> None:
    # Two planes at an angle: for projectors P, Q onto lines the cross term is |<p, q>|, so it is 2 - 2 cos.
    angle = 0.7
    p, q = np.array([1, 0, 0.0]), np.array([np.cos(angle), np.sin(angle), 0])
    one, other = with_moments(np.zeros(3), np.outer(p, p)), with_moments(np.zeros(3), np.outer(q, q))
    assert frechet_distance(one, other) == pytest.approx(2 - 2 * np.cos(angle), abs=1e-12)
    vectors = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    assert frechet_distance(Moments.of(vectors), Moments.of(vectors)) == pytest.approx(0, abs=1e-9)
    constant = Moments.of(np.ones((9, 4)))
    assert frechet_distance(constant, Moments.of(np.zeros((9, 4)))) == pytest.approx(4)


def test_the_quick_distance_is_the_distance() -> None:
    rng = np.random.default_rng(5)
    for n, dim in ((400, 24), (10, 24)):  # full and deficient rank
        one, other = (Moments.of(rng.standard_normal((n, dim)) @ rng.standard_normal((dim, dim))) for _ in range(2))
        quick = quick_distance(one, factor(one.covariance_DD), other)
        assert quick == pytest.approx(frechet_distance(one, other), abs=1e-5 * np.trace(one.covariance_DD))
        assert quick_distance(one, factor(one.covariance_DD), one) < 1e-5 * np.trace(one.covariance_DD)


def test_invariances() -> None:
    rng = np.random.default_rng(2)
    x, y, turn = rng.normal(size=(300, 8)), 1.3 * rng.normal(size=(200, 8)) + 0.2, rotation(8)
    value = frechet_distance(Moments.of(x), Moments.of(y))
    assert frechet_distance(Moments.of(y), Moments.of(x)) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(Moments.of(x @ turn + 5), Moments.of(y @ turn + 5)) == pytest.approx(value, rel=1e-9)
    assert frechet_distance(Moments.of(x[::-1]), Moments.of(y)) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(Moments.of(3 * x), Moments.of(3 * y)) == pytest.approx(9 * value, rel=1e-9)


def test_moments_merge_in_any_order() -> None:
    x = np.random.default_rng(3).normal(size=(60, 5)) + 1e4  # a mean far off, where sums of squares would fail
    whole = Moments.of(x)
    parts = [Moments.of(part) for part in np.split(x, [1, 20, 45])]
    merged = parts[3].merge(parts[1]).merge(parts[0].merge(parts[2]))
    grouped = GroupedMoments.of(parts).total()
    for other in (merged, grouped):
        assert other.n == 60
        assert np.allclose(other.mean_D, whole.mean_D, rtol=1e-13)
        assert np.allclose(other.covariance_DD, np.cov(x.T), atol=1e-7)
    twice = next(GroupedMoments.of(parts).totals([[2, 0, 1, 0]]))
    assert np.allclose(twice.covariance_DD, np.cov(np.concatenate([x[:1], x[:1], x[20:45]]).T), atol=1e-7)


def groups_of(seed: int, n_groups: int, dim: int, shift: float = 0.0, per_group: int = 8) -> GroupedMoments:
    rng = np.random.default_rng(seed)
    return GroupedMoments.of([Moments.of(rng.normal(size=(per_group, dim)) + shift) for _ in range(n_groups)])


def test_infinite_takes_out_the_bias() -> None:
    reference = GroupedMoments.of([with_moments(np.zeros(24), np.eye(24))])
    evaluated = groups_of(4, 60, 24)
    biased = frechet_distance(reference.total(), evaluated.total())
    found = frechet_infinite(reference, evaluated)
    assert found is not None
    assert biased > 0.2 and abs(found.value) < 0.25 * biased and found.r_squared > 0.8
    assert found.slope > 0 and len(found.sizes) == len(found.values)
    assert frechet_infinite(reference, groups_of(5, 6, 24)) is None  # too few excerpts
    assert frechet_infinite(reference, groups_of(5, 20, 24, per_group=2)) is None  # too few vectors


def test_infinite_of_pairs_cancels_what_excerpts_differ_in() -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(20, 3)) + 3 * rng.normal(size=3) for _ in range(20)]
    reference = GroupedMoments.of([Moments.of(v) for v in inputs])
    evaluated = GroupedMoments.of([Moments.of(v + 0.5) for v in inputs])
    paired, apart = (frechet_infinite(reference, evaluated, paired=p) for p in (True, False))
    assert paired is not None and apart is not None
    assert paired.value == pytest.approx(0.75) and paired.standard_error < 1e-6 < apart.standard_error


def test_a_line_is_found_exactly() -> None:
    sizes = [100, 200, 400, 800]
    found = fit_inverse(sizes, [2 + 30 / n for n in sizes])
    assert (found.value, found.slope, found.r_squared) == pytest.approx((2, 30, 1))
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_interval_and_warnings() -> None:
    reference, evaluated = groups_of(6, 40, 4), groups_of(7, 40, 4, shift=0.5)
    found = frechet(reference, evaluated, seed=3)
    interval = found.interval
    assert interval.low < found.value < interval.high and interval.low < 1.0 < interval.high
    assert frechet(reference, evaluated, seed=3) == found and not found.warnings
    same = frechet(reference, reference, paired=True)
    assert same.value == pytest.approx(0, abs=1e-12) and same.interval.high == pytest.approx(0, abs=1e-9)
    few = frechet(groups_of(8, 2, 40), groups_of(9, 30, 40))
    assert "singular" in few.warnings[0] and "ten per dimension" in few.warnings[1]


def test_refusals() -> None:
    with pytest.raises(SettingsError, match="dimensions"):
        frechet_distance(with_moments([0.0], [[1.0]]), with_moments([0.0, 0], np.eye(2)))
    with pytest.raises(SettingsError, match="NaN"):
        Moments.of(np.array([[1.0, np.nan]]))
    with pytest.raises(SettingsError, match="paired"):
        frechet(groups_of(0, 4, 2), groups_of(1, 5, 2), paired=True)
