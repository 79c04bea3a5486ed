"""Verdicts from figures that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vampnet.evaluation.experiments.analysis import Analysis, Scores, SetScores, Statistic
from vampnet.evaluation.experiments.experiment import find_experiment, period_of
from vampnet.evaluation.experiments.findings import FAILS, HOLDS, OPEN, UNTESTED, CodecFacts, judge

CODEC = CodecFacts(44100 / 768, 14, 1024, 4)
EXPERIMENTS = [find_experiment(name) for name in ("steps", "prompts", "rates")]
STEPS = {1: 10.0, 4: 7.0, 8: 6.0, 12: 5.4, 24: 5.1, 36: 5.0, 64: 5.0, 72: 5.1}
PROMPTS = {"beats-75ms": 4.0, "inpaint-1s": 6.4, "inpaint-2s": 6.0, "periodic-16": 6.0, "periodic-8": 5.0}


def figure(value: float, spread: float, shared: np.ndarray) -> Statistic:
    """A figure whose draws move with those of all others, and a little by themselves."""
    own = np.random.default_rng(int(value * 1000)).standard_normal(len(shared))
    return Statistic(value, value + shared + spread * own)


def analysis(steps: dict[int, float] = STEPS, spread: float = 0.01, rates: Any = None, **prompts: float) -> Analysis:
    """The paper's findings come true, unless figures are given that say otherwise."""
    shared = np.random.default_rng(0).standard_normal(200)
    fads = PROMPTS | {name.replace("_", "-"): value for name, value in prompts.items()}

    def scores(name: str, fad: float, mel: float) -> Scores:
        metrics = {"mel": figure(mel, spread / 100, 0.001 * shared)}
        kad: Any = None
        return Scores(name, metrics, (SetScores(figure(fad, spread, shared), np.nan, kad),), 1.0)

    def mel_of(n_kept: int, period: int) -> float:
        return 0.6 - 0.05 * np.log2(4 * n_kept / period)

    def noise(c: Any) -> Scores:
        share = c.noise_share
        return scores(c.name, 2.0 + 100 * share, 0.2 + 0.5 * share)

    found = {"steps": {f"steps-{s}": scores(f"steps-{s}", fad, 0.4) for s, fad in steps.items()}}
    found["prompts"] = {
        c.name: noise(c) if c.kind in ("noise", "codec") else scores(c.name, fads.get(c.name, 6.5), 0.4)
        for c in EXPERIMENTS[1].conditions
    }
    found["rates"] = {
        c.name: scores(c.name, 5.0, (rates or mel_of)(c.n_kept, period_of(c) or 1)) for c in EXPERIMENTS[2].conditions
    }
    return Analysis(found, (), 10, 200, (("mel", 100, 96),))


def verdicts(found: Analysis) -> list[str]:
    return [finding.verdict for finding in judge(EXPERIMENTS, found, CODEC)]


def test_all_hold_where_the_paper_is_right() -> None:
    assert verdicts(analysis()) == [HOLDS] * 5


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"steps": STEPS | {12: 8.0}}, 1),
        ({"steps": STEPS | {72: 2.0}}, 1),
        ({"steps": {s: 11.0 - fad for s, fad in STEPS.items()}}, 1),
        ({"periodic_32": 35.0}, 2),
        ({"inpaint_2s": 3.0}, 3),
        ({"inpaint_1s": 12.0}, 4),
        ({"rates": lambda n, p: 0.5 + 0.001 * n}, 5),
        ({"rates": lambda n, p: 0.6 if p > 4 else 0.3 - 0.001 * (4 * n / p)}, 5),
    ],
)
def test_one_fails_where_it_is_wrong(changes: dict[str, Any], number: int) -> None:
    found = verdicts(analysis(**changes))
    assert found[number - 1] == FAILS and found.count(HOLDS) == 4


def test_wide_intervals_leave_it_open() -> None:
    found = judge(EXPERIMENTS, analysis(spread=3.0), CODEC)
    assert found[2].verdict == OPEN and found[3].verdict == OPEN
    assert all(c.interval.low < 0 < c.interval.high for c in found[3].claims)


def test_what_was_not_run_is_not_tested() -> None:
    found = judge(EXPERIMENTS[:1], Analysis({"steps": analysis().scores["steps"]}, (), 1, 200, ()), CODEC)
    assert [f.verdict for f in found] == [HOLDS, UNTESTED, UNTESTED, UNTESTED, UNTESTED]
    assert "was not run" in found[3].rule


def test_common_variation_cancels() -> None:
    claim = judge(EXPERIMENTS, analysis(), CODEC)[2].claims[0]
    assert claim.interval.value == pytest.approx(1.0) and claim.interval.high - claim.interval.low < 0.1
