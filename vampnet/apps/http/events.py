"""Server-sent events: one watcher reads what changed in the job table, and every stream waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from vampnet.apps.http.metrics import Metrics
from vampnet.errors import VampnetError
from vampnet.jobs.table import JobRow, JobTable

log = logging.getLogger("vampnet.http")

LOOK_EVERY_S = 0.05
PING_EVERY_S = 5.0


class TableWatcher:
    """Looks into the job table for all streams at once, and wakes them when something changed."""

    def __init__(self, open_table: Callable[[], JobTable], metrics: Metrics) -> None:
        self._open_table, self._metrics = open_table, metrics
        self._changed = asyncio.Event()
        self.closed = False

    async def run(self) -> None:
        """Watch until cancelled."""
        table, number, version = None, 0, -1
        while True:
            try:
                if table is None:
                    opened = await run_in_threadpool(self._open_table)
                    number, table = await run_in_threadpool(opened.last_change), opened
                now = await run_in_threadpool(table.data_version)
                if now != version:
                    version = now
                    number = self._note(await run_in_threadpool(table.changed_since, number), number)
            except VampnetError as error:
                log.warning("the job table cannot be read; trying again: %s", error)
                await asyncio.sleep(1.0)
            except Exception:
                log.exception("the job table cannot be read; trying again")
                await asyncio.sleep(1.0)
            await asyncio.sleep(LOOK_EVERY_S)

    def _note(self, jobs: list[JobRow], number: int) -> int:
        if not jobs:
            return number
        self._metrics.count_ended(job for job in jobs if job.is_finished)
        self.wake()
        return jobs[-1].changed

    def wake(self) -> None:
        """Wake every stream."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self.closed = True
        self.wake()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a change; False after the time is out."""
        if self.closed:
            return False
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True


async def stream_job(
    watcher: TableWatcher, look: Callable[[], JobRow | None], show: Callable[[JobRow], Awaitable[Any]], after: int
) -> AsyncIterator[str]:
    """Events of one job until it ends or is deleted.

    `after`: number of the change that the client has seen; a state is told once, and the last one always.
    """
    yield "retry: 1000\n\n"
    while not watcher.closed:
        changed = asyncio.ensure_future(watcher.wait(PING_EVERY_S))
        try:
            job = await run_in_threadpool(look)
            if job is None:
                yield event("deleted", {"state": "deleted"}, after + 1)
                return
            if job.changed > after or job.is_finished:
                after = job.changed
                yield event(job.state if job.state != "running" else "progress", await show(job), after)
            if job.is_finished:
                return
            if not await changed and not watcher.closed:
                yield ": still here\n\n"
        finally:
            changed.cancel()


async def stream_jobs(
    watcher: TableWatcher,
    look: Callable[[int], list[JobRow]],
    show: Callable[[JobRow], Awaitable[Any]],
    after: int,
) -> AsyncIterator[str]:
    """Events of all of a caller's jobs that changed after change number `after`, until the client goes away."""
    yield "retry: 1000\n\n"
    while not watcher.closed:
        changed = asyncio.ensure_future(watcher.wait(PING_EVERY_S))
        try:
            for job in await run_in_threadpool(look, after):
                after = job.changed
                yield event(job.state if job.state != "running" else "progress", await show(job), after)
            if not await changed and not watcher.closed:
                yield ": still here\n\n"
        finally:
            changed.cancel()


def event(name: str, data: Any, number: int) -> str:
    """One event as it goes over the wire."""
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
