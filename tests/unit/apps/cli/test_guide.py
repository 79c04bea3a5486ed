"""`vampnet guide`: pages are listed and printed, a slip is told."""

from __future__ import annotations

import pytest

from tests.support.pages import ROOT
from vampnet.apps.cli.guide import find_pages
from vampnet.apps.cli.main import main


def test_pages_are_listed_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide"]) == 0
    said = capsys.readouterr().out
    assert "inpaint" in said
    assert "Replace a passage" in said
    assert "README" not in said


def test_a_page_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "limits"]) == 0
    assert capsys.readouterr().out.startswith("# What the embedded model cannot do")


def test_a_slip_names_the_nearest_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "promts"]) == 2
    assert "did you mean prompts?" in capsys.readouterr().err


def test_no_two_pages_share_a_name() -> None:
    rooms = ("start", "guide", "concepts", "reference")
    files = [page for room in rooms for page in (ROOT / "docs" / room).glob("*.md") if page.name != "README.md"]
    assert len(find_pages()) == len(files) + 2


def test_the_wheel_is_told_to_hold_the_pages() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for room in ("start", "guide", "concepts", "reference"):
        assert f'"share/doc/vampnet/{room}" = ["docs/{room}/*.md"]' in text
