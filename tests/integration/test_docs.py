"""The documentation: pages of another model say so, the site's pages are complete, `make results` knows its pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.pages.__main__ import MARKS, RECIPES, embedded_ids, of_another_model, with_figures, with_header
from tests.support.pages import ROOT, header_of, pages, results
from vampnet.apps.cli.commands import COMMANDS

IDS = ("9fd8bbaf316b43de", "581658c713e89107")


def test_pages_of_another_model_than_the_embedded_one_say_so() -> None:
    """Which pages are of another model: those whose id differs; they have to say "older" and whose they are."""
    ids = embedded_ids()
    foreign = {page: header.model for page in results() if (header := header_of(page))}
    foreign = {page: model for page, model in foreign.items() if of_another_model(model, ids)}
    silent = [f"{page.relative_to(ROOT)}: {model}" for page, model in foreign.items() if not model.startswith("older")]
    assert not silent, f"of another model than the embedded {ids}: {'; '.join(silent)} (make results PAGE=...)"


@pytest.mark.parametrize(
    ("model", "foreign"),
    [
        ("9fd8bbaf316b43de", False),
        ("9fd8bbaf316b43de (in some parts)", False),
        ("codec 581658c713e89107", False),
        ("none (random weights)", False),
        ("44280a88b225e099", True),
        ("codec 395ee0793a9937fc", True),
        ("older (bundle 44280a88b225)", True),
    ],
)
def test_whose_figures(model: str, foreign: bool) -> None:
    assert of_another_model(model, IDS) is foreign


def test_pages_are_made_with_header_and_figures() -> None:
    head = "# Speed\n\nDate: 2020-01-01. Model: none. Command: `old`."
    text = f"{head}\n\nText.\n\n{MARKS[0]}\n\n1\n\n{MARKS[1]}\n\nMore.\n"
    made = with_header(with_figures(text, "2\n"), IDS[0], ["benchmarks.x", "--flag", "a b"])
    assert f"Model: {IDS[0]}. Command: `python -m benchmarks.x --flag 'a b'`." in made
    assert "old" not in made
    assert made.count("Date:") == 1
    assert f"Text.\n\n{MARKS[0]}\n\n2\n\n{MARKS[1]}\n\nMore." in made


def test_recipes_of_pages_name_modules_pages_and_marks() -> None:
    for name, recipe in RECIPES.items():
        module = ROOT / Path(*recipe.command.split()[0].split(".")).with_suffix(".py")
        assert module.is_file(), f"{name}: {module} is missing"
        page = ROOT / "docs" / "results" / f"{name}.md"
        if recipe.printed:
            assert all(mark in page.read_text(encoding="utf-8") for mark in MARKS), f"{page} has no marks"


def test_guides_name_commands_that_there_are() -> None:
    names = {command.name for command in COMMANDS}
    for page in pages():
        if "docs/guide" in page.as_posix() or "docs/start" in page.as_posix() or page.name == "README.md":
            used = re.findall(r"(?:^    |`)vampnet ([a-z][\w-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert not set(used) - names, f"{page}: {set(used) - names}"


def test_each_command_that_makes_music_has_a_guide() -> None:
    guides = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "guide").glob("*.md"))
    for command in COMMANDS:
        assert f"vampnet {command.name}" in guides, f"no guide mentions {command.name}"


def test_site_lists_all_pages() -> None:
    """Strict building (`make docs`, in CI) takes too long here: the hooks alone, and their generated pages."""
    pytest.importorskip("mkdocs")
    code = "import runpy; m = runpy.run_path('docs/site/hooks.py'); print(m['_command_line'](), m['_room']('prompts'))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "## vamp\n" in said
    assert "--variations" in said
    assert "On the page of [public names]" in said


def test_tests_that_pages_name_are_there() -> None:
    """A page that says by which test something is shown names one that there is."""
    sources = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    there = set(re.findall(r"^(?:async )?def (test_\w+)\(", sources, re.MULTILINE))
    there |= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    named = [
        (page.relative_to(ROOT), name)
        for page in pages()
        for name in re.findall(r"`(test_\w+)(?:\.py|\[\w+\])?`", page.read_text("utf-8"))
    ]
    assert len(named) > 40
    assert not [(str(page), name) for page, name in named if name not in there]
