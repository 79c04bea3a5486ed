"""Plots of a listening test as SVG that takes its colours from the page it stands in."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from vampnet.errors import require
from vampnet.evaluation.listening.choices import AbxAnalysis, PreferenceAnalysis
from vampnet.evaluation.listening.mushra import MushraAnalysis, Rating

# Drawn in these colours, which are then replaced by the page's.
_INK, _SOFT, _LINE, _ACCENT, _TINT = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
_PAGE = {
    _INK: "currentColor",
    _SOFT: "var(--soft)",
    _LINE: "var(--line)",
    _ACCENT: "var(--accent)",
    _TINT: "var(--tint)",
}
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "svg.hashsalt": "vampnet",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BANDS = ("Bad", "Poor", "Fair", "Good", "Excellent")


def require_plots() -> None:
    """Raises DependencyError where matplotlib is missing."""
    require("matplotlib", "the report's plots")


def draw_mushra(found: MushraAnalysis, answers: Sequence[Rating]) -> str:
    """Mean and 95 % interval per condition, a dot per listener."""
    out = {entry.listener for entry in found.screening if entry.excluded}
    scores = found.scores

    def draw(axes: Any) -> None:
        for at, score in enumerate(scores):
            means: dict[str, list[int]] = {}
            for rating in answers:
                if rating.condition == score.condition and rating.listener not in out:
                    means.setdefault(rating.listener, []).append(rating.score)
            dots = sorted(float(np.mean(values)) for values in means.values())
            # Side by side in turn, so that equal ones do not hide each other.
            aside = [0.12 + 0.05 * (k % 5) for k in range(len(dots))]
            axes.scatter(at + np.array(aside), dots, s=13, color=_SOFT, alpha=0.55, linewidths=0)
            axes.plot([at, at], [score.t_low, score.t_high], color=_ACCENT, linewidth=3, solid_capstyle="round")
            axes.plot(at, score.mean, "o", color=_ACCENT, markersize=8)
        axes.set_xticks(range(len(scores)), [_wrapped(score.condition) for score in scores])
        axes.set_xlim(-0.5, len(scores) - 0.25)
        axes.set_ylim(-2, 102)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(axis="y", color=_LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        for band, label in enumerate(_BANDS):
            axes.text(1.01, 0.02 + (20 * band + 10) / 104, label, transform=axes.transAxes, color=_SOFT, va="center")
        axes.set_ylabel("score")

    return _svg(draw, (max(5.5, 1.05 * len(scores) + 1.6), 4.0))


def draw_abx(found: AbxAnalysis) -> str:
    """Share of correct answers per pair with its 95 % interval, a dot per listener; chance is 0.5."""
    pairs = found.pairs[::-1]

    def draw(axes: Any) -> None:
        axes.axvline(0.5, color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
        for at, pair in enumerate(pairs):
            dots = [count.share for count in pair.listeners]
            aside = [-0.14 - 0.05 * (k % 5) for k in range(len(dots))]
            axes.scatter(dots, at + np.array(aside), s=13, color=_SOFT, alpha=0.55, linewidths=0)
            low, high = pair.pooled.wilson_low, pair.pooled.wilson_high
            axes.plot([low, high], [at, at], color=_ACCENT, linewidth=3, solid_capstyle="round")
            axes.plot(pair.pooled.share, at, "o", color=_ACCENT, markersize=8)
        axes.set_yticks(range(len(pairs)), [f"{pair.one} – {pair.other}" for pair in pairs])
        axes.set_ylim(-0.6, len(pairs) - 0.4)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("share of correct answers (dashed: chance)")

    return _svg(draw, (7.0, 0.75 * len(pairs) + 1.0))


def draw_preference(found: PreferenceAnalysis) -> str:
    """Answers of each pair as one bar: for one, for neither, for the other."""
    pairs = found.pairs[::-1]

    def draw(axes: Any) -> None:
        for at, pair in enumerate(pairs):
            n = pair.one.n_trials
            parts = ((pair.one.n_chosen, _ACCENT), (pair.n_none, _LINE), (pair.other.n_chosen, _TINT))
            left = 0.0
            for count, colour in parts:
                axes.barh(at, count / n, left=left, height=0.5, color=colour, linewidth=0)
                left += count / n
            axes.text(-0.02, at, f"{pair.one.condition}  {pair.one.n_chosen}", ha="right", va="center")
            axes.text(1.02, at, f"{pair.other.n_chosen}  {pair.other.condition}", ha="left", va="center")
        axes.axvline(0.5, color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.5, len(pairs) - 0.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("share of answers (grey: no preference)")

    return _svg(draw, (7.5, 0.6 * len(pairs) + 0.9))


def _svg(draw: Any, size_inches: tuple[float, float]) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size_inches, layout="constrained")
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for drawn, wanted in _PAGE.items():
        text = text.replace(drawn, wanted)
    return text


def _wrapped(name: str) -> str:
    """A long name on two lines."""
    if len(name) <= 14:
        return name
    cut = max((name.rfind(c, 0, 14) for c in " -_."), default=-1) + 1 or 13
    return f"{name[:cut]}\n{name[cut:]}"
