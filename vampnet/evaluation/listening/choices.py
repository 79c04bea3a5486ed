"""Analysis of ABX and preference tests: counts per pair of conditions, and what chance would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vampnet.evaluation.listening.design import REFERENCE, ListeningTest
from vampnet.evaluation.listening.inference import binomial_p, holm, wilson_interval


@dataclass(frozen=True)
class ForcedChoice:
    """One answer of an ABX or preference trial."""

    listener: str
    trial: str
    item: str
    one: str
    """The pair of conditions: reference first, else in alphabetical order."""
    other: str
    x: str | None
    """Condition that X was; None in a preference test."""
    chosen: str | None
    """Condition that was chosen; None for no preference."""
    chose_a: bool
    """True if the answer was A, the first on the screen."""


@dataclass(frozen=True)
class AbxCount:
    """Correct answers of one listener, or of all together."""

    listener: str
    n_trials: int
    n_correct: int
    share: float
    wilson_low: float
    """95 % interval of the share."""
    wilson_high: float
    p: float
    """Exact binomial test: so many or more correct by guessing alone."""
    p_holm: float
    """Corrected: over the listeners of the pair, for all together over the pairs."""


@dataclass(frozen=True)
class AbxPair:
    """Two conditions told apart, or not."""

    one: str
    other: str
    pooled: AbxCount
    """All trials of all listeners. Its p is exact for the hypothesis that nobody hears a difference."""
    listeners: tuple[AbxCount, ...]


@dataclass(frozen=True)
class AbxAnalysis:
    """Everything that is said about an ABX test."""

    pairs: tuple[AbxPair, ...]


@dataclass(frozen=True)
class Share:
    """Number of times that a condition was chosen."""

    condition: str
    n_chosen: int
    n_trials: int
    share: float
    wilson_low: float
    """95 % interval of the share, trials taken as independent."""
    wilson_high: float


@dataclass(frozen=True)
class PreferencePair:
    """Two conditions against each other."""

    one: Share
    other: Share
    n_none: int
    """Trials without a preference."""
    p_trials: float
    """Sign test over trials, two-sided, those without a preference left out."""
    p_trials_holm: float
    n_listeners_one: int
    """Listeners who chose `one` more often."""
    n_listeners_other: int
    p_listeners: float
    """Sign test over listeners: the one that counts, as answers of one listener depend on each other."""
    p_listeners_holm: float


@dataclass(frozen=True)
class PreferenceAnalysis:
    """Everything that is said about a preference test."""

    pairs: tuple[PreferencePair, ...]
    overall: tuple[Share, ...]
    """Each condition over all its trials, most often chosen first."""
    chose_a_share: float
    """Share of answers A among those with a preference; far from a half means that listeners favour a side."""


def choices_of(test: ListeningTest, results: Sequence[dict[str, Any]], listeners: Sequence[str]) -> list[ForcedChoice]:
    """All answers; `listeners` names the listener of each result."""
    stimuli = test.by_id
    choices = []
    for result, listener in zip(results, listeners, strict=True):
        for answer in result["trials"]:
            conditions = {id_: stimuli[id_].condition for id_ in answer["order"]}
            one, other = sorted(conditions.values(), key=lambda name: (name != REFERENCE, name))
            chosen = answer["answer"]
            choices.append(
                ForcedChoice(
                    listener=listener,
                    trial=answer["id"],
                    item=stimuli[answer["order"][0]].item,
                    one=one,
                    other=other,
                    x=conditions[answer["x"]] if "x" in answer else None,
                    chosen=None if chosen is None else conditions[chosen],
                    chose_a=chosen == answer["order"][0],
                )
            )
    return choices


def analyse_abx(choices: Sequence[ForcedChoice]) -> AbxAnalysis:
    """Counts per pair and listener, with exact binomial tests."""
    grouped = _by_pair(choices)
    pooled_p = holm([_abx_p(group) for group in grouped.values()])
    pairs = []
    for ((one, other), group), p_holm in zip(grouped.items(), pooled_p, strict=True):
        names = list(dict.fromkeys(choice.listener for choice in group))
        own = [[choice for choice in group if choice.listener == name] for name in names]
        corrected = holm([_abx_p(part) for part in own])
        counts = tuple(_abx_count(*entry) for entry in zip(names, own, corrected, strict=True))
        pairs.append(AbxPair(one, other, _abx_count("all", group, p_holm), counts))
    return AbxAnalysis(tuple(pairs))


def analyse_preference(choices: Sequence[ForcedChoice]) -> PreferenceAnalysis:
    """Shares per pair and overall, with sign tests."""
    grouped = _by_pair(choices)
    signs = [_signs(group, one, other) for (one, other), group in grouped.items()]
    p_trials = [binomial_p(t_one, t_one + t_other, "two-sided") for (t_one, t_other), _ in signs]
    p_listeners = [binomial_p(l_one, l_one + l_other, "two-sided") for _, (l_one, l_other) in signs]
    rows = zip(grouped.items(), signs, p_trials, holm(p_trials), p_listeners, holm(p_listeners), strict=True)
    pairs = tuple(
        PreferencePair(
            one=_share(one, group),
            other=_share(other, group),
            n_none=len(group) - sum(trials),
            p_trials=p_t,
            p_trials_holm=p_t_holm,
            n_listeners_one=people[0],
            n_listeners_other=people[1],
            p_listeners=p_l,
            p_listeners_holm=p_l_holm,
        )
        for ((one, other), group), (trials, people), p_t, p_t_holm, p_l, p_l_holm in rows
    )
    names = sorted({name for pair in grouped for name in pair})
    overall = [_share(name, [c for c in choices if name in (c.one, c.other)]) for name in names]
    decided = [choice.chose_a for choice in choices if choice.chosen is not None]
    chose_a = sum(decided) / len(decided) if decided else 0.5
    return PreferenceAnalysis(pairs, tuple(sorted(overall, key=lambda share: -share.share)), chose_a)


def _by_pair(choices: Sequence[ForcedChoice]) -> dict[tuple[str, str], list[ForcedChoice]]:
    grouped: dict[tuple[str, str], list[ForcedChoice]] = {}
    for choice in sorted(choices, key=lambda choice: (choice.one, choice.other)):
        grouped.setdefault((choice.one, choice.other), []).append(choice)
    return grouped


def _abx_p(choices: Sequence[ForcedChoice]) -> float:
    return binomial_p(sum(choice.chosen == choice.x for choice in choices), len(choices), "greater")


def _abx_count(listener: str, choices: Sequence[ForcedChoice], p_holm: float) -> AbxCount:
    n, correct = len(choices), sum(choice.chosen == choice.x for choice in choices)
    return AbxCount(listener, n, correct, correct / n, *wilson_interval(correct, n), _abx_p(choices), p_holm)


def _share(condition: str, choices: Sequence[ForcedChoice]) -> Share:
    n, chosen = len(choices), sum(choice.chosen == condition for choice in choices)
    return Share(condition, chosen, n, chosen / n, *wilson_interval(chosen, n))


def _signs(choices: Sequence[ForcedChoice], one: str, other: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Trials, and listeners, for either side."""
    balance: dict[str, int] = {}
    for choice in choices:
        balance[choice.listener] = balance.get(choice.listener, 0) + (choice.chosen == one) - (choice.chosen == other)
    trials = (sum(c.chosen == one for c in choices), sum(c.chosen == other for c in choices))
    return trials, (sum(b > 0 for b in balance.values()), sum(b < 0 for b in balance.values()))
