"""Jobs spread over an engine's workers: the bytes of one process, failures as rows, going on after an interruption."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny import tiny_vampnet, tone
from tests.support.trials import trial
from vampnet.audio.files import write
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Progress
from vampnet.jobs.batch import JobFailure, run_jobs
from vampnet.jobs.done_list import NAME
from vampnet.jobs.pool import Make, Result, Task
from vampnet.jobs.request import ModelChoice, VampRequest
from vampnet.jobs.result import JobResult
from vampnet.jobs.runner import load_model
from vampnet.jobs.spread import run_jobs_on
from vampnet.jobs.task_engine import TaskEngine, choose_engine


class InlineEngine(TaskEngine):
    """An engine whose only worker is this process."""

    def run(self, make: Make[Task, Result], tasks: list[Task]) -> Iterator[Result]:  # type: ignore[override]
        return map(make(), tasks)


@pytest.fixture
def jobs(tmp_path: Path) -> list[tuple[VampRequest, list[Path]]]:
    tiny_vampnet(tmp_path / "bundle")
    (tmp_path / "in").mkdir()
    for k in range(3):
        write(tmp_path / "in" / f"{k}.wav", tone(0.5 + 0.2 * k, seed=k))
    (tmp_path / "in" / "1.wav").write_bytes(b"RIFF nothing more")
    made = []
    for k in range(3):
        request = VampRequest(
            input=str(tmp_path / "in" / f"{k}.wav"),
            sampling=SamplingConfig(steps=2, c2f_steps=1, seed=k),
            model=ModelChoice(bundle=str(tmp_path / "bundle"), precision="float32"),
        )
        made.append((request, [tmp_path / "out" / f"{k}.wav"]))
    (tmp_path / "out").mkdir()
    return made


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def bytes_of(jobs: list[tuple[VampRequest, list[Path]]]) -> list[bytes]:
    return [outputs[0].read_bytes() if outputs[0].exists() else b"" for _, outputs in jobs]


def test_outputs_are_those_of_one_process_and_a_failure_is_a_result(jobs: list[tuple[VampRequest, list[Path]]]) -> None:
    list(run_jobs(jobs, model=load_model(jobs[0][0])))
    alone = bytes_of(jobs)
    for _, outputs in jobs:
        outputs[0].unlink(missing_ok=True)
    reports: list[Progress] = []
    results = list(run_jobs_on(InlineEngine(1), jobs, report=reports.append))
    assert [type(result) for result in results] == [JobResult, JobFailure, JobResult]
    assert bytes_of(jobs) == alone and alone[0] and not alone[1]
    assert [r.share for r in reports] == pytest.approx([1 / 3, 2 / 3, 1])
    assert not (jobs[0][1][0].parent / NAME).exists()


def test_it_goes_on_where_it_was_stopped(jobs: list[tuple[VampRequest, list[Path]]]) -> None:
    running: Any = run_jobs_on(InlineEngine(1), jobs)
    next(running)
    running.close()
    first, *_ = bytes_of(jobs)
    results = list(run_jobs_on(InlineEngine(1), jobs, resume=True))
    assert isinstance(results[0], JobResult) and results[0].done_before and bytes_of(jobs)[0] == first
    assert isinstance(results[2], JobResult) and not results[2].done_before
    again = list(run_jobs_on(InlineEngine(1), jobs))  # without `resume` all is made anew
    assert isinstance(again[0], JobResult) and not again[0].done_before


@trial
@pytest.mark.parametrize("name", ["pool", "ray"])
def test_engines_give_the_same_bytes(jobs: list[tuple[VampRequest, list[Path]]], name: str) -> None:
    if name == "ray":
        pytest.importorskip("ray")
    list(run_jobs(jobs, model=load_model(jobs[0][0])))
    alone = bytes_of(jobs)
    engine = choose_engine(name, 2)
    assert engine is not None
    results = list(run_jobs_on(engine, jobs))
    assert [type(result) for result in results] == [JobResult, JobFailure, JobResult] and bytes_of(jobs) == alone


@trial
def test_ranks_of_torchrun_give_the_same_bytes(jobs: list[tuple[VampRequest, list[Path]]], tmp_path: Path) -> None:
    request = jobs[0][0]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vampnet", "vamp"]
    for name, more in (("here", []), ("ranks", ["--engine", "ranks"])):
        start = command if more else [sys.executable, "-m", "vampnet", "vamp"]
        arguments = [str(tmp_path / "in"), "-o", str(tmp_path / name), "--bundle", request.model.bundle, *more]
        done = subprocess.run([*start, *arguments, "--steps", "2"], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "1 of 3 files failed" in done.stderr, done.stderr
    here, ranks = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("here", "ranks"))
    assert here == ranks and len(here) == 2


@pytest.mark.parametrize(("name", "workers", "said"), [("here", 2, "pool or ray"), ("pol", 2, "pol"), ("pool", 0, "0")])
def test_engines_that_cannot_be_are_refused(name: str, workers: int, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        choose_engine(name, workers)
