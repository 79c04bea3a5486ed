"""Projects and their takes, in the job table's file: what a musician keeps, and which take came from which.

A job that is submitted for a project adds its outputs as takes by itself when it is done: a trigger of the table does
it, so no page need be open. Jobs of takes do not expire. Nothing here imports torch.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vampnet.errors import JobError, SettingsError
from vampnet.jobs.table import JobTable, new_id

MAX_STATE_BYTES = 64_000
MAX_NAME = 200
MAX_PROJECTS, MAX_TAKES = 2000, 5000
"""Most projects of one owner, and most takes of one project."""


class UnknownProject(JobError):
    """A project, or a take of it, that is not there."""


@dataclass(frozen=True)
class ProjectRow:
    """A project."""

    id: str
    owner: str
    name: str
    created: float
    """Unix seconds."""
    input: str | None
    """Audio that it began with, `file:ID`; None for music from nothing."""
    state: dict[str, Any]
    """State of the page, as it gives it."""


@dataclass(frozen=True)
class TakeRow:
    """An output of a job that a project keeps."""

    id: str
    project: str
    parent: str | None
    """Take that it was made from; None for one that was made from the project's input."""
    job: str
    number: int
    """Number among the outputs of the job, from 1."""
    name: str
    pinned: bool
    created: float
    """Unix seconds."""


class ProjectStore:
    """The projects of a job table."""

    def __init__(self, table: JobTable) -> None:
        self._table = table

    def add(self, owner: str, name: str, source: str | None, state: dict[str, Any] | None = None) -> ProjectRow:
        """Make a project. Raises SettingsError for a name or state that is too long, or one project too many."""
        count = self._table.execute("SELECT COUNT(*) AS n FROM projects WHERE owner = ?", (owner,))[0]["n"]
        if count >= MAX_PROJECTS:
            raise SettingsError(f"there are {MAX_PROJECTS} projects already; delete some")
        values = (new_id(), owner, checked_name(name), time.time(), source, packed_state(state or {}))
        query = "INSERT INTO projects (id, owner, name, created, input, state) VALUES (?, ?, ?, ?, ?, ?)"
        self._table.execute(query, values)
        return self.get(values[0], owner)

    def get(self, project_id: str, owner: str) -> ProjectRow:
        """A project of this owner. Raises UnknownProject."""
        rows = self._table.execute("SELECT * FROM projects WHERE id = ? AND owner = ?", (project_id, owner))
        if not rows:
            raise UnknownProject(f"there is no project {project_id[:40]!r}; it may have been deleted")
        return _project(rows[0])

    def list(self, owner: str) -> list[ProjectRow]:
        """The projects of an owner, the newest first."""
        rows = self._table.execute("SELECT * FROM projects WHERE owner = ? ORDER BY created DESC, id", (owner,))
        return [_project(row) for row in rows]

    def change(self, project: ProjectRow, changes: dict[str, Any]) -> ProjectRow:
        """Change name, input or state of a project. Raises SettingsError."""
        packed = {
            "name": lambda value: checked_name(value),
            "state": lambda value: packed_state(value),
            "input": lambda value: value,
        }
        for field, value in changes.items():
            self._table.execute(f"UPDATE projects SET {field} = ? WHERE id = ?", (packed[field](value), project.id))
        return self.get(project.id, project.owner)

    def delete(self, project: ProjectRow) -> None:
        """Forget a project and its takes; their jobs expire as others do."""
        with self._table.transaction():
            for query in (
                "DELETE FROM takes WHERE project = ?",
                "DELETE FROM submissions WHERE project = ?",
                "DELETE FROM projects WHERE id = ?",
            ):
                self._table.execute(query, (project.id,))

    # Takes

    def expect(self, job_id: str, project: ProjectRow, parent: str | None) -> None:
        """Have the outputs of a job become takes of a project when it is done. Raises UnknownProject, SettingsError."""
        self._check_parent(project, parent)
        values = (job_id, project.id, parent)
        self._table.execute("INSERT OR REPLACE INTO submissions (job, project, parent) VALUES (?, ?, ?)", values)

    def withdraw(self, job_id: str) -> None:
        """Take back what `expect` did, for a job that was refused."""
        self._table.execute("DELETE FROM submissions WHERE job = ?", (job_id,))

    def place_of(self, job_id: str) -> tuple[str | None, str | None]:
        """Project and parent that a job was submitted for; None twice without one."""
        rows = self._table.execute("SELECT project, parent FROM submissions WHERE job = ?", (job_id,))
        return (rows[0]["project"], rows[0]["parent"]) if rows else (None, None)

    def add_take(
        self, project: ProjectRow, job_id: str, number: int, parent: str | None, *, name: str = "", pinned: bool = False
    ) -> TakeRow:
        """Keep an output as a take; one that is there already is given back. Raises UnknownProject, SettingsError."""
        self._check_parent(project, parent)
        values = (secrets.token_hex(8), project.id, parent, job_id, number, checked_name(name), pinned, time.time())
        self._table.execute(
            "INSERT OR IGNORE INTO takes (id, project, parent, job, number, name, pinned, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        query = "SELECT * FROM takes WHERE project = ? AND job = ? AND number = ?"
        return _take(self._table.execute(query, (project.id, job_id, number))[0])

    def takes(self, project: ProjectRow) -> Sequence[TakeRow]:
        """The takes of a project, the earliest first."""
        query = "SELECT * FROM takes WHERE project = ? ORDER BY created, job, number"
        return [_take(row) for row in self._table.execute(query, (project.id,))]

    def take(self, project: ProjectRow, take_id: str) -> TakeRow:
        """One take of a project. Raises UnknownProject."""
        rows = self._table.execute("SELECT * FROM takes WHERE project = ? AND id = ?", (project.id, take_id))
        if not rows:
            raise UnknownProject(f"there is no take {take_id[:40]!r} in this project; it may have been deleted")
        return _take(rows[0])

    def change_take(self, project: ProjectRow, take_id: str, changes: dict[str, Any]) -> TakeRow:
        """Change name or pin of a take. Raises UnknownProject, SettingsError."""
        take = self.take(project, take_id)
        for field, value in changes.items():
            new = checked_name(value) if field == "name" else int(value)
            self._table.execute(f"UPDATE takes SET {field} = ? WHERE id = ?", (new, take.id))
        return self.take(project, take_id)

    def delete_take(self, project: ProjectRow, take_id: str) -> None:
        """Forget a take; those made from it hang on what it was made from. Raises UnknownProject."""
        take = self.take(project, take_id)
        with self._table.transaction():
            self._table.execute("UPDATE takes SET parent = ? WHERE parent = ?", (take.parent, take.id))
            self._table.execute("UPDATE submissions SET parent = ? WHERE parent = ?", (take.parent, take.id))
            self._table.execute("DELETE FROM takes WHERE id = ?", (take.id,))

    def _check_parent(self, project: ProjectRow, parent: str | None) -> None:
        if parent is not None:
            self.take(project, parent)
        count = self._table.execute("SELECT COUNT(*) AS n FROM takes WHERE project = ?", (project.id,))[0]["n"]
        if count >= MAX_TAKES:
            raise SettingsError(f"this project has {MAX_TAKES} takes already; delete some, or begin another project")


def checked_name(name: str) -> str:
    """A name without what cannot be shown. Raises SettingsError for one that is too long."""
    plain = " ".join(name.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").split())
    if len(plain) > MAX_NAME:
        raise SettingsError(f"name has {len(plain)} characters, but at most {MAX_NAME} are allowed")
    return plain


def packed_state(state: dict[str, Any]) -> str:
    """A page's state as text. Raises SettingsError for one that is too long, or that JSON cannot hold."""
    try:
        text = json.dumps(state, allow_nan=False, ensure_ascii=False)
        n_bytes = len(text.encode())
    except (ValueError, RecursionError):
        raise SettingsError("state holds what JSON cannot: a number that is not finite, or half a character") from None
    if n_bytes > MAX_STATE_BYTES:
        raise SettingsError(f"state has {n_bytes} bytes, but at most {MAX_STATE_BYTES} are kept")
    return text


def _project(row: Any) -> ProjectRow:
    return ProjectRow(**{**dict(row), "state": json.loads(row["state"])})


def _take(row: Any) -> TakeRow:
    return TakeRow(**{**dict(row), "pinned": bool(row["pinned"])})
