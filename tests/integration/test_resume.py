"""Long work: Ctrl-C leaves a valid part, --resume gives the same bytes, other settings are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from vampnet.jobs.resume import part_path, work_folder

from tests.support.tiny import shorten_windows, tiny_vampnet, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import AudioError, probe, read, write
from vampnet.audio.loudness import measure
from vampnet.beats.events import Events
from vampnet.errors import Interrupted, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.parts import Nothing, Periodic, Prompt, Random
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=5)
PROMPT = Periodic(9) | Random(0.1)


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
    """A progress function that raises in the n-th call for a stage, as Ctrl-C does."""

    def __init__(self, stage: str, n: int, kind: type[BaseException] = KeyboardInterrupt) -> None:
        self.stage, self.left, self.kind = stage, n, kind

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.left -= stage == self.stage
        if self.left == 0:
            raise self.kind


def vamp(model: VampNet, song: Path, folder: Path, n: int = 2, **more: object) -> list[bytes]:
    paths = [folder / f"o-{k + 1}.wav" for k in range(n)]
    model.vamp_file(song, paths, PROMPT, FAST, **more)  # type: ignore[arg-type]
    return [path.read_bytes() for path in paths]


@pytest.fixture(scope="module")
def whole(model: VampNet, song: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("whole")
    made = vamp(model, song, folder)
    assert sorted(p.name for p in folder.iterdir()) == ["o-1.wav", "o-2.wav"]
    return made


@pytest.mark.parametrize(("stage", "n"), [("coarse", 4), ("c2f", 6), ("decode", 2), ("decode", 4), ("write", 3)])
def test_resumed_equals_uninterrupted(
    model: VampNet, song: Path, whole: list[bytes], tmp_path: Path, stage: str, n: int
) -> None:
    with pytest.raises(Interrupted, match=r"o-1\.part\.wav.*--resume"):
        vamp(model, song, tmp_path, progress=StopAfter(stage, n))
    names = [".o-1.wav.vampnet", "o-1.part.wav", "o-2.part.wav"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    part = read(tmp_path / "o-1.part.wav")
    assert 0 < part.n_samples <= 83200 and part.channels == 2
    assert vamp(model, song, tmp_path, resume=True) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o-1.wav", "o-2.wav"]


def test_interrupted_again_and_again(model: VampNet, song: Path, whole: list[bytes], tmp_path: Path) -> None:
    for stage, n in (("c2f", 5), ("coarse", 2), ("c2f", 3)):
        with pytest.raises(Interrupted):
            vamp(model, song, tmp_path, progress=StopAfter(stage, n), resume=True)
    assert vamp(model, song, tmp_path, resume=True) == whole


def test_a_part_is_as_loud_as_the_inputs_beginning(model: VampNet, tmp_path: Path) -> None:
    audio = tone(6.0)
    audio.samples[:, : 3 * 44100] *= 0.3  # a quiet beginning, then a loud end
    write(tmp_path / "in.wav", audio, "FLOAT")
    paths = [tmp_path / "o.wav"]
    with pytest.raises(Interrupted):
        model.vamp_file(tmp_path / "in.wav", paths, PROMPT, FAST, StopAfter("decode", 4))
    part = read(part_path(paths[0]))
    assert 1 < part.duration_s < 3
    model.vamp_file(tmp_path / "in.wav", paths, PROMPT, FAST)
    finished, n = read(paths[0]), part.n_samples

    def level_lu(made: np.ndarray, like: np.ndarray) -> float:
        return measure(made, 44100) - measure(like, 44100)

    # Random weights are beyond the reach of the correction, by as much in the part as in the whole.
    assert level_lu(part.samples, audio.samples[:, :n]) == pytest.approx(
        level_lu(finished.samples, audio.samples), abs=1.0
    )


def test_an_error_keeps_what_is_done(model: VampNet, song: Path, whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        vamp(model, song, tmp_path, progress=StopAfter("c2f", 6, AudioError))
    assert [p.name for p in tmp_path.iterdir()] == [".o-1.wav.vampnet"]
    assert vamp(model, song, tmp_path, resume=True) == whole


@pytest.mark.parametrize(("stage", "n"), [("encode", 1), ("coarse", 2)])
def test_nothing_is_left_of_nothing(model: VampNet, song: Path, tmp_path: Path, stage: str, n: int) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        vamp(model, song, tmp_path, progress=StopAfter(stage, n))
    assert not isinstance(caught.value, Interrupted) and not list(tmp_path.iterdir())


def test_a_new_start_forgets_old_work(model: VampNet, song: Path, whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        model.vamp_file(song, [tmp_path / "o-1.wav", tmp_path / "o-2.wav"], Nothing(), FAST, StopAfter("c2f", 6))
    assert vamp(model, song, tmp_path) == whole


def test_other_settings_are_refused(model: VampNet, song: Path, tmp_path: Path) -> None:
    out = [tmp_path / "o.wav"]
    with pytest.raises(Interrupted):
        model.vamp_file(song, out, PROMPT, FAST, StopAfter("c2f", 6))
    write(tmp_path / "other.wav", tone(2.6, 32000, 2, seed=1), "PCM_16")
    other_model = tiny_vampnet(tmp_path / "bundle")
    with torch.no_grad():
        assert isinstance(other_model.coarse, MaskedTransformer)
        other_model.coarse.classifier.bias.add_(0.1)
    beats = Events((1.0,), (1.0,))
    cases: list[tuple[str, VampNet, Path, Prompt, SamplingConfig, Events | None]] = [
        ("steps is 3 now and was 2", model, song, PROMPT, SamplingConfig(steps=3, c2f_steps=1, seed=5), None),
        ("seed is 6", model, song, PROMPT, SamplingConfig(steps=2, c2f_steps=1, seed=6), None),
        ("prompt is nothing now", model, song, Nothing(), FAST, None),
        ("input is another", model, tmp_path / "other.wav", PROMPT, FAST, None),
        ("model is another", other_model, song, PROMPT, FAST, None),
        ("beats is Events", model, song, PROMPT, FAST, beats),
    ]
    for words, used, path, prompt, sampling, rhythm in cases:
        with pytest.raises(SettingsError, match=words):
            used.vamp_file(path, out, prompt, sampling, rhythm=rhythm, resume=True)
    assert work_folder(out[0]).is_dir()  # a refusal costs nothing
    model.vamp_file(song, out, PROMPT, FAST, resume=True)


def test_damaged_state_is_named(model: VampNet, song: Path, tmp_path: Path) -> None:
    out = [tmp_path / "o.wav"]
    with pytest.raises(Interrupted):
        model.vamp_file(song, out, PROMPT, FAST, StopAfter("c2f", 6))
    folder = work_folder(out[0])
    (folder / "audio-1.f32").write_bytes(b"short")
    with pytest.raises(AudioError, match="without --resume"):
        model.vamp_file(song, out, PROMPT, FAST, resume=True)
    (folder / "state.safetensors").write_bytes(b"junk")
    with pytest.raises(SettingsError, match="damaged"):
        model.vamp_file(song, out, PROMPT, FAST, resume=True)


def test_resume_in_the_command_line(song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    arguments = ["vamp", str(song), "-o", str(tmp_path / "o.flac"), "--bundle", str(bundle)]
    arguments += ["--steps", "1", "--c2f-steps", "1"]
    with pytest.MonkeyPatch.context() as patch:
        stop = StopAfter("c2f", 8)
        patch.setattr("vampnet.apps.cli.options.ProgressBar.update", lambda self, *call: stop(*call))
        assert main(arguments) == 130
    error = capsys.readouterr().err
    assert "o.part.flac: the first" in error and "of 2.6 s" in error and "--resume" in error
    assert probe(tmp_path / "o.part.flac").format == "FLAC" and not (tmp_path / "o.flac").exists()
    assert main([*arguments, "--steps", "2", "--resume"]) == 2
    assert "steps is 2 now and was 1" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    resumed = (tmp_path / "o.flac").read_bytes()
    assert main(arguments) == 0 and (tmp_path / "o.flac").read_bytes() == resumed
