"""Long work: again and again, parts as loud as the input, other settings refused, damage, the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny import shorten_windows, tiny_vampnet, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import probe, read, write
from vampnet.audio.loudness import measure
from vampnet.beats.config import BeatsConfig
from vampnet.errors import Interrupted, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Progress
from vampnet.jobs.journal import FACTS, WINDOWS, journal_folder, part_path
from vampnet.jobs.request import VampRequest
from vampnet.jobs.runner import run_job
from vampnet.models.choice import ModelChoice
from vampnet.models.transformer import MaskedTransformer
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=5)


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_windows(patch)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "in.wav"
    write(path, tone(2.6, 32000, 2), "PCM_16")
    return path


class StopAfter:
    """A report that raises in the n-th call for a stage, as Ctrl-C does."""

    def __init__(self, stage: str, n: int) -> None:
        self.stage, self.left = stage, n

    def __call__(self, progress: Progress) -> None:
        self.left -= progress.stage == self.stage
        if self.left == 0:
            raise KeyboardInterrupt


def request(song: Path, **changes: Any) -> VampRequest:
    given = {"input": str(song), "prompt": "periodic(9) | random(0.1)", "sampling": FAST, "variations": 2}
    return VampRequest(**{**given, **changes})


def vamp(model: VampNet, song: Path, folder: Path, **more: Any) -> list[bytes]:
    paths = [folder / f"o-{k + 1}.wav" for k in range(2)]
    run_job(request(song), paths, model=model, **more)
    return [path.read_bytes() for path in paths]


@pytest.fixture(scope="module")
def whole(model: VampNet, song: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("whole")
    made = vamp(model, song, folder)
    assert sorted(p.name for p in folder.iterdir()) == ["o-1.wav", "o-2.wav"]
    return made


def test_interrupted_again_and_again(model: VampNet, song: Path, whole: list[bytes], tmp_path: Path) -> None:
    for stage, n in (("c2f", 5), ("coarse", 6), ("decode", 2), ("c2f", 30)):
        with pytest.raises(Interrupted):
            vamp(model, song, tmp_path, report=StopAfter(stage, n), resume=True)
    assert vamp(model, song, tmp_path, resume=True) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o-1.wav", "o-2.wav"]


def test_parts_of_all_variations_at_work(
    model: VampNet, song: Path, whole: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "runs_at_once", 2)
    with pytest.raises(Interrupted, match=r"o-1\.part\.wav, .*o-2\.part\.wav: the first .*--resume"):
        vamp(model, song, tmp_path, report=StopAfter("decode", 3))
    names = [".o-1.wav.vampnet", "o-1.part.wav", "o-2.part.wav"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    for name in names[1:]:
        part = read(tmp_path / name)
        assert 0 < part.n_samples <= 83200 and part.channels == 2
    monkeypatch.setattr(model, "fill", lambda requests: [model._filled([r])[0] for r in requests])
    assert vamp(model, song, tmp_path, resume=True) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o-1.wav", "o-2.wav"]


def test_a_part_is_as_loud_as_the_inputs_beginning(model: VampNet, tmp_path: Path) -> None:
    audio = tone(6.0)
    audio.samples[:, : 3 * 44100] *= 0.3  # a quiet beginning, then a loud end
    write(tmp_path / "in.wav", audio, "FLOAT")
    output, job = tmp_path / "o.wav", request(tmp_path / "in.wav", variations=1)
    with pytest.raises(Interrupted):
        run_job(job, [output], model=model, report=StopAfter("decode", 4))
    part = read(part_path(output))
    assert 1 < part.duration_s < 3
    run_job(job, [output], model=model)
    finished, n = read(output), part.n_samples

    def level_lu(made: np.ndarray, like: np.ndarray) -> float:
        return measure(made, 44100) - measure(like, 44100)

    # Random weights are beyond the reach of the correction, by as much in the part as in the whole.
    assert level_lu(part.samples, audio.samples[:, :n]) == pytest.approx(
        level_lu(finished.samples, audio.samples), abs=1.0
    )


@pytest.mark.parametrize(("stage", "n"), [("encode", 1), ("coarse", 2)])
def test_nothing_is_left_of_nothing(model: VampNet, song: Path, tmp_path: Path, stage: str, n: int) -> None:
    with pytest.raises(Interrupted, match="no output was written"):
        vamp(model, song, tmp_path, report=StopAfter(stage, n))
    assert not list(tmp_path.iterdir())


def test_a_new_start_forgets_old_work(model: VampNet, song: Path, whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run_job(
            request(song, prompt="nothing"),
            [tmp_path / "o-1.wav", tmp_path / "o-2.wav"],
            model=model,
            report=StopAfter("c2f", 6),
        )
    assert vamp(model, song, tmp_path) == whole


def test_other_settings_are_refused(model: VampNet, song: Path, tmp_path: Path) -> None:
    out, beats = [tmp_path / "o.wav"], tmp_path / "beats.txt"
    beats.write_text("1.0\n")
    job = request(song, variations=1, beats=BeatsConfig(file=str(beats)))
    with pytest.raises(Interrupted):
        run_job(job, out, model=model, report=StopAfter("c2f", 6))
    write(tmp_path / "other.wav", tone(2.6, 32000, 2, seed=1), "PCM_16")
    other_model = tiny_vampnet(tmp_path / "bundle")
    with torch.no_grad():
        assert isinstance(other_model.coarse, MaskedTransformer)
        other_model.coarse.classifier.bias.add_(0.1)
    cases: list[tuple[str, VampNet, dict[str, Any]]] = [
        ("steps is 3 now and was 2", model, {"sampling": dataclasses.replace(FAST, steps=3)}),
        ("steps is the default now and was 2", model, {"sampling": SamplingConfig(c2f_steps=1, seed=5)}),
        ("seed is 6", model, {"sampling": dataclasses.replace(FAST, seed=6)}),
        ("prompt is nothing now", model, {"prompt": "nothing"}),
        ("variations is 2 now", model, {"variations": 2}),
        ("input is another now", model, {"input": str(tmp_path / "other.wav")}),
        ("model is [0-9a-f]{16} now and was [0-9a-f]{16}", other_model, {}),
        ("bpm is 90.0 now and was the default", model, {"beats": BeatsConfig(bpm=90.0)}),
    ]
    for words, used, changes in cases:
        with pytest.raises(SettingsError, match=words):
            run_job(dataclasses.replace(job, **changes), out, model=used, resume=True)
    beats.write_text("2.0\n")
    with pytest.raises(SettingsError, match="beats file is another now"):
        run_job(job, out, model=model, resume=True)
    beats.write_text("1.0\n")
    assert journal_folder(out[0]).is_dir()  # a refusal costs nothing
    elsewhere = dataclasses.replace(job, domain_warning=False, model=ModelChoice(bundle="the same, by another name"))
    run_job(elsewhere, out, model=model, resume=True)


def test_damaged_work_is_filled_again_or_named(model: VampNet, song: Path, whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        vamp(model, song, tmp_path, report=StopAfter("c2f", 6))
    folder = journal_folder(tmp_path / "o-1.wav")
    records = (folder / WINDOWS).read_bytes()
    (folder / WINDOWS).write_bytes(records[: len(records) // 2] + b"\x55" + records[len(records) // 2 + 1 : -3])
    (folder / FACTS).write_bytes((text := (folder / FACTS).read_bytes())[:50])
    with pytest.raises(SettingsError, match=r"job\.json"):
        vamp(model, song, tmp_path, resume=True)
    (folder / FACTS).write_bytes(text)
    assert vamp(model, song, tmp_path, resume=True) == whole


def test_resume_in_the_command_line(
    song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    arguments = ["vamp", str(song), "-o", str(tmp_path / "o.flac"), "--bundle", str(bundle)]
    arguments += ["--steps", "1", "--c2f-steps", "1"]
    with monkeypatch.context() as patch:
        stop = StopAfter("decode", 3)
        patch.setattr("vampnet.apps.cli.progress.ProgressDisplay.report", lambda self, progress: stop(progress))
        assert main(arguments) == 130
    error = capsys.readouterr().err
    assert "o.part.flac: the first" in error and "--resume" in error and "Traceback" not in error
    assert probe(tmp_path / "o.part.flac").format == "FLAC" and not (tmp_path / "o.flac").exists()
    assert main([*arguments, "--steps", "2", "--resume"]) == 2
    assert "steps is 2 now and was 1" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    resumed = (tmp_path / "o.flac").read_bytes()
    assert main(arguments) == 0 and (tmp_path / "o.flac").read_bytes() == resumed
