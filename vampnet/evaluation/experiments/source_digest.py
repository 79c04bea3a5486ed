"""Digest of the source code behind a result: the modules that compute it and everything that they import.

The modules are found by following the import statements of the source, those inside functions included, so that no
list has to be kept by hand. What counts is the code: comments, layout and docstrings change no digest.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


def source_digest(modules: Iterable[str], folder: Path = PACKAGE_FOLDER) -> str:
    """Digest of the modules and of all modules of their package that they import, 16 hex digits.

    `modules`: dotted names; `folder`: that of the package.
    """
    digest = hashlib.sha256()
    for name in sorted(imported_modules(modules, folder)):
        digest.update(f"{name}\n{_code(_file(name, folder))}\n".encode())
    return digest.hexdigest()[:16]


def imported_modules(modules: Iterable[str], folder: Path = PACKAGE_FOLDER) -> set[str]:
    """The modules and, transitively, the modules of their package that import statements name."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += (n for n in _imported_names(_file(name, folder)) if _file(n, folder).is_file())
    return found


def _file(module: str, folder: Path) -> Path:
    """Source of a module; a path that does not exist for a name that is no module of the package."""
    path = folder.parent.joinpath(*module.split("."))
    if path.is_dir():
        return path / "__init__.py"
    return path.with_name(f"{path.name}.py") if folder in path.parents else folder / "no such module"


def _imported_names(source: Path) -> Iterator[str]:
    """Dotted names that a file imports; those for the type checker alone are left out."""
    waiting: list[ast.AST] = [ast.parse(source.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def _code(source: Path) -> str:
    """The syntax tree of a file as text, without strings that stand alone as statements (docstrings)."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [n for n in body if not _is_docstring(n)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
