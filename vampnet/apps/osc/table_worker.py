"""Worker of the OSC service that hands its jobs to a running server, through the server's job table.

So a patch, the studio and a DAW share one model and one queue. Outputs are written where the patch wants them.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

from vampnet.apps.osc.worker import Listener, WorkerJob
from vampnet.errors import VampnetError
from vampnet.jobs.data_folder import DataFolder
from vampnet.jobs.request import Request, request_to_json
from vampnet.jobs.table import DONE, QUEUED, RUNNING, JobRow, JobTable, NewJob, new_id

log = logging.getLogger("vampnet")

LOOK_EVERY_S = 0.03
SEEN_WITHIN_S = 10.0
"""A server whose workers have said nothing for so long is not running."""
GONE_S = 60.0
"""Jobs are given up when no worker has said anything for so long."""


def running_server(path: Path) -> bool:
    """True where a server works on the jobs of a data folder."""
    if not (path / "jobs.db").is_file():
        return False
    try:
        table = JobTable(path / "jobs.db")
    except VampnetError:
        return False
    try:
        return bool(table.workers(SEEN_WITHIN_S))
    finally:
        table.close()


class TableWorker:
    """Submits jobs to the table of a server and tells their listeners what becomes of them."""

    def __init__(self, path: Path, limit: int = 64) -> None:
        """`path`: data folder of the server; `limit`: jobs of this service that may wait. Raises JobError."""
        self._folder, self._limit = DataFolder(path), limit
        self._table = self._folder.table()
        self._jobs: dict[str, WorkerJob] = {}
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vampnet-osc-table", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Jobs of this service that wait."""
        with self._lock:
            return len(self._jobs) - len(self._running)

    @property
    def current(self) -> WorkerJob | None:
        """A job at work."""
        with self._lock:
            return next((self._jobs[job_id] for job_id in self._running if job_id in self._jobs), None)

    def submit(self, request: Request, outputs: list[Path], listener: Listener) -> tuple[WorkerJob, int]:
        """Put a job into the table; returns it and how many are before it. Raises VampnetError."""
        if self.n_waiting >= self._limit:
            raise VampnetError(f"{self._limit} jobs wait already; send it again later")
        work = dataclasses.replace(request, model=self._model(request))
        data, job_id = request_to_json(work), new_id()
        shown = dict(data)
        if request.input:
            shown["input"] = Path(request.input).name
        model = json.dumps([dataclasses.asdict(work.model), getattr(work, "compat", "")])
        self._folder.job_folder(job_id).mkdir(mode=0o700, exist_ok=True)
        job = WorkerJob(request, outputs, listener)
        with self._lock:
            row, _ = self._table.submit(
                NewJob(id=job_id, request=shown, work=data, outputs=[str(path.resolve()) for path in outputs],
                       client="osc", model=model)
            )  # fmt: skip
            self._jobs[job_id] = job
            return job, self._table.position(row)

    def close(self) -> None:
        """Cancel what is left, and stop watching."""
        self._closed.set()
        self._thread.join(10)
        for job_id in self._jobs:
            self._table.cancel(job_id)
        self._table.close()

    def _model(self, request: Request) -> Any:
        """The request's model; where it names none, that of the server, which is loaded."""
        choice = request.model
        loaded = next((worker.model for worker in self._table.workers() if worker.model), "")
        return dataclasses.replace(choice, bundle=loaded) if loaded and choice.bundle == "default" else choice

    def _watch(self) -> None:
        table = self._folder.table()
        seen = time.monotonic()
        while not self._closed.wait(LOOK_EVERY_S):
            with self._lock:
                jobs = dict(self._jobs)
            if not jobs:
                seen = time.monotonic()
                continue
            try:
                if table.workers(SEEN_WITHIN_S):
                    seen = time.monotonic()
                for job_id, job in jobs.items():
                    if job.cancelled.is_set():
                        table.cancel(job_id)
                    self._tell(job_id, job, table.get(job_id))
                if time.monotonic() - seen > GONE_S:
                    self._give_up(table, jobs)
            except VampnetError as error:  # a job that was deleted in the studio
                self._end_missing(table, jobs, str(error))
            except Exception:
                log.exception("the job table cannot be read; trying again")
                self._closed.wait(1.0)
        table.close()

    def _tell(self, job_id: str, job: WorkerJob, row: JobRow) -> None:
        if row.state == QUEUED:
            return
        if row.state == RUNNING:
            with self._lock:
                self._running.add(job_id)
            job.listener.progress(row.share)
            return
        self._forget(job_id)
        if row.state == DONE and row.result is not None:
            made = row.result["outputs"]
            job.listener.done([(Path(output["file"]), output["seed"], output["seconds"]) for output in made])
        else:
            job.listener.failed((row.error or row.state).splitlines()[0])

    def _forget(self, job_id: str) -> None:
        with self._lock:
            self._jobs.pop(job_id, None)
            self._running.discard(job_id)

    def _give_up(self, table: JobTable, jobs: dict[str, WorkerJob]) -> None:
        for job_id, job in jobs.items():
            table.cancel(job_id)
            self._forget(job_id)
            job.listener.failed("the server has ended; start it again, or start this service again without one")

    def _end_missing(self, table: JobTable, jobs: dict[str, WorkerJob], text: str) -> None:
        known = table.ids()
        for job_id, job in jobs.items():
            if job_id not in known:
                self._forget(job_id)
                job.listener.failed(f"the job was deleted: {text.splitlines()[0]}")
