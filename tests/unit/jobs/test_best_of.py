"""Candidates of every task: what each is compared with, and that the ones kept can be made again alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.beats.test_events import clicks
from tests.unit.controls.test_midi import write_song
from vampnet.audio.files import Audio, read, write
from vampnet.controls.config import SteeringConfig
from vampnet.controls.signals import Controls
from vampnet.controls.words import ControlWords
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.best_of import followed_audio, wanted_controls
from vampnet.jobs.check import check_job
from vampnet.jobs.request import GenerateRequest, InpaintRequest, LoopRequest, OutpaintRequest, VampRequest
from vampnet.jobs.runner import run_job
from vampnet.tasks.model import VampNet

pytestmark = pytest.mark.usefixtures("short_windows")

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=5)
RATE_HZ = 22050


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Clicks at 120 beats per minute, 8 s."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    write(path, Audio(clicks(120.0, 8.0, 4, RATE_HZ, offset_s=0.0), RATE_HZ))
    return str(path)


def test_added_music_is_compared_with_the_bars_that_go_on(song: str) -> None:
    longer = followed_audio(OutpaintRequest(input=song, before_s=1.0, after_s=4.0))
    assert longer.n_samples == 13 * RATE_HZ
    np.testing.assert_array_equal(longer.samples[:, RATE_HZ : 9 * RATE_HZ], read(song).samples)
    wanted = wanted_controls(OutpaintRequest(input=song, after_s=4.0), SteeringConfig("beats"))
    assert isinstance(wanted, Controls) and wanted.duration_s == pytest.approx(12.0, abs=0.03)
    assert wanted.tempo_bpm == pytest.approx(120.0, abs=2) and wanted.chords is None


def test_bars_clips_and_files_are_compared_as_the_output_is(song: str, tmp_path: Path) -> None:
    assert followed_audio(LoopRequest(input=song, bars=2)).duration_s == pytest.approx(4.0, abs=0.05)
    assert followed_audio(GenerateRequest(like=song, seconds=11.0)).n_samples == 11 * RATE_HZ
    assert followed_audio(InpaintRequest(input=song, regions=((1, 2),))).n_samples == 8 * RATE_HZ
    steering = SteeringConfig(f"{write_song(tmp_path / 'song.mid')}:chords")
    wanted = wanted_controls(VampRequest(input=song, steering=steering), steering)
    assert (
        isinstance(wanted, Controls)
        and wanted.chords
        and str(wanted.chords[0].chord) == "Dm"
        and wanted.beat_phase is None
    )


def test_words_are_compared_with_each_candidates_own_sketch() -> None:
    words = ControlWords(chords="Dm7 | G7", bars=2)  # the tempo is left to the seed
    request = GenerateRequest(words=words, variations=2, sampling=FAST)
    wanted = wanted_controls(request, SteeringConfig(best_of=2))
    assert isinstance(wanted, list) and wanted[0].tempo_bpm != wanted[1].tempo_bpm
    assert [str(span.chord) for span in wanted[0].chords or ()] == ["Dm7", "G7"]


@pytest.mark.parametrize("kind", [LoopRequest, OutpaintRequest])
def test_a_kept_candidate_is_made_again_by_its_command(model: VampNet, song: str, tmp_path: Path, kind: Any) -> None:
    settings: dict[str, Any] = {"after_s": 1.0} if kind is OutpaintRequest else {}
    request = kind(input=song, steering=SteeringConfig("beats", best_of=2), sampling=FAST, **settings)
    result = run_job(request, [tmp_path / "best.wav"], model=model)
    assert {entry["seed"] for entry in result.facts["candidates"]} == {5, 6}
    assert "best-of" not in result.outputs[0].command and [path.name for path in tmp_path.iterdir()] == ["best.wav"]
    number = (result.outputs[0].seed or 0) - 4
    alone = kind(input=song, variations=2, variation=number, sampling=FAST, **settings)
    again = run_job(alone, [tmp_path / "again.wav"], model=model)
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "best.wav").read_bytes()
    assert again.outputs[0].kept_share == result.outputs[0].kept_share


def test_what_cannot_be_followed_is_said(song: str, tmp_path: Path, model: VampNet) -> None:
    with pytest.raises(SettingsError, match="music from nothing has no input"):
        GenerateRequest(steering=SteeringConfig(best_of=4))
    assert GenerateRequest(steering=SteeringConfig("song.wav:beats")).steering.is_on
    words = ControlWords(bpm=96)
    for request, said in (
        (LoopRequest(input=song, join=True, variations=2, steering=SteeringConfig(best_of=4)), "join cannot"),
        (GenerateRequest(words=words, sketch="only", steering=SteeringConfig(best_of=4)), "sketch alone"),
        (VampRequest(input=song, steering=SteeringConfig(f"{tmp_path}/none.json:beats")), r"none\.json"),
    ):
        with pytest.raises(Exception, match=said):
            check_job(request, [tmp_path / "o.wav"])
    write(tmp_path / "silence.wav", Audio(np.zeros((1, RATE_HZ), np.float32), RATE_HZ))
    steering = SteeringConfig(f"{tmp_path}/silence.wav:beats", best_of=2)
    result = run_job(VampRequest(input=song, steering=steering, sampling=FAST), [tmp_path / "o.wav"], model=model)
    assert any("no beats can be heard" in text for text in result.warnings)
