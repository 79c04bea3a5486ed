"""Service: what the routes of one server share."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.concurrency import run_in_threadpool

from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.events import TableWatcher
from vampnet.apps.http.keys import KeyRing
from vampnet.apps.http.metrics import Metrics
from vampnet.apps.http.probe import Probe
from vampnet.apps.studio.analyses import Analyses
from vampnet.apps.studio.ear import warm_listener, warm_masks, warm_reader
from vampnet.errors import VampnetError
from vampnet.jobs.crew import Crew
from vampnet.jobs.data_folder import DataFolder, expire
from vampnet.jobs.finetune_worker import FinetuneWorkerConfig
from vampnet.jobs.on_demand import OnDemandProcess
from vampnet.jobs.projects import ProjectStore
from vampnet.jobs.table import JobTable
from vampnet.jobs.worker import WorkerConfig
from vampnet.storage import cause

log = logging.getLogger("vampnet.http")

_EXPIRE_EVERY_S = 30.0
PAINT_S, LISTEN_S = 300.0, 900.0
"""Longest times for drawing or converting a file, and for listening to one, seconds."""


class Service:
    """Data folder, workers, watcher, probe, keys and metrics of one server."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        worker: Callable[[WorkerConfig], Sequence[str]] | None = None,
        finetuner: Callable[[FinetuneWorkerConfig], Sequence[str]] | None = None,
    ) -> None:
        """`worker`, `finetuner`: command lines of processes with given settings.

        Raises VampnetError for settings that cannot be.
        """
        self.config = config
        self.keys = KeyRing(config.keys)
        self.metrics = Metrics()
        self.folder = DataFolder(config.data_folder)
        self.probe = Probe()
        self.painter = Probe(PAINT_S)
        """Draws waveforms, cuts passages and converts files."""
        self.spectra = Probe(PAINT_S)
        """Draws spectra: those of an hour take long, and nothing else waits for them."""
        self.masks = Probe(PAINT_S)
        """Finds the masks of previews; imports torch."""
        self.listener = Probe(LISTEN_S)
        """Listens for beats and keys; imports torch and librosa."""
        self.analyses = Analyses(self.listener, config.bundle, self.folder.path)
        self.watcher = TableWatcher(self.folder.table, self.metrics)
        self._worker = worker or worker_command
        self.crew = Crew(self._command, config.workers, grace_s=config.grace_s + 5.0)
        self._finetuner = finetuner or finetuner_command
        self.finetuner = OnDemandProcess(
            self._finetune_command, lambda: self.table.is_waiting(finetuning=True), grace_s=config.grace_s + 5.0
        )
        """Fine-tunes, while there is something to fine-tune on."""
        self._tables = threading.local()
        self._opened: weakref.WeakSet[JobTable] = weakref.WeakSet()  # one whose thread has ended closes by itself
        self.table.counts()  # the file is made, or refused, before anything is started

    @property
    def table(self) -> JobTable:
        """This thread's connection to the job table."""
        if not hasattr(self._tables, "table"):
            self._tables.table = self.folder.table()
            self._opened.add(self._tables.table)
        return self._tables.table

    @property
    def projects(self) -> ProjectStore:
        """Projects and takes, on this thread's connection."""
        return ProjectStore(self.table)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Workers and watcher live while the block runs."""
        self.crew.start()
        self.finetuner.start()
        if self.config.warm:
            readers = [(helper, warm_reader) for helper in (self.probe, self.painter, self.spectra)]
            for helper, warm in (*readers, (self.masks, warm_masks), (self.listener, warm_listener)):
                threading.Thread(target=self._warm, args=(helper, warm), daemon=True).start()
        tasks = [asyncio.create_task(self.watcher.run()), asyncio.create_task(self._expire())]
        try:
            yield
        finally:
            self.watcher.close()
            for task in tasks:
                task.cancel()
            self.analyses.close()
            for helper in (self.probe, self.painter, self.spectra, self.masks, self.listener):
                helper.close()
            await asyncio.gather(asyncio.to_thread(self.crew.stop), asyncio.to_thread(self.finetuner.stop))
            for table in list(self._opened):
                table.close()

    def _warm(self, helper: Probe, warm: Callable[[str], None]) -> None:
        with contextlib.suppress(VampnetError, RuntimeError):  # what is wrong is said at the first call
            helper.ask(warm, self.config.bundle)

    async def _expire(self) -> None:
        while True:
            try:
                gone = await run_in_threadpool(lambda: expire(self.folder, self.table, self.config.expiry))
                if gone:
                    log.info("%d jobs expired", len(gone))
                    self.watcher.wake()
            except (OSError, VampnetError) as error:
                log.warning("old jobs cannot be deleted; trying again: %s", cause(error))
            await asyncio.sleep(_EXPIRE_EVERY_S)

    def _command(self, number: int) -> Sequence[str]:
        config = self.config
        cores = os.cpu_count() or 1
        settings = WorkerConfig(
            data=str(self.folder.path),
            name=f"worker-{number + 1}",
            lease_s=config.lease_s,
            grace_s=config.grace_s,
            unload_after_s=config.unload_after_s,
            preload=config.preload,
            bundle=config.bundle,
            device=config.device,
            server_pid=os.getpid(),
            threads=max(1, cores // config.workers) if config.workers > 1 else 0,
        )
        return self._worker(settings)

    def _finetune_command(self) -> Sequence[str]:
        config = self.config
        return self._finetuner(
            FinetuneWorkerConfig(
                data=str(self.folder.path), device=config.device, lease_s=config.lease_s, server_pid=os.getpid()
            )
        )

    def model_state(self) -> tuple[str, str]:
        """State of the workers' models in a word, and a sentence: ready, loading, unloaded or failed."""
        workers = self.table.workers()
        states = {worker.state for worker in workers}
        errors = [worker.error for worker in workers if worker.error]
        if states & {"ready", "working"}:
            return "ready", "ready"
        if errors:
            return "failed", errors[0]
        if states == {"unloaded"}:
            return "unloaded", "the model is loaded with the next job"
        return "loading", "loading the model"


def worker_command(settings: WorkerConfig) -> Sequence[str]:
    """Command line of a worker process."""
    return [sys.executable, "-m", "vampnet.jobs.worker", json.dumps(dataclasses.asdict(settings))]


def finetuner_command(settings: FinetuneWorkerConfig) -> Sequence[str]:
    """Command line of a process that fine-tunes."""
    return [sys.executable, "-m", "vampnet.jobs.finetune_worker", json.dumps(dataclasses.asdict(settings))]
