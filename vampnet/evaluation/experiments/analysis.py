"""From per-excerpt results to figures with intervals: every condition on the same resamples of pieces.

Excerpts of one piece are alike, so pieces are resampled, not excerpts; and all conditions by the same draws, so that
differences between conditions are paired. Axis letters: R resample, E excerpt.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from vampnet.evaluation.experiments.cache import BatchResult
from vampnet.evaluation.experiments.experiment import Condition, Experiment
from vampnet.evaluation.experiments.measures import METRICS
from vampnet.evaluation.experiments.runner import REFERENCE, RunResult, condition_key
from vampnet.evaluation.metrics.frechet import (
    Floats,
    GroupedMoments,
    Moments,
    factor,
    frechet_distance,
    frechet_infinite,
    quick_distance,
    rank_warnings,
)
from vampnet.evaluation.metrics.kernel import KernelReference, KernelResult, kernel_distance
from vampnet.evaluation.metrics.statistics import LEVEL, Interval, recentre, resample_counts

RESAMPLES = 200
MIN_PIECES = 20
"""With fewer, the report warns: the bootstrap knows too little of how pieces vary."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """A figure, and what it would have been with other pieces of the same kind."""

    value: float
    draws_R: Floats

    def __sub__(self, other: Statistic) -> Statistic:
        return Statistic(self.value - other.value, self.draws_R - other.draws_R)

    def __add__(self, other: Statistic) -> Statistic:
        return Statistic(self.value + other.value, self.draws_R + other.draws_R)

    def __mul__(self, factor: float) -> Statistic:
        return Statistic(self.value * factor, self.draws_R * factor)

    def interval(self, level: float = LEVEL) -> Interval:
        """Percentiles of the draws, moved so that their mean lies on the value; NaN with too little to say."""
        draws = self.draws_R[np.isfinite(self.draws_R)]
        if len(draws) < max(20, len(self.draws_R) // 2) or not np.isfinite(self.value) or np.ptp(draws) == 0:
            exact = len(draws) > 0 and bool(np.isfinite(self.value)) and bool(np.ptp(draws) == 0)
            ends = (self.value, self.value) if exact and len(draws) > 1 else (np.nan, np.nan)
            return Interval(self.value, *ends, level, len(draws))
        return Interval(self.value, *recentre(draws, self.value, level), level, len(draws))


def combine(function: Callable[..., float], *parts: Sequence[Statistic]) -> Statistic:
    """A figure of lists of figures, taken in every resample: `function` gets one array per list."""
    values = [np.array([s.value for s in part]) for part in parts]
    draws = [np.stack([s.draws_R for s in part]) for part in parts]
    n = draws[0].shape[1]
    return Statistic(float(function(*values)), np.array([function(*(d[:, r] for d in draws)) for r in range(n)]))


@dataclass(frozen=True, eq=False)
class SetScores:
    """Distances of a condition's outputs, as a set, from the excerpts, in one embedding."""

    fad: Statistic
    fad_infinite: float
    """Extrapolated to infinitely many vectors; NaN with too few excerpts."""
    kad: KernelResult


@dataclass(frozen=True, eq=False)
class Scores:
    """All figures of one condition."""

    name: str
    metrics: dict[str, Statistic]
    sets: tuple[SetScores, ...]
    """One for each embedding, in the run's order."""
    seconds: float
    """Time per excerpt, all included."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """All figures of a run."""

    scores: dict[str, dict[str, Scores]]
    """Experiment -> condition -> figures; conditions that could not be run are not there."""
    warnings: tuple[str, ...]
    n_pieces: int
    n_resamples: int
    vectors: tuple[tuple[str, int, int], ...]
    """(id, vectors of the reference set, dimensions) of each embedding."""


def analyse(
    experiments: Sequence[Experiment],
    run: RunResult,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Analysis:
    """Figures of every condition, on as many threads as there are cores."""
    weights_RE, n_pieces = piece_weights(run, n_resamples, seed)
    references = [_Reference.of(run.results[REFERENCE], e, weights_RE) for e in range(len(run.embeddings))]
    keys = {condition_key(c): c.name for x in experiments for c in x.conditions}
    keys = {key: name for key, name in keys.items() if key in run.results}

    def score(key: str) -> Scores:
        return _scores(keys[key], run.results[key], references, weights_RE)

    found: dict[str, Scores] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # NumPy computes without holding Python's lock
        for key, scores in zip(keys, pool.map(score, keys), strict=True):
            found[key] = scores
            if progress is not None:
                progress("analyse", len(found), len(keys))
    by_name = {
        x.name: {c.name: found[condition_key(c)] for c in x.conditions if condition_key(c) in found}
        for x in experiments
    }
    totals = [(name, r.total) for name, r in zip(run.embeddings, references, strict=True)]
    warnings = [f"{name}: {text}" for name, total in totals for text in rank_warnings(total, "reference")]
    if n_pieces < MIN_PIECES:
        warnings.append(f"{n_pieces} pieces: intervals from so few are too narrow, so trust no verdict; use more music")
    vectors = tuple((name, total.n, total.dim) for name, total in totals)
    return Analysis(by_name, tuple(warnings), n_pieces, n_resamples, vectors)


def piece_weights(run: RunResult, n_resamples: int, seed: int) -> tuple[Floats, int]:
    """Weight of each excerpt in each resample of pieces (R, E), and the number of pieces."""
    digests = [excerpt.digest for excerpt in run.excerpts]
    pieces = {digest: k for k, digest in enumerate(dict.fromkeys(digests))}
    counts_RN = resample_counts(len(pieces), n_resamples, np.random.default_rng(seed))
    return counts_RN[:, [pieces[digest] for digest in digests]], len(pieces)


@dataclass(frozen=True, eq=False)
class _Reference:
    """The excerpts in one embedding, resampled."""

    number: int
    grouped: GroupedMoments
    total: Moments
    resampled: list[tuple[Moments, Floats]]
    """Moments of each resample, and the factor of their covariance."""
    kernel: KernelReference

    @staticmethod
    def of(result: BatchResult, number: int, weights_RE: Floats) -> _Reference:
        grouped = _group_moments(result, number)
        resampled = [(moments, factor(moments.covariance_DD)) for moments in grouped.totals(weights_RE)]
        kernel = KernelReference.of(_vectors(result, number))
        return _Reference(number, grouped, grouped.total(), resampled, kernel)


def _group_moments(result: BatchResult, embedding: int) -> GroupedMoments:
    return GroupedMoments.of([item.moments for item in result.embedded[embedding]])


def _vectors(result: BatchResult, embedding: int) -> list[Floats]:
    return [item.vectors_ND.astype(np.float64) for item in result.embedded[embedding]]


def _scores(name: str, result: BatchResult, references: list[_Reference], weights_RE: Floats) -> Scores:
    metrics = {m.name: mean_of(result.metrics[m.name], weights_RE) for m in METRICS}
    sets = tuple(_set_scores(result, reference, weights_RE) for reference in references)
    return Scores(name, metrics, sets, result.seconds / weights_RE.shape[1])


def mean_of(values_E: Floats, weights_RE: Floats) -> Statistic:
    """Mean over excerpts for which the metric is defined."""
    defined_E = np.isfinite(values_E)
    filled_E = np.where(defined_E, values_E, 0.0)
    if not defined_E.any():
        return Statistic(np.nan, np.full(len(weights_RE), np.nan))
    with np.errstate(invalid="ignore"):  # a resample may hold no excerpt that counts
        draws_R = (weights_RE @ filled_E) / (weights_RE @ defined_E)
    return Statistic(float(filled_E.sum() / defined_E.sum()), draws_R)


def _set_scores(result: BatchResult, reference: _Reference, weights_RE: Floats) -> SetScores:
    grouped = _group_moments(result, reference.number)
    pairs = zip(reference.resampled, grouped.totals(weights_RE), strict=True)
    draws_R = np.array([quick_distance(*one, other) for one, other in pairs])
    fad = Statistic(frechet_distance(reference.total, grouped.total()), draws_R)
    infinite = frechet_infinite(reference.grouped, grouped, paired=True)
    kad = kernel_distance(reference.kernel, _vectors(result, reference.number), paired=True)
    return SetScores(fad, infinite.value if infinite else np.nan, kad)


# --- sampler settings at matched diversity ---------------------------------------------------------------------------


@dataclass(frozen=True)
class MatchedCondition:
    """A condition beside the temperature curve."""

    name: str
    diversity: Interval
    fad: Interval
    excess: Interval
    """FAD minus that of the curve at the same diversity; below 0 is better. NaN beyond the ends of the curve."""
    on_curve: bool


def temperature_curve(conditions: Sequence[Condition]) -> list[str]:
    """Names of the conditions that differ in nothing but temperature: the largest such group."""

    def rest(condition: Condition) -> tuple[Any, ...]:
        s = condition.sampling
        others = dataclasses.replace(s, temperature=1.0, seed=0)
        return (condition.prompt, condition.n_kept, condition.variations, others)

    groups: dict[tuple[Any, ...], list[str]] = {}
    for condition in conditions:
        groups.setdefault(rest(condition), []).append(condition.name)
    return max(groups.values(), key=len)


def matched_diversity(experiment: Experiment, scores: dict[str, Scores], embedding: int) -> list[MatchedCondition]:
    """Every condition against the curve, best first."""
    curve = [scores[name] for name in temperature_curve(experiment.conditions) if name in scores]
    points = [s.metrics["diversity"] for s in curve], [s.sets[embedding].fad for s in curve]

    def excess(own: Floats, diversity: Floats, fad: Floats) -> float:
        order = np.argsort(diversity)
        inside = diversity.min() <= own[0] <= diversity.max()
        return float(own[1] - np.interp(own[0], diversity[order], fad[order])) if inside else np.nan

    found = []
    for name, own in scores.items():
        pair = [own.metrics["diversity"], own.sets[embedding].fad]
        difference = combine(excess, pair, *points).interval()
        found.append(MatchedCondition(name, pair[0].interval(), pair[1].interval(), difference, own in curve))
    return sorted(found, key=lambda m: (np.isnan(m.excess.value), m.excess.value))


@dataclass(frozen=True)
class SamplerChoice:
    """Setting that a sampler experiment recommends."""

    name: str
    reason: str


def choose(ranking: Sequence[MatchedCondition]) -> SamplerChoice:
    """Choose the best condition of a ranking by `matched_diversity` that is surely below the temperature curve.

    "Surely": the whole interval of the difference. With none, the point of the curve with the lowest FAD.
    """
    better = [m for m in ranking if not m.on_curve and m.excess.high < 0]
    if better:
        m = better[0]
        reason = (
            f"FAD {m.fad.value:.4g} at diversity {m.diversity.value:.3f} is {-m.excess.value:.3g} "
            f"[{-m.excess.high:.3g}, {-m.excess.low:.3g}] below what temperature alone gives at that diversity"
        )
        return SamplerChoice(
            m.name, reason + (f"; also below it: {', '.join(o.name for o in better[1:])}" * (len(better) > 1))
        )
    m = min((m for m in ranking if m.on_curve), key=lambda m: m.fad.value)
    reason = (
        f"no setting is surely below the temperature curve at its diversity, and on the curve its FAD is the lowest: "
        f"{m.fad.value:.4g} [{m.fad.low:.4g}, {m.fad.high:.4g}] at diversity {m.diversity.value:.3f}"
    )
    return SamplerChoice(m.name, reason)
