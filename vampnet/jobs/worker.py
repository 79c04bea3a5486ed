"""Worker process of a server: claims jobs from the table, runs them and writes down how far they are.

    python -m vampnet.jobs.worker '{"data": "FOLDER"}'

A thread renews the lease while a job is at work. SIGTERM stops claiming; the job at work is finished within
`grace_s`, or else given back to the table. A worker whose server is gone does the same. `work` takes any engine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vampnet.config import check_settings, from_dict, setting
from vampnet.errors import SettingsError, VampnetError
from vampnet.generation.progress import Progress
from vampnet.jobs.data_folder import DataFolder
from vampnet.jobs.engine import Engine, ModelEngine
from vampnet.jobs.request import GenerateRequest, Request, request_from_json
from vampnet.jobs.result import JobResult, result_to_json
from vampnet.jobs.table import CANCELLED, DONE, FAILED, JobRow, JobTable, WorkerRow
from vampnet.models.choice import ModelChoice

log = logging.getLogger("vampnet.worker")

_REPORT_EVERY_S = 5.0
_WRITE_EVERY_S = 0.05
_LONGEST_NAP_S = 0.2


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings of a worker process."""

    data: str
    """Data folder of the server."""
    name: str = "worker"
    """Name among the workers of the server."""
    lease_s: float = setting(10.0, low=0.1, high=3600.0)
    """Seconds after which a job of a dead worker is claimed by another, 0.1 to 3600."""
    grace_s: float = setting(10.0, low=0.0, high=3600.0)
    """Seconds that a job may go on after SIGTERM before it is given back, 0 to 3600."""
    unload_after_s: float = setting(0.0, low=0.0, high=1e6)
    """Seconds without a job after which the model's memory is freed; 0: never."""
    preload: bool = True
    """Load the default model at the start instead of with the first job."""
    bundle: str = "default"
    """Model that is loaded at the start."""
    device: str = "auto"
    """Device that it is loaded on."""
    threads: int = setting(0, low=0, high=1024)
    """Threads of the networks; 0: as many as PyTorch takes."""

    server_pid: int = setting(0, low=0, high=2**31)
    """Process whose end ends the worker; 0: whatever started it."""

    def __post_init__(self) -> None:
        check_settings(self)


class JobStopped(Exception):
    """Raised inside a job to end it: it is cancelled, given back, or no longer ours."""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command


class _JobWorker:
    """State of a worker process."""

    def __init__(self, config: WorkerConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.table = DataFolder(config.data).table()
        self.id = f"{config.name}-{os.getpid()}"
        self.state, self.error = "starting", ""
        self.stop_at: float | None = None
        self._parent = config.server_pid or os.getppid()  # it may be gone by now
        self._last_job = time.monotonic()
        self._finished = threading.Event()
        self._heart = threading.Thread(target=self._report_alive, daemon=True)

    # Living

    def run(self) -> None:
        """Claim and run jobs until told to stop."""
        self._heart.start()
        try:
            if self.config.preload:
                self._load(self._default_request(), idle=True)
            self._tell("ready" if self.engine.loaded or not self.config.preload else "unloaded")
            nap_s = 0.01
            while not self.stopping:
                jobs = self.table.claim(self.id, self.config.lease_s, limit=self.engine.at_once)
                if len(jobs) > 1:
                    self._run_together(jobs)
                elif jobs:
                    self._run_job(jobs[0])
                nap_s = 0.01 if jobs else min(1.5 * nap_s, _LONGEST_NAP_S)
                if not jobs:
                    self._unload_when_idle()
                    time.sleep(nap_s)
        finally:
            self._finished.set()
            self._heart.join()
            self.table.forget_worker(self.id)
            self.table.close()

    def stop(self) -> None:
        """Claim no more, and give back what is not finished in time."""
        if self.stop_at is None:
            self.stop_at = time.monotonic() + self.config.grace_s

    @property
    def stopping(self) -> bool:
        if os.getppid() != self._parent:  # the server was killed
            self.stop()
        return self.stop_at is not None

    def _tell(self, state: str) -> None:
        self.state = state
        row = WorkerRow(self.id, os.getpid(), state, self.engine.loaded, self.error, time.time())
        self.table.report_worker(row)

    def _report_alive(self) -> None:
        with contextlib.suppress(VampnetError):  # without it the jobs' thread says what is wrong
            self._report_to(DataFolder(self.config.data).table())

    def _report_to(self, table: JobTable) -> None:
        while not self._finished.wait(_REPORT_EVERY_S if self.state != "starting" else 0.2):
            with contextlib.suppress(Exception):  # the next one tells again
                loaded = self.engine.loaded
                table.report_worker(WorkerRow(self.id, os.getpid(), self.state, loaded, self.error, time.time()))
        table.close()

    # The model

    def _default_request(self) -> Request:
        return GenerateRequest(model=ModelChoice(bundle=self.config.bundle, device=self.config.device))

    def _load(self, request: Request, *, idle: bool = False) -> None:
        """Load a request's model; without a job at hand (`idle`), note why it cannot be loaded and go on."""
        self._tell("loading")
        try:
            self.engine.load(request)
            self.error = ""
        except VampnetError as error:
            self.error = str(error)
            log.error("the model cannot be loaded: %s", error)
            if not idle:
                raise
        self._last_job = time.monotonic()

    def _unload_when_idle(self) -> None:
        limit_s = self.config.unload_after_s
        if limit_s and self.engine.loaded and time.monotonic() - self._last_job > limit_s:
            log.info("no job for %g s: freeing the model", limit_s)
            self.engine.unload()
            self._tell("unloaded")

    # One job

    def _run_job(self, job: JobRow) -> None:
        log.info("job %s: try %d", job.id, job.tries)
        reporter = _Reporter(self, job)
        try:
            with self._lease([job]):
                request = request_from_json(job.work)
                self._load(request)
                self._tell("working")
                outputs = [Path(path) for path in job.outputs]
                result = self.engine.run(
                    request, outputs, resume=job.tries > 1, report=reporter, cancelled=reporter.is_cancelled
                )
                self._finish(job, result)
        except Exception as error:
            self._end(job, error, reporter.command())
        finally:
            self._last_job = time.monotonic()
            self._tell("ready" if self.engine.loaded else "unloaded")

    def _run_together(self, jobs: list[JobRow]) -> None:
        """Run jobs of one model as one batch. When one has to stop, the others go on where they were."""
        left, resume = list(jobs), False
        with self._lease(jobs):
            while left:
                reporters = [_Reporter(self, job) for job in left]
                try:
                    self._run_batch(left, reporters, resume)
                except JobStopped as stop:
                    for reporter in reporters:
                        if reporter.job in left and reporter.command() != "go":
                            self._end(reporter.job, stop, reporter.command())
                            left.remove(reporter.job)
                    resume = True
                    continue
                except Exception:
                    log.exception("a batch of %d jobs failed; running them one by one", len(left))
                break
        for job in left:
            self._run_job(job)

    def _run_batch(self, left: list[JobRow], reporters: list[_Reporter], resume: bool) -> None:
        """Run a batch, taking jobs that end out of `left`."""
        jobs = list(left)
        works = [(request_from_json(job.work), [Path(path) for path in job.outputs]) for job in jobs]
        self._load(works[0][0])
        self._tell("working")

        def report(progress: Progress) -> None:
            for job, reporter in zip(jobs, reporters, strict=True):
                if job in left:
                    reporter(progress)

        resume = resume or any(job.tries > 1 for job in jobs)
        for place, ended in self.engine.run_many(works, resume=resume, report=report):
            job = jobs[place]
            if isinstance(ended, VampnetError):
                self._end(job, ended, reporters[place].command())
            else:
                self._finish(job, ended)
            left.remove(job)

    def _finish(self, job: JobRow, result: JobResult) -> None:
        """Write down the result of a job that ended well."""
        if job.client.startswith("harp"):
            with contextlib.suppress(VampnetError):  # the labels then have no beats
                result = replace(
                    result, facts={**result.facts, "beats_s": self.engine.find_beats(Path(job.outputs[0]))}
                )
        self.table.finish(job, DONE, result=public_result(job, result))

    def _end(self, job: JobRow, error: Exception, command: str) -> None:
        """Write down how a job ended that did not end well."""
        if command != "go":
            log.info("job %s: %s", job.id, command)
            if command == "cancel":
                self.table.finish(job, CANCELLED)
            elif command == "release":
                self.table.release(job)
        elif isinstance(error, VampnetError):
            self.table.finish(job, FAILED, error=without_paths(job, str(error)))
        elif isinstance(error, MemoryError):
            self.table.finish(job, FAILED, error="there is not enough memory for this job; make it shorter")
        else:
            log.exception("job %s failed", job.id, exc_info=error)
            name = type(error).__name__
            self.table.finish(job, FAILED, error=f"an internal error ({name}); the server's log says more")

    @contextlib.contextmanager
    def _lease(self, jobs: list[JobRow]) -> Iterator[None]:
        """Renew the leases of jobs while the block runs."""
        ended = threading.Event()

        def renew() -> None:
            table = DataFolder(self.config.data).table()
            while not ended.wait(self.config.lease_s / 4):
                with contextlib.suppress(Exception):  # a busy file: the next renewal comes in time
                    for job in jobs:
                        table.renew(job, self.config.lease_s)
            table.close()

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Reporter:
    """Writes a job's progress to the table, and ends the job by an exception when it should stop."""

    def __init__(self, worker: _JobWorker, job: JobRow) -> None:
        self._worker, self.job = worker, job
        self._written = 0.0
        self._stage = ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage or now - self._written >= _WRITE_EVERY_S:
            self._worker.table.progress(self.job, progress)
            self._written, self._stage = now, progress.stage
        command = self.command()
        if command != "go":
            raise JobStopped(command)

    def command(self) -> str:
        """Instruction for the job: go, cancel, release or drop."""
        worker = self._worker
        command = worker.table.command(self.job)
        if command == "go" and worker.stopping and time.monotonic() >= (worker.stop_at or 0.0):
            return "release"
        return command

    def is_cancelled(self) -> bool:
        return self.command() != "go"


def work(config: WorkerConfig, engine: Engine) -> None:
    """Work until SIGTERM. Ctrl-C is left to the server, which then sends SIGTERM."""
    worker = _JobWorker(config, engine)
    signal.signal(signal.SIGTERM, lambda number, frame: worker.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.run()


def public_result(job: JobRow, result: JobResult) -> dict[str, object]:
    """A result as JSON data in which files have their names and no folders of the server."""
    names = _public_names(job)
    outputs = tuple(
        replace(output, file=Path(output.file).name, command=_replaced(output.command, names))
        for output in result.outputs
    )
    source = result.input and replace(result.input, file=_replaced(result.input.file, names))
    warnings = tuple(_replaced(warning, names) for warning in result.warnings)
    return result_to_json(replace(result, outputs=outputs, input=source, plot="", warnings=warnings))


def without_paths(job: JobRow, message: str) -> str:
    """A message in which files have their names and no folders of the server."""
    return _replaced(message, _public_names(job))


def _public_names(job: JobRow) -> dict[str, str]:
    """File name for each path of a job's request and outputs."""
    paths = [*job.outputs, *(text for text in _texts(job.work) if text.startswith("/"))]
    folders = {str(Path(path).parent) + "/" for path in paths}
    return dict.fromkeys(sorted(folders, key=len, reverse=True), "")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _texts(entry)


def _replaced(text: str, names: dict[str, str]) -> str:
    for path, name in names.items():
        text = text.replace(path, name)
    return text


def main(arguments: list[str]) -> int:
    """Run a worker with the settings of one JSON object."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        config = from_dict(WorkerConfig, json.loads(arguments[0]), "worker")
    except (IndexError, ValueError, SettingsError) as error:
        print(f"vampnet worker: {error or 'settings are missing'}", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if config.threads:
        os.environ["OMP_NUM_THREADS"] = str(config.threads)
    try:
        work(config, ModelEngine())
    except VampnetError as error:  # the server starts another one
        print(f"vampnet worker: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
