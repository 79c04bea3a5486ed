"""The report: one HTML file that needs nothing else, with verdicts, plots, tables, examples to listen to and settings."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vampnet.audio import read, resample
from vampnet.evaluation.measures import METRICS
from vampnet.evaluation.plots import plot_of
from vampnet.evaluation.summary import write_tables, write_text

EXAMPLE_RATE_HZ = 44100
SHOWN = ("mel", "beat_f", "chroma", "tokens", "rate")
"""Metrics in the tables; all others are in results.csv."""
VERDICT_CLASS = {"holds": "yes", "does not hold": "no", "undecided": "open", "not tested": "none"}

Examples = dict[str, Sequence[str | Path]]
"""Condition name -> audio files, one per excerpt, in the same order for all; "input" are the excerpts themselves."""


def write_report(folder: Path, data: dict[str, Any], examples: dict[str, Examples]) -> list[Path]:
    """report.html, results.json and results.csv in a folder. `examples`: experiment -> its examples."""
    path = folder / "report.html"
    write_text(path, report_html(data, examples))
    return [path, *write_tables(folder, data)]


def report_html(data: dict[str, Any], examples: dict[str, Examples]) -> str:
    """The page."""
    parts = [_head(data), _findings(data)]
    parts += [_experiment(x, data, examples.get(x["name"], {})) for x in data["experiments"]]
    parts += [_method(data), _settings(data)]
    title = _text(f"Evaluation of {data['bundle']}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


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
    head = "".join(f"<th>{_text(n)}</th>" for n in names)
    rows = "".join(
        f"<tr><td>{f['number']}</td><td class='left'>{_text(f['statement'])}</td>"
        + "".join(f"<td>{_verdict(one[k]['verdict'])}</td>" for one in data["findings"])
        + "</tr>"
        for k, f in enumerate(primary)
    )
    table = f"<div class='scroll'><table class='verdicts'><thead><tr><th></th><th class='left'>Finding of the paper</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    details = "".join(_finding(k, data["findings"], names) for k in range(len(primary)))
    return (
        f"<h2>The paper's findings on this model and music</h2>{table}<p class='small'>Verdicts by FAD in each embedding; "
        "the first column counts. A claim is a number that has to be above 0: it holds when its 95 % interval lies above 0, "
        "does not when it lies below; a finding needs all of its claims. Thresholds are this project's.</p>"
        f"{details}"
    )


def _finding(k: int, findings: list[list[dict[str, Any]]], names: list[str]) -> str:
    first = findings[0][k]
    tables = []
    for name, one in zip(names, findings, strict=True):
        rows = "".join(
            f"<tr><td class='left'>{_text(c['text'])}</td><td>{_with_interval(c['interval'])}</td>"
            f"<td>{_verdict(c['verdict'])}</td><td class='left'>{_text(c['numbers'])}</td></tr>"
            for c in one[k]["claims"]
        )
        if rows:
            tables.append(
                f"<h4>{_text(name)}</h4><div class='scroll'><table><thead><tr><th class='left'>Claim: above 0</th>"
                f"<th>value [95 %]</th><th></th><th class='left'>rests on</th></tr></thead><tbody>{rows}</tbody></table></div>"
            )
    return (
        f"<details><summary>Finding {first['number']}: rule and numbers</summary>"
        f"<p>{_text(first['rule'])}</p>{''.join(tables)}</details>"
    )


def _verdict(text: str) -> str:
    return f"<span class='verdict {VERDICT_CLASS[text]}'>{_text(text)}</span>"


# --- experiments -----------------------------------------------------------------------------------------------------


def _experiment(experiment: dict[str, Any], data: dict[str, Any], examples: Examples) -> str:
    plot = plot_of(experiment, data["embeddings"])
    figure = (
        f"<figure class='scroll'>{plot}<figcaption>Bars: 95 % intervals over pieces.</figcaption></figure>"
        if plot
        else ""
    )
    return (
        f"<h2>{_text(experiment['title'])}</h2><p>{_text(experiment['about'])}</p>{figure}"
        f"{_table(experiment, data)}{_ranking(experiment, data)}{_players(experiment, examples)}"
    )


def _table(experiment: dict[str, Any], data: dict[str, Any]) -> str:
    shown = [m for m in METRICS if m.name in SHOWN or (m.name == "diversity" and experiment["view"] == "sampler")]
    names = [_short(e["id"]) for e in data["embeddings"]]
    head = "".join(f"<th>FAD<br><small>{_text(n)}</small></th><th>FAD<sub>∞</sub></th><th>KAD</th>" for n in names)
    head += "".join(f"<th>{_text(m.label)}<br><small>{_text(m.unit)}</small></th>" for m in shown)
    if experiment["view"] == "rates":
        head += "<th>label<br><small>B/(P(N−N<sub>k</sub>))</small></th>"
    rows = "".join(f"<tr>{_cells(row, shown, experiment['view'])}</tr>" for row in experiment["conditions"])
    return (
        f"<div class='scroll'><table><thead><tr><th class='left'>Condition</th>{head}<th>time<br><small>s/excerpt</small></th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(row: dict[str, Any], shown: list[Any], view: str) -> str:
    cells = [f"<td class='left'><b>{_text(row['name'])}</b>{_small(row['prompt'])}</td>"]
    for found in row["sets"]:
        cells.append(f"<td>{_with_interval(found['fad'])}</td><td>{_number(found['fad_infinite'])}</td>")
        cells.append(
            f"<td>{_number(found['kad']['value'])}<br><small>± {_number(found['kad']['standard_error'])}</small></td>"
        )
    cells += [f"<td>{_with_interval(row['metrics'][m.name])}</td>" for m in shown]
    if view == "rates":
        cells.append(f"<td>{_number(row.get('rates', {}).get('paper'))}</td>")
    return "".join(cells) + f"<td>{row['seconds_per_excerpt']:.1f}</td>"


def _ranking(experiment: dict[str, Any], data: dict[str, Any]) -> str:
    if "matched" not in experiment:
        return ""
    tables = []
    for embedding, ranking in zip(data["embeddings"], experiment["matched"], strict=True):
        rows = "".join(
            f"<tr><td class='left'><b>{_text(m['name'])}</b>{_small('on the curve' if m['on_curve'] else '')}</td>"
            f"<td>{_with_interval(m['diversity'])}</td><td>{_with_interval(m['fad'])}</td><td>{_with_interval(m['excess'])}</td></tr>"
            for m in ranking
        )
        tables.append(
            f"<h4>{_text(_short(embedding['id']))}</h4><div class='scroll'><table><thead><tr><th class='left'>Condition</th><th>diversity</th>"
            f"<th>FAD</th><th>FAD − curve's</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return (
        "<h3>At matched diversity</h3><p>FAD minus that of the temperature curve at the same diversity; below 0 is better. "
        f"Empty where the curve does not reach.</p>{''.join(tables)}"
    )


def _players(experiment: dict[str, Any], examples: Examples) -> str:
    names = [row["name"] for row in experiment["conditions"] if row["name"] in examples]
    if not names or "input" not in examples:
        return ""
    columns = [("input", examples["input"]), *((name, examples[name]) for name in names)]
    rows = "".join(
        f"<tr><td class='left'><b>{_text(name)}</b></td>"
        + "".join(f"<td>{_player(p, name)}</td>" for p in paths)
        + "</tr>"
        for name, paths in columns
    )
    head = "".join(f"<th>excerpt {k + 1}</th>" for k in range(len(examples["input"])))
    return (
        f"<details><summary>Listen: {len(examples['input'])} excerpts, every condition</summary><div class='scroll'>"
        f"<table class='players'><thead><tr><th class='left'></th>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _player(path: str | Path, name: str) -> str:
    coded = base64.b64encode(small_mp3(path)).decode("ascii")
    return f"<audio controls preload='none' aria-label='{_text(name)}' src='data:audio/mpeg;base64,{coded}'></audio>"


def small_mp3(path: str | Path) -> bytes:
    """A file as a small mono MP3, for listening alone; every figure is from the uncompressed audio."""
    audio = read(path)
    mono = resample(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz, EXAMPLE_RATE_HZ)[0]
    out = io.BytesIO()
    peak = max(float(np.abs(mono).max()), 1.0)
    soundfile.write(
        out,
        mono / peak,
        EXAMPLE_RATE_HZ,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="VARIABLE",
        compression_level=0.75,
    )
    return out.getvalue()


# --- method and settings ---------------------------------------------------------------------------------------------


def _method(data: dict[str, Any]) -> str:
    excerpts = data["excerpts"]
    meanings = "".join(
        f"<li><b>{_text(m.label)}</b>{f' ({_text(m.unit)})' if m.unit else ''}: {_text(m.meaning)}.</li>"
        for m in METRICS
    )
    return (
        "<h2>How it was measured</h2><ul>"
        "<li><b>FAD</b>: Fréchet distance between Gaussians fitted to the embeddings of a condition's outputs and of the "
        "unprocessed excerpts; grows with few excerpts, so compare only figures of the same set. <b>FAD<sub>∞</sub></b>: "
        "extrapolated to infinitely many vectors. <b>KAD</b>: 100 times the unbiased squared kernel discrepancy, Gaussian "
        f"kernel, bandwidth the median distance of the reference.</li>{meanings}"
        f"<li><b>Intervals</b>: 95 %, bootstrap over {excerpts['pieces']} pieces, {data['resamples']} resamples, the same for all "
        "conditions; moved so that their mean lies on the figure.</li>"
        "<li>Excerpts are mixed to mono and brought to −24 LUFS; outputs to the loudness of their input.</li>"
        f"<li>Excerpts: first one of each file, then a second one of each ...; order by seed {excerpts['seed']}.</li></ul>"
    )


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


CSS = """
:root{--ink:#1d2328;--soft:#5d6770;--line:#dde1e5;--yes:#1f7a4d;--no:#a8322d;--open:#8a6d1a}
*{box-sizing:border-box}body{margin:0;background:#fff;color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.7rem;margin:0 0 .6em;line-height:1.2}h2{font-size:1.3rem;margin:2.2em 0 .5em;padding-top:.8em;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.6em 0 .3em}h4{font-size:.9rem;margin:1.1em 0 .3em;color:var(--soft)}p{margin:.5em 0;max-width:75ch}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25em 1.2em;margin:0;font-size:.93rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code,pre{font:.86em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}pre{overflow:auto;max-height:28em;background:#f6f7f8;padding:12px;border-radius:6px}
.scroll{overflow-x:auto;margin:.8em 0}figure{margin:1em 0}figure svg{width:100%;min-width:640px;height:auto;display:block}figcaption,.small{color:var(--soft);font-size:.86rem}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}th,td{padding:.32em .7em;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
th{font-weight:600;white-space:nowrap;vertical-align:bottom}td{white-space:nowrap}.left{text-align:left}.verdicts td.left{white-space:normal;min-width:15em}
small{color:var(--soft);font-size:.82em;font-weight:400}.verdict{font-weight:600;white-space:nowrap}.yes{color:var(--yes)}.no{color:var(--no)}.open{color:var(--open)}.none{color:var(--soft)}
.warn{background:#fdf5e0;border-left:3px solid #d3a52a;padding:.45em .8em;font-size:.9rem}details{margin:.6em 0}summary{cursor:pointer;color:#1f5fa8}
.players audio{width:240px;height:36px;display:block}.players td{vertical-align:middle}
@media(max-width:600px){main{padding:18px 14px 40px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5em}h1{font-size:1.4rem}th,td{padding:.3em .5em}}
@media print{details{display:block}}
"""
