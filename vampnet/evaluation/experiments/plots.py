"""The report's plots as SVG text, drawn by matplotlib from the data of `summary`."""

from __future__ import annotations

import html
import io
import math
import re
from typing import Any

BLUE, ORANGE, GREEN, GREY, RED = "#1f5fa8", "#c8641b", "#2c7a51", "#777777", "#a8322d"
COLOURS = (BLUE, ORANGE, GREEN, RED)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE = {
    "font.size": 10,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "font.family": "sans-serif",
}


def plot_of(experiment: dict[str, Any], embeddings: list[dict[str, Any]]) -> str:
    """SVG of an experiment, empty when it has no conditions to draw."""
    draw = {"steps": _steps, "prompts": _prompts, "rates": _rates, "sampler": _sampler}[experiment["view"]]
    if not experiment["conditions"]:
        return ""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(9.2, 3.9), layout="constrained")
        draw(figure, experiment, [_short(e["id"]) for e in embeddings])
        return _svg(figure, experiment["title"])


def _short(embedding: str) -> str:
    return embedding.split("#")[0]


def _svg(figure: Any, title: str) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Title": title})
    text = out.getvalue()
    # Ids are unique in a file, but several plots share a page.
    mark = re.sub(r"\W", "", title)
    text = re.sub(r'(id="|url\(#|xlink:href="#)', rf"\g<1>{mark}-", text[text.index("<svg") :])
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title, quote=True)}" ', 1)


def _series(rows: list[dict[str, Any]], get: Any) -> tuple[list[float], list[list[float]]]:
    """Values and their distances to both ends of the interval."""
    found = [get(row) for row in rows]
    values = [_number(f["value"]) for f in found]
    below = [max(v - _number(f["low"]), 0.0) for v, f in zip(values, found, strict=True)]
    above = [max(_number(f["high"]) - v, 0.0) for v, f in zip(values, found, strict=True)]
    return values, [[0.0 if math.isnan(x) else x for x in side] for side in (below, above)]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _fad(embedding: int) -> Any:
    return lambda row: row["sets"][embedding]["fad"]


def _metric(name: str) -> Any:
    return lambda row: row["metrics"][name]


def _steps(figure: Any, experiment: dict[str, Any], names: list[str]) -> None:
    rows = experiment["conditions"]
    steps = [row["settings"]["sampling"]["steps"] for row in rows]
    panels = [(f"FAD, {name}", _fad(e)) for e, name in enumerate(names)] + [("mel distance, log10", _metric("mel"))]
    for axis, (label, get), colour in zip(_row_of(figure, len(panels)), panels, COLOURS, strict=False):
        values, ends = _series(rows, get)
        axis.errorbar(steps, values, yerr=ends, color=colour, marker="o", markersize=5, capsize=3, linewidth=1.6)
        axis.set_xscale("log", base=2)
        axis.set_xticks(steps, ["" if s == 64 else str(s) for s in steps], fontsize=8)  # 64 and 72 would collide
        axis.minorticks_off()
        axis.set_xlabel("steps")
        axis.set_title(label, loc="left", fontsize=10)


def _prompts(figure: Any, experiment: dict[str, Any], names: list[str]) -> None:
    rows = experiment["conditions"]
    noise = [row for row in rows if row["settings"]["kind"] in ("codec", "noise")]
    points = [row for row in rows if row["settings"]["kind"] not in ("codec", "noise")]
    for e, (axis, name) in enumerate(zip(_row_of(figure, len(names)), names, strict=True)):
        noisy = sorted(noise, key=lambda row: row["metrics"]["mel"]["value"])
        if noisy:
            x, y = _series(noisy, _metric("mel"))[0], _series(noisy, _fad(e))[0]
            axis.plot(x, y, color=GREY, marker=".", linewidth=1.2, label="codec, then noise")
        for k, row in enumerate(points):
            (x, x_ends), (y, y_ends) = _series([row], _metric("mel")), _series([row], _fad(e))
            colour = GREEN if row["settings"]["kind"] == "opus" else (BLUE, ORANGE)[k % 2]
            marker = MARKERS[k % len(MARKERS)]
            axis.errorbar(
                x, y, xerr=x_ends, yerr=y_ends, color=colour, marker=marker, markersize=6, linewidth=0.9, linestyle="",
                label=row["name"],
            )  # fmt: skip
        axis.set_yscale("log")
        axis.set_xlabel("mel distance, log10")
        axis.set_title(f"FAD, {name}", loc="left", fontsize=10)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8.5)


def _rates(figure: Any, experiment: dict[str, Any], names: list[str]) -> None:
    rows = [row for row in experiment["conditions"] if row.get("rates")]
    panels = [("mel distance, log10", _metric("mel"))] + [(f"FAD, {name}", _fad(e)) for e, name in enumerate(names)]
    for axis, (label, get) in zip(_row_of(figure, len(panels)), panels, strict=True):
        for k, n_kept in enumerate(sorted({row["rates"]["n_kept"] for row in rows})):
            own = sorted((r for r in rows if r["rates"]["n_kept"] == n_kept), key=lambda r: r["rates"]["kept"])
            values, ends = _series(own, get)
            rates = [row["rates"]["kept"] for row in own]
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            axis.errorbar(
                rates, values, yerr=ends, color=colour, marker=marker, markersize=4.5, capsize=2, linewidth=1.3,
                label=f"N_k = {n_kept}",
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_xlabel("kept, bit/s")
        axis.set_title(label, loc="left", fontsize=10)
    figure.axes[0].legend(frameon=False, fontsize=8.5)


def _sampler(figure: Any, experiment: dict[str, Any], names: list[str]) -> None:
    rows = experiment["conditions"]
    for e, (axis, name) in enumerate(zip(_row_of(figure, len(names)), names, strict=True)):
        on_curve = {m["name"] for m in experiment["matched"][e] if m["on_curve"]}
        curve = sorted((r for r in rows if r["name"] in on_curve), key=lambda r: r["metrics"]["diversity"]["value"])
        x, y = _series(curve, _metric("diversity"))[0], _series(curve, _fad(e))[0]
        axis.plot(x, y, color=GREY, marker=".", linewidth=1.2, label="temperature alone")
        families: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row["name"] not in on_curve:
                families.setdefault(re.split(r"-\d", row["name"])[0], []).append(row)
        for k, (family, own) in enumerate(families.items()):
            (x, x_ends), (y, y_ends) = _series(own, _metric("diversity")), _series(own, _fad(e))
            axis.errorbar(
                x, y, xerr=x_ends, yerr=y_ends, color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)],
                markersize=6, linewidth=0.9, linestyle="", label=family,
            )  # fmt: skip
        axis.set_xlabel("diversity: mel distance between variations")
        axis.set_title(f"FAD, {name}", loc="left", fontsize=10)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8.5)


def _row_of(figure: Any, n: int) -> list[Any]:
    found = figure.subplots(1, n)
    return list(found) if n > 1 else [found]


def curves_of(curves: dict[str, list[list[float]]], title: str, x_label: str, y_label: str) -> str:
    """SVG of several curves, one panel each: name -> points (x, y)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(9.2, 3.4), layout="constrained")
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, (name, points), colour in zip(panels, curves.items(), COLOURS, strict=False):
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", color=colour)
            axes.set_title(name)
            axes.set_xlabel(x_label)
            axes.set_ylabel(y_label)
        return _svg(figure, title)
