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
from vampnet.jobs.elsewhere import explain_word
from vampnet.jobs.request import LoopRequest, VampRequest, request_from_json
from vampnet.jobs.reshaped import reshape_input, semitones_to_key
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


def chord(*pitches: int) -> Audio:
    """Two seconds of a chord of harmonic tones, low and high."""
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    tones = [
        np.sin(2 * np.pi * 440.0 * 2.0 ** ((pitch - 69) / 12) * k * times) / k for pitch in pitches for k in (1, 2, 3)
    ]
    return Audio(0.1 * np.asarray(tones, np.float32).sum(axis=0)[None].astype(np.float32), RATE_HZ)


def test_a_key_is_reached_by_the_nearest_way() -> None:
    minor = chord(45, 57, 60, 64, 69)  # A minor
    for key, semitones in (("A minor", 0), ("D minor", 5), ("E minor", -5), ("G minor", -2), ("C dorian", 3)):
        assert semitones_to_key(minor, key) == semitones
    made, _ = reshape_input(minor, ReshapeConfig(key="Gm"), None)
    assert semitones_to_key(made, "G minor") == 0 and made.n_samples == minor.n_samples
    with pytest.raises(SettingsError, match="makes no major of a minor"):
        semitones_to_key(minor, "C major")
    with pytest.raises(SettingsError, match="no key is heard"):
        semitones_to_key(Audio(np.zeros((1, RATE_HZ), np.float32), RATE_HZ), "C major")
    with pytest.raises(SettingsError, match="only one of them"):
        ReshapeConfig(key="Dm", transpose=2)


@pytest.mark.parametrize(
    ("task", "name", "said"),
    [
        ("vamp", "words", "generate makes music to words"),
        ("vamp", "chords", "takes no chords"),
        ("loop", "style", "takes no style"),
        ("vamp", "bars", "keeps the length"),
        ("inpaint", "key", "leaves its input as it is"),
        ("continue", "bpm", "in the tempo of its input"),
        ("outpaint", "bars", "counts in seconds"),
        ("generate", "tempo", "in `bpm`"),
        ("generate", "transpose", "in `key`"),
        ("hum", "instruments", "one `instrument`"),
        ("tap", "transpose", "without pitch"),
        ("stretch", "key", "vamp and loop bring"),
    ],
)
def test_words_without_use_say_where_they_belong(task: str, name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        request_from_json({"task": task, name: "x"})
    assert explain_word(task, "typo") == "" and explain_word(task, "sampling") == ""
