"""The worker of the OSC service: one thread that loads the model once and does job after job."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vampnet.errors import Cancelled, VampnetError
from vampnet.jobs.request import Request

log = logging.getLogger("vampnet")


class Listener(Protocol):
    """Receiver of a job's events, called from the worker's thread."""

    def progress(self, share: float) -> None:
        """The share that is done, 0 to 1."""
        ...

    def done(self, outputs: list[tuple[Path, int | None, float]]) -> None:
        """Path, seed and length in seconds of each output."""
        ...

    def failed(self, error: str) -> None:
        """One line that says why."""
        ...


@dataclass(eq=False)
class WorkerJob:
    """A job that waits or is at work."""

    request: Request
    outputs: list[Path]
    listener: Listener
    cancelled: threading.Event = field(default_factory=threading.Event)


RunJob = Callable[..., Any]
"""`vampnet.jobs.runner.run_job`, or what a test puts in its place."""


class JobWorker:
    """Does jobs one after the other, in its own thread; the model is loaded when the first one comes."""

    def __init__(self, run: RunJob | None = None, limit: int = 64) -> None:
        """`run` does a job as `run_job`; `limit`: jobs that may wait."""
        self._run = run
        self._waiting: queue.Queue[WorkerJob | None] = queue.Queue()
        self._limit = limit
        self._models: dict[tuple[Any, str], Any] = {}
        self.current: WorkerJob | None = None
        """The job at work."""
        self._thread = threading.Thread(target=self._work, name="vampnet-worker", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Jobs that wait."""
        return self._waiting.qsize()

    def submit(self, request: Request, outputs: list[Path], listener: Listener) -> tuple[WorkerJob, int]:
        """Take up a job; returns it and how many are before it. Raises VampnetError when too many wait."""
        if self.n_waiting >= self._limit:
            raise VampnetError(f"{self._limit} jobs wait already; send it again later")
        job = WorkerJob(request, outputs, listener)
        position = self.n_waiting + (self.current is not None)
        self._waiting.put(job)
        return job, position

    def close(self) -> None:
        """Stop after the job at work, which is cancelled."""
        if self.current is not None:
            self.current.cancelled.set()
        self._waiting.put(None)
        self._thread.join(30)

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            self.current = job
            try:
                if job.cancelled.is_set():
                    raise Cancelled("cancelled")
                result = self._do(job)
                job.listener.done([(Path(o.file), o.seed, o.seconds) for o in result.outputs])
            except VampnetError as error:
                job.listener.failed(str(error).splitlines()[0])
            except Exception as error:  # a fault of ours ends the job, not the service
                log.exception("a job failed")
                job.listener.failed(f"internal error: {type(error).__name__}")
            finally:
                self.current = None

    def _do(self, job: WorkerJob) -> Any:
        def report(progress: Any) -> None:
            job.listener.progress(progress.share)

        if self._run is not None:
            return self._run(job.request, job.outputs, model=None, report=report, cancelled=job.cancelled.is_set)
        from vampnet.jobs.runner import load_model, run_job

        key = (job.request.model, getattr(job.request, "compat", ""))
        if key not in self._models:
            self._models = {key: load_model(job.request)}  # one at a time: memory
        return run_job(job.request, job.outputs, model=self._models[key], report=report, cancelled=job.cancelled.is_set)
