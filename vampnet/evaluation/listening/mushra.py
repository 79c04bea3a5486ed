"""Analysis of a MUSHRA test: post-screening of listeners by BS.1534-3, scores per condition, comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vampnet.evaluation.listening.design import REFERENCE, ListeningTest
from vampnet.evaluation.listening.inference import holm, t_interval, wilcoxon_p
from vampnet.evaluation.metrics.statistics import bootstrap_mean

MID_ANCHOR = "anchor70"
HIGH_SCORE = 90
"""A hidden reference below it, or a mid anchor above it, speaks against the listener."""
SCREEN_SHARE = 0.15
"""In more than this share of trials: the listener is excluded."""
ITEM_SHARE = 0.25
"""An item whose mid anchor more than this share of listeners rate above 90 was hardly degraded, and does not count
against them."""


@dataclass(frozen=True)
class Rating:
    """One slider of one trial."""

    listener: str
    trial: str
    item: str
    condition: str
    score: int
    """0 to 100."""
    plays: int
    """Number of times that it was played."""


@dataclass(frozen=True)
class Screened:
    """Post-screening of one listener."""

    listener: str
    n_trials: int
    reference_low_share: float
    """Share of trials with a hidden reference below 90."""
    anchor_high_share: float
    """Share of trials with a mid anchor above 90; 0 in a test without anchors."""
    excluded: bool


@dataclass(frozen=True)
class ConditionScore:
    """One condition over the mean scores of listeners."""

    condition: str
    n_listeners: int
    n_ratings: int
    mean: float
    t_low: float
    """95 % interval by Student's t, over listeners."""
    t_high: float
    bootstrap_low: float
    """95 % interval by bootstrap, over listeners."""
    bootstrap_high: float
    median: float
    """Median of all ratings; the quartiles are of all ratings, too."""
    quartile_1: float
    quartile_3: float


@dataclass(frozen=True)
class ConditionContrast:
    """Comparison of two conditions, paired by listener."""

    one: str
    other: str
    n_listeners: int
    mean_difference: float
    """Mean difference `one` minus `other` of the listeners' mean scores."""
    p: float
    """Wilcoxon signed-rank test, two-sided."""
    p_holm: float
    """p value corrected for the number of comparisons (Holm)."""


@dataclass(frozen=True)
class MushraAnalysis:
    """Scores, comparisons and screening of a MUSHRA test."""

    screening: tuple[Screened, ...]
    scores: tuple[ConditionScore, ...]
    """Without excluded listeners, highest mean first."""
    scores_of_all: tuple[ConditionScore, ...]
    """Nobody excluded."""
    comparisons: tuple[ConditionContrast, ...]
    item_means: dict[str, dict[str, float]]
    """item -> condition -> mean, without excluded listeners."""


def ratings_of(test: ListeningTest, results: Sequence[dict[str, Any]], listeners: Sequence[str]) -> list[Rating]:
    """All ratings; `listeners` names the listener of each result."""
    stimuli = test.by_id
    ratings = []
    for result, listener in zip(results, listeners, strict=True):
        for answer in result["trials"]:
            for id_, score, plays in zip(answer["order"], answer["ratings"], answer["plays"], strict=True):
                stimulus = stimuli[id_]
                ratings.append(Rating(listener, answer["id"], stimulus.item, stimulus.condition, score, plays))
    return ratings


def analyse_mushra(ratings: Sequence[Rating], conditions: Sequence[str], seed: int) -> MushraAnalysis:
    """Screening, scores, comparisons."""
    screening = screen(ratings)
    out = {entry.listener for entry in screening if entry.excluded}
    kept = [rating for rating in ratings if rating.listener not in out]
    return MushraAnalysis(
        screening=screening,
        scores=_scores(kept, conditions, seed),
        scores_of_all=_scores(ratings, conditions, seed),
        comparisons=_comparisons(kept, conditions),
        item_means=_item_means(kept),
    )


def screen(ratings: Sequence[Rating]) -> tuple[Screened, ...]:
    """Post-screening of listeners by BS.1534-3, section 4.1.2.

    Excluded is who rates the hidden reference below 90, or the mid anchor above 90, in more than 15 % of trials.
    """
    listeners = list(dict.fromkeys(rating.listener for rating in ratings))
    weak = _hardly_degraded(ratings)
    screened = []
    for listener in listeners:
        own = [rating for rating in ratings if rating.listener == listener]
        references = [rating.score for rating in own if rating.condition == REFERENCE]
        anchors = [r.score for r in own if r.condition == MID_ANCHOR and r.item not in weak]
        low = float(np.mean([score < HIGH_SCORE for score in references]))
        high = float(np.mean([score > HIGH_SCORE for score in anchors])) if anchors else 0.0
        excluded = low > SCREEN_SHARE or high > SCREEN_SHARE
        screened.append(Screened(listener, len(references), low, high, excluded))
    return tuple(screened)


def _hardly_degraded(ratings: Sequence[Rating]) -> set[str]:
    by_item: dict[str, list[bool]] = {}
    for rating in ratings:
        if rating.condition == MID_ANCHOR:
            by_item.setdefault(rating.item, []).append(rating.score > HIGH_SCORE)
    # With fewer than four listeners a single one would be more than 25 % and could never be excluded.
    enough = len({rating.listener for rating in ratings}) >= 4
    return {item for item, high in by_item.items() if enough and np.mean(high) > ITEM_SHARE}


def _scores(ratings: Sequence[Rating], conditions: Sequence[str], seed: int) -> tuple[ConditionScore, ...]:
    scores = []
    for condition in conditions:
        values = [rating.score for rating in ratings if rating.condition == condition]
        if not values:
            continue
        means = list(_listener_means(ratings, condition).values())
        t_low, t_high = t_interval(means)
        boot = bootstrap_mean(means, seed=seed)
        quartiles = [float(q) for q in np.percentile(values, (25, 50, 75))]
        scores.append(
            ConditionScore(
                condition=condition,
                n_listeners=len(means),
                n_ratings=len(values),
                mean=float(np.mean(means)),
                t_low=t_low,
                t_high=t_high,
                bootstrap_low=boot.low,
                bootstrap_high=boot.high,
                median=quartiles[1],
                quartile_1=quartiles[0],
                quartile_3=quartiles[2],
            )
        )
    return tuple(sorted(scores, key=lambda score: -score.mean))


def _comparisons(ratings: Sequence[Rating], conditions: Sequence[str]) -> tuple[ConditionContrast, ...]:
    means = {condition: _listener_means(ratings, condition) for condition in conditions}
    pairs = [pair for pair in combinations(conditions, 2) if all(means[condition] for condition in pair)]
    differences = [[means[one][who] - means[other][who] for who in means[one]] for one, other in pairs]
    p_values = [wilcoxon_p(values) for values in differences]
    return tuple(
        ConditionContrast(one, other, len(values), float(np.mean(values)), p, corrected)
        for (one, other), values, p, corrected in zip(pairs, differences, p_values, holm(p_values), strict=True)
    )


def _listener_means(ratings: Sequence[Rating], condition: str) -> dict[str, float]:
    scores: dict[str, list[int]] = {}
    for rating in ratings:
        if rating.condition == condition:
            scores.setdefault(rating.listener, []).append(rating.score)
    return {listener: float(np.mean(values)) for listener, values in scores.items()}


def _item_means(ratings: Sequence[Rating]) -> dict[str, dict[str, float]]:
    cells: dict[str, dict[str, list[int]]] = {}
    for rating in ratings:
        cells.setdefault(rating.item, {}).setdefault(rating.condition, []).append(rating.score)
    return {item: {c: float(np.mean(v)) for c, v in sorted(row.items())} for item, row in sorted(cells.items())}
