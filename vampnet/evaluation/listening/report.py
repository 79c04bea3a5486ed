"""The analysis as text, and as a report: one self-contained HTML file, with its answers as CSV and figures as JSON."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

from vampnet.errors import ListeningError
from vampnet.evaluation.listening.analyse import ListeningAnalysis
from vampnet.evaluation.listening.choices import AbxAnalysis, PreferenceAnalysis
from vampnet.evaluation.listening.design import ListeningTest
from vampnet.evaluation.listening.figures import draw_abx, draw_mushra, draw_preference, require_plots
from vampnet.evaluation.listening.mushra import ConditionScore, MushraAnalysis, Rating
from vampnet.evaluation.listening.page import report_css
from vampnet.storage import table_cell, write_whole
from vampnet.version import __version__

Table = tuple[str, Sequence[str], list[list[str]]]
"""Heading, column names, rows."""

_NOTES = {
    "mushra": "Mean over listeners of their mean scores, so that ratings of one listener count once. Intervals: 95 %, "
    "over listeners. Comparisons: Wilcoxon signed-rank test over listeners, paired, p corrected by Holm; with n "
    "listeners p cannot fall below 2 / 2^n, so six are the fewest that can show anything. Listeners are excluded after "
    "BS.1534-3: hidden reference below 90, or 7 kHz anchor above 90, in more than 15 % of trials.",
    "abx": "Exact binomial test, one-sided: the chance of so many correct answers by guessing. The one for all "
    "listeners together is exact for the claim that nobody hears a difference; p corrected by Holm over the pairs, or "
    "over the listeners of a pair. A high p is no proof that nobody hears it.",
    "preference": "Shares with 95 % Wilson intervals, trials taken as independent. Sign tests, two-sided, answers "
    "without a preference left out: over listeners (how many chose one more often than the other), which is the test "
    "that holds, and over trials, which overstates when listeners answered several times. p corrected by Holm over the "
    "pairs.",
}


def tables(analysis: ListeningAnalysis) -> list[Table]:
    """Figures that the text and the report share."""
    found = analysis.found
    if isinstance(found, MushraAnalysis):
        return _mushra_tables(found)
    return _abx_tables(found) if isinstance(found, AbxAnalysis) else _preference_tables(found)


def summary(analysis: ListeningAnalysis) -> str:
    """The analysis as text for a terminal."""
    lines = [f"{analysis.title}: {analysis.kind}, {analysis.n_results} results of {analysis.n_listeners} listeners"]
    for heading, columns, rows in tables(analysis):
        widths = [max(len(row[k]) for row in [list(columns), *rows]) for k in range(len(columns))]
        lines += ["", heading]
        lines += ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [columns, *rows]]
    return "\n".join(lines)


def check_output(path: str | Path) -> None:
    """Fail before the work: raises ListeningError or DependencyError."""
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ListeningError(f"{path}: the report is an .html file")
    if not target.absolute().parent.is_dir():
        raise ListeningError(f"{path}: its folder does not exist")
    require_plots()


def write_report(
    path: str | Path, test: ListeningTest, analysis: ListeningAnalysis, refused: Sequence[str]
) -> tuple[Path, Path, Path]:
    """Write the report, its CSV and its JSON beside it. `refused` is one line per result that was left out."""
    target = Path(path)
    written = target, target.with_suffix(".csv"), target.with_suffix(".json")
    about = analysis.to_json() | {"refused": list(refused), "settings": dataclasses.asdict(test.settings)}
    texts = report_html(test, analysis, refused), answers_csv(analysis), json.dumps(about, indent=1) + "\n"
    for file, text in zip(written, texts, strict=True):
        write_whole(file, text, ListeningError)
    return written


def answers_csv(analysis: ListeningAnalysis) -> str:
    """Every answer as one row."""
    buffer = io.StringIO()
    rows = [dataclasses.asdict(answer) for answer in analysis.answers]
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: table_cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def report_html(test: ListeningTest, analysis: ListeningAnalysis, refused: Sequence[str]) -> str:
    """The report as one file."""
    title = html.escape(analysis.title)
    n = f"{analysis.n_results} results of {analysis.n_listeners} listeners"
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="lead">{test.settings.kind.upper() if test.settings.kind != "preference" else "Preference"} test, '
        f"{n}, {len(test.trials)} trials each. {html.escape(test.settings.asked)}</p>",
        f'<figure aria-label="Plot of the first table">{_figure(analysis)}</figure>',
    ]
    parts += [_html_table(table) for table in tables(analysis)]
    parts.append(f"<h2>How to read this</h2><p>{html.escape(_NOTES[analysis.kind])}</p>")
    if refused:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in refused)
        parts.append(f"<h2>Results left out</h2><ul>{items}</ul>")
    parts += [_html_table(_levels(test)), f'<p class="foot">Test {test.id}, vampnet {__version__}</p>']
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{title}</title><style>{report_css()}</style></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _figure(analysis: ListeningAnalysis) -> str:
    found = analysis.found
    if isinstance(found, MushraAnalysis):
        return draw_mushra(found, [answer for answer in analysis.answers if isinstance(answer, Rating)])
    return draw_abx(found) if isinstance(found, AbxAnalysis) else draw_preference(found)


def _html_table(table: Table) -> str:
    heading, columns, rows = table
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return (
        f'<h2>{html.escape(heading)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _mushra_tables(found: MushraAnalysis) -> list[Table]:
    columns = ("condition", "mean", "95 % t", "95 % bootstrap", "median", "quartiles", "listeners", "ratings")
    tables_: list[Table] = [("Scores", columns, [_score_row(score) for score in found.scores])]
    compared = [
        [c.one, c.other, f"{c.mean_difference:+.1f}", _p(c.p), _p(c.p_holm), str(c.n_listeners)]
        for c in sorted(found.comparisons, key=lambda c: c.p_holm)
    ]
    tables_.append(("Comparisons", ("one", "other", "difference", "p", "p (Holm)", "listeners"), compared))
    if any(entry.excluded for entry in found.screening):
        tables_.append(("Scores with excluded listeners", columns, [_score_row(s) for s in found.scores_of_all]))
    screened = [
        [s.listener, str(s.n_trials), f"{s.reference_low_share:.0%}", f"{s.anchor_high_share:.0%}", _yes(s.excluded)]
        for s in found.screening
    ]
    checked = ("listener", "trials", "reference below 90", "7 kHz anchor above 90", "excluded")
    tables_.append(("Post-screening of listeners", checked, screened))
    names = [score.condition for score in found.scores]
    cells = [[item, *(f"{row[name]:.1f}" for name in names)] for item, row in found.item_means.items()]
    tables_.append(("Mean scores by item", ("item", *names), cells))
    return tables_


def _score_row(s: ConditionScore) -> list[str]:
    return [
        s.condition,
        f"{s.mean:.1f}",
        _interval(s.t_low, s.t_high, 1),
        _interval(s.bootstrap_low, s.bootstrap_high, 1),
        f"{s.median:.1f}",
        _interval(s.quartile_1, s.quartile_3, 1),
        str(s.n_listeners),
        str(s.n_ratings),
    ]


def _abx_tables(found: AbxAnalysis) -> list[Table]:
    columns = ("pair", "listener", "correct", "share", "95 % Wilson", "p", "p (Holm)")
    rows = [
        [
            f"{pair.one} – {pair.other}",
            count.listener,
            f"{count.n_correct} of {count.n_trials}",
            f"{count.share:.2f}",
            _interval(count.wilson_low, count.wilson_high, 2),
            _p(count.p),
            _p(count.p_holm),
        ]
        for pair in found.pairs
        for count in (pair.pooled, *pair.listeners)
    ]
    together = [row for row in rows if row[1] == "all"]
    return [
        ("All listeners together", columns, together),
        ("Each listener", columns, [r for r in rows if r[1] != "all"]),
    ]


def _preference_tables(found: PreferenceAnalysis) -> list[Table]:
    pairs = [
        [
            f"{p.one.condition} – {p.other.condition}",
            f"{p.one.n_chosen} : {p.other.n_chosen}",
            str(p.n_none),
            f"{p.one.share:.2f} ({_interval(p.one.wilson_low, p.one.wilson_high, 2)})",
            f"{p.other.share:.2f} ({_interval(p.other.wilson_low, p.other.wilson_high, 2)})",
            f"{p.n_listeners_one} : {p.n_listeners_other}",
            f"{_p(p.p_listeners)} ({_p(p.p_listeners_holm)})",
            f"{_p(p.p_trials)} ({_p(p.p_trials_holm)})",
        ]
        for p in found.pairs
    ]
    columns = ("pair", "answers", "none", "share of one", "of the other", "listeners", "p (Holm)", "p of trials (Holm)")
    overall = [
        [s.condition, f"{s.n_chosen} of {s.n_trials}", f"{s.share:.2f}", _interval(s.wilson_low, s.wilson_high, 2)]
        for s in found.overall
    ]
    side = [["A", f"{found.chose_a_share:.2f}"], ["B", f"{1 - found.chose_a_share:.2f}"]]
    return [
        ("Pairs", columns, pairs),
        ("Chosen, over all its trials", ("condition", "chosen", "share", "95 % Wilson"), overall),
        ("Side on the screen", ("side", "share of answers"), side),
    ]


def _levels(test: ListeningTest) -> Table:
    def text(lufs: float | None) -> str:
        return "silent" if lufs is None else f"{lufs:.1f}"

    rows = [[s.item, s.condition, text(s.loudness_lufs), f"{s.gain_db:+.1f}"] for s in test.stimuli]
    return "Stimuli", ("item", "condition", "loudness as read, LUFS", "gain, dB"), sorted(rows)


def _interval(low: float, high: float, digits: int) -> str:
    return "–" if math.isnan(low) or math.isnan(high) else f"{low:.{digits}f} to {high:.{digits}f}"


def _p(value: float) -> str:
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _yes(value: bool) -> str:
    return "yes" if value else ""
