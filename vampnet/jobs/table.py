"""Job table: an SQLite file in which servers put jobs and from which worker processes claim them.

A worker claims a job for a few seconds (a lease) and renews the lease while it works, so a job whose worker was killed
is claimed again by another one, at most `MAX_TRIES` times. Every change gets a number that grows (`JobRow.changed`), by
which a watcher finds what is new. The file's `user_version` is the schema's version; older files are migrated.
Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vampnet.errors import JobError
from vampnet.generation.progress import Progress
from vampnet.jobs.table_rows import (
    CANCELLED,
    DONE,
    FAILED,
    FINISHED,
    QUEUED,
    RUNNING,
    STATES,
    JobRow,
    NewJob,
    WorkerRow,
    job_row,
)
from vampnet.jobs.table_schema import MIGRATIONS, TableError, connect, statements

FINETUNING = "finetune"
"""`JobRow.model` of fine-tuning jobs, which a process of their own claims."""
MAX_TRIES, _BUSY_S, _CACHE_KB = 3, 30.0, 256


_COLUMNS = tuple(field.name for field in dataclasses.fields(JobRow))


def new_id() -> str:
    """An unguessable id for a job or a file."""
    return secrets.token_hex(12)


class JobTable:
    """The jobs and workers in one SQLite file. Each thread opens its own."""

    def __init__(self, path: Path) -> None:
        """Make or migrate the file. Raises JobError where it cannot be used, or is of a newer version."""
        self.path = path
        try:
            self._db = connect(path, _BUSY_S)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(f"PRAGMA cache_size=-{_CACHE_KB}")  # every thread has a connection
            self._migrate()
        except TableError as error:
            raise JobError(f"{path} cannot be used as a job table: {error.__cause__}") from None

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def __del__(self) -> None:
        """Release the file of a thread that has ended."""
        if hasattr(self, "_db"):
            with contextlib.suppress(sqlite3.Error):
                self._db.close()

    def _migrate(self) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self.transaction():
            version = self._version()
            if version > len(MIGRATIONS):
                raise JobError(
                    f"{self.path} was made by a newer vampnet (table version {version}, known {len(MIGRATIONS)}); "
                    "update vampnet, or name another data folder"
                )
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                for statement in statements(script):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={number}")

    def _version(self) -> int:
        return self._db.execute("PRAGMA user_version").fetchone()[0]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes within a `with` block together, or none of them."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(TableError):  # after some errors SQLite has done it already
                self._db.execute("ROLLBACK")
            raise

    def execute(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Rows of a query, for the tables that stand beside the jobs."""
        return self._db.execute(query, tuple(values)).fetchall()

    # Submitting and looking

    def submit(self, job: NewJob, *, max_queued: int | None = None) -> tuple[JobRow, bool]:
        """Put a job in; returns it and whether it is new: an idempotency key seen before gives the earlier job.

        Raises QueueFull when `max_queued` jobs wait already.
        """
        with self.transaction():
            if job.idempotency is not None:
                earlier = self._select("owner = ? AND idempotency = ?", (job.owner, job.idempotency))
                if earlier:
                    return earlier[0], False
            if max_queued is not None and self._count(QUEUED) >= max_queued:
                raise QueueFull(f"{max_queued} jobs are waiting already; try again later")
            self._db.execute(
                "INSERT INTO jobs (id, created, state, request, work, outputs, owner, client, model, idempotency)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (job.id, time.time(), QUEUED, json.dumps(job.request), json.dumps(job.work),
                 json.dumps(list(job.outputs)), job.owner, job.client, job.model, job.idempotency),
            )  # fmt: skip
        return self.get(job.id), True

    def add_finished(
        self, job_id: str, request: dict[str, Any], outputs: Sequence[str], result: dict[str, Any] | None, owner: str
    ) -> None:
        """Put in a job that was done elsewhere, with the outputs that it made."""
        now, data = time.time(), json.dumps(request)
        self._db.execute(
            "INSERT INTO jobs (id, created, state, request, work, outputs, owner, client, model, share, result,"
            " started, finished) VALUES (?, ?, ?, ?, ?, ?, ?, 'import', '', 1, ?, ?, ?)",
            (job_id, now, DONE, data, data, json.dumps(list(outputs)), owner, json.dumps(result), now, now),
        )

    def get(self, job_id: str) -> JobRow:
        """Raises UnknownJob."""
        rows = self._select("id = ?", (job_id,))
        if not rows:
            raise UnknownJob(f"there is no job {job_id!r}; it may have expired or been deleted")
        return rows[0]

    def list(
        self, *, owner: str | None = None, state: str | None = None, before: float | None = None, limit: int = 100
    ) -> list[JobRow]:
        """Jobs, newest first; `before`: created earlier than this (Unix seconds)."""
        where, values = ["1"], list[Any]()
        for clause, value in (("owner = ?", owner), ("state = ?", state), ("created < ?", before)):
            if value is not None:
                where.append(clause)
                values.append(value)
        return self._select(" AND ".join(where), (*values, limit), "ORDER BY created DESC, id LIMIT ?")

    def finetunes(self, owner: str) -> list[JobRow]:
        """Fine-tuning jobs of an owner, the newest first."""
        return self._select("model = ? AND owner = ?", (FINETUNING, owner), "ORDER BY created DESC, id")

    def changed_since(self, number: int) -> list[JobRow]:
        """Jobs whose last change has a larger number, in the order of the changes."""
        return self._select("changed > ?", (number,), "ORDER BY changed")

    def last_change(self) -> int:
        """Number of the latest change of any job."""
        return self._db.execute("SELECT n FROM clock").fetchone()[0]

    def data_version(self) -> int:
        """A number that changes when another connection has written."""
        return self._db.execute("PRAGMA data_version").fetchone()[0]

    def counts(self) -> dict[str, int]:
        """Number of jobs per state."""
        found = dict(self._db.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in STATES}

    def position(self, job: JobRow) -> int:
        """Number of queued jobs before this one, of those that the same workers claim."""
        query = f"SELECT COUNT(*) FROM jobs WHERE state = ? AND (created, id) < (?, ?) AND {_OF_KIND}"
        return self._db.execute(query, (QUEUED, job.created, job.id, job.model == FINETUNING)).fetchone()[0]

    # Ending

    def cancel(self, job_id: str) -> JobRow:
        """Ask a job to stop: a queued one is cancelled at once, a running one within a step. Raises UnknownJob."""
        with self.transaction():
            self._db.execute(
                "UPDATE jobs SET cancel = 1, finished = CASE state WHEN ? THEN ? ELSE finished END,"
                " state = CASE state WHEN ? THEN ? ELSE state END WHERE id = ? AND state IN (?, ?)",
                (QUEUED, time.time(), QUEUED, CANCELLED, job_id, QUEUED, RUNNING),
            )
        return self.get(job_id)

    def ends(self) -> list[tuple[str, float]]:
        """Ids of finished jobs that are not kept, and when they ended (Unix seconds), the earliest first."""
        query = (
            f"SELECT id, COALESCE(finished, created) AS ended FROM jobs WHERE state IN {FINISHED}"
            f" AND id NOT IN ({_KEPT}) ORDER BY ended, id"
        )
        return [(row["id"], row["ended"]) for row in self._db.execute(query)]

    def ids(self) -> set[str]:
        """Ids of all jobs."""
        return {row["id"] for row in self._db.execute("SELECT id FROM jobs")}

    def is_named(self, file_id: str) -> bool:
        """Whether a job's work or a project names a file."""
        query = "SELECT 1 FROM jobs WHERE instr(work, ?) UNION ALL SELECT 1 FROM projects WHERE input = ? LIMIT 1"
        return self._db.execute(query, (file_id, f"file:{file_id}")).fetchone() is not None

    def kept_ids(self) -> set[str]:
        """Ids of jobs that do not expire: their outputs are takes of a project, or they made an adapter."""
        return {row[0] for row in self._db.execute(_KEPT)}

    def delete(self, job_id: str) -> None:
        """Forget a job. A worker that runs it stops within a step."""
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    # Working

    def is_waiting(self, *, finetuning: bool = False) -> bool:
        """Whether there is a job to claim."""
        query = f"SELECT 1 FROM jobs WHERE {_CLAIMABLE} AND {_OF_KIND} LIMIT 1"
        return self._db.execute(query, (time.time(), finetuning)).fetchone() is not None

    def claim(self, worker: str, lease_s: float, *, limit: int = 1, finetuning: bool = False) -> list[JobRow]:
        """Take the oldest job that waits or whose lease ran out, and up to `limit` for the same model."""
        if not self.is_waiting(finetuning=finetuning):
            return []
        taken: list[str] = []
        with self.transaction():
            self._give_up()
            model: str | None = None
            which, values = f"{_CLAIMABLE} AND {_OF_KIND}", (time.time(), finetuning)
            for row in self._select(which, values, "ORDER BY created, id LIMIT 1000"):
                if len(taken) == limit or (model is not None and row.model != model):
                    break
                model = row.model
                self._db.execute(
                    "UPDATE jobs SET state = ?, tries = tries + 1, lease = ?, claim = ?, share = 0, stage = '',"
                    " done = 0, total = 0, started = ? WHERE id = ?",
                    (RUNNING, time.time() + lease_s, f"{worker}:{secrets.token_hex(4)}", time.time(), row.id),
                )
                taken.append(row.id)
        return [self.get(job_id) for job_id in taken]

    def _give_up(self) -> None:
        """End abandoned jobs that were asked to stop, or have had all their tries."""
        now = time.time()
        self._db.execute(
            "UPDATE jobs SET state = ?, finished = ? WHERE state = ? AND lease < ? AND cancel = 1",
            (CANCELLED, now, RUNNING, now),
        )
        self._db.execute(
            "UPDATE jobs SET state = ?, finished = ?, error = ? WHERE state = ? AND lease < ? AND tries >= ?",
            (FAILED, now, f"the worker process ended {MAX_TRIES} times while at work on this job (out of memory?); "
             "it is not tried again", RUNNING, now, MAX_TRIES),
        )  # fmt: skip

    def renew(self, job: JobRow, lease_s: float) -> bool:
        """Hold a claim for longer; False when it is lost."""
        query = "UPDATE jobs SET lease = ? WHERE id = ? AND claim = ? AND state = ?"
        return self._db.execute(query, (time.time() + lease_s, job.id, job.claim, RUNNING)).rowcount == 1

    def command(self, job: JobRow) -> str:
        """Instruction for a claimed job: go, cancel, or drop (the claim is lost)."""
        query = "SELECT cancel FROM jobs WHERE id = ? AND claim = ? AND state = ?"
        row = self._db.execute(query, (job.id, job.claim, RUNNING)).fetchone()
        return "drop" if row is None else "cancel" if row["cancel"] else "go"

    def progress(self, job: JobRow, progress: Progress) -> None:
        """Note how far a claimed job is; the share never falls."""
        self._db.execute(
            "UPDATE jobs SET stage = ?, done = ?, total = ?, share = MAX(share, ?)"
            " WHERE id = ? AND claim = ? AND state = ?",
            (progress.stage, progress.done, progress.total, progress.share, job.id, job.claim, RUNNING),
        )

    def finish(
        self, job: JobRow, state: str, *, result: dict[str, Any] | None = None, error: str | None = None
    ) -> bool:
        """End a claimed job; False when the claim is lost, so that two workers never both end one."""
        text = None if result is None else json.dumps(result)
        share = ", share = 1" if state == DONE else ""
        query = (
            f"UPDATE jobs SET state = ?, result = ?, error = ?, finished = ?{share}"
            " WHERE id = ? AND claim = ? AND state = ?"
        )
        values = (state, text, error, time.time(), job.id, job.claim, RUNNING)
        return self._db.execute(query, values).rowcount == 1

    def release(self, job: JobRow) -> bool:
        """Give a claimed job back unfinished: it waits again, and the try does not count."""
        query = (
            "UPDATE jobs SET state = ?, tries = tries - 1, lease = 0, claim = '', share = 0"
            " WHERE id = ? AND claim = ? AND state = ?"
        )
        return self._db.execute(query, (QUEUED, job.id, job.claim, RUNNING)).rowcount == 1

    # Workers

    def report_worker(self, worker: WorkerRow) -> None:
        """Note that a worker lives, and what it is at."""
        self._db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?, ?)", dataclasses.astuple(worker))

    def forget_worker(self, worker_id: str) -> None:
        """Remove a worker's row."""
        self._db.execute("DELETE FROM workers WHERE id = ?", (worker_id,))

    def workers(self, seen_within_s: float = 30.0) -> list[WorkerRow]:
        """Workers that reported lately."""
        query = "SELECT * FROM workers WHERE seen > ? ORDER BY id"
        return [WorkerRow(**row) for row in self._db.execute(query, (time.time() - seen_within_s,))]

    def _count(self, state: str) -> int:
        return self._db.execute("SELECT COUNT(*) FROM jobs WHERE state = ?", (state,)).fetchone()[0]

    def _select(self, where: str, values: Sequence[Any], tail: str = "") -> list[JobRow]:
        query = f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE {where} {tail}"
        return [job_row(row) for row in self._db.execute(query, tuple(values)).fetchall()]


_CLAIMABLE = "(state = 'queued' OR (state = 'running' AND lease < ?))"
_OF_KIND = f"(model = '{FINETUNING}') = ?"
_KEPT = f"SELECT job FROM takes UNION SELECT id FROM jobs WHERE model = '{FINETUNING}' AND state = 'done'"


class UnknownJob(JobError):
    """A job that is not in the table."""


class QueueFull(JobError):
    """A job that is refused because too many wait."""
