"""Kernel distance against its definition, closed forms and its own standard error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from vampnet.errors import SettingsError
from vampnet.evaluation.metrics.kernel import KernelReference, kernel_distance, median_distance

Groups = list[NDArray[np.float64]]


def groups(seed: int, n: int = 20, per_group: int = 5, dim: int = 3, shift: float = 0.0) -> Groups:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(per_group, dim)) + shift for _ in range(n)]


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_definition(kernel: str) -> None:
    reference, evaluated = groups(0), groups(1, n=17, shift=0.4)
    found = kernel_distance(reference, evaluated, kernel=kernel)
    x, y = np.concatenate(reference), np.concatenate(evaluated)
    width = np.median(pdist(x))

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if kernel == "rbf":
            return np.exp(-cdist(a, b, "sqeuclidean") / (2 * width**2))
        return (a @ b.T / 3 + 1) ** 3

    def off_diagonal(m: np.ndarray) -> float:
        return (m.sum() - np.trace(m)) / (len(m) * (len(m) - 1))

    expected = off_diagonal(k(x, x)) + off_diagonal(k(y, y)) - 2 * k(x, y).mean()
    assert found.value == pytest.approx((100 if kernel == "rbf" else 1) * expected, rel=1e-9)
    if kernel == "rbf":
        assert found.bandwidth == pytest.approx(width) == median_distance(x)
    assert (found.n_reference, found.n_evaluated, found.dim) == (100, 85, 3)


def test_closed_form_of_two_gaussians() -> None:
    # For x ~ N(0, 1), y ~ N(m, 1) in D dimensions: E k = (s^2 / (s^2 + 2))^(D/2) exp(-|m|^2 / (2 (s^2 + 2))).
    shift, width, dim = 0.6, 1.5, 2
    same = (width**2 / (width**2 + 2)) ** (dim / 2)
    expected = 100 * 2 * same * (1 - np.exp(-dim * shift**2 / (2 * (width**2 + 2))))
    found = kernel_distance(groups(2, 300, dim=dim), groups(3, 300, dim=dim, shift=shift), bandwidth=width)
    assert found.value == pytest.approx(expected, abs=3 * found.standard_error)
    assert found.standard_error < 0.15 * expected
    assert 0 < found.interval.low <= found.value <= found.interval.high


def test_unbiased_and_its_error_is_right() -> None:
    values, errors = [], []
    for seed in range(60):
        found = kernel_distance(groups(2 * seed, 15), groups(2 * seed + 1, 15), bandwidth=2.0)
        values.append(found.value)
        errors.append(found.standard_error)
    assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / np.sqrt(60))
    assert np.median(errors) == pytest.approx(np.std(values), rel=0.6)


def test_invariances_and_identical_sets() -> None:
    x, y = groups(4), groups(5, shift=1.0)
    value = kernel_distance(x, y).value
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert kernel_distance([v @ turn + 2 for v in x], [v @ turn + 2 for v in y]).value == pytest.approx(value)
    assert kernel_distance(x[::-1], [v[::-1] for v in y]).value == pytest.approx(value)
    same = kernel_distance(x, x, paired=True)
    assert same.value <= 0 and abs(same.value) < 2  # the pairs (i, i) count across sets, and only there
    near = kernel_distance(x, [v + 0.01 for v in x], paired=True)
    apart = kernel_distance(x, [v + 0.01 for v in x])
    assert near.standard_error < 0.5 * apart.standard_error


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_a_prepared_reference_gives_the_same(kernel: str) -> None:
    known, other = KernelReference.of(groups(0), kernel), groups(1, shift=0.5)
    prepared, at_once = kernel_distance(known, other), kernel_distance(groups(0), other, kernel=kernel)
    assert prepared.kernel == kernel and prepared.value == at_once.value
    assert prepared.standard_error == at_once.standard_error


def test_refusals() -> None:
    with pytest.raises(SettingsError, match="kernel is 'linear'"):
        kernel_distance(groups(0), groups(1), kernel="linear")
    with pytest.raises(SettingsError, match="bandwidth"):
        kernel_distance([np.ones((4, 2))], groups(1, dim=2))
    with pytest.raises(SettingsError, match="empty"):
        kernel_distance([np.ones((4, 2)), np.ones((0, 2))], groups(1, dim=2))
