"""Engines that run many tasks: a pool of processes here, or Ray; what `--engine` and `--workers` name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vampnet.errors import SettingsError
from vampnet.jobs.pool import Make, Result, Task, run_in_pool

MAX_WORKERS = 4096


@dataclass(frozen=True)
class TaskEngine:
    """A pool of processes, or a Ray cluster."""

    workers: int
    """Processes, 1 to 4096."""
    address: str | None = None
    """None: a pool on this machine; otherwise Ray, at this address (empty: started here)."""

    @property
    def is_ray(self) -> bool:
        """Whether tasks may run on other machines."""
        return self.address is not None

    @property
    def threads(self) -> int:
        """CPU threads for each worker: its share of this machine, or the one that Ray gives it."""
        return 1 if self.is_ray else max((os.cpu_count() or 1) // self.workers, 1)

    def run(self, make: Make[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results of tasks in their order; each worker calls `make` once. Raises what a task raises, and JobError."""
        if self.address is None:
            return run_in_pool(make, tasks, self.workers)
        from vampnet.jobs.ray import run_on_ray

        return run_on_ray(make, tasks, self.workers, self.address)


def choose_engine(name: str, workers: int | None) -> TaskEngine | None:
    """The engine of `--engine` and `--workers`; None for this process. Raises SettingsError."""
    if name == "here":
        if workers is not None:
            raise SettingsError("--workers is for --engine pool or ray; give one of them too")
        return None
    n_workers = (os.cpu_count() or 1) if workers is None else workers
    if not 1 <= n_workers <= MAX_WORKERS:
        raise SettingsError(f"--workers is {n_workers}, but must lie in 1 to {MAX_WORKERS}")
    if name == "pool":
        return TaskEngine(n_workers)
    if name != "ray" and not name.startswith("ray:"):
        raise SettingsError(f"--engine is {name!r}, but must be here, pool, ray, ray://HOST:PORT or ranks")
    return TaskEngine(n_workers, name if name.startswith("ray://") else name.removeprefix("ray").removeprefix(":"))
