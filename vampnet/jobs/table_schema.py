"""Schema of the job table: one script per version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vampnet.errors import JobError


class TableError(JobError):
    """A job table that cannot be read or written, since its disk is full, say."""


class TableConnection(sqlite3.Connection):
    """A connection whose errors are TableErrors of one line."""

    def execute(self, *query: Any) -> sqlite3.Cursor:
        """Run a statement."""
        try:
            return super().execute(*query)
        except sqlite3.Error as error:
            raise TableError(f"the job table cannot be used: {error}") from error


def connect(path: Path, busy_s: float) -> TableConnection:
    """Open the file of a table; statements wait for others up to `busy_s`. Raises TableError."""
    try:
        return sqlite3.connect(
            path, timeout=busy_s, isolation_level=None, check_same_thread=False, factory=TableConnection
        )
    except sqlite3.Error as error:
        raise TableError(str(error)) from error


MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, created REAL NOT NULL, state TEXT NOT NULL, request TEXT NOT NULL, work TEXT NOT NULL,
        outputs TEXT NOT NULL, owner TEXT NOT NULL, client TEXT NOT NULL, model TEXT NOT NULL, idempotency TEXT,
        tries INTEGER NOT NULL DEFAULT 0, lease REAL NOT NULL DEFAULT 0, claim TEXT NOT NULL DEFAULT '',
        cancel INTEGER NOT NULL DEFAULT 0, stage TEXT NOT NULL DEFAULT '', done INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0, share REAL NOT NULL DEFAULT 0, result TEXT, error TEXT,
        started REAL, finished REAL, changed INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX jobs_state ON jobs (state, created);
    CREATE INDEX jobs_changed ON jobs (changed);
    CREATE INDEX jobs_owner ON jobs (owner, created);
    CREATE UNIQUE INDEX jobs_idempotency ON jobs (owner, idempotency) WHERE idempotency IS NOT NULL;
    CREATE TABLE clock (n INTEGER NOT NULL);
    INSERT INTO clock VALUES (0);
    CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
        UPDATE clock SET n = n + 1;
        UPDATE jobs SET changed = (SELECT n FROM clock) WHERE id = NEW.id;
    END;
    CREATE TRIGGER jobs_updated AFTER UPDATE OF state, cancel, stage, done, total, share, result, error ON jobs BEGIN
        UPDATE clock SET n = n + 1;
        UPDATE jobs SET changed = (SELECT n FROM clock) WHERE id = NEW.id;
    END;
    CREATE TABLE workers (id TEXT PRIMARY KEY, pid INTEGER NOT NULL, state TEXT NOT NULL, model TEXT NOT NULL,
        error TEXT NOT NULL, seen REAL NOT NULL);
    """,
    """
    CREATE TABLE projects (id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL,
        input TEXT, state TEXT NOT NULL);
    CREATE INDEX projects_owner ON projects (owner, created);
    CREATE TABLE takes (id TEXT PRIMARY KEY, project TEXT NOT NULL, parent TEXT, job TEXT NOT NULL,
        number INTEGER NOT NULL, name TEXT NOT NULL DEFAULT '', pinned INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL, UNIQUE (project, job, number));
    CREATE INDEX takes_job ON takes (job);
    CREATE TABLE submissions (job TEXT PRIMARY KEY, project TEXT NOT NULL, parent TEXT);
    CREATE TRIGGER jobs_done AFTER UPDATE OF state ON jobs WHEN NEW.state = 'done' BEGIN
        INSERT OR IGNORE INTO takes (id, project, parent, job, number, created)
            SELECT lower(hex(randomblob(8))), submissions.project, submissions.parent, NEW.id, outputs.key + 1,
                COALESCE(NEW.finished, NEW.created)
            FROM submissions JOIN projects ON projects.id = submissions.project, json_each(NEW.outputs) AS outputs
            WHERE submissions.job = NEW.id;
    END;
    CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
        DELETE FROM takes WHERE job = OLD.id;
        DELETE FROM submissions WHERE job = OLD.id;
    END;
    """,
)
"""One script per version of the schema, each bringing the version before it up to its own."""


def statements(script: str) -> Iterator[str]:
    """The statements of a script, for running them inside a transaction (`executescript` would commit it)."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if statement.strip() and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
