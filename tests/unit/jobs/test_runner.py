"""Many jobs: the same results as one by one, bad files leave the others alone, few are open, going on after Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny import tone
from vampnet.audio.files import probe, write
from vampnet.compression.config import CompressionConfig
from vampnet.controls.config import SteeringConfig
from vampnet.controls.ranking import Agreement
from vampnet.controls.words import ControlWords
from vampnet.errors import AudioError, Cancelled, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Progress
from vampnet.generation.run import WindowRequest
from vampnet.jobs.batch import JobFailure, run_jobs
from vampnet.jobs.file_job import FileJob
from vampnet.jobs.journal import journal_folder
from vampnet.jobs.request import (
    CompressRequest,
    DecompressRequest,
    GenerateRequest,
    InpaintRequest,
    LoopRequest,
    Request,
    StretchRequest,
    VampRequest,
)
from vampnet.jobs.result import JobResult
from vampnet.jobs.runner import run_job
from vampnet.tasks.model import VampNet

pytestmark = pytest.mark.usefixtures("short_windows")

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=5)
PROMPT = "periodic(9) | random(0.1)"
LENGTHS_S = (2.6, 1.3, 0.2, 2.1, 1.8)
AT_ONCE = 3


@pytest.fixture
def together(model: VampNet, monkeypatch: pytest.MonkeyPatch) -> VampNet:
    """The model with several runs at work, as on an accelerator."""
    monkeypatch.setattr(model, "runs_at_once", AT_ONCE)
    return model


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    for k, seconds in enumerate(LENGTHS_S):
        write(folder / f"{k}.wav", tone(seconds, (32000, 44100)[k % 2], 1 + k % 2, seed=k), "PCM_16")
    return [folder / f"{k}.wav" for k in range(len(LENGTHS_S))]


def request(song: Path, **changes: Any) -> VampRequest:
    return VampRequest(**{"input": str(song), "prompt": PROMPT, "sampling": FAST, "domain_warning": False, **changes})


def jobs_of(songs: Sequence[Path], folder: Path, n: int = 1) -> list[tuple[Request, list[Path]]]:
    return [(request(s, variations=n), [folder / f"{s.stem}-{v}.wav" for v in range(n)]) for s in songs]


def results_of(outcomes: Iterator[JobResult | JobFailure]) -> list[JobResult]:
    found = list(outcomes)
    assert all(isinstance(outcome, JobResult) for outcome in found), found
    return [outcome for outcome in found if isinstance(outcome, JobResult)]


@pytest.mark.parametrize("variations", [1, 2])
def test_each_file_comes_out_as_alone(
    together: VampNet, songs: list[Path], tmp_path: Path, variations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, whatever is filled with it in one batch."""
    sizes, fill = [], together.fill

    def counted(requests: Sequence[WindowRequest]) -> list[torch.Tensor]:
        sizes.append(len(requests))
        return fill(requests)

    monkeypatch.setattr(together, "fill", counted)
    jobs = jobs_of(songs, tmp_path, variations)
    results = results_of(run_jobs(jobs, model=together))
    assert {result.input.file for result in results if result.input} == set(map(str, songs))
    assert 1 < max(sizes) <= AT_ONCE
    monkeypatch.setattr(together, "fill", fill)
    monkeypatch.setattr(together, "runs_at_once", 1)
    for single, outputs in jobs:
        alone = [tmp_path / f"alone-{v}.wav" for v in range(variations)]
        expected = run_job(single, alone, model=together)
        assert [p.read_bytes() for p in outputs] == [p.read_bytes() for p in alone]
        result = next(r for r in results if r.input and r.input.file == single.input)
        assert [o.kept_share for o in result.outputs] == [o.kept_share for o in expected.outputs]
        assert [o.seed for o in result.outputs] == [5, 6][:variations] and result.timings is not None
        assert result.timings.total_s > 0


def test_jobs_without_windows_of_their_own_are_done_in_between(
    model: VampNet, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressing, opening whole .vamp files, sketches and choices among candidates."""
    monkeypatch.setattr("vampnet.jobs.best_of.wanted_controls", lambda request, steering: None)
    monkeypatch.setattr("vampnet.jobs.best_of.rank", lambda audios, wanted: [(1, Agreement()), (0, Agreement())])
    chosen = request(songs[1], steering=SteeringConfig("beats", best_of=2))
    made: list[tuple[Request, list[Path]]] = [
        (CompressRequest(input=str(songs[0]), compression=CompressionConfig(codebooks=6)), [tmp_path / "a.vamp"]),
        (CompressRequest(input=str(songs[1]), sampling=FAST), [tmp_path / "b.vamp"]),
        (request(songs[2]), [tmp_path / "c.wav"]),
        (chosen, [tmp_path / "d.wav"]),
        (GenerateRequest(words=ControlWords(bpm=200.0, bars=1), sketch="only"), [tmp_path / "e.wav"]),
        (CompressRequest(input=str(tmp_path / "none.wav")), [tmp_path / "f.vamp"]),
    ]
    *outcomes, failed = sorted(run_jobs(made, model=model, n_jobs=6), key=lambda one: isinstance(one, JobFailure))
    assert isinstance(failed, JobFailure) and "none.wav" in str(failed.error)
    results = results_of(iter(outcomes))
    assert [result.outputs[0].file for result in results] == [str(outputs[0]) for _, outputs in made[:-1]]
    assert results[3].outputs[0].seed == FAST.seed + 1 and "candidates" in results[3].facts
    opened: list[tuple[Request, list[Path]]] = [
        (DecompressRequest(input=str(tmp_path / f"{name}.vamp")), [tmp_path / f"{name}.wav"]) for name in "ab"
    ]
    results_of(run_jobs(opened, model=model))
    lengths = [probe(outputs[0]).n_samples for _, outputs in opened]
    assert lengths == [probe(song).n_samples for song in songs[:2]]


def test_few_files_are_open_at_a_time(
    together: VampNet, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now: set[int] = set()
    most = 0
    init, leave = FileJob.__init__, FileJob.__exit__

    def opened(self: FileJob, *arguments: Any, **settings: Any) -> None:
        nonlocal most
        init(self, *arguments, **settings)
        open_now.add(id(self))
        most = max(most, len(open_now))

    def closed(self: FileJob, *arguments: Any) -> None:
        leave(self, *arguments)
        open_now.discard(id(self))

    monkeypatch.setattr(FileJob, "__init__", opened)
    monkeypatch.setattr(FileJob, "__exit__", closed)
    many = []
    for k in range(4 * AT_ONCE):
        many.append(tmp_path / f"{k}.wav")
        many[-1].write_bytes(songs[2].read_bytes())
    (tmp_path / "out").mkdir()
    results = results_of(run_jobs(jobs_of(many, tmp_path / "out"), model=together))
    assert len(results) == len(many) and most == AT_ONCE and not open_now
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(f"{k}-0.wav" for k in range(len(many)))


@pytest.mark.parametrize("at_once", [1, AT_ONCE])
def test_a_bad_file_does_not_stop_the_rest(
    model: VampNet, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(model, "runs_at_once", at_once)
    (tmp_path / "cut.wav").write_bytes(songs[0].read_bytes()[:50000])
    (tmp_path / "text.mp3").write_text("no music" * 100)
    mixed = [tmp_path / "text.mp3", songs[2], tmp_path / "cut.wav", songs[1], tmp_path / "missing.wav"]
    out, plots = tmp_path / "out", tmp_path / "plots"
    plots.mkdir()
    outcomes = list(
        run_jobs(jobs_of(mixed, out), model=model, plot_of=lambda made, outputs: plots / f"{outputs[0].stem}.png")
    )
    failures = {Path(o.request.input).name: str(o.error) for o in outcomes if isinstance(o, JobFailure)}
    assert set(failures) == {"text.mp3", "cut.wav", "missing.wav"} and all(n in said for n, said in failures.items())
    assert sorted(p.name for p in out.iterdir()) == ["1-0.wav", "2-0.wav"]
    assert sorted(p.name for p in plots.iterdir()) == ["1-0.png", "2-0.png"]
    assert probe(out / "1-0.wav").n_samples == probe(songs[1]).n_samples


def test_a_failure_in_the_middle_of_the_work_is_the_files_own(
    together: VampNet, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = FileJob._write

    def full(self: FileJob, path: Path, *arguments: Any, **settings: Any) -> None:
        if path.stem.startswith("1"):
            raise AudioError(f"{path}: no space left")
        write(self, path, *arguments, **settings)

    monkeypatch.setattr(FileJob, "_write", full)
    outcomes = list(run_jobs(jobs_of(songs, tmp_path, 2), model=together))
    failed = [o for o in outcomes if isinstance(o, JobFailure)]
    assert len(outcomes) == 5 and [Path(o.request.input).name for o in failed] == ["1.wav"]
    assert "no space left" in str(failed[0].error)
    assert len(list(tmp_path.glob("[0-9]-[0-9].wav"))) == 8


def test_all_kinds_of_tasks_in_one_batch(together: VampNet, songs: list[Path], tmp_path: Path) -> None:
    song = str(songs[1])
    mixed: list[Request] = [
        request(songs[1]),
        InpaintRequest(input=song, regions=((0.2, 0.5),), sampling=FAST),
        LoopRequest(input=song, variations=2, sampling=FAST),
        StretchRequest(input=song, factor=1.5, sampling=FAST),
    ]
    jobs = [(one, [tmp_path / f"{k}-{number}.wav" for number in one.numbers]) for k, one in enumerate(mixed)]
    results = results_of(run_jobs(jobs, model=together))
    assert sorted(result.task for result in results) == ["inpaint", "loop", "stretch", "vamp"]
    for k, one in enumerate(mixed):
        alone = [tmp_path / f"alone-{number}.wav" for number in one.numbers]
        run_job(one, alone, model=together)
        assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in jobs[k][1]], one.task


def test_progress_of_a_batch_never_falls(together: VampNet, songs: list[Path], tmp_path: Path) -> None:
    told: list[Progress] = []
    results_of(run_jobs(jobs_of(songs, tmp_path), model=together, report=told.append, n_jobs=len(songs)))
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and shares[-1] == 1 and told[0].share < 0.1


@pytest.mark.parametrize("at_once", [1, AT_ONCE])
def test_a_cancelled_batch_stops_at_once(
    model: VampNet, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(model, "runs_at_once", at_once)
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 12

    with pytest.raises(Cancelled):
        list(run_jobs(jobs_of(songs, tmp_path), model=model, cancelled=cancelled))
    assert asked == 13


@pytest.mark.parametrize("at_once", [1, AT_ONCE])
def test_an_interrupted_batch_goes_on(
    model: VampNet, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(model, "runs_at_once", at_once)
    results_of(run_jobs(jobs_of(songs, tmp_path / "whole"), model=model))
    calls, fill, out = 0, model.fill, tmp_path / "o"

    def stop(requests: Sequence[WindowRequest]) -> list[torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return fill(requests)

    monkeypatch.setattr(model, "fill", stop)
    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(jobs_of(songs, out), model=model))
    monkeypatch.setattr(model, "fill", fill)
    n_done, n_begun = len(list(out.glob("[0-9]-0.wav"))), len(list(out.glob(".*.vampnet")))
    assert 0 <= n_done < 5 and 1 <= n_begun <= at_once
    results = results_of(run_jobs(jobs_of(songs, out), model=model, resume=True))
    assert sum(result.done_before for result in results) == n_done and len(results) == 5
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert sorted(p.name for p in out.iterdir()) == [f"{k}-0.wav" for k in range(5)]


def test_work_of_another_job_fails_that_job_alone(model: VampNet, songs: list[Path], tmp_path: Path) -> None:
    jobs = jobs_of(songs[1:3], tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        fill, calls = model.fill, iter(range(9))

        def stop(requests: Sequence[WindowRequest]) -> list[torch.Tensor]:
            if next(calls) == 2:
                raise KeyboardInterrupt
            return fill(requests)

        patch.setattr(model, "fill", stop)
        with pytest.raises(KeyboardInterrupt):
            list(run_jobs(jobs, model=model))
    assert journal_folder(jobs[0][1][0]).is_dir()
    changed = [(request(songs[1], prompt="nothing"), jobs[0][1]), jobs[1]]
    outcomes = list(run_jobs(changed, model=model, resume=True))
    failed = [o for o in outcomes if isinstance(o, JobFailure)]
    assert len(outcomes) == 2 and len(failed) == 1 and isinstance(failed[0].error, SettingsError)
    assert "prompt is nothing now" in str(failed[0].error)
