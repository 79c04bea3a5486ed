"""Many tasks on the processes of one machine; what `--engine pool` runs.

A worker that is killed costs its task a try; its task and all others go to new workers.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from vampnet.errors import JobError

Task = TypeVar("Task")
Result = TypeVar("Result")
Make = Callable[[], Callable[[Task], Result]]
"""Makes, once per worker, what is called with every task: where a model is loaded."""

MAX_TRIES = 3
_work: Callable[[Any], Any] | None = None


def run_in_pool(make: Make[Task, Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Results of tasks in their order, by `workers` processes; tasks are asked for as they are needed.

    `make`, tasks and results must be picklable. Raises what a task raises, and JobError for one whose worker ended
    MAX_TRIES times.
    """
    waiting: deque[_PoolEntry] = deque()
    unasked = iter(tasks)
    pool = _start(make, workers)
    try:
        while True:
            while len(waiting) < 2 * workers and (task := next(unasked, _END)) is not _END:
                waiting.append(_PoolEntry(task))
            if not waiting:
                return
            try:  # a pool breaks at any moment: when it is given a task, too
                for entry in waiting:
                    entry.submit(pool)
                assert waiting[0].future is not None
                result = waiting[0].future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                pool = _start(make, workers)
                for entry in waiting:
                    entry.withdraw()
                continue
            waiting.popleft()
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_END: Any = object()


class _PoolEntry:
    """A task, how often it was begun, and its future while it is in a pool."""

    def __init__(self, task: Any) -> None:
        self.task, self.tries = task, 0
        self.future: Future[Any] | None = None

    def submit(self, pool: ProcessPoolExecutor) -> None:
        """Begin the task in a pool, unless it is in one. Raises BrokenProcessPool, and JobError after MAX_TRIES."""
        if self.future is not None:
            return
        if self.tries >= MAX_TRIES:
            raise JobError(f"the worker process ended {MAX_TRIES} times while at work on one task (out of memory?)")
        self.future = pool.submit(_call, self.task)
        self.tries += 1

    def withdraw(self) -> None:
        """Forget a pool that broke, but not a result that came before."""
        future = self.future
        if future is not None and not (future.done() and not future.cancelled() and future.exception() is None):
            self.future = None


def _start(make: Make[Any, Any], workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (make,))


def _begin(make: Make[Any, Any]) -> None:
    global _work
    _work = make()


def _call(task: Any) -> Any:
    assert _work is not None
    return _work(task)
