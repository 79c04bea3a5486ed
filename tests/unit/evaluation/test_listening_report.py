"""The CSV of a report: cells that a spreadsheet would take for formulas."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from vampnet.evaluation.listening.report import answers_csv


@dataclass(frozen=True)
class Row:
    """An answer of a condition whose folder has an odd name."""

    condition: str
    rating: int


def test_cells_that_begin_a_formula_are_text() -> None:
    names = ["=1+1", "+x", "-x", "@x", "\tx", "plain", "a=b"]
    analysis = cast(Any, SimpleNamespace(answers=[Row(name, -3) for name in names]))
    rows = list(csv.DictReader(io.StringIO(answers_csv(analysis), newline="")))
    assert [row["condition"] for row in rows] == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "plain", "a=b"]
    assert {row["rating"] for row in rows} == {"-3"}
