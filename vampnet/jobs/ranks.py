"""Many tasks on the ranks of torchrun; what `--engine ranks` runs: one process per accelerator, or per machine.

The first rank runs the command; the others wait for tasks. In each round every rank does one task.
"""

from __future__ import annotations

import atexit
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from vampnet.errors import SettingsError
from vampnet.jobs.pool import Make, Result, Task
from vampnet.jobs.task_engine import TaskEngine

_PATIENCE = timedelta(days=7)
"""Longest task. torchrun ends all ranks when one fails, so nobody waits for a rank that is gone."""


@dataclass(frozen=True)
class RankEngine(TaskEngine):
    """The ranks of torchrun, seen from the first."""

    @property
    def threads(self) -> int:
        """CPU threads that torchrun gave each rank."""
        return max(int(os.environ.get("OMP_NUM_THREADS") or 1), 1)

    def run(self, make: Make[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results of tasks in their order; each rank calls `make` once. Raises what a task raises."""
        import torch.distributed as dist

        waiting = iter(tasks)
        work = None
        dist.broadcast_object_list([make])
        try:
            while batch := list(itertools.islice(waiting, self.workers)):
                if work is None:
                    work = make()
                shares: list[list[Any]] = [batch[rank : rank + 1] for rank in range(self.workers)]
                own: list[list[Any]] = [[]]
                dist.scatter_object_list(own, shares)
                gathered: list[Any] = [None] * self.workers
                dist.gather_object(_attempt(work, own[0]), gathered)
                for result, error in gathered[: len(batch)]:
                    if error is not None:
                        raise error
                    yield result
        finally:
            dist.scatter_object_list([None], [None] * self.workers)


def join_ranks() -> RankEngine | None:
    """The engine on the first rank; on the others, None once the first has finished.

    Raises SettingsError outside of torchrun.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        raise SettingsError("--engine ranks is for torchrun: torchrun --nproc-per-node N --no-python vampnet ...")
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("gloo", timeout=_PATIENCE)
    if dist.get_rank() == 0:
        atexit.register(_dismiss)
        return RankEngine(dist.get_world_size())
    made: list[Any] = [None]
    while True:
        dist.broadcast_object_list(made)
        if made[0] is None:
            dist.destroy_process_group()
            return None
        _serve(made[0])


def _dismiss() -> None:
    """Let the other ranks end, as the first does."""
    import torch.distributed as dist

    dist.broadcast_object_list([None])
    dist.destroy_process_group()


def _serve(make: Make[Any, Any]) -> None:
    """Do tasks of one run of the first rank, until it has no more."""
    import torch.distributed as dist

    work = None
    while True:
        own: list[Any] = [None]
        dist.scatter_object_list(own, None)
        if own[0] is None:
            return
        if work is None and own[0]:
            work = make()
        dist.gather_object(_attempt(work, own[0]))


def _attempt(work: Callable[[Any], Any] | None, tasks: list[Any]) -> tuple[Any, Exception | None]:
    """Result of the only task, or of none; what it raises is given back."""
    if not tasks or work is None:
        return None, None
    try:
        return work(tasks[0]), None
    except Exception as error:
        return None, error
