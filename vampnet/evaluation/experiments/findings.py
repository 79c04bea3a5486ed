"""The paper's five findings as claims that figures can bear out, contradict or leave open.

Each claim is a number that has to be above 0. It holds when its whole 95 % interval lies above 0, does not when the
interval lies below, and is undecided otherwise. A finding holds when all of its claims hold, does not when one does
not, and is undecided otherwise. Nothing is corrected for the number of claims. Thresholds are this project's: the paper
says "close" and "on a par" without numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vampnet.evaluation.experiments.analysis import Analysis, Scores, Statistic, combine
from vampnet.evaluation.experiments.experiment import Experiment, bit_rates, period_of
from vampnet.evaluation.metrics.frechet import Floats
from vampnet.evaluation.metrics.statistics import Interval

HOLDS, FAILS, OPEN, UNTESTED = "holds", "does not hold", "undecided", "not tested"
CLOSE = 0.25
"""Finding 1: "close" and "gains little" are a quarter of what 36 steps gain over one."""
FAR_BELOW = 0.5
"""Finding 2: "far below" is less than half."""
ON_A_PAR = 1.25
"""Finding 4: "on a par" is within a quarter, either way."""
RECONSTRUCTS_BPS, GENERATES_BPS = 600.0, 200.0
MIN_CORRELATION, MAX_JUMP = 0.8, 0.5
"""Finding 5: rank correlation of error with falling rate, and the largest single step as a share of the whole range."""
GENERATIVE = ("periodic-8", "periodic-16", "periodic-32", "inpaint-1s", "inpaint-2s")
"""Prompts of the recipe `prompts` that generate, besides the beat-driven one."""


@dataclass(frozen=True)
class Claim:
    """One number that a finding rests on."""

    text: str
    """Quantity that has to be above 0, in words."""
    interval: Interval
    verdict: str
    numbers: str
    """The figures that it is made of."""


@dataclass(frozen=True)
class Finding:
    """A finding of the paper, judged."""

    number: int
    statement: str
    rule: str
    claims: tuple[Claim, ...]
    verdict: str


def judge(
    experiments: Sequence[Experiment], analysis: Analysis, codec: CodecFacts, embedding: int = 0
) -> list[Finding]:
    """All five, in one embedding. A finding whose conditions were not run is "not tested"."""
    table = _Table(experiments, analysis, embedding)
    makers = (_steps, _below_noise, _beats, _par, lambda t: _rates(t, codec))
    return [_finding(number, maker, table) for number, maker in enumerate(makers, 1)]


@dataclass(frozen=True)
class CodecFacts:
    """Frame rate and codebooks of the codec, from which bit rates follow."""

    frames_per_s: float
    n_codebooks: int
    codebook_size: int
    n_coarse: int


class _Missing(Exception):
    """A condition that a finding needs was not run."""


class _Table:
    """Figures by the names that the shipped recipes give."""

    def __init__(self, experiments: Sequence[Experiment], analysis: Analysis, embedding: int) -> None:
        self.experiments = {x.name: x for x in experiments}
        self.analysis, self.embedding = analysis, embedding

    def scores(self, experiment: str, name: str) -> Scores:
        try:
            return self.analysis.scores[experiment][name]
        except KeyError:
            raise _Missing(f"condition {name} of experiment {experiment}") from None

    def fad(self, experiment: str, name: str) -> Statistic:
        return self.scores(experiment, name).sets[self.embedding].fad

    def mel(self, experiment: str, name: str) -> Statistic:
        return self.scores(experiment, name).metrics["mel"]


_Made = list[Claim]


def _finding(number: int, maker: Callable[[_Table], _Made], table: _Table) -> Finding:
    statement, rule = STATEMENTS[number - 1]
    try:
        claims = maker(table)
    except _Missing as error:
        return Finding(number, statement, f"{rule} Not tested: {error} was not run.", (), UNTESTED)
    verdicts = [claim.verdict for claim in claims]
    verdict = FAILS if FAILS in verdicts else OPEN if OPEN in verdicts else HOLDS
    return Finding(number, statement, rule, tuple(claims), verdict)


STATEMENTS = (
    (
        "FAD falls with sampling steps up to about 36, and 12 is close to that.",
        "With G = FAD(1) - FAD(36): FAD falls along log2(steps) up to 36 and G > 0; 12 steps lack at most a quarter of "
        "G; 72 steps gain at most another quarter.",
    ),
    (
        "Every prompt's FAD is far below that of the noisy-token baseline at comparable mel error.",
        "Each prompt's FAD is less than half of the noise curve's at the same mel distance (linear between shares of "
        "noise; beyond the curve's end, its end).",
    ),
    (
        "Beat-driven prompting has the lowest FAD of the generative prompts.",
        "FAD of beats (75 ms) is lower than that of each of: periodic 8, 16, 32, inpaint 1 s, 2 s.",
    ),
    (
        "Periodic P = 16 is on a par with inpainting with 1 s of context.",
        "Neither FAD exceeds the other by more than a quarter.",
    ),
    (
        "Combining compression and periodic prompts moves smoothly from reconstruction (600 bit/s and up) to "
        "generation (200 bit/s and below).",
        "Over the grid: the rank correlation of mel distance with falling kept rate is above 0.8; with the middle half "
        "way between the best and the worst mel distance, conditions labelled 600 bit/s and up by B / (P (N - N_k)) "
        "lie below it on average, those of 200 and below above it; no doubling of P goes more than half of the way.",
    ),
)


def _claim(text: str, statistic: Statistic, numbers: str) -> Claim:
    interval = statistic.interval()
    if np.isnan(interval.low):
        verdict = OPEN
    else:
        verdict = HOLDS if interval.low > 0 else FAILS if interval.high < 0 else OPEN
    return Claim(text, interval, verdict, numbers)


def _steps(table: _Table) -> list[Claim]:
    steps = {s: table.fad("steps", f"steps-{s}") for s in (1, 4, 8, 12, 24, 36, 72)}
    gain = steps[1] - steps[36]
    upto = [s for s in steps if s <= 36]

    def slope(values: Floats) -> float:
        return -float(np.polyfit(np.log2(upto), values, 1)[0])

    shown = _list({f"{s} steps": f.value for s, f in steps.items()})
    return [
        _claim("FAD(1) - FAD(36)", gain, shown),
        _claim("fall of FAD per doubling of steps, up to 36", combine(slope, [steps[s] for s in upto]), ""),
        _claim("a quarter of G, minus FAD(12) - FAD(36)", gain * CLOSE - (steps[12] - steps[36]), ""),
        _claim("a quarter of G, minus FAD(36) - FAD(72)", gain * CLOSE - (steps[36] - steps[72]), ""),
    ]


def _below_noise(table: _Table) -> list[Claim]:
    prompts = table.experiments.get("prompts")
    noise = [c.name for c in prompts.conditions if c.kind in ("noise", "codec")] if prompts else []
    if len(noise) < 2:
        raise _Missing("the noise baseline of experiment prompts")
    curve = [table.mel("prompts", n) for n in noise], [table.fad("prompts", n) for n in noise]

    def at(own: Floats, mel: Floats, fad: Floats) -> float:
        order = np.argsort(mel)
        return float(np.interp(own[0], mel[order], fad[order]))

    claims = []
    for name in ("compression-1", *GENERATIVE, "beats-75ms"):
        own, mel = table.fad("prompts", name), table.mel("prompts", name)
        noisy = combine(at, [mel], *curve)
        numbers = (
            f"mel {mel.value:.3f}: FAD {own.value:.4g} against {noisy.value:.4g}, ratio {own.value / noisy.value:.2f}"
        )
        claims.append(_claim(f"{name}: half of the noise's FAD, minus its own", noisy * FAR_BELOW - own, numbers))
    return claims


def _beats(table: _Table) -> list[Claim]:
    beats = table.fad("prompts", "beats-75ms")
    others = {name: table.fad("prompts", name) for name in GENERATIVE}
    return [
        _claim(f"FAD({name}) - FAD(beats-75ms)", other - beats, f"{other.value:.4g} - {beats.value:.4g}")
        for name, other in others.items()
    ]


def _par(table: _Table) -> list[Claim]:
    periodic, inpaint = table.fad("prompts", "periodic-16"), table.fad("prompts", "inpaint-1s")
    numbers = f"periodic {periodic.value:.4g}, inpaint {inpaint.value:.4g}, ratio {periodic.value / inpaint.value:.2f}"
    return [
        _claim("1.25 FAD(inpaint-1s) - FAD(periodic-16)", inpaint * ON_A_PAR - periodic, numbers),
        _claim("1.25 FAD(periodic-16) - FAD(inpaint-1s)", periodic * ON_A_PAR - inpaint, ""),
    ]


def _rates(table: _Table, codec: CodecFacts) -> list[Claim]:
    experiment = table.experiments.get("rates")
    grid = [(c.n_kept or codec.n_coarse, period_of(c), c.name) for c in experiment.conditions] if experiment else []
    cells = {(n, p): table.mel("rates", name) for n, p, name in grid if p}
    if len(cells) < 4:
        raise _Missing("the grid of experiment rates")
    facts = (codec.frames_per_s, codec.n_codebooks, codec.codebook_size)
    rates = {cell: bit_rates(*facts, *cell) for cell in cells}
    kept, order = np.array([rates[cell].kept for cell in cells]), list(cells)
    high = [i for i, cell in enumerate(order) if rates[cell].paper >= RECONSTRUCTS_BPS]
    low = [i for i, cell in enumerate(order) if rates[cell].paper <= GENERATES_BPS]
    steps = [(order.index((n, p)), order.index((n, 2 * p))) for n, p in order if (n, 2 * p) in cells]
    if not (high and low and steps):
        raise _Missing("a grid with rates of 600 and 200 bit/s and doublings of P")

    def reconstructs(mel: Floats) -> float:
        return float(mel.min() + mel.max()) / 2 - float(mel[high].mean())

    def generates(mel: Floats) -> float:
        return float(mel[low].mean()) - float(mel.min() + mel.max()) / 2

    def jump(mel: Floats) -> float:
        return max(float(mel[b] - mel[a]) for a, b in steps) / float(np.ptp(mel))

    mels = list(cells.values())
    correlation = combine(lambda mel: -_rank_correlation(mel, kept), mels)
    largest = combine(jump, mels)
    bounds = f"mel {min(m.value for m in mels):.3f} to {max(m.value for m in mels):.3f}"
    return [
        _claim("rank correlation - 0.8", _minus(correlation, MIN_CORRELATION), f"correlation {correlation.value:.3f}"),
        _claim("middle - mean mel at 600 bit/s and up", combine(reconstructs, mels), bounds),
        _claim("mean mel at 200 bit/s and below - middle", combine(generates, mels), ""),
        _claim(
            "0.5 - largest step", _minus(largest, MAX_JUMP) * -1.0, f"largest step {largest.value:.2f} of the range"
        ),
    ]


def _minus(statistic: Statistic, number: float) -> Statistic:
    return Statistic(statistic.value - number, statistic.draws_R - number)


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's, ties by mean rank."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def _list(values: dict[str, float]) -> str:
    return ", ".join(f"{name}: {value:.4g}" for name, value in values.items())
