"""Rows of the job table: jobs, workers, and jobs that are to be put in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

QUEUED, RUNNING, DONE, FAILED, CANCELLED = STATES = ("queued", "running", "done", "failed", "cancelled")
FINISHED = (DONE, FAILED, CANCELLED)


@dataclass(frozen=True)
class JobRow:
    """One job as the table holds it."""

    id: str
    created: float
    """When it was submitted, Unix seconds."""
    state: str
    """queued, running, done, failed or cancelled."""
    request: dict[str, Any]
    """Request as it was submitted, JSON data."""
    work: dict[str, Any]
    """Request as a worker runs it, with the paths of files on this machine."""
    outputs: tuple[str, ...]
    """Paths that the outputs are written to."""
    owner: str
    """Name of the API key it came with; empty without keys."""
    client: str
    """Origin of the job: api, harp, ..., and for HARP the client."""
    model: str
    """Jobs with equal texts here run on the same loaded model."""
    idempotency: str | None
    tries: int
    """Number of times that a worker has claimed it."""
    lease: float
    """Unix seconds until which the claim holds."""
    claim: str
    """Secret of the claim; empty before the first."""
    cancel: bool
    """True if it is asked to stop."""
    stage: str
    done: int
    total: int
    share: float
    """Share of the job that is done, 0 to 1."""
    result: dict[str, Any] | None
    error: str | None
    """One sentence for the user."""
    started: float | None
    finished: float | None
    changed: int
    """Number of the last change; later changes of any job have larger ones."""

    @property
    def is_finished(self) -> bool:
        """True for a job that is done, failed or cancelled."""
        return self.state in FINISHED


@dataclass(frozen=True)
class WorkerRow:
    """One worker process as it last reported."""

    id: str
    pid: int
    state: str
    """starting, loading, ready, working, unloaded or stopped."""
    model: str
    error: str
    """Why the model could not be loaded; empty when all is well."""
    seen: float


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to be put into the table."""

    id: str
    request: dict[str, Any]
    work: dict[str, Any]
    outputs: Sequence[str]
    owner: str = ""
    client: str = "api"
    model: str = ""
    idempotency: str | None = None


def job_row(row: sqlite3.Row) -> JobRow:
    """A job as its row of the table says."""
    values = dict(row)
    for name in ("request", "work", "outputs", "result"):
        values[name] = None if values[name] is None else json.loads(values[name])
    values["outputs"] = tuple(values["outputs"])
    values["cancel"] = bool(values["cancel"])
    return JobRow(**values)
