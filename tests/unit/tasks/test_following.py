"""Vamps that follow controls by the network: kept share, bytes, command line and Python alike, clear refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import COARSE, in_float32, shorten_windows, tiny_codec, tiny_models, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import read, write
from vampnet.controls.config import SteeringConfig
from vampnet.controls.signals import Controls
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import VampRequest
from vampnet.jobs.runner import run_job
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.models.choice import ModelChoice
from vampnet.models.conditioning import Conditioning
from vampnet.models.config import ConditioningConfig
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)
PROMPT = "periodic(5)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that hears controls, one that does not, and a song."""
    shorten_windows(monkeypatch)
    in_float32(monkeypatch)
    codec = tiny_codec()
    torch.manual_seed(1)
    conditioning = Conditioning(ConditioningConfig(COARSE.dim, COARSE.n_layers, width=16))
    torch.nn.init.normal_(conditioning.add_NDO, std=0.5)
    save_bundle(tmp_path / "hears", codec, *tiny_models(codec), conditioning=conditioning)
    write_tiny_bundle(tmp_path / "deaf")
    write(tmp_path / "song.wav", tone(2.6, channels=2))
    return tmp_path


def test_python_follows_words_and_controls(folder: Path) -> None:
    model, song = VampNet(load_bundle(folder / "hears"), "cpu"), folder / "song.wav"
    assert "beats" in model.hears
    plain = model.vamp(song, prompt=PROMPT, sampling=FAST)
    followed = model.vamp(song, prompt=PROMPT, sampling=FAST, follow="rhythm,chords")
    assert followed.kept_share == plain.kept_share and torch.equal(followed.keep_CT, plain.keep_CT)
    assert not np.array_equal(followed.audio.samples, plain.audio.samples)
    harder = model.vamp(song, prompt=PROMPT, sampling=FAST, follow="rhythm,chords", guidance="chords=4")
    assert not np.array_equal(followed.audio.samples, harder.audio.samples)
    silent = model.vamp(song, prompt=PROMPT, sampling=FAST, follow=Controls(200))
    assert np.array_equal(silent.audio.samples, plain.audio.samples)
    two = model.vamp(song, n=2, prompt=PROMPT, sampling=FAST, follow="rhythm,chords")
    assert np.array_equal(two[0].audio.samples, followed.audio.samples)
    ignored = model.vamp(song, prompt=PROMPT, sampling=FAST, follow="rhythm,chords", guidance="0")
    assert (
        np.abs(ignored.audio.samples - plain.audio.samples).mean()
        < np.abs(followed.audio.samples - plain.audio.samples).mean()
    )


def test_the_command_line_makes_what_python_makes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, song, out = VampNet(load_bundle(folder / "hears"), "cpu"), folder / "song.wav", folder / "out.wav"
    flags = ["--bundle", str(folder / "hears"), "--prompt", PROMPT, "--steps", "2", "--c2f-steps", "1", "--seed", "3"]
    told = ["vamp", str(song), "-o", str(out), *flags, "--follow", "rhythm,chords", "--guidance", "2"]
    assert main(told) == 0
    model.vamp(song, prompt=PROMPT, sampling=FAST, follow="rhythm,chords", guidance="2").save(folder / "py.wav")
    assert np.array_equal(read(out).samples, read(folder / "py.wav").samples)
    assert main([*told[:3], str(folder / "out2.wav"), *told[4:], "--variations", "2", "--variation", "1"]) == 0
    assert np.array_equal(read(folder / "out2.wav").samples, read(out).samples)


def test_the_best_of_some_follow_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = VampNet(load_bundle(folder / "hears"), "cpu")
    request = VampRequest(
        input=str(folder / "song.wav"), prompt=PROMPT, sampling=FAST, model=ModelChoice(str(folder / "hears")),
        steering=SteeringConfig("rhythm", guidance="3", best_of=2),
    )  # fmt: skip
    result = run_job(request, [folder / "best.wav"], model=model)
    candidates = result.facts["candidates"]
    assert len(candidates) == 2 and candidates[0]["score"] >= candidates[1]["score"]
    seed = SamplingConfig(steps=2, c2f_steps=1, seed=result.outputs[0].seed or 0)
    single = model.vamp(folder / "song.wav", prompt=PROMPT, sampling=seed, follow="rhythm", guidance="3")
    single.save(folder / "single.wav")
    assert np.array_equal(read(folder / "best.wav").samples, read(folder / "single.wav").samples)
    assert result.outputs[0].command is not None and "--follow" in str(result.outputs[0].command)


def test_a_model_without_conditioning_refuses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = VampNet(load_bundle(folder / "deaf"), "cpu")
    assert not model.hears
    with pytest.raises(SettingsError, match="hears no controls"):
        model.vamp(folder / "song.wav", follow="beats")
    with pytest.raises(SettingsError, match="nothing is followed"):
        model.vamp(folder / "song.wav", guidance="2")
    told = ["vamp", str(folder / "song.wav"), "-o", str(folder / "o.wav"), "--bundle", str(folder / "deaf")]
    assert main([*told, "--follow", "beats", "--guidance", "2"]) == 2
    assert "conditioning" in capsys.readouterr().err
    assert main([*told, "--follow", "beats", "--guidance", "loud"]) == 2
    assert "chords=2,beats=1.5" in capsys.readouterr().err
    assert not (folder / "o.wav").exists()


def test_a_model_follows_the_groups_that_it_has_learned(folder: Path) -> None:
    told = load_bundle(folder / "hears").conditioning
    assert told is not None
    few, song = folder / "few", folder / "song.wav"
    flags = ["--codec", str(folder / "hears"), "--coarse", str(folder / "hears"), "--c2f", str(folder / "hears")]
    more = ["--conditioning", str(folder / "hears"), "--groups", "rhythm", "--guidance", "rhythm=3"]
    assert main(["bundle", "-o", str(few), *flags, *more]) == 0
    model, whole = VampNet(load_bundle(few), "cpu"), VampNet(load_bundle(folder / "hears"), "cpu")
    assert model.hears == ("rhythm",)
    followed = model.vamp(song, prompt=PROMPT, sampling=FAST, follow="rhythm")
    expected = whole.vamp(song, prompt=PROMPT, sampling=FAST, follow="rhythm", guidance="rhythm=3")
    assert np.array_equal(followed.audio.samples, expected.audio.samples)
    with pytest.raises(SettingsError, match="follows rhythm, but not chords"):
        model.vamp(song, follow="rhythm,chords")
    request = VampRequest(
        input=str(song),
        prompt=PROMPT,
        sampling=FAST,
        model=ModelChoice(str(few)),
        steering=SteeringConfig("rhythm,chords"),
    )
    result = run_job(request, [folder / "o.wav"], model=model)  # what it does not hear is chosen among candidates
    assert len(result.facts["candidates"]) == 4 and "--follow rhythm" in str(result.outputs[0].command)
