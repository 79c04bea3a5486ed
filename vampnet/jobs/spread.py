"""Jobs of one model spread over the workers of an engine; what `--engine` of the task commands runs.

Each worker loads the model once. An output has the same bytes as from one process; it appears whole or not at all, and
`resume` leaves out the jobs that are done. A failed job is a result, and stops none of the others.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vampnet.errors import JobError
from vampnet.generation.progress import Progress, Report
from vampnet.jobs.batch import Job, JobFailure, run_jobs
from vampnet.jobs.done_list import DoneList
from vampnet.jobs.request import Request
from vampnet.jobs.result import JobResult
from vampnet.jobs.runner import load_model
from vampnet.jobs.task_engine import TaskEngine
from vampnet.storage import cause


@dataclass(frozen=True)
class FileTask:
    """A request, its outputs, and a picture of the first."""

    request: Request
    outputs: tuple[Path, ...]
    plot: Path | None = None


class FileWorker:
    """Does jobs of one model, which is loaded when it is made."""

    def __init__(self, request: Request, resume: bool, threads: int, folder: str) -> None:
        """`request`: any of the jobs', for its choice of the model. `folder`: where relative paths begin."""
        import torch

        torch.set_num_threads(threads)
        try:
            os.chdir(folder)
        except OSError as error:
            raise JobError(f"a worker cannot reach {folder}, where the files are ({cause(error)})") from None
        self._model, self._resume = load_model(request), resume

    def __call__(self, task: FileTask) -> JobResult | JobFailure:
        """Do a job. Raises VampnetError only for what would fail with every job."""
        (result,) = run_jobs(
            [(task.request, task.outputs)],
            model=self._model,
            resume=self._resume,
            plot_of=lambda request, outputs: task.plot,
            done=DoneList(self._resume, is_shared=True),
        )
        return result


def run_jobs_on(
    engine: TaskEngine,
    jobs: Sequence[Job],
    *,
    resume: bool = False,
    report: Report | None = None,
    plot_of: Callable[[Request, Sequence[Path]], Path | None] = lambda request, outputs: None,
) -> Iterator[JobResult | JobFailure]:
    """Do jobs of one model on an engine; yields the results in the order of the jobs.

    With Ray, inputs, outputs and the model must lie where all machines reach them under the same path. Raises JobError
    when the engine cannot go on.
    """
    if not jobs:
        return
    done = DoneList(resume)
    for _, outputs in jobs:
        done.open(outputs[0].parent)
    tasks = [FileTask(request, tuple(outputs), plot_of(request, outputs)) for request, outputs in jobs]
    make = functools.partial(FileWorker, jobs[0][0], resume, engine.threads, os.getcwd())
    n_done = 0
    for n_done, result in enumerate(engine.run(make, tasks), start=1):
        if report is not None:
            report(Progress("files", n_done, len(jobs), n_done / len(jobs)))
        yield result
    if n_done != len(jobs):
        raise JobError(f"the engine gave {n_done} results for {len(jobs)} files")
    done.forget()
