"""Many files: the same results as one by one, bad files reported at the end, names, bounded memory, going on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from vampnet.jobs.batch import MAX_ITEMS, plan, vamp_files

from tests.support.tiny import in_float32, shorten_windows, tiny_vampnet, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import probe, write
from vampnet.generation.config import SamplingConfig
from vampnet.generation.windows import Request
from vampnet.jobs.file_job import FileJob
from vampnet.prompts.parts import Periodic, Random
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=5)
PROMPT = Periodic(9) | Random(0.1)
LENGTHS_S = (2.6, 1.3, 0.2, 2.1, 1.8)


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_windows(patch)
        in_float32(patch)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    for k, seconds in enumerate(LENGTHS_S):
        write(folder / f"{k}.wav", tone(seconds, (32000, 44100)[k % 2], 1 + k % 2, seed=k), "PCM_16")
    return [folder / f"{k}.wav" for k in range(len(LENGTHS_S))]


@pytest.mark.parametrize("variations", [1, 2])
def test_each_file_comes_out_as_alone(
    model: VampNet, songs: list[Path], tmp_path: Path, variations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, fill = [], model.fill

    def counted(requests: list[Request], sampling: SamplingConfig, report: object = None) -> list[torch.Tensor]:
        sizes.append(sum(len(request.seeds) for request in requests))
        return fill(requests, sampling)

    monkeypatch.setattr(model, "fill", counted)
    planned = plan(songs, tmp_path, variations)
    outcomes = list(vamp_files(model, planned, PROMPT, FAST))
    assert {outcome.planned.input for outcome in outcomes} == set(songs)
    assert max(sizes) > 2 * variations and max(sizes) <= MAX_ITEMS + 2 * variations
    monkeypatch.setattr(model, "fill", fill)
    for k, one in enumerate(planned):
        alone = [tmp_path / f"alone-{v}.wav" for v in range(variations)]
        drawn, _ = model.vamp_file(songs[k], alone, PROMPT, FAST)
        assert [p.read_bytes() for p in one.outputs] == [p.read_bytes() for p in alone]
        outcome = next(o for o in outcomes if o.planned is one)
        assert torch.equal(outcome.drawn[-1].mask_CT, drawn[-1].mask_CT) and outcome.timings is not None


def test_few_files_are_open_at_a_time(
    model: VampNet, songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_open, most = 0, 0
    init, close = FileJob.__init__, FileJob.close

    def opened(self: FileJob, *arguments: object) -> None:
        nonlocal n_open, most
        init(self, *arguments)  # type: ignore[arg-type]
        n_open += 1
        most = max(most, n_open)

    def closed(self: FileJob, finished: bool = False) -> None:
        nonlocal n_open
        close(self, finished)
        n_open -= 1

    monkeypatch.setattr(FileJob, "__init__", opened)
    monkeypatch.setattr(FileJob, "close", closed)
    many = []
    for k in range(3 * MAX_ITEMS):
        many.append(tmp_path / f"{k}.wav")
        many[-1].write_bytes(songs[2].read_bytes())
    (tmp_path / "out").mkdir()
    outcomes = list(vamp_files(model, plan(many, tmp_path / "out", 1), PROMPT, FAST))
    assert len(outcomes) == len(many) and most == MAX_ITEMS and n_open == 0


def test_names(tmp_path: Path) -> None:
    paths = [tmp_path / p for p in ("a/x.wav", "b/x.wav", "x.aac", "c/x.wav", "a/x.wav", "c/X.WAV", "y-1.wav", "y.wav")]
    names = [[p.name for p in one.outputs] for one in plan(paths, tmp_path / "o", 1)]
    assert names == [["x.wav"], ["x_2.wav"], ["x_3.wav"], ["x_4.wav"], ["X_5.WAV"], ["y-1.wav"], ["y.wav"]]
    several = [[p.name for p in one.outputs] for one in plan(paths[-2:], tmp_path / "o", 2)]
    assert several == [["y-1-1.wav", "y-1-2.wav"], ["y-1.wav", "y-2.wav"]]
    beside = plan([tmp_path / "a/x.wav"], tmp_path / "a", 1)  # never over an input
    assert [p.name for p in beside[0].outputs] == ["x_2.wav"]


def command(songs: list[Path], bundle: Path, out: Path, *more: str) -> list[str]:
    fast = ["--steps", "1", "--c2f-steps", "1", "--seed", "5"]
    return ["vamp", *map(str, songs), "-o", str(out), "--bundle", str(bundle), *fast, *more]


def test_a_bad_file_does_not_stop_the_rest(
    songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    (tmp_path / "cut.wav").write_bytes(songs[0].read_bytes()[:50000])
    (tmp_path / "text.mp3").write_text("no music" * 100)
    mixed = [tmp_path / "text.mp3", songs[2], tmp_path / "cut.wav", songs[1], tmp_path / "missing.wav"]
    out = tmp_path / "new" / "folder"
    plots = tmp_path / "plots"
    assert main(command(mixed, bundle, out, "--json", "--plot", str(plots))) == 1
    printed = capsys.readouterr()
    reports = {Path(report["input"]).name: report for report in map(json.loads, printed.out.splitlines())}
    assert len(reports) == 5 and "error" in reports["cut.wav"] and "error" not in reports["1.wav"]
    assert reports["1.wav"]["outputs"][0]["seed"] == 5 and reports["1.wav"]["seconds"] == pytest.approx(1.3)
    last = printed.err.split("\r")[-1]
    assert "3 of 5 files" in last and "cut.wav" in last and "missing.wav" in last and "Traceback" not in last
    assert sorted(p.name for p in out.iterdir()) == ["1.wav", "2.wav"]
    assert sorted(p.name for p in plots.iterdir()) == ["1.png", "2.png"]
    assert probe(out / "1.wav").n_samples == probe(songs[1]).n_samples


def test_nothing_but_bad_files(songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    (tmp_path / "empty").mkdir()
    assert main(command([tmp_path / "missing.wav", tmp_path / "empty"], bundle, tmp_path / "o")) == 1
    error = capsys.readouterr().err
    assert "2 of 2 files" in error and "no such file" in error and "is a folder" in error and "Traceback" not in error
    last_is_bad = [*songs[2:3], tmp_path / "missing.wav"]
    assert main(command(last_is_bad, bundle, tmp_path / "o")) == 1 and (tmp_path / "o" / "2.wav").exists()


def test_a_folder_for_one_file(songs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    assert main(command(songs[2:3], bundle, tmp_path / "o", "--variations", "2").copy()) == 2  # no ending
    arguments = command(songs[2:3], bundle, tmp_path / "o", "--variations", "2")
    arguments[3] += "/"
    assert main(arguments) == 0
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["2-1.wav", "2-2.wav"]
    capsys.readouterr()
    (tmp_path / "file").write_text("x")
    assert main(command(songs[:2], bundle, tmp_path / "file")) == 2
    assert "is a file" in capsys.readouterr().err


def test_an_interrupted_batch_goes_on(
    songs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    assert main(command(songs, bundle, tmp_path / "whole")) == 0
    calls = 0

    def stop(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vampnet.apps.cli.options.ProgressBar.update", stop)
        assert main(command(songs, bundle, tmp_path / "o")) == 130
    error = capsys.readouterr().err
    assert "of 5 files are done" in error and "--resume" in error
    n_done = len(list((tmp_path / "o").glob("[0-9].wav")))
    assert 0 < n_done < 5 and (tmp_path / "o" / ".vampnet-done").exists()
    assert main(command(songs, bundle, tmp_path / "o", "--resume")) == 0
    assert capsys.readouterr().out.count("was done before") == n_done
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "o" / path.name).read_bytes() == path.read_bytes()
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [f"{k}.wav" for k in range(5)]
