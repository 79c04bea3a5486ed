"""Schema of the job table: one script per version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

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
