"""The house's rules: what lies at the top, each class name once, axis letters from the glossary alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.pages import broken_links, header_of, pages, results

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "vampnet").rglob("*.py"), *(ROOT / "synthcorpus").rglob("*.py")])
GROUND = {
    "__init__",
    "__main__",
    "config",
    "device",
    "errors",
    "seeds",
    "storage",
    "torch_files",
    "version",
    "work_folders",
}
ROOMS = {
    *("apps", "audio", "beats", "bundles", "codec", "compression", "controls", "evaluation", "generation", "jobs"),
    *("making", "models", "prompts", "tasks", "training"),
}


def classes() -> dict[str, list[str]]:
    """Class name -> places where a class of this name is defined."""
    places: dict[str, list[str]] = defaultdict(list)
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{source.relative_to(ROOT)}:{node.lineno}")
    return places


def test_nothing_new_lies_at_the_top() -> None:
    folder = ROOT / "vampnet"
    files = {path.stem for path in folder.glob("*.py")}
    assert files <= GROUND, f"{sorted(files - GROUND)}: put them into a room"
    rooms = {path.name for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= ROOMS, f"{sorted(rooms - ROOMS)}: new rooms need a layer in pyproject.toml and docs/concepts.md"


@pytest.mark.parametrize("room", ["vampnet", "synthcorpus"])
def test_each_room_says_what_it_is(room: str) -> None:
    for init in (ROOT / room).rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), f"{init} has no docstring"


def test_each_class_name_is_used_once() -> None:
    twice = {name: places for name, places in classes().items() if len(places) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(places)}" for name, places in sorted(twice.items()))


def test_layers_import_downward_alone() -> None:
    """The contracts of pyproject.toml: layers, composer, listening room."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    result = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def axis_letters() -> set[str]:
    """Letters of the table in docs/concepts.md."""
    table = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8").split("## Axis letters", 1)[1]
    letters = re.findall(r"^\| ([A-Z]) \|", table, re.MULTILINE)
    assert len(letters) == len(set(letters)), "a letter has two meanings"
    return set(letters)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_axis_letters_are_those_of_the_glossary(source: Path) -> None:
    allowed = axis_letters()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else ""
        axes = re.fullmatch(r"_?[a-z][a-z0-9_]*_([A-Z][A-Z0-9]*)", name)
        unknown = set(axes.group(1)) - allowed - set("0123456789") if axes else set()
        assert not unknown, f"{name} (line {getattr(node, 'lineno', '?')}): {sorted(unknown)} not in docs/concepts.md"


def test_no_dead_code() -> None:
    """Nothing that vulture is at least 80 % sure of."""
    pytest.importorskip("vulture")
    result = subprocess.run([sys.executable, "-m", "vulture"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("package", ["vampnet", "synthcorpus"])
def test_docstrings_name_the_thing(package: str) -> None:
    """No docstring, of attributes neither, begins with a word that only goes on from the name."""
    for source in sorted((ROOT / package).rglob("*.py")):
        riddle = re.search(
            r'^\s*"""(Of|What|How|Which|Who|Those|That) .*', source.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert riddle is None, f"{source}: {riddle[0].strip()}: name the thing first"


def test_links_of_all_pages_lead_somewhere() -> None:
    broken = [f"{page.relative_to(ROOT)}: {target}" for page in pages() for target in broken_links(page)]
    assert not broken, "\n".join(broken)


def test_pages_of_results_say_date_model_and_command() -> None:
    """A page of figures begins with its title and such a line (docs/results/README.md)."""
    silent = [str(page.relative_to(ROOT)) for page in results() if header_of(page) is None]
    line = "Date: 2026-11-30. Model: ID. Command: `vampnet ...`."
    assert not silent, f"{', '.join(silent)}: below the title, say: {line} (docs/results/README.md)"
