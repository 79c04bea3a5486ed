"""Markdown tables, and reports that are written as Markdown with JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def table(corner: str, rows: Mapping[str, Mapping[str, str]]) -> str:
    """Row -> column -> text, as a Markdown table; the columns are those of the first row."""
    names = list(next(iter(rows.values())))
    lines = [f"| {corner} | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines += [f"| {name} | " + " | ".join(row.get(column, "") for column in names) + " |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def report(text: str, figures: Mapping[str, Any], output: Path | None) -> None:
    """Print a report; with `output`, also write it there, and the figures as JSON beside it."""
    print(text)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
