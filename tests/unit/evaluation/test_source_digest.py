"""Digest of the code behind a result: it follows imports, and changes with code alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from vampnet.evaluation.experiments import worker
from vampnet.evaluation.experiments.source_digest import imported_modules, source_digest

FILES = {
    "__init__.py": "",
    "start.py": "from typing import TYPE_CHECKING\nfrom pack import direct\nif TYPE_CHECKING:\n    import pack.typed\n",
    "direct.py": '"""Text."""\nimport os\ndef f():\n    """Text."""\n    from pack.room.lazy import value\n',
    "typed.py": "x = 1\n",
    "unused.py": "x = 1\n",
    "room/__init__.py": "",
    "room/lazy.py": "value = 1\n",
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "pack"


def test_imports_are_followed_into_functions_but_not_for_the_type_checker(pack: Path) -> None:
    assert imported_modules(["pack.start"], pack) == {"pack", "pack.start", "pack.direct", "pack.room.lazy"}


@pytest.mark.parametrize(
    ("name", "old", "new", "changes"),
    [
        ("room/lazy.py", "value = 1", "value = 2", True),
        ("start.py", "direct", "unused", True),
        ("direct.py", "Text", "Other text", False),
        ("direct.py", "import os", "import os  # a comment", False),
        ("typed.py", "1", "2", False),
        ("unused.py", "1", "2", False),
    ],
)
def test_code_alone_changes_the_digest(pack: Path, name: str, old: str, new: str, changes: bool) -> None:
    before = source_digest(["pack.start"], pack)
    (pack / name).write_text(FILES[name].replace(old, new))
    assert (source_digest(["pack.start"], pack) != before) is changes


def test_the_workers_digest_covers_what_decides_a_result() -> None:
    found = imported_modules([worker.__name__])
    for name in (
        *("codec.residual_vq", "models.transformer", "generation.sampling", "prompts.grammar", "beats.tcn"),
        *("evaluation.embeddings.builtin", "evaluation.metrics.harmony", "audio.mel", "audio.loudness"),
    ):
        assert f"vampnet.{name}" in found
    assert not {name for name in found if name.startswith(("vampnet.apps", "vampnet.training", "synthcorpus"))}
