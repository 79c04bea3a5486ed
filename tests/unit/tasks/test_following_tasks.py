"""Every task that follows controls by the network: Python and requests alike, what is followed, clear refusals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny import (
    COARSE,
    in_float32,
    shorten_windows,
    tiny_codec,
    tiny_models,
    tone,
    write_tiny_bundle,
)
from vampnet.audio.files import Audio, read, write
from vampnet.beats.events import steady_events
from vampnet.controls.extraction import extract_controls
from vampnet.controls.signals import Controls
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.preview import Heard, make_preview
from vampnet.jobs.request import request_from_json
from vampnet.jobs.runner import run_job
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.models.conditioning import Conditioning
from vampnet.models.config import ConditioningConfig
from vampnet.tasks.following import following
from vampnet.tasks.model import VampNet
from vampnet.tasks.preview import CodecGrid
from vampnet.tasks.task import Variation

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)
RHYTHM: dict[str, Any] = {"follow": "rhythm", "guidance": "2"}
Make = Callable[[VampNet, Path], Variation]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles with and without conditioning, and a song, whose rhythm is that of its clicks."""
    codec, place = tiny_codec(), tmp_path_factory.mktemp("tasks")
    torch.manual_seed(1)
    conditioning = Conditioning(ConditioningConfig(COARSE.dim, COARSE.n_layers, width=16))
    torch.nn.init.normal_(conditioning.add_NDO, std=0.5)
    save_bundle(place / "hears", codec, *tiny_models(codec), conditioning=conditioning)
    write_tiny_bundle(place / "deaf")
    song = tone(2.6).samples.copy()
    for start in range(0, song.shape[1] - 2000, 22050):
        song[:, start : start + 400] += 0.5
    write(place / "song.wav", Audio(song, 44100))
    (place / "song.json").write_text(json.dumps(extract_controls(Audio(song, 44100)).to_dict()))
    return place


@pytest.fixture
def model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> VampNet:
    shorten_windows(monkeypatch)
    in_float32(monkeypatch)
    return VampNet(load_bundle(folder / "hears"), "cpu")


TASKS: dict[str, tuple[dict[str, Any], Make]] = {
    "loop": (
        {"task": "loop", "prompt": "periodic(5)"},
        lambda model, song: model.loop(song, prompt="periodic(5)", sampling=FAST, **RHYTHM),
    ),
    "inpaint": (
        {"task": "inpaint", "regions": [[0.8, 1.6]], "theme": "nothing"},
        lambda model, song: model.inpaint(song, regions=[(0.8, 1.6)], theme=None, sampling=FAST, **RHYTHM),
    ),
    "outpaint": (
        {"task": "outpaint", "before_s": 0.7, "after_s": 0.9},
        lambda model, song: model.outpaint(song, before_s=0.7, after_s=0.9, sampling=FAST, **RHYTHM),
    ),
    "continue": (
        {"task": "continue", "seconds": 1.2, "theme": "nothing"},
        lambda model, song: model.continue_(song, seconds=1.2, theme=None, sampling=FAST, **RHYTHM),
    ),
    "generate like": (
        {"task": "generate", "like": "song.wav", "seconds": 1.5},
        lambda model, song: model.generate(like=song, seconds=1.5, sampling=FAST, **RHYTHM),
    ),
    "generate to words": (
        {"task": "generate", "words": {"bpm": 160.0, "bars": 1}, "prompt": "nothing"},
        lambda model, song: model.generate(words="bpm(160), bars(1)", prompt="nothing", sampling=FAST, **RHYTHM),
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_python_and_requests_follow_alike(folder: Path, model: VampNet, tmp_path: Path, name: str) -> None:
    data, make = TASKS[name]
    song = folder / "song.wav"
    files = {"like": str(song)} if "like" in data else {} if data["task"] == "generate" else {"input": str(song)}
    whole = {**data, **files, "sampling": {"steps": 2, "c2f_steps": 1, "seed": 3}, "output": {"subtype": "FLOAT"}}
    followed = run_job(request_from_json({**whole, "steering": RHYTHM}), [tmp_path / "a.wav"], model=model)
    assert followed.facts["followed_by"] == "network" and "candidates" not in followed.facts
    plain = run_job(request_from_json(whole), [tmp_path / "b.wav"], model=model)
    assert followed.outputs[0].kept_share == plain.outputs[0].kept_share
    heard, free = read(tmp_path / "a.wav").samples, read(tmp_path / "b.wav").samples
    assert heard.shape == free.shape and not np.array_equal(heard, free)
    made = make(model, song)
    assert np.array_equal(made.audio.samples, heard)
    silent = following(model, Controls(400), "")  # controls that say nothing change nothing
    assert silent is not None and not silent.hear(made.sound, 9).controls.names


def test_sketches_are_followed_where_the_model_varies_them(folder: Path, model: VampNet, tmp_path: Path) -> None:
    whole = {"task": "tap", "input": str(folder / "song.wav"), "sampling": {"steps": 2, "c2f_steps": 1}}
    followed = request_from_json({**whole, "prompt": "nothing", "steering": {"follow": "rhythm"}})
    assert run_job(followed, [tmp_path / "a.wav"], model=model).facts["followed_by"] == "network"
    run_job(request_from_json({**whole, "prompt": "nothing"}), [tmp_path / "b.wav"], model=model)
    assert not np.array_equal(read(tmp_path / "a.wav").samples, read(tmp_path / "b.wav").samples)
    chosen = request_from_json({**whole, "prompt": "nothing", "steering": {"follow": "rhythm", "best_of": 2}})
    assert len(run_job(chosen, [tmp_path / "c.wav"], model=model).facts["candidates"]) == 2
    with pytest.raises(SettingsError, match="a sketch alone"):
        run_job(request_from_json({**whole, "steering": {"follow": "rhythm"}}), [tmp_path / "d.wav"], model=model)


def test_a_file_is_followed_over_the_whole_output(folder: Path, model: VampNet) -> None:
    """New music after an opening hears its own part of the file, as music from nothing does."""
    follow, frames_per_s = f"{folder / 'song.json'}:rhythm", model.codec.frames_per_s
    told = following(model, follow, "2")
    assert told is not None and told.given is not None
    whole = told.given.signal("onset_low")
    part = told.hear(None, 40, first=round(frames_per_s)).controls.signal("onset_low")  # type: ignore[arg-type]
    assert np.array_equal(part, whole[round(frames_per_s) :][:40])
    made = model.generate(seconds=1.5, sampling=FAST, follow=follow, guidance="2")
    assert not np.array_equal(made.audio.samples, model.generate(seconds=1.5, sampling=FAST).audio.samples)
    with pytest.raises(SettingsError, match="FILE:beats"):
        model.generate(seconds=1.5, follow="beats")


def test_given_beats_are_the_beats_that_are_followed(folder: Path, model: VampNet) -> None:
    song, told = folder / "song.wav", following(model, "beats", "")
    assert told is not None
    from vampnet.audio.sources import FileSource

    heard = told.hear(FileSource(song), 150, steady_events(60.0, 2.6, 0.25, 4)).controls
    assert heard.tempo_bpm is None or abs(heard.tempo_bpm - 60.0) < 0.1
    given = model.vamp(song, prompt="nothing", sampling=FAST, follow="beats", beats=steady_events(150.0, 2.6, 0.1, 4))
    other = model.vamp(song, prompt="nothing", sampling=FAST, follow="beats", beats=steady_events(90.0, 2.6, 0.1, 4))
    assert not np.array_equal(given.audio.samples, other.audio.samples)


def test_a_loop_is_heard_round_its_seam(model: VampNet) -> None:
    """A hit on the first sample is an onset, since the loop's end lies before it."""
    told = following(model, "rhythm", "")
    assert told is not None
    samples = np.full((1, 44100), 1e-4, np.float32)
    samples[:, :600] = np.random.default_rng(0).uniform(-0.8, 0.8, 600)
    from vampnet.audio.sources import MemorySource
    from vampnet.beats.event_finder import EventFinder

    loop = Audio(samples, 44100)
    heard = told.hear_loop(loop, 57, EventFinder(MemorySource(loop), None)).controls
    assert heard.signal("onset_high")[:2].max() > 10
    turned = heard.roll(20).signal("onset_high")
    assert np.array_equal(np.roll(turned, -20), heard.signal("onset_high"))


@pytest.mark.parametrize("task", ["inpaint", "continue"])
def test_new_music_beside_a_recording_carries_its_beats(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """By default, of a model that hears beats and where bars are looped; "nothing" and other bundles leave it out."""
    shorten_windows(monkeypatch)
    in_float32(monkeypatch)
    monkeypatch.setattr("vampnet.tasks.theme.track_events", lambda *_: steady_events(160.0, 2.6, 0.0, 4))

    bundle = load_bundle(folder / "hears")
    models = {"hears": VampNet(bundle, "cpu"), "deaf": VampNet(dataclasses.replace(bundle, conditioning=None), "cpu")}

    def make(which: str, **told: Any) -> np.ndarray:
        model, song = models[which], folder / "song.wav"
        if task == "continue":
            return model.continue_(song, seconds=0.8, sampling=FAST, **told).audio.samples
        return model.inpaint(song, regions=[(2.1, 2.5)], sampling=FAST, **told).audio.samples

    plain, carried = make("deaf"), make("hears")
    assert not np.array_equal(carried, plain)
    assert np.array_equal(make("hears", follow="nothing"), plain)
    assert np.array_equal(make("hears", theme=None), make("deaf", theme=None))
    assert np.array_equal(make("hears", follow="beats", guidance="1"), carried)
    data = {"task": "inpaint", "regions": [[2.1, 2.5]]} if task == "inpaint" else {"task": task, "seconds": 0.8}
    request = {**data, "input": str(folder / "song.wav"), "sampling": {"steps": 2, "c2f_steps": 1, "seed": 3}}
    request |= {"output": {"subtype": "FLOAT"}}
    for told, expected in (({}, carried), ({"steering": {"follow": "nothing"}}, plain)):
        run_job(request_from_json({**request, **told}), [tmp_path / "a.wav"], model=models["hears"])
        assert np.array_equal(read(tmp_path / "a.wav").samples, expected)
    with pytest.raises(SettingsError, match="nothing to choose by"):
        request_from_json({**request, "steering": {"follow": "nothing", "best_of": 4}})


@pytest.mark.parametrize("name", TASKS)
def test_a_preview_shows_the_same_tokens(folder: Path, model: VampNet, name: str) -> None:
    data, song = TASKS[name][0], folder / "song.wav"
    files = {"like": str(song)} if "like" in data else {} if data["task"] == "generate" else {"input": str(song)}
    grid = CodecGrid(model.codec.n_codebooks, 44100, model.codec.hop)
    events = Heard(steady_events(160.0, 2.6, 0.0, 4), whole=True)
    shown = [
        make_preview(request_from_json({**data, **files, **told}), grid, events)
        for told in ({}, {"steering": {"follow": "rhythm", "guidance": "2", "best_of": 3}})
    ]
    assert torch.equal(shown[0].keep_CT, shown[1].keep_CT)


@pytest.mark.parametrize("name", TASKS)
def test_models_without_conditioning_refuse(folder: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="hears no controls"):
        TASKS[name][1](VampNet(load_bundle(folder / "deaf"), "cpu"), folder / "song.wav")
