"""What every task has: resume after Ctrl-C to the same bytes, valid parts, cancel within a step, progress, commands."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.requests import FAST, OPENING_S, SECONDS, TASKS, TaskFolder, shorten_tasks
from tests.support.tiny import tone
from vampnet.apps.cli.main import main
from vampnet.audio.files import read, write
from vampnet.beats.config import BeatsConfig
from vampnet.errors import AudioError, Cancelled, Interrupted
from vampnet.generation.progress import Progress
from vampnet.jobs.check import output_paths
from vampnet.jobs.journal import journal_folder, part_path
from vampnet.jobs.result import JobResult
from vampnet.jobs.runner import run_job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskFolder]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_tasks(patch)
        yield TaskFolder(tmp_path_factory.mktemp("tasks"))


class Whole:
    """Outputs of uninterrupted jobs, made once each."""

    def __init__(self, folder: TaskFolder, root: Path) -> None:
        self.folder, self.root = folder, root

    @functools.cache  # noqa: B019 - as long as the module
    def made(self, task: str, n: int = 1) -> tuple[JobResult, list[Progress], list[Path]]:
        """Result, progress and outputs of the task with `n` variations."""
        request, told = self.folder.request(task, variations=n), list[Progress]()
        paths = output_paths(self.root / f"{task}-of-{n}.wav", request)
        return run_job(request, paths, model=self.folder.model, report=told.append), told, paths


@pytest.fixture(scope="module")
def whole(folder: TaskFolder, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(folder, tmp_path_factory.mktemp("whole"))


class StopAt:
    """A report that raises at its n-th call, as Ctrl-C does."""

    def __init__(self, n: int, error: BaseException | type[BaseException] = KeyboardInterrupt) -> None:
        self.left, self.error, self.told = n, error, list[Progress]()

    def __call__(self, progress: Progress) -> None:
        self.told.append(progress)
        self.left -= 1
        if self.left == 0:
            raise self.error


def places(told: list[Progress]) -> list[int]:
    """Calls at which a job is stopped: one in the middle of the work, and of every stage one."""
    found = {len(told) // 2}
    for number, stage in enumerate(sorted({progress.stage for progress in told})):
        calls = [k for k, progress in enumerate(told, 1) if progress.stage == stage]
        found.add(calls[len(calls) // 2 if number % 2 else -1])
    return sorted(found)


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_anywhere_it_goes_on_to_the_same_bytes(
    folder: TaskFolder, whole: Whole, tmp_path: Path, task: str
) -> None:
    _, told, (expected,) = whole.made(task)
    request, output = folder.request(task), tmp_path / "o.wav"
    n_kept = 0
    for place in places(told):
        with pytest.raises(Interrupted) as caught:
            run_job(request, [output], model=folder.model, report=StopAt(place))
        assert not output.exists()
        part = part_path(output)
        if part.exists():
            assert "o.part.wav: the first" in str(caught.value) and "--resume" in str(caught.value)
            check_part(task, part, expected)
        if journal_folder(output).exists():
            n_kept += 1
            assert "--resume" in str(caught.value)
        else:
            assert str(caught.value) == "interrupted; no output was written" and not part.exists()
        run_job(request, [output], model=folder.model, resume=True)
        assert output.read_bytes() == expected.read_bytes(), place
        assert [path.name for path in tmp_path.iterdir()] == ["o.wav"]
        output.unlink()
    assert n_kept >= 4


def check_part(task: str, part: Path, expected: Path) -> None:
    """A part is a beginning of the output: bit for bit, or but for its end, or for the level alone."""
    made, finished = read(part), read(expected)
    assert (made.channels, made.sample_rate_hz) == (finished.channels, finished.sample_rate_hz)
    assert 0 < made.n_samples <= finished.n_samples and np.isfinite(made.samples).all()
    if task == "inpaint":
        assert np.array_equal(made.samples, finished.samples[:, : made.n_samples])
    elif task == "continue" or (task == "generate" and made.duration_s >= OPENING_S):
        n = max(made.n_samples - made.sample_rate_hz // 50, 0)  # resampling and limiting look ahead
        assert np.abs(made.samples[:, :n] - finished.samples[:, :n]).max(initial=0.0) < 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_variations_filled_together_and_resumed_are_those_of_their_seeds(
    folder: TaskFolder, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """At work together, as on an accelerator, they give the bytes that they give one by one."""
    result, told, expected = whole.made(task, 2)
    request, resumed = folder.request(task, variations=2), list[Progress]()
    outputs = output_paths(tmp_path / "o.wav", request)
    monkeypatch.setattr(folder.model, "runs_at_once", 4)
    with pytest.raises(Interrupted):
        run_job(request, outputs, model=folder.model, report=StopAt(3 * len(told) // 4))
    run_job(request, outputs, model=folder.model, resume=True, report=resumed.append)
    assert [path.read_bytes() for path in outputs] == [path.read_bytes() for path in expected]
    check_progress(resumed)
    assert [(output.seed, output.variation) for output in result.outputs] == [(3, 1), (4, 2)]
    second = tmp_path / "second.wav"
    run_job(dataclasses.replace(request, variation=2), [second], model=folder.model)
    assert second.read_bytes() == expected[1].read_bytes() != expected[0].read_bytes()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("task", TASKS)
def test_progress_never_falls_and_ends_at_one(whole: Whole, task: str, n: int) -> None:
    result, told, _ = whole.made(task, n)
    check_progress(told)
    assert [output.seconds for output in result.outputs] == [pytest.approx(TASKS[task][2], abs=1e-4)] * n


def check_progress(told: list[Progress]) -> None:
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and shares[0] < 0.3 and shares[-1] == 1
    assert all(0 < progress.done <= progress.total for progress in told)
    generating = [p.share for p in told if p.stage in ("coarse", "c2f")]
    assert len(set(generating)) > 0.4 * len(generating)  # it moves


class Counting:
    """A network that counts its passes."""

    def __init__(self, network: Any, calls: list[int]) -> None:
        self.network, self.config, self.calls = network, network.config, calls

    def __call__(self, codes_BCT: torch.Tensor, chosen_BPT: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(codes_BCT))
        return self.network(codes_BCT, chosen_BPT)


@pytest.mark.parametrize("task", TASKS)
def test_a_cancelled_job_stops_within_one_step(
    folder: TaskFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    calls: list[int] = []
    for name in ("coarse", "c2f"):
        monkeypatch.setattr(folder.model, name, Counting(getattr(folder.model, name), calls))
    for stop_after in (1, 5):
        calls.clear()
        with pytest.raises(Cancelled):
            run_job(
                folder.request(task),
                [tmp_path / "o.wav"],
                model=folder.model,
                cancelled=lambda least=stop_after: len(calls) >= least,
            )
        assert len(calls) == stop_after
        assert not list(tmp_path.iterdir())  # a cancelled job leaves nothing


@pytest.mark.parametrize("task", TASKS)
def test_the_command_of_an_output_writes_it_again(
    folder: TaskFolder, whole: Whole, monkeypatch: pytest.MonkeyPatch, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(whole.root)
    result, _, paths = whole.made(task, 2)
    output, path = result.outputs[1], paths[1]
    before = path.read_bytes()
    path.unlink()
    words = shlex.split(output.command)
    assert words[0] == "vampnet" and Path(output.file) == path
    assert main(words[1:]) == 0, capsys.readouterr().err
    assert path.read_bytes() == before


def test_an_error_keeps_what_is_done(folder: TaskFolder, whole: Whole, tmp_path: Path) -> None:
    _, told, (expected,) = whole.made("vamp")
    output = tmp_path / "o.wav"
    with pytest.raises(AudioError, match="disk full"):
        run_job(
            folder.request("vamp"), [output], model=folder.model, report=StopAt(len(told) // 2, AudioError("disk full"))
        )
    assert [p.name for p in tmp_path.iterdir()] == [".o.wav.vampnet"]
    run_job(folder.request("vamp"), [output], model=folder.model, resume=True)
    assert output.read_bytes() == expected.read_bytes()


def test_what_the_journal_holds_is_not_generated_again(
    folder: TaskFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    for name in ("coarse", "c2f"):
        monkeypatch.setattr(folder.model, name, Counting(getattr(folder.model, name), calls))
    request, output = folder.request("telephone"), tmp_path / "o.wav"
    told: list[Progress] = []
    run_job(request, [output], model=folder.model, report=told.append)
    n_passes = len(calls)
    output.unlink()
    calls.clear()
    with pytest.raises(Interrupted):
        run_job(request, [output], model=folder.model, report=StopAt(3 * len(told) // 4))
    n_before = len(calls)
    calls.clear()
    run_job(request, [output], model=folder.model, resume=True)
    assert n_before > n_passes / 2 and n_passes <= n_before + len(calls) <= n_passes + FAST.steps


def test_a_loop_joined_in_one_file_is_made_again_by_its_command(
    folder: TaskFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = folder.request("loop", variations=2, join=True, loop_points=True)
    result = run_job(request, [Path("o.wav")], model=folder.model)
    before = Path("o.wav").read_bytes()
    assert len(result.outputs) == 1 and result.outputs[0].seconds == pytest.approx(2 * SECONDS)
    Path("o.wav").unlink()
    assert main(shlex.split(result.outputs[0].command)[1:]) == 0 and Path("o.wav").read_bytes() == before


def test_bars_are_cut_and_said(folder: TaskFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "long.wav", tone(4.5))
    request = folder.request("loop", input="long.wav", bars=1, beats=BeatsConfig(bpm=120.0), variations=2, variation=2)
    result = run_job(request, [Path("o.wav")], model=folder.model)
    assert (result.outputs[0].seconds, result.outputs[0].seed) == (2.0, 4)
    assert result.facts["loop_s"] == 2.0 and result.facts["bar_s"] == 2.0 and result.facts["tempo_bpm"] == 120.0
    before = Path("o.wav").read_bytes()
    Path("o.wav").unlink()
    assert main(shlex.split(result.outputs[0].command)[1:]) == 0 and Path("o.wav").read_bytes() == before
