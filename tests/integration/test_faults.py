"""Calls that fail, kills and neighbours, for commands that write: one line, nothing half-written, the next run whole.

A few cells of the table of tests/support/faults.py; `make trials` does all of it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.laboratory import COMPILER

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (sys.platform == "linux" and COMPILER), reason="needs Linux and a C compiler")
def test_faults_cost_one_line_and_no_bytes() -> None:
    arguments = ["--commands", "loop;tokenize", "--trials", "full,die,two", "--most", "3"]
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.faults", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    rows = [row.split("|") for row in result.stdout.splitlines() if row.startswith("| ")][1:]
    assert [row[1].strip() for row in rows] == ["loop", "tokenize"]
    assert all(cell.strip() == "3" for row in rows for cell in row[4:-1])
