"""Engine of a worker: keeps one model loaded from job to job and runs requests on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vampnet.errors import VampnetError
from vampnet.generation.progress import Report
from vampnet.jobs.request import Request
from vampnet.jobs.result import JobResult

if TYPE_CHECKING:
    from vampnet.tasks.model import VampNet

Work = tuple[Request, Sequence[Path]]
"""A request and its outputs."""


class Engine(Protocol):
    """Interface of a worker's engine, which runs requests."""

    loaded: str
    """Name of the loaded model; empty while there is none."""

    @property
    def at_once(self) -> int:
        """Number of jobs to run together; 1 on a CPU."""
        ...

    def load(self, request: Request) -> None:
        """Have the model that a request names loaded. Raises BundleError."""
        ...

    def unload(self) -> None:
        """Free the model's memory."""
        ...

    def run(
        self, request: Request, outputs: Sequence[Path], *, resume: bool, report: Report, cancelled: Callable[[], bool]
    ) -> JobResult:
        """Run a request. What `report` raises ends it within one step."""
        ...

    def run_many(
        self, works: Sequence[Work], *, resume: bool, report: Report
    ) -> Iterator[tuple[int, JobResult | VampnetError]]:
        """Run requests of one model together: the place of each and how it ended, as they end."""
        ...

    def find_beats(self, path: Path) -> list[float]:
        """Times of the beats of an audio file, seconds."""
        ...


class ModelEngine:
    """Runs requests on VampNet models, one loaded at a time."""

    def __init__(self) -> None:
        self.loaded = ""
        self._model: VampNet | None = None
        self._key: Any = None

    @property
    def at_once(self) -> int:
        """Number of jobs to run together."""
        return 1 if self._model is None else self._model.runs_at_once

    def load(self, request: Request) -> None:
        """Have the model that a request names loaded."""
        from vampnet.generation.token_memory import TokenMemory
        from vampnet.jobs.runner import load_model

        key = (request.model, getattr(request, "compat", ""))
        if key != self._key:
            self.unload()
            self._model = load_model(request)
            self._model.memory = TokenMemory()
            self.loaded, self._key = request.model.bundle, key

    def unload(self) -> None:
        """Free the model's memory."""
        if self._model is None:
            return
        self._model, self._key, self.loaded = None, None, ""
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def run(
        self, request: Request, outputs: Sequence[Path], *, resume: bool, report: Report, cancelled: Callable[[], bool]
    ) -> JobResult:
        """Run a request."""
        from vampnet.jobs.runner import run_job

        return run_job(request, outputs, model=self._model, resume=resume, report=report, cancelled=cancelled)

    def run_many(
        self, works: Sequence[Work], *, resume: bool, report: Report
    ) -> Iterator[tuple[int, JobResult | VampnetError]]:
        """Run requests of one model together."""
        from vampnet.jobs.batch import JobFailure, run_jobs

        assert self._model is not None
        place_of = {str(outputs[0]): place for place, (_, outputs) in enumerate(works)}
        requests = [request for request, _ in works]
        for ended in run_jobs(works, model=self._model, resume=resume, report=report, n_jobs=len(works)):
            if isinstance(ended, JobFailure):
                place = next(k for k, request in enumerate(requests) if request is ended.request)
                yield place, ended.error
            else:
                yield place_of[ended.outputs[0].file], ended

    def find_beats(self, path: Path) -> list[float]:
        """Times of the beats of an audio file."""
        from vampnet.audio.sources import FileSource
        from vampnet.beats.event_finder import EventFinder

        return [float(time) for time in EventFinder(FileSource(path), None).events("beats")]
