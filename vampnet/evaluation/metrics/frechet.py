"""Fréchet audio distance between sets of embeddings (Kilgour et al. 2019), in float64, from mergeable statistics.

    FAD = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

for the means m and covariances C (divisor N - 1) of two sets; the unit is the embedding's, squared. The trace of the
root is taken as the sum of the singular values of F1^T F2 with C = F F^T (F from the symmetric eigendecomposition,
eigenvalues that rounding made negative set to 0): nothing is inverted, nothing is complex, and deficient ranks are
exact. Axis letters: N vector, D dimension, G group. A group is what is resampled: an excerpt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vampnet.config import check
from vampnet.errors import SettingsError
from vampnet.evaluation.metrics.statistics import LEVEL, Interval, recentre, resample_counts

Floats = NDArray[np.float64]
MAX_PARTS, REPEATS = 5, 4
"""The extrapolation to infinite N halves the set, thirds it, ... into at most so many parts, so many times each."""
MIN_GROUPS = 10
"""Fewest groups that it needs."""
_BLOCK_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class Moments:
    """Number, mean and scatter of vectors; merging is exact, in any order, up to rounding."""

    n: int
    mean_D: Floats
    scatter_DD: Floats
    """Sum of (x - mean)(x - mean)^T."""

    @staticmethod
    def of(vectors_ND: ArrayLike) -> Moments:
        """Moments of vectors (N, D), N at least 1. Raises SettingsError for another shape or values not finite."""
        vectors = np.asarray(vectors_ND, dtype=np.float64)
        if vectors.ndim != 2 or not len(vectors):
            raise SettingsError(f"embeddings have shape {vectors.shape}, but must be (vectors, dimensions), at least 1")
        if not np.isfinite(vectors).all():
            raise SettingsError("embeddings hold NaN or infinite values")
        mean = vectors.mean(axis=0)
        centred = vectors - mean
        return Moments(len(vectors), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together (Chan et al. 1979)."""
        n = self.n + other.n
        step = other.mean_D - self.mean_D
        scatter = self.scatter_DD + other.scatter_DD + np.outer(step, step) * (self.n * other.n / n)
        return Moments(n, self.mean_D + step * (other.n / n), scatter)

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return len(self.mean_D)

    @property
    def covariance_DD(self) -> Floats:
        """Unbiased covariance; zero for a single vector."""
        return self.scatter_DD / max(self.n - 1, 1)


@dataclass(frozen=True, eq=False)
class GroupedMoments:
    """Moments of many groups, such as excerpts, so that sets can be resampled without their vectors."""

    n_G: Floats
    mean_GD: Floats
    scatter_GDD: Floats

    @staticmethod
    def of(groups: Sequence[Moments]) -> GroupedMoments:
        """Raises SettingsError for no groups or different dimensions."""
        if not groups or len({g.dim for g in groups}) != 1:
            raise SettingsError(
                f"there are {len(groups)} groups of embeddings; at least one is needed, all of one size"
            )
        return GroupedMoments(
            np.array([g.n for g in groups], dtype=np.float64),
            np.stack([g.mean_D for g in groups]),
            np.stack([g.scatter_DD for g in groups]),
        )

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.n_G)

    def total(self) -> Moments:
        """Moments of all groups together."""
        return next(self.totals(np.ones((1, self.n_groups))))

    def totals(self, weights_RG: ArrayLike) -> Iterator[Moments]:
        """Moments of resamples: of each row, group k taken `weights_RG[row, k]` times (0 leaves it out)."""
        w_RG = np.asarray(weights_RG, dtype=np.float64)
        # About one centre, near every resample's mean, the scatters of groups simply add up.
        centre_D = self.n_G @ self.mean_GD / self.n_G.sum()
        apart_GD = self.mean_GD - centre_D
        about_GDD = self.scatter_GDD + np.einsum("g,gd,ge->gde", self.n_G, apart_GD, apart_GD)
        dim = len(centre_D)
        rows = max(1, _BLOCK_BYTES // (8 * dim * dim))
        for first in range(0, len(w_RG), rows):
            part_RG = w_RG[first : first + rows]
            about_RDD = (part_RG @ about_GDD.reshape(self.n_groups, -1)).reshape(-1, dim, dim)
            for w_G, about_DD in zip(part_RG, about_RDD, strict=True):
                n = (w_G * self.n_G).sum()
                step_D = (w_G * self.n_G) @ apart_GD / n
                yield Moments(round(n), centre_D + step_D, about_DD - n * np.outer(step_D, step_D))


@dataclass(frozen=True)
class Extrapolation:
    """FAD(N) = value + slope / N, fitted by least squares over parts of the evaluated set."""

    value: float
    """Intercept: the distance at infinite N."""
    slope: float
    standard_error: float
    """Standard error of the intercept, from the residuals of the fit; the excerpts' own variation is not in it."""
    r_squared: float
    """Share of the variance over the sizes that the line explains, at most 1."""
    sizes: tuple[int, ...]
    """Vectors in each part."""
    values: tuple[float, ...]
    """Distance of each part."""


@dataclass(frozen=True)
class FrechetResult:
    """A Fréchet distance and what it rests on."""

    value: float
    interval: Interval
    """Bootstrap over groups, recentred on the value: the sampling variation at this N, not the bias of a finite N."""
    infinite: Extrapolation | None
    """None with fewer than MIN_GROUPS groups or too few vectors for the dimension."""
    n_reference: int
    """Vectors."""
    n_evaluated: int
    dim: int
    warnings: tuple[str, ...]


def frechet_distance(one: Moments, other: Moments) -> float:
    """Squared Fréchet distance of the Gaussians with these moments; symmetric, at least 0."""
    if one.dim != other.dim:
        raise SettingsError(f"embeddings have {one.dim} and {other.dim} dimensions, but must have the same number")
    return _distance(one, factor(one.covariance_DD), other)


def factor(covariance_DD: Floats) -> Floats:
    """F (D, D) with F F^T = covariance, a symmetric matrix that is positive semidefinite up to rounding."""
    values_D, vectors_DD = np.linalg.eigh((covariance_DD + covariance_DD.T) / 2)
    floor = len(values_D) * np.finfo(np.float64).eps * max(float(values_D[-1]), 0.0)
    return vectors_DD * np.sqrt(np.where(values_D > floor, values_D, 0.0))


def _distance(one: Moments, one_factor_DD: Floats, other: Moments) -> float:
    step_D = one.mean_D - other.mean_D
    cross = np.linalg.svd(one_factor_DD.T @ factor(other.covariance_DD), compute_uv=False).sum()
    spread = np.trace(one.covariance_DD) + np.trace(other.covariance_DD)
    return max(float(step_D @ step_D + spread - 2 * cross), 0.0)


def quick_distance(one: Moments, one_factor_DD: Floats, other: Moments) -> float:
    """`frechet_distance` without a factor of `other`, several times as fast: for many resamples.

    The root's trace is that of (F1^T C2 F1)^(1/2), from eigenvalues; rounding in the smallest of them can change the
    distance by about 1e-6 of tr(C1 + C2).
    """
    step_D = one.mean_D - other.mean_D
    values_D = np.linalg.eigvalsh(one_factor_DD.T @ other.covariance_DD @ one_factor_DD)
    floor = len(values_D) * np.finfo(np.float64).eps * max(float(values_D[-1]), 0.0)
    cross = np.sqrt(np.where(values_D > floor, values_D, 0.0)).sum()
    spread = np.trace(one.covariance_DD) + np.trace(other.covariance_DD)
    return max(float(step_D @ step_D + spread - 2 * cross), 0.0)


def frechet(
    reference: GroupedMoments,
    evaluated: GroupedMoments,
    *,
    paired: bool = False,
    level: float = LEVEL,
    n_resamples: int = 200,
    seed: int = 0,
) -> FrechetResult:
    """Distance of two sets with interval and extrapolation.

    `paired`: group k of both belongs to the same excerpt (outputs and their inputs), so they are resampled together.
    """
    check("number of resamples", n_resamples, 20, 100_000)
    if paired and reference.n_groups != evaluated.n_groups:
        raise SettingsError(
            f"paired sets need the same excerpts, but there are {reference.n_groups} and {evaluated.n_groups}"
        )
    one, other = reference.total(), evaluated.total()
    value = frechet_distance(one, other)
    rng = np.random.default_rng(seed)
    return FrechetResult(
        value,
        _interval(reference, evaluated, value, paired, level, n_resamples, rng),
        frechet_infinite(reference, evaluated, paired=paired, seed=seed),
        one.n,
        other.n,
        one.dim,
        tuple(rank_warnings(one, "reference") + rank_warnings(other, "evaluated")),
    )


def _interval(
    reference: GroupedMoments,
    evaluated: GroupedMoments,
    value: float,
    paired: bool,
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> Interval:
    n = min(reference.n_groups, evaluated.n_groups)
    if n < 2:
        return Interval(value, np.nan, np.nan, level, n)
    counts_RG = resample_counts(evaluated.n_groups, n_resamples, rng)
    reference_RG = counts_RG if paired else resample_counts(reference.n_groups, n_resamples, rng)
    pairs = zip(reference.totals(reference_RG), evaluated.totals(counts_RG), strict=True)
    drawn = [frechet_distance(one, other) for one, other in pairs]
    return Interval(value, *recentre(drawn, value, level), level, n)


def frechet_infinite(
    reference: GroupedMoments, evaluated: GroupedMoments, *, paired: bool = False, seed: int = 0
) -> Extrapolation | None:
    """The distance at infinite N (Chong and Forsyth 2020; for FAD: Gui et al. 2024).

    The groups are dealt into k parts at random, k = 1 to MAX_PARTS, REPEATS times each, so that every excerpt counts
    alike at each size and the sizes lie evenly in 1 / N. The reference stays whole, as published; with `paired` each
    part is compared with the same excerpts of the reference, so that both sides are extrapolated and the excerpts'
    own variation cancels. The line holds only where N is well above D, so parts of fewer than 2 D vectors are not
    used. None when that leaves only k = 1, or there are fewer than MIN_GROUPS groups.
    """
    n_groups, whole = evaluated.n_groups, reference.total()
    most = min(MAX_PARTS, n_groups // 2, int(evaluated.n_G.sum() // (2 * whole.dim)))
    if n_groups < MIN_GROUPS or most < 2:
        return None
    rng = np.random.default_rng(seed)
    parts_RG = np.concatenate([_parts(n_groups, k, rng) for k in range(1, most + 1) for _ in range(REPEATS)])
    if paired:
        pairs = zip(reference.totals(parts_RG), evaluated.totals(parts_RG), strict=True)
        found = [(other.n, frechet_distance(one, other)) for one, other in pairs]
    else:
        factor_DD = factor(whole.covariance_DD)
        found = [(part.n, _distance(whole, factor_DD, part)) for part in evaluated.totals(parts_RG)]
    return fit_inverse([n for n, _ in found], [value for _, value in found])


def _parts(n_groups: int, n_parts: int, rng: np.random.Generator) -> Floats:
    """Rows of 0 and 1 that deal the groups into parts at random."""
    dealt_G = rng.permutation(n_groups) % n_parts
    return (dealt_G == np.arange(n_parts)[:, None]).astype(np.float64)


def fit_inverse(sizes: Sequence[int], values: Sequence[float]) -> Extrapolation:
    """Least squares of value = intercept + slope / size."""
    x, y = 1 / np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    spread = np.square(x - x.mean()).sum()
    slope = float((x - x.mean()) @ (y - y.mean()) / spread)
    intercept = float(y.mean() - slope * x.mean())
    residual = np.square(y - intercept - slope * x).sum()
    total = np.square(y - y.mean()).sum()
    variance = residual / max(len(x) - 2, 1)
    error = float(np.sqrt(variance * (1 / len(x) + x.mean() ** 2 / spread)))
    explained = float(1 - residual / total) if total > 0 else 1.0
    return Extrapolation(intercept, slope, error, explained, tuple(map(int, sizes)), tuple(map(float, values)))


def rank_warnings(moments: Moments, name: str) -> list[str]:
    """Warnings about the size of a set."""
    if moments.n <= moments.dim:
        return [
            f"the {name} set has {moments.n} vectors in {moments.dim} dimensions: its covariance is singular and the "
            "distance far too large; use more audio or a smaller embedding"
        ]
    if moments.n < 10 * moments.dim:
        return [
            f"the {name} set has {moments.n} vectors in {moments.dim} dimensions: fewer than ten per dimension bias "
            "the distance upwards; compare only sets of the same size, or the value at infinite N"
        ]
    return []
