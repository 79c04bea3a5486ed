"""`--transpose` and `--tempo`: the input is brought to a pitch and tempo before the task begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import in_float32, shorten_windows, tiny_vampnet
from tests.unit.beats.test_events import clicks
from vampnet.audio.files import Audio, read, write
from vampnet.beats.config import BeatsConfig
from vampnet.beats.events import Events
from vampnet.controls.config import ReshapeConfig
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import LoopRequest, VampRequest
from vampnet.jobs.reshaped import reshape_input
from vampnet.jobs.runner import run_job
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=5)
RATE_HZ = 22050


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VampNet]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_windows(patch)
        in_float32(patch)
        yield tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    write(path, Audio(clicks(120.0, 4.0, 4, RATE_HZ, offset_s=0.0), RATE_HZ))
    return str(path)


def test_known_beats_move_with_the_music(song: str) -> None:
    audio = read(song)
    known = Events((0.0, 0.5, 1.0, 1.5), (0.0,))
    made, beats = reshape_input(audio, ReshapeConfig(tempo=90.0), known)
    assert isinstance(beats, Events) and made.n_samples == pytest.approx(audio.n_samples * 120 / 90, abs=1)
    np.testing.assert_allclose(beats.beats_s, np.array(known.beats_s) * 120 / 90)
    same, beats = reshape_input(audio, ReshapeConfig(), known)
    assert same is audio and beats is known


def test_a_tempo_needs_one_to_begin_with(song: str) -> None:
    silence = Audio(np.zeros((1, RATE_HZ), np.float32), RATE_HZ)
    with pytest.raises(SettingsError, match="no beat is heard"):
        reshape_input(silence, ReshapeConfig(tempo=90.0), None)
    with pytest.raises(SettingsError, match="the input's is 120"):
        reshape_input(read(song), ReshapeConfig(tempo=20.0), Events((0.0, 0.5, 1.0), (0.0,)))


def test_vamps_and_loops_have_the_new_length(model: VampNet, song: str, tmp_path: Path) -> None:
    settings = {"reshape": ReshapeConfig(2, 96.0), "beats": BeatsConfig(bpm=120.0), "sampling": FAST}
    for kind in (VampRequest, LoopRequest):
        result = run_job(kind(input=song, domain_warning=False, **settings), [tmp_path / "o.wav"], model=model)
        assert read(tmp_path / "o.wav").n_samples == round(4 * RATE_HZ * 120 / 96)
        assert "--transpose 2 --tempo 96.0" in result.outputs[0].command
