"""Process that runs the fine-tuning jobs of a server, one after the other, and ends when none waits.

    python -m vampnet.jobs.finetune_worker '{"data": "FOLDER"}'

A thread renews the lease and looks every quarter of a second whether the job is to stop; it then interrupts the work
wherever it is. SIGTERM, and the end of the server, give the job back: the next process goes on from its last
checkpoint. The process is of low priority, so that takes are made as quickly as ever.
"""

from __future__ import annotations

import _thread
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
from types import FrameType

from vampnet.config import check_settings, from_dict, setting
from vampnet.errors import SettingsError, VampnetError
from vampnet.generation.progress import Progress
from vampnet.jobs.data_folder import DataFolder
from vampnet.jobs.finetune_job import FinetuneRequest, Runner, clear, free_name, run_finetune, without_folder
from vampnet.jobs.result import JobResult
from vampnet.jobs.table import CANCELLED, DONE, FAILED, JobRow, JobTable
from vampnet.jobs.worker import JobStopped, public_result, without_paths

log = logging.getLogger("vampnet.finetune")

_LOOK_EVERY_S, _WRITE_EVERY_S = 0.25, 0.2
_NO_MEMORY = "there is not enough memory to fine-tune; close other programs, or use a machine that has more"
_NICE = 10


@dataclass(frozen=True, kw_only=True)
class FinetuneWorkerConfig:
    """Settings of the process that fine-tunes."""

    data: str
    """Data folder of the server."""
    device: str = "auto"
    """Device of the models."""
    lease_s: float = setting(10.0, low=0.1, high=3600.0)
    """Seconds after which the job of a dead process is claimed by another, 0.1 to 3600."""
    server_pid: int = setting(0, low=0, high=2**31)
    """Process whose end ends the worker; 0: whatever started it."""

    def __post_init__(self) -> None:
        check_settings(self)


class _FinetuneWorker:
    """State of the process."""

    def __init__(self, config: FinetuneWorkerConfig, run: Runner) -> None:
        self.config, self._run = config, run
        self.folder = DataFolder(config.data)
        self.table = self.folder.table()
        self.id = f"finetune-{os.getpid()}"
        self._parent = config.server_pid or os.getppid()
        self._is_stopping = False
        self._command = "go"
        self._is_open = False  # whether the job may be interrupted now

    def work(self) -> None:
        """Run jobs until none waits, or until told to stop."""
        signal.signal(signal.SIGTERM, self._hear_stop)
        signal.signal(signal.SIGINT, self._interrupt)  # Ctrl-C is left to the server, which then sends SIGTERM
        while not self._must_stop():
            jobs = self.table.claim(self.id, self.config.lease_s, finetuning=True)
            if not jobs:
                break
            self._run_job(jobs[0])
        self.table.close()

    def _must_stop(self) -> bool:
        return self._is_stopping or os.getppid() != self._parent

    def _hear_stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True
        self._command = "release" if self._command == "go" else self._command
        self._interrupt(number, frame)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_open and self._command != "go":
            self._is_open = False
            raise JobStopped(self._command)

    def _run_job(self, job: JobRow) -> None:
        log.info("fine-tuning %s: try %d", job.id, job.tries)
        folder = self.folder.job_folder(job.id)
        self._command = "go"
        with self._watched(job):
            try:
                self._is_open = True
                if self._must_stop():
                    raise JobStopped("release")
                request = from_dict(FinetuneRequest, job.work["request"], "request")
                outputs = [Path(path) for path in job.outputs]
                result, made = self._run(request, folder, outputs, self.config.device, _TableReporter(self.table, job))
                self._is_open = False
                self._finish(job, result, made, request.name)
            except Exception as error:
                self._is_open = False
                self._end(job, error)

    def _finish(self, job: JobRow, result: JobResult, made: Path, name: str) -> None:
        """Put the adapter among the others, and write down the result of a job that ended well."""
        adapter = free_name(Path(job.work["adapters"]), name)
        os.replace(made, adapter)
        result = replace(result, facts={**result.facts, "lora": adapter.stem})
        is_wanted = self.table.finish(job, DONE, result=public_result(job, result))
        if not is_wanted:  # it was deleted at this moment
            adapter.unlink(missing_ok=True)
        clear(self.folder.job_folder(job.id), all_of_it=not is_wanted)

    def _end(self, job: JobRow, error: Exception) -> None:
        """Write down how a job ended that did not end well."""
        folder = self.folder.job_folder(job.id)
        if isinstance(error, JobStopped):
            log.info("fine-tuning %s: %s", job.id, error.command)
            if error.command == "release":
                self.table.release(job)
                return
            if error.command == "cancel":
                self.table.finish(job, CANCELLED)
        elif isinstance(error, VampnetError):
            self.table.finish(job, FAILED, error=without_paths(job, without_folder(folder, str(error))))
        elif isinstance(error, MemoryError):
            self.table.finish(job, FAILED, error=_NO_MEMORY)
        else:
            log.exception("fine-tuning %s failed", job.id, exc_info=error)
            name = type(error).__name__
            self.table.finish(job, FAILED, error=f"an internal error ({name}); the server's log says more")
        clear(folder, all_of_it=True)

    @contextlib.contextmanager
    def _watched(self, job: JobRow) -> Iterator[None]:
        """Renew the lease of a job while the block runs, and interrupt it when it is to stop."""
        ended = threading.Event()

        def watch() -> None:
            table = self.folder.table()
            while not ended.wait(_LOOK_EVERY_S):
                with contextlib.suppress(Exception):  # a busy file: the next look comes soon
                    table.renew(job, self.config.lease_s)
                    command = table.command(job)
                    if command == "go" and os.getppid() != self._parent:
                        command = "release"
                    if command != "go" and self._is_open:
                        self._command = command
                        _thread.interrupt_main()
            table.close()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _TableReporter:
    """Writes a job's progress to the table, a few times a second."""

    def __init__(self, table: JobTable, job: JobRow) -> None:
        self._table, self._job = table, job
        self._written, self._stage = 0.0, ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage or now - self._written >= _WRITE_EVERY_S:
            self._table.progress(self._job, progress)
            self._written, self._stage = now, progress.stage


def work(config: FinetuneWorkerConfig, run: Runner = run_finetune) -> None:
    """Run fine-tuning jobs until none waits, or until SIGTERM; `run` does the work."""
    _FinetuneWorker(config, run).work()


def main(arguments: list[str]) -> int:
    """Run the process with the settings of one JSON object."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        config = from_dict(FinetuneWorkerConfig, json.loads(arguments[0]), "finetune worker")
    except (IndexError, ValueError, SettingsError) as error:
        print(f"vampnet finetune worker: {error or 'settings are missing'}", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if hasattr(os, "nice"):
        os.nice(_NICE)
    try:
        work(config)
    except VampnetError as error:  # the server starts another one
        print(f"vampnet finetune worker: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
