"""The report: one HTML file that needs nothing else: verdicts, plots, tables, examples to listen to, settings."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vampnet.audio.files import read, resample
from vampnet.evaluation.experiments.measures import METRICS
from vampnet.evaluation.experiments.plots import plot_of
from vampnet.evaluation.experiments.summary import write_tables, write_text

STYLE = Path(__file__).parent / "report.css"
EXAMPLE_RATE_HZ = 44100
SHOWN = ("mel", "beat_f", "chroma", "tokens", "rate")
"""Metrics in the tables; all others are in results.csv."""
VERDICT_CLASS = {"holds": "yes", "does not hold": "no", "undecided": "open", "not tested": "none"}

Examples = Mapping[str, Sequence[str | Path]]
"""Condition name -> audio files, one per excerpt, in the same order for all; "input" are the excerpts themselves."""


def write_report(folder: Path, data: dict[str, Any], examples: Mapping[str, Examples]) -> list[Path]:
    """report.html, results.json and results.csv in a folder. `examples`: experiment -> its examples."""
    path = folder / "report.html"
    write_text(path, report_html(data, examples))
    return [path, *write_tables(folder, data)]


def report_html(data: dict[str, Any], examples: Mapping[str, Examples]) -> str:
    """The page."""
    parts = [_head(data), _findings(data)]
    parts += [_experiment(x, data, examples.get(x["name"], {})) for x in data["experiments"]]
    parts += [_method(data), _settings(data)]
    css = STYLE.read_text(encoding="utf-8")
    title = _text(f"Evaluation of {data['bundle']}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{css}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), kind: str = "") -> str:
    """A table of cells that are HTML already; the columns in `left` are set flush left."""

    def line(cells: Sequence[str], tag: str) -> str:
        sides = (" class='left'" if k in left else "" for k in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{side}>{c}</{tag}>" for side, c in zip(sides, cells, strict=True)) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    name = f" class='{kind}'" if kind else ""
    return f"<div class='scroll'><table{name}><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table></div>"


def _head(data: dict[str, Any]) -> str:
    excerpts, model = data["excerpts"], data["model"]
    minutes = excerpts["n"] * excerpts["length_s"] / 60
    facts = {
        "Model": f"{data['bundle']}, weights {model['bundle'][:12]}",
        "Music": f"{excerpts['n']} excerpts of {excerpts['length_s']:g} s ({minutes:.1f} min) of {excerpts['pieces']} "
        f"pieces in {excerpts['folder']}",
        "Training music": excerpts["training"],
        "Reference set": "the same excerpts, unprocessed",
        "Embeddings": "; ".join(
            f"{e['id']} ({e['vectors']} vectors, {e['dim']} dimensions)" for e in data["embeddings"]
        ),
        "Command": f"<code>{_text(data['command'])}</code>",
    }
    rows = "".join(
        f"<dt>{name}</dt><dd>{value if name == 'Command' else _text(value)}</dd>" for name, value in facts.items()
    )
    notes = "".join(f'<p class="warn">{_text(w)}</p>' for w in data["warnings"])
    if data["missing"]:
        listed = "; ".join(f"{name}: {why}" for name, why in data["missing"].items())
        notes += f'<p class="warn">Not run: {_text(listed)}.</p>'
    return f"<h1>Evaluation of {_text(data['bundle'])}</h1><dl>{rows}</dl>{notes}"


# --- findings --------------------------------------------------------------------------------------------------------


def _findings(data: dict[str, Any]) -> str:
    primary = data["findings"][0]
    names = [_short(e["id"]) for e in data["embeddings"]]
    rows = [
        [str(f["number"]), _text(f["statement"]), *(_verdict(one[k]["verdict"]) for one in data["findings"])]
        for k, f in enumerate(primary)
    ]
    head = ["", "Finding of the paper", *map(_text, names)]
    table = _html_table(head, rows, left=(1,), kind="verdicts")
    details = "".join(_finding(k, data["findings"], names) for k in range(len(primary)))
    return (
        f"<h2>The paper's findings on this model and music</h2>{table}<p class='small'>Verdicts by FAD in each "
        "embedding; the first column counts. A claim is a number that has to be above 0: it holds when its 95 % "
        "interval lies above 0, does not when it lies below; a finding needs all of its claims. Thresholds are this "
        "project's.</p>"
        f"{details}"
    )


def _finding(k: int, findings: list[list[dict[str, Any]]], names: list[str]) -> str:
    first = findings[0][k]
    tables = []
    for name, one in zip(names, findings, strict=True):
        rows = [
            [_text(c["text"]), _with_interval(c["interval"]), _verdict(c["verdict"]), _text(c["numbers"])]
            for c in one[k]["claims"]
        ]
        if rows:
            head = ["Claim: above 0", "value [95 %]", "", "rests on"]
            tables.append(f"<h4>{_text(name)}</h4>{_html_table(head, rows, left=(0, 3))}")
    return (
        f"<details><summary>Finding {first['number']}: rule and numbers</summary>"
        f"<p>{_text(first['rule'])}</p>{''.join(tables)}</details>"
    )


def _verdict(text: str) -> str:
    return f"<span class='verdict {VERDICT_CLASS[text]}'>{_text(text)}</span>"


# --- experiments -----------------------------------------------------------------------------------------------------


def _experiment(experiment: dict[str, Any], data: dict[str, Any], examples: Examples) -> str:
    plot = plot_of(experiment, data["embeddings"])
    caption = (
        "<figcaption>Bars: 95 % intervals over pieces. All conditions have the same pieces, so differences between "
        "them are surer than the bars suggest; the claims above use the differences.</figcaption>"
    )
    figure = f"<figure class='scroll'>{plot}{caption}</figure>" if plot else ""
    return (
        f"<h2>{_text(experiment['title'])}</h2><p>{_text(experiment['about'])}</p>{figure}"
        f"{_table(experiment, data)}{_ranking(experiment, data)}{_players(experiment, examples)}"
    )


def _table(experiment: dict[str, Any], data: dict[str, Any]) -> str:
    shown = [m for m in METRICS if m.name in SHOWN or (m.name == "diversity" and experiment["view"] == "sampler")]
    head = ["Condition"]
    for embedding in data["embeddings"]:
        head += [f"FAD{_small(_short(embedding['id']))}", "FAD<sub>∞</sub>", "KAD"]
    head += [f"{_text(m.label)}{_small(m.unit)}" for m in shown]
    head += ["label<br><small>B/(P(N−N<sub>k</sub>))</small>"] if experiment["view"] == "rates" else []
    rows = [_cells(row, shown, experiment["view"]) for row in experiment["conditions"]]
    return _html_table([*head, "time<br><small>s/excerpt</small>"], rows)


def _cells(row: dict[str, Any], shown: list[Any], view: str) -> list[str]:
    cells = [f"<b>{_text(row['name'])}</b>{_small(row['prompt'])}"]
    for found in row["sets"]:
        kad, error = (_number(found["kad"][key]) for key in ("value", "standard_error"))
        cells += [_with_interval(found["fad"]), _number(found["fad_infinite"]), f"{kad}{_small('± ' + error)}"]
    cells += [_with_interval(row["metrics"][m.name]) for m in shown]
    cells += [_number(row.get("rates", {}).get("paper"))] if view == "rates" else []
    return [*cells, f"{row['seconds_per_excerpt']:.1f}"]


def _ranking(experiment: dict[str, Any], data: dict[str, Any]) -> str:
    if "matched" not in experiment:
        return ""
    tables = []
    for embedding, ranking, choice in zip(data["embeddings"], experiment["matched"], experiment["choice"], strict=True):
        rows = [
            [f"<b>{_text(m['name'])}</b>{_small('on the curve' if m['on_curve'] else '')}"]
            + [_with_interval(m[key]) for key in ("diversity", "fad", "excess")]
            for m in ranking
        ]
        head = ["Condition", "diversity", "FAD", "FAD − curve's"]
        chosen = f"<p>Choice: <b>{_text(choice['name'])}</b>: {_text(choice['reason'])}.</p>"
        tables.append(f"<h4>{_text(_short(embedding['id']))}</h4>{chosen}{_html_table(head, rows)}")
    return (
        "<h3>At matched diversity</h3><p>FAD minus that of the temperature curve at the same diversity; below 0 is "
        f"better. Empty where the curve does not reach.</p>{''.join(tables)}"
    )


def _players(experiment: dict[str, Any], examples: Examples) -> str:
    names = [row["name"] for row in experiment["conditions"] if row["name"] in examples]
    if not names or "input" not in examples:
        return ""
    n = len(examples["input"])
    rows = [[f"<b>{_text(name)}</b>", *(_player(p, name) for p in examples[name])] for name in ("input", *names)]
    table = _html_table(["", *(f"excerpt {k + 1}" for k in range(n))], rows, kind="players")
    return f"<details><summary>Listen: {n} excerpts, every condition</summary>{table}</details>"


def _player(path: str | Path, name: str) -> str:
    coded = base64.b64encode(small_mp3(path)).decode("ascii")
    return f"<audio controls preload='none' aria-label='{_text(name)}' src='data:audio/mpeg;base64,{coded}'></audio>"


def small_mp3(path: str | Path) -> bytes:
    """A file as a small mono MP3, for listening alone; every figure is from the uncompressed audio."""
    audio = read(path)
    mono = resample(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz, EXAMPLE_RATE_HZ)[0]
    out = io.BytesIO()
    peak = max(float(np.abs(mono).max()), 1.0)
    coding: dict[str, Any] = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE"}
    soundfile.write(out, mono / peak, EXAMPLE_RATE_HZ, compression_level=0.75, **coding)
    return out.getvalue()


# --- method and settings ---------------------------------------------------------------------------------------------


def _method(data: dict[str, Any]) -> str:
    excerpts = data["excerpts"]
    points = [
        "<b>FAD</b>: Fréchet distance between Gaussians fitted to the embeddings of a condition's outputs and of the "
        "unprocessed excerpts. It grows when there are few, so compare only figures of the same set. "
        "<b>FAD<sub>∞</sub></b>: extrapolated to infinitely many vectors. <b>KAD</b>: 100 times the unbiased squared "
        "kernel discrepancy, Gaussian kernel, bandwidth the median distance of the reference.",
        *(f"<b>{_text(m.label)}</b>{f' ({_text(m.unit)})' if m.unit else ''}: {_text(m.meaning)}." for m in METRICS),
        f"<b>Intervals</b>: 95 %, bootstrap over {excerpts['pieces']} pieces, {data['resamples']} resamples, the same "
        "for all conditions; moved so that their mean lies on the figure.",
        "Excerpts are mixed to mono and brought to −24 LUFS; outputs to the loudness of their input.",
        f"Excerpts: first one of each file, then a second one of each ...; order by seed {excerpts['seed']}.",
    ]
    return "<h2>How it was measured</h2><ul>" + "".join(f"<li>{point}</li>" for point in points) + "</ul>"


def _settings(data: dict[str, Any]) -> str:
    settings = {x["name"]: {row["name"]: row["settings"] for row in x["conditions"]} for x in data["experiments"]}
    about = {"vampnet": data["vampnet"], **data["versions"]}
    blocks = {
        "Versions": about,
        "Model and run": data["model"],
        "Conditions": settings,
        "Excerpts": data["excerpts"]["names"],
    }
    return "<h2>Settings</h2>" + "".join(
        f"<details><summary>{name}</summary><pre>{_text(json.dumps(value, indent=1))}</pre></details>"
        for name, value in blocks.items()
    )


def _short(embedding: str) -> str:
    return embedding.split("#")[0]


def _small(text: str) -> str:
    return f"<br><small>{_text(text)}</small>" if text else ""


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.2g}"


def _with_interval(found: dict[str, Any]) -> str:
    value, low, high = found["value"], found["low"], found["high"]
    if value is None or low is None or low == high:
        return _number(value)
    return f"{_number(value)}<br><small>[{_number(low)}, {_number(high)}]</small>"
