"""The list of finished jobs of an unfinished batch: a file in the output folder, one line per job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vampnet.errors import AudioError
from vampnet.storage import guarded, sha256_of_file

NAME = ".vampnet-done"
"""Name of the file."""


class DoneList:
    """List of a batch's finished jobs in each output folder; deleted when the batch is finished."""

    def __init__(self, resume: bool, is_shared: bool = False) -> None:
        """Without `resume`, what an earlier batch noted is forgotten.

        `is_shared`: a worker's view of the list of a batch: it adds lines, and leaves the rest to who holds the batch.
        """
        self._resume, self._is_shared = resume, is_shared
        self._known: dict[Path, set[str]] = {}

    def open(self, folder: Path) -> None:
        """Begin with a folder's list before anyone adds to it."""
        self._lines(folder)

    def has(self, outputs: Sequence[Path], facts: dict[str, Any]) -> bool:
        """Whether an earlier batch made these outputs, byte for byte, from the same input, model and settings."""
        known = self._lines(outputs[0].parent)
        return bool(known) and all(path.exists() for path in outputs) and _digest(outputs, facts) in known

    def add(self, outputs: Sequence[Path], facts: dict[str, Any]) -> None:
        """Note that a job is finished. Raises AudioError where that cannot be written."""
        folder, line = outputs[0].parent, _digest(outputs, facts)
        self._lines(folder).add(line)
        with guarded(folder / NAME, AudioError), open(folder / NAME, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def forget(self) -> None:
        """Remove the lists: the batch is finished."""
        for folder in () if self._is_shared else self._known:
            with guarded(folder / NAME, AudioError, "remove"):
                (folder / NAME).unlink(missing_ok=True)

    def _lines(self, folder: Path) -> set[str]:
        """Lines of a folder's list, read or removed when it is first needed."""
        if folder not in self._known:
            path, self._known[folder] = folder / NAME, set()
            with guarded(path, AudioError, "read"):
                if not self._resume:
                    if not self._is_shared:
                        path.unlink(missing_ok=True)
                elif path.exists():
                    self._known[folder] = set(path.read_text(encoding="utf-8", errors="replace").split("\n"))
        return self._known[folder]


def _digest(outputs: Sequence[Path], facts: dict[str, Any]) -> str:
    made = [[path.name, sha256_of_file(path, AudioError) if path.is_file() else ""] for path in outputs]
    return hashlib.sha256(json.dumps([made, facts], sort_keys=True).encode()).hexdigest()
