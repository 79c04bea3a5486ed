"""Runs many jobs of one model as one sequence of runs; a failure does not stop the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vampnet.errors import Cancelled, VampnetError
from vampnet.generation.progress import Progress, Report
from vampnet.generation.run import Run, WindowRequest, drive
from vampnet.jobs.check import check_job, generates_nothing, is_chosen
from vampnet.jobs.done_list import DoneList
from vampnet.jobs.file_job import FileJob
from vampnet.jobs.request import Request
from vampnet.jobs.result import JobResult
from vampnet.jobs.runner import draw_plot, run_job, with_plot
from vampnet.tasks.model import VampNet
from vampnet.tasks.task import Variation


@dataclass(frozen=True)
class JobFailure:
    """One of several jobs that could not be done."""

    request: Request
    error: VampnetError


_ALONE = -1
"""Key of the progress of a job that is done by itself."""

Job = tuple[Request, Sequence[Path]]
"""A request and its outputs."""


def run_jobs(
    jobs: Iterable[Job],
    *,
    model: VampNet,
    resume: bool = False,
    report: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
    n_jobs: int | None = None,
    plot_of: Callable[[Request, Sequence[Path]], Path | None] = lambda request, outputs: None,
    done: DoneList | None = None,
) -> Iterator[JobResult | JobFailure]:
    """Do many jobs of one model; a failure does not stop the others. Yields each result as it is finished.

    On accelerators, windows of several jobs are filled as one batch; on a CPU that gains nothing. `n_jobs` is how many
    there are, for progress; `done` the list of finished jobs where these are a part of the batch. Jobs that generate
    nothing, or choose among candidates, are done one by one in between. Close the iterator to stop early.
    """
    batch = _Batch(model, resume, report, cancelled, n_jobs, plot_of, done or DoneList(resume))
    with contextlib.closing(batch):
        for finished in drive(batch.runs(jobs), model.fill, at_once=model.runs_at_once, journal=batch):
            place = batch.places.pop(finished.number)
            if isinstance(place, (JobFailure, JobResult)):
                yield place
                continue
            entry, _ = place
            try:
                if finished.error is not None:
                    raise finished.error
                entry.job.write(finished.result or [])
                plot = plot_of(entry.job.request, entry.job.outputs)
                if plot is not None and not entry.is_plotted and finished.result:
                    draw_plot(entry.job, plot, finished.result[0])
                    entry.is_plotted, entry.plot = True, plot
            except VampnetError as error:
                batch.end(entry)
                if not entry.has_failed:
                    entry.has_failed = True
                    yield JobFailure(entry.job.request, error)
                continue
            entry.n_left -= 1
            if not entry.n_left and not entry.has_failed:
                result = entry.job.finish()
                batch.done.add(entry.job.outputs, entry.job.facts)
                batch.end(entry)
                yield result if entry.plot is None else with_plot(result, entry.plot)
        batch.done.forget()


@dataclass(eq=False)
class _Entry:
    """One job of a batch."""

    job: FileJob
    n_left: int
    """Runs that are not finished."""
    has_failed: bool = False
    is_plotted: bool = False
    plot: Path | None = None


class _Batch:
    """Many jobs as one sequence of runs, with a journal each."""

    def __init__(
        self,
        model: VampNet,
        resume: bool,
        report: Report | None,
        cancelled: Callable[[], bool] | None,
        n_jobs: int | None,
        plot_of: Callable[[Request, Sequence[Path]], Path | None],
        done: DoneList,
    ) -> None:
        self._plot_of = plot_of
        self._model, self._resume, self._report, self._cancelled = model, resume, report, cancelled
        self._n_jobs, self._n_done = n_jobs or 1, 0
        self._shares: dict[int, float] = {}
        self._entries: list[_Entry] = []
        self.done = done
        self.places: dict[int, tuple[_Entry, int] | JobFailure | JobResult] = {}
        """Owner of each run: a job and its number there, or the outcome of a job without runs."""

    def runs(self, jobs: Iterable[Job]) -> Iterator[Run[list[Variation]]]:
        """All runs of all jobs, each job opened when its first run is asked for."""
        number = 0
        for request, outputs in jobs:
            try:
                check_job(request, outputs, hears=self._model.hears)
                if generates_nothing(request) or is_chosen(request, self._model.hears):
                    self.places[number] = self._run_alone(request, outputs)
                    yield _make_nothing()
                    number += 1
                    continue
                job = FileJob(
                    request,
                    outputs,
                    self._model,
                    resume=self._resume,
                    report=self._reporter(len(self._entries)),
                    cancelled=self._cancelled,
                )
                entry = _Entry(job, len(job.runs))
                self._entries.append(entry)
                if self.done.has(outputs, job.facts):
                    self.places[number] = job.finish_as_before()
                    self.end(entry)
                else:
                    job.check_levels()
                    job.check_domain()
            except Cancelled:
                raise
            except VampnetError as error:
                self.places[number] = JobFailure(request, error)
                self._n_done += 1
            if number in self.places:
                yield _make_nothing()
                number += 1
                continue
            for place, run in enumerate(entry.job.runs):
                self.places[number] = (entry, place)
                yield run
                number += 1

    def _run_alone(self, request: Request, outputs: Sequence[Path]) -> JobResult:
        """Do a job that has no runs to be driven with those of others."""
        report, plot = self._reporter(_ALONE), self._plot_of(request, outputs)
        try:
            result = run_job(
                request,
                outputs,
                model=self._model,
                resume=self._resume,
                plot=plot,
                report=report,
                cancelled=self._cancelled,
            )
        finally:
            self._shares.pop(_ALONE, None)
        self._n_done += 1
        return result

    def recall(self, run: int, number: int, request: WindowRequest) -> Tensor | None:
        """The codes of a window that an earlier batch filled."""
        place = self.places[run]
        return place[0].job.journal.recall(place[1], number, request) if isinstance(place, tuple) else None

    def record(self, run: int, number: int, filled_BCT: Tensor) -> None:
        """Keep the codes of a window in its own job's journal."""
        place = self.places[run]
        if isinstance(place, tuple):
            place[0].job.journal.record(place[1], number, filled_BCT)

    def end(self, entry: _Entry) -> None:
        """Let go of a job's files."""
        self._shares.pop(self._entries.index(entry), None)
        self._n_done += 1
        entry.job.__exit__(None, None, None)

    def close(self) -> None:
        """Let go of all jobs' files; journals of unfinished ones stay."""
        for entry in self._entries:
            entry.job.__exit__(None, None, None)

    def _reporter(self, index: int) -> Report | None:
        if self._report is None:
            return None

        def tell(progress: Progress) -> None:
            self._shares[index] = progress.share
            share = min((self._n_done + sum(self._shares.values())) / self._n_jobs, 1.0)
            assert self._report is not None
            self._report(Progress("files", self._n_done, self._n_jobs, share))

        return tell


def _make_nothing() -> Run[list[Variation]]:
    """A run that makes nothing, in the place of a job without runs."""
    yield from ()  # a generator
    return []
