"""The package as a whole: what importing it needs and does, and that its layers only look downward."""

from __future__ import annotations

import ast
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vampnet
from vampnet.generation.config import SamplingConfig

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "vampnet").rglob("*.py"), *(ROOT / "synthcorpus").rglob("*.py")])
MAX_LINES = 400

# Import names of the dependencies in pyproject.toml's `dependencies`; all else belongs inside functions.
CORE = {
    "argcomplete",
    "constriction",
    "docstring_parser",
    "huggingface_hub",
    "librosa",
    "mido",
    "numpy",
    "pychord",
    "pyloudnorm",
    "safetensors",
    "scipy",
    "soundfile",
    "soxr",
    "torch",
    "tqdm",
    "yaml",
}
EXTRAS = {
    *("av", "datasets", "fastapi", "gradio", "lightning", "lightning_fabric", "lightning_utilities", "matplotlib"),
    *(
        "mir_eval",
        "music21",
        "openvino",
        "peft",
        "pyarrow",
        "pythonosc",
        "pytorch_lightning",
        "ray",
        "sounddevice",
        "starlette",
    ),
    *("tensorboard", "tinysoundfont", "transformers", "uvicorn"),
}

ROOMS_OF_EXTRAS = {
    name: {"fastapi", "httpx2", "limits", "prometheus_client", "pydantic", "starlette", "uvicorn"}
    for name in ("vampnet.apps.http", "vampnet.apps.harp", "vampnet.apps.studio")
}
"""Rooms that are of use with an extra alone, and what of it their modules may import at the top."""


def name_of(source: Path) -> str:
    """The dotted name of a module of the package."""
    parts = source.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(source): source for source in SOURCES}


def imports_of(source: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports, those for the type checker alone left out."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if top_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(name if name in MODULES else str(node.module) for name in names)
        waiting += ast.iter_child_nodes(node)
    return found


def extra_imports(module: str) -> set[str]:
    """What a module may import at its top besides the core dependencies."""
    return next((extra for room, extra in ROOMS_OF_EXTRAS.items() if module.startswith(f"{room}.")), set())


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_version_is_that_of_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    assert match is not None
    assert match.group(1) == vampnet.__version__
    assert f"## {vampnet.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "vampnet", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert said.strip().endswith(vampnet.__version__)


def test_importing_does_no_work() -> None:
    # Of third parties not even numpy: the command line's --help and --version need none of them.
    loaded = run(
        "import sys; before = set(sys.modules); import vampnet; vampnet.SamplingConfig;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    ).split()
    assert "vampnet" in loaded
    assert not set(loaded) - {"vampnet", "docstring_parser"} - set(sys.stdlib_module_names)


def test_public_names() -> None:
    assert {*vampnet.__all__, *vampnet._MODULES} <= set(dir(vampnet))
    for name in vampnet._MODULES:
        assert name in (vampnet.__doc__ or ""), f"{name} is not in the list of public names"
    assert vampnet.SamplingConfig is SamplingConfig
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        vampnet.nonsense  # noqa: B018
    for name, module in vampnet._MODULES.items():
        if module in MODULES:
            getattr(vampnet, name)


def test_help_fits_on_two_screens() -> None:
    text = pydoc.render_doc(vampnet, renderer=pydoc.plaintext)  # pyright: ignore[reportAttributeAccessIssue]
    assert len(text.splitlines()) <= 120
    assert text.index("SamplingConfig") < text.index("PACKAGE CONTENTS")


def test_every_module_imports_with_the_core_dependencies_alone() -> None:
    run(
        f"""
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS!r}:
            raise ImportError(f"{{name}} is an extra")

sys.meta_path.insert(0, Blocker())
for module in {sorted(name for name in MODULES if not extra_imports(name))!r}:
    if not module.endswith("__main__"):
        importlib.import_module(module)
"""
    )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module(module: str) -> None:
    """Short enough; nothing but core dependencies at the top."""
    source = MODULES[module]
    n_lines = len(source.read_text(encoding="utf-8").splitlines())
    assert n_lines < MAX_LINES, f"{source.name} has {n_lines} lines, {MAX_LINES} are too many"
    roots = {name.split(".")[0] for name in imports_of(source, top_level_only=True)}
    assert not roots - {"vampnet", "synthcorpus"} - sys.stdlib_module_names - CORE - extra_imports(module)


def test_no_import_cycles() -> None:
    graph = {name: imports_of(source, top_level_only=True) & MODULES.keys() for name, source in MODULES.items()}
    while graph:
        free = [name for name, needed in graph.items() if not needed & graph.keys() - {name}]
        assert free, f"these import each other in a circle, or need one that does: {', '.join(sorted(graph))}"
        for name in free:
            del graph[name]


def test_core_dependencies_are_those_of_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [", 1)[1].split("\n]", 1)[0]
    names = {name.replace("-", "_") for name in re.findall(r'"([\w-]+)', block)}
    assert {"yaml" if name == "pyyaml" else name for name in names} == CORE


def test_files_name_no_registry() -> None:
    for name in ("pyproject.toml", "requirements.lock", "Makefile", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text, f"{name} has an address"
        assert not re.search(r"^\s*(--|-[if])", text, re.MULTILINE) or name == "Makefile"


def test_lock_pins_the_core_dependencies() -> None:
    pins = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in CORE - {"yaml"} | {"pyyaml", "pytest", "hypothesis", "matplotlib", "tensorboard", "ruff", "setuptools"}:
        assert re.search(rf"^{name.replace('_', '-')}==\d", pins, re.MULTILINE), f"{name} is not pinned"
    assert re.search(r"^torch==2\.13\.0$", pins, re.MULTILINE)
