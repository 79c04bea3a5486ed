"""A worker without a model, as a process: writes a short tone, step by step, and does what odd seeds ask for.

python fake_worker.py '{"data": "FOLDER"}' STEP_SECONDS
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.support.wav_bytes import wav_bytes
from vampnet.config import from_dict
from vampnet.errors import AudioError, VampnetError
from vampnet.generation.progress import Progress, Report
from vampnet.jobs.request import Request
from vampnet.jobs.result import InputFacts, JobOutput, JobResult
from vampnet.jobs.worker import WorkerConfig, work
from vampnet.storage import guarded

DIES, CRASHES, REFUSES, DIES_ONCE = 1001, 1002, 1003, 1004
"""Seeds: killed each time, an error of the program, an error of the user, killed in the first try alone."""


class FakeEngine:
    """Counts its steps in a file of the data folder, so that a test sees whether work goes on."""

    def __init__(self, folder: Path, step_s: float, at_once: int = 1) -> None:
        self.loaded, self._folder, self._step_s, self.at_once = "", folder, step_s, at_once

    def load(self, request: Request) -> None:
        self.loaded = request.model.bundle

    def unload(self) -> None:
        self.loaded = ""

    def run(
        self, request: Request, outputs: Sequence[Path], *, resume: bool, report: Report, cancelled: Callable[[], bool]
    ) -> JobResult:
        steps, seed = request.sampling.steps, request.sampling.seed
        for step in range(steps):
            report(Progress("coarse", step, steps, step / steps))
            time.sleep(self._step_s)
            with guarded(self._folder / "steps"), (self._folder / "steps").open("a") as file:
                file.write(".")
            if step == 1:
                self._misbehave(request, seed, resume)
        made = []
        for number, path in enumerate(outputs, 1):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav_bytes(0.1, seed + number - 1))
            made.append(JobOutput(str(path), seed + number - 1, number, 0.1, 0.5, f"vampnet vamp -o {path}"))
        source = InputFacts(request.input, 44100, 1, 4410, 0.1) if request.input else None
        return JobResult(request.task, tuple(made), source, prompt=getattr(request, "prompt", ""))

    def run_many(
        self, works: Sequence[tuple[Request, Sequence[Path]]], *, resume: bool, report: Report
    ) -> Iterator[tuple[int, JobResult | VampnetError]]:
        with (self._folder / "batches").open("a") as file:
            file.write(f"{len(works)} {'resumed' if resume else 'new'}\n")
        for place, (request, outputs) in enumerate(works):
            try:
                yield place, self.run(request, outputs, resume=resume, report=report, cancelled=lambda: False)
            except VampnetError as error:
                yield place, error

    def find_beats(self, path: Path) -> list[float]:
        return [0.02, 0.07]

    def _misbehave(self, request: Request, seed: int, resume: bool) -> None:
        if seed == DIES or (seed == DIES_ONCE and not resume):
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == CRASHES:
            raise ValueError(f"secret {request.input}")
        if seed == REFUSES:
            raise AudioError(f"{request.input}: has no samples")


if __name__ == "__main__":
    settings = from_dict(WorkerConfig, json.loads(sys.argv[1]), "worker")
    try:
        work(settings, FakeEngine(Path(settings.data), float(sys.argv[2]), int((sys.argv[3:] or ["1"])[0])))
    except VampnetError as error:
        print(f"vampnet worker: {error}", file=sys.stderr)
        sys.exit(2)
