"""Kernel audio distance (Chung et al. 2025, "KAD: No More FAD!"): an unbiased squared maximum mean discrepancy.

    MMD^2 = mean k(x_i, x_j) over i /= j  +  mean k(y_i, y_j) over i /= j  -  2 mean k(x_i, y_j)

(Gretton et al. 2012).
With the Gaussian kernel k(a, b) = exp(-|a - b|^2 / (2 s^2)), s the median distance between the reference's vectors, and
times 100, this is the KAD of its paper. The polynomial kernel is that of the kernel inception distance (Binkowski et
al. 2018): (a.b / D + 1)^3. It assumes no shape of the distributions and can be slightly negative when they agree.

Axis letters: N vector, D dimension, G group (an excerpt), the unit of the standard error's jackknife.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.errors import SettingsError
from vampnet.evaluation.metrics.statistics import LEVEL, Interval

Floats = NDArray[np.float64]
KERNELS = ("rbf", "polynomial")
SCALE = 100.0
"""KAD is this times MMD^2 with the Gaussian kernel, as its paper and its toolkit report it."""
MAX_FOR_MEDIAN = 2000
"""Maximum number of vectors that the bandwidth is computed from."""
_BLOCK = 1024


@dataclass(frozen=True)
class KernelResult:
    """A kernel distance and what it rests on."""

    value: float
    """SCALE * MMD^2 for the Gaussian kernel (KAD), MMD^2 for the polynomial one."""
    standard_error: float
    """Standard error of `value` by jackknife over groups; NaN with fewer than 2 groups."""
    interval: Interval
    """Normal interval from the standard error."""
    kernel: str
    bandwidth: float
    """s of the Gaussian kernel, in the embedding's unit; NaN for the polynomial one."""
    n_reference: int
    """Vectors."""
    n_evaluated: int
    dim: int


@dataclass(frozen=True, eq=False)
class KernelReference:
    """A reference set, with all that does not depend on what is compared with it."""

    vectors_ND: Floats
    groups_N: NDArray[np.int64]
    """Number of the group of each vector."""
    own: _Sums
    kernel: str
    bandwidth: float
    """NaN for the polynomial kernel."""

    @staticmethod
    def of(groups: Sequence[Floats], kernel: str = "rbf", bandwidth: float | None = None) -> KernelReference:
        """Groups (N_g, D). Raises SettingsError as `kernel_distance` does."""
        if kernel not in KERNELS:
            raise SettingsError(f"kernel is {kernel!r}, but must be one of {', '.join(KERNELS)}")
        vectors_ND, groups_N = _concatenate(groups, "reference")
        width = _bandwidth(kernel, bandwidth, vectors_ND)
        return KernelReference(vectors_ND, groups_N, _sums_within(vectors_ND, groups_N, width), kernel, width)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Kernel sums of two sets by group; the diagonal (a vector with itself) is left out within a set."""

    n_G: Floats
    own_GG: Floats


def median_distance(vectors_ND: Floats, seed: int = 0) -> float:
    """Median Euclidean distance between different vectors, at most MAX_FOR_MEDIAN of them drawn at random."""
    if len(vectors_ND) > MAX_FOR_MEDIAN:
        vectors_ND = vectors_ND[np.random.default_rng(seed).permutation(len(vectors_ND))[:MAX_FOR_MEDIAN]]
    squares = _square_distances(vectors_ND, vectors_ND)
    return float(np.median(np.sqrt(squares[np.triu_indices(len(vectors_ND), 1)])))


def kernel_distance(
    reference: Sequence[Floats] | KernelReference,
    evaluated: Sequence[Floats],
    *,
    kernel: str = "rbf",
    bandwidth: float | None = None,
    paired: bool = False,
    level: float = LEVEL,
) -> KernelResult:
    """Kernel distance of two sets, each a sequence of groups (N_g, D). Time and memory grow with N * M in blocks.

    `bandwidth`: s of the Gaussian kernel, the reference's median distance when None; give the same one to values that
    are to be compared. `paired`: group k of both belongs to the same excerpt, so the jackknife leaves both out. A
    reference that many sets are compared with is prepared once, `KernelReference.of`, which then says the kernel too.
    Raises SettingsError for an unknown kernel, a bandwidth that is not positive, or fewer than 2 vectors.
    """
    known = reference if isinstance(reference, KernelReference) else KernelReference.of(reference, kernel, bandwidth)
    x, width, n_dims = known.own, known.bandwidth, known.vectors_ND.shape[1]
    if paired and len(x.n_G) != len(evaluated):
        raise SettingsError(f"paired sets need the same excerpts, but there are {len(x.n_G)} and {len(evaluated)}")
    y_ND, y_groups = _concatenate(evaluated, "evaluated")
    if n_dims != y_ND.shape[1]:
        raise SettingsError(f"embeddings have {n_dims} and {y_ND.shape[1]} dimensions, but need the same number")
    scale = SCALE if known.kernel == "rbf" else 1.0
    y = _sums_within(y_ND, y_groups, width)
    cross_GG = _group_sums(known.vectors_ND, known.groups_N, y_ND, y_groups, width)
    value = scale * float(_mmd2(x.own_GG.sum(), x.n_G.sum(), y.own_GG.sum(), y.n_G.sum(), cross_GG.sum()))
    error = scale * _jackknife_error(x, y, cross_GG, paired)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    interval = Interval(value, value - reach, value + reach, level, min(len(x.n_G), len(y.n_G)))
    return KernelResult(value, error, interval, known.kernel, width, len(known.vectors_ND), len(y_ND), n_dims)


def _bandwidth(kernel: str, given: float | None, reference_ND: Floats) -> float:
    """s of the Gaussian kernel; NaN for the polynomial one."""
    if kernel == "polynomial":
        return np.nan
    bandwidth = median_distance(reference_ND) if given is None else given
    if not bandwidth > 0:
        raise SettingsError(f"bandwidth is {bandwidth}, but must be above 0; all vectors of the reference may be equal")
    return bandwidth


def _concatenate(groups: Sequence[Floats], name: str) -> tuple[Floats, NDArray[np.int64]]:
    """All vectors and the number of the group of each."""
    arrays = [np.asarray(g, dtype=np.float64) for g in groups]
    if sum(map(len, arrays)) < 2 or not all(map(len, arrays)):
        counts = f"{sum(map(len, arrays))} vectors in {len(arrays)} groups"
        raise SettingsError(f"the {name} set has {counts}, but needs at least 2, and no empty group")
    vectors = np.concatenate(arrays)
    return vectors, np.repeat(np.arange(len(arrays)), [len(a) for a in arrays])


def _mmd2(xx: Any, n: Any, yy: Any, m: Any, xy: Any) -> Any:
    """Squared discrepancy from kernel sums, those within a set without the diagonal; numbers or arrays alike."""
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def _jackknife_error(x: _Sums, y: _Sums, cross_GG: Floats, paired: bool) -> float:
    """Standard error from leaving each group out in turn; of two independent sets the variances add up."""
    if min(len(x.n_G), len(y.n_G)) < 2 or min(x.n_G.sum() - x.n_G.max(), y.n_G.sum() - y.n_G.max()) < 2:
        return np.nan
    n, m, xy = x.n_G.sum(), y.n_G.sum(), cross_GG.sum()
    x_left, y_left = _leave_one_out(x), _leave_one_out(y)
    if paired:
        crossing = xy - cross_GG.sum(axis=1) - cross_GG.sum(axis=0) + cross_GG.diagonal()
        return float(np.sqrt(_spread(_mmd2(x_left, n - x.n_G, y_left, m - y.n_G, crossing))))
    over_x = _mmd2(x_left, n - x.n_G, y.own_GG.sum(), m, xy - cross_GG.sum(axis=1))
    over_y = _mmd2(x.own_GG.sum(), n, y_left, m - y.n_G, xy - cross_GG.sum(axis=0))
    return float(np.sqrt(_spread(over_x) + _spread(over_y)))


def _leave_one_out(sums: _Sums) -> Floats:
    """Sum within a set when each group is left out."""
    return sums.own_GG.sum() - 2 * sums.own_GG.sum(axis=1) + sums.own_GG.diagonal()


def _spread(left_out_G: Floats) -> float:
    """Jackknife variance."""
    n = len(left_out_G)
    return float((n - 1) / n * np.square(left_out_G - left_out_G.mean()).sum())


def _sums_within(vectors: Floats, groups: NDArray[np.int64], bandwidth: float) -> _Sums:
    sums = _group_sums(vectors, groups, vectors, groups, bandwidth)
    power_N = np.square(vectors).sum(axis=1)
    with_itself = np.ones(len(vectors)) if bandwidth > 0 else _polynomial(power_N, vectors.shape[1])
    sums[np.diag_indices(len(sums))] -= np.bincount(groups, with_itself)
    return _Sums(np.bincount(groups).astype(np.float64), sums)


def _group_sums(
    x_ND: Floats, x_groups: NDArray[np.int64], y_ND: Floats, y_groups: NDArray[np.int64], bandwidth: float
) -> Floats:
    """Sums of the kernel over all pairs of groups, (G, G), block by block; a NaN bandwidth: polynomial."""
    starts = np.flatnonzero(np.diff(y_groups, prepend=-1))
    sums = np.zeros((int(x_groups[-1]) + 1, len(starts)))
    for first in range(0, len(x_ND), _BLOCK):
        part = x_ND[first : first + _BLOCK]
        if bandwidth > 0:
            values = np.exp(_square_distances(part, y_ND) / (-2 * bandwidth**2))
        else:
            values = _polynomial(part @ y_ND.T, x_ND.shape[1])
        np.add.at(sums, x_groups[first : first + _BLOCK], np.add.reduceat(values, starts, axis=1))
    return sums


def _polynomial(products: Floats, dim: int) -> Floats:
    return (products / dim + 1) ** 3


def _square_distances(x_ND: Floats, y_ND: Floats) -> Floats:
    squares = np.square(x_ND).sum(axis=1)[:, None] + np.square(y_ND).sum(axis=1) - 2 * (x_ND @ y_ND.T)
    return np.maximum(squares, 0.0)
