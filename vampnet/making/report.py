"""The report on a made model: one HTML page that needs nothing else, the same facts as JSON, and the model card."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vampnet.errors import SettingsError
from vampnet.evaluation.experiments.report import STYLE, small_mp3
from vampnet.making.training import format_time
from vampnet.storage import write_whole

NAMES = {"coarse": "coarse", "c2f": "coarse-to-fine"}


def write_report(folder: Path, facts: dict[str, Any], examples: Mapping[str, Sequence[Path]]) -> None:
    """report.html and report.json in a folder. `examples`: what it is -> audio files, one per excerpt."""
    write_whole(folder / "report.json", json.dumps(facts, indent=1) + "\n", SettingsError)
    write_whole(folder / "report.html", report_page(facts, examples), SettingsError)


def report_page(facts: dict[str, Any], examples: Mapping[str, Sequence[Path]]) -> str:
    """The page."""
    parts = [
        f"<h1>{_text(facts['name'])}</h1>",
        _list(facts["data"]),
        "<h2>Cross-entropy of held-out music</h2>",
        "<p>Nats per masked token, the mean over mask rates 0.2, 0.5 and 0.8; lower is better. Unigram: what knowing "
        "how often each token occurs in the held-out music would give. ± is the standard error over files.</p>",
        _table(nats_rows(facts)),
        *(f"<p>{_text(NAMES[part])}: {_text(words)}.</p>" for part, words in facts["more"].items()),
        _curves(facts["nats"]),
        "<h2>Sound</h2>",
        f"<p>Fréchet audio distance of mel statistics to {_excerpts(facts)}; lower is better. "
        "With so few excerpts only differences between the rows mean something.</p>",
        _table(fad_rows(facts)),
        _players(examples),
        "<h2>Learned by heart?</h2>",
        f"<p>{_text(facts['memory'])}.</p>",
        "<h2>How it was made</h2>",
        _list(facts["made"]),
    ]
    if facts["left_out"]:
        parts += ["<h2>Files left out</h2>", _list(facts["left_out"])]
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(facts["name"])}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def nats_rows(facts: dict[str, Any]) -> list[list[str]]:
    """Head and rows of the table of cross-entropies."""
    rows = [["network", "this model", "model before", "change", "unigram", "its training music", "steps kept"]]
    for part, found in facts["nats"].items():
        before = f"{found['before']:.3f}" if "before" in found else "not comparable"
        change = f"{found['change']:+.3f}{_error(found['change_standard_error'])}" if "change" in found else ""
        new = f"{found['new']:.3f}{_error(found['new_standard_error'])}"
        steps = f"{found['best_step']} of {found['steps']}"
        rows.append([NAMES[part], new, before, change, f"{found['unigram']:.3f}", f"{found['train']:.3f}", steps])
    return rows


def fad_rows(facts: dict[str, Any]) -> list[list[str]]:
    """Head and rows of the table of Fréchet distances."""
    rows = [["audio", "distance"]]
    for name, value in facts["fad"].items():
        rows.append([name, "too few excerpts" if value is None else f"{value:.3f}"])
    return rows


def _error(value: float | None) -> str:
    return "" if value is None else f" ± {value:.3f}"


def model_card(facts: dict[str, Any]) -> str:
    """README.md of the bundle: what it is, data, licence, figures."""
    lines = [f"# {facts['name']}", "", "A VampNet model made by `vampnet make-model`.", ""]
    lines += [f"- **Licence**: {facts['licence']}", *(f"- {line}" for line in (*facts["data"], *facts["made"])), ""]
    lines += ["Held-out cross-entropy, nats per masked token (lower is better):", "", *_markdown(nats_rows(facts)), ""]
    lines += [f"Fréchet audio distance to {_excerpts(facts)}:", "", *_markdown(fad_rows(facts))]
    lines += ["", f"Memorisation: {facts['memory']}.", "", "`report.html` has curves and examples.", ""]
    return "\n".join(lines)


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def summary(facts: dict[str, Any]) -> list[str]:
    """Lines for the terminal."""
    lines = []
    for part, found in facts["nats"].items():
        against = f"unigram {found['unigram']:.3f}"
        if "change" in found:
            error = _error(found["change_standard_error"])
            against = f"before {found['before']:.3f}, change {found['change']:+.3f}{error}; {against}"
        lines.append(f"{NAMES[part]}: held-out cross-entropy {found['new']:.3f} nats ({against})")
    measured = {name: value for name, value in facts["fad"].items() if value is not None}
    if measured:
        lines.append("Fréchet audio distance: " + ", ".join(f"{name} {value:.3f}" for name, value in measured.items()))
    return [*lines, f"memorisation: {facts['memory']}", f"time: {format_time(facts['spent_s'])}"]


def _excerpts(facts: dict[str, Any]) -> str:
    return f"{facts['n_excerpts']} held-out excerpt{'' if facts['n_excerpts'] == 1 else 's'}"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th class="left">{_text(cell)}</th>' for cell in rows[0])
    cells = ["".join(f'<td class="left">{_text(cell)}</td>' for cell in row) for row in rows[1:]]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _curves(nats: Mapping[str, Mapping[str, Any]]) -> str:
    """Learning curves as SVG where matplotlib is there, else as a table."""
    curves = {part: found["curve"] for part, found in nats.items() if len(found["curve"]) > 1}
    if not curves:
        return ""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        rows = [["network", "step", "held-out nats"]]
        rows += [[NAMES[part], str(step), f"{value:.3f}"] for part, curve in curves.items() for step, value in curve]
        return _table(rows)
    from vampnet.evaluation.experiments.plots import curves_of

    labelled = {NAMES[part]: curve for part, curve in curves.items()}
    plot = curves_of(labelled, "Learning curves", "training step", "held-out cross-entropy, nats")
    return f"<figure class='scroll'>{plot}<figcaption>Judged on a part of the held-out files.</figcaption></figure>"


def _players(examples: Mapping[str, Sequence[Path]]) -> str:
    if not any(examples.values()):
        return ""
    rows = []
    for name, paths in examples.items():
        cells = "".join(f"<td>{_player(path, name)}</td>" for path in paths)
        rows.append(f'<tr><th class="left">{_text(name)}</th>{cells}</tr>')
    return f'<div class="scroll"><table class="players"><tbody>{"".join(rows)}</tbody></table></div>'


def _player(path: Path, name: str) -> str:
    coded = base64.b64encode(small_mp3(path)).decode("ascii")
    return f"<audio controls preload='none' aria-label='{_text(name)}' src='data:audio/mpeg;base64,{coded}'></audio>"
