"""Many tasks on a Ray cluster, by Ray Data; what `--engine ray` runs. A thin adapter: the tasks are those of `pool.py`.

What a task reads and writes must lie where all machines of the cluster reach it under the same path. A killed actor's
task goes to another one. Only tasks and results, both small, pass through Ray.
"""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

from vampnet.errors import JobError, require
from vampnet.jobs.pool import Make, Result, Task

_STORE_BYTES = 100 << 20
"""Room for tasks and results on this machine; audio and tokens never pass through it."""


class _RayActor:
    """Runs tasks in a worker of the cluster."""

    def __init__(self, made: bytes) -> None:
        self._work = pickle.loads(made)()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"result": [pickle.dumps(self._work(pickle.loads(task))) for task in batch["task"]]}


def run_on_ray(make: Make[Task, Result], tasks: Iterable[Task], workers: int, address: str = "") -> Iterator[Result]:
    """Results of tasks in their order, by `workers` actors that each call `make` once.

    `address`: of a cluster, as `ray://HOST:10001` or `HOST:6379`; empty starts Ray on this machine. Raises JobError.
    """
    require("ray", "--engine ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    rows = [{"task": pickle.dumps(task)} for task in tasks]
    if not rows:
        return
    there = {"address": address} if address else {"num_cpus": workers, "object_store_memory": _STORE_BYTES}
    was_running = ray.is_initialized()
    try:
        if not was_running:
            ray.init(include_dashboard=None if address else False, log_to_driver=False, logging_level="error", **there)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _RayActor, fn_constructor_args=(pickle.dumps(make),), batch_size=1, num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
        )  # fmt: skip
        for row in data.iter_rows():
            yield pickle.loads(row["result"])
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise JobError(f"Ray cannot go on: {' '.join(str(error).split())[-300:]}") from None
    finally:
        if not was_running:
            ray.shutdown()
