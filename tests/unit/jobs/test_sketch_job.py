"""Sketch jobs: music to words, drums from taps, leads from hums; without a model, or re-imagined by one."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tone
from vampnet.audio.files import Audio, read, write
from vampnet.controls.config import HumConfig, TapConfig
from vampnet.controls.words import ControlWords
from vampnet.errors import AudioError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import GenerateRequest, HumRequest, TapRequest, VampRequest
from vampnet.jobs.runner import run_job
from vampnet.tasks.model import VampNet

pytestmark = pytest.mark.usefixtures("short_windows")

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=5)
WORDS = ControlWords(bpm=150, key="D minor", chords="Dm7 | G7", bars=1, style="pop", instruments=("piano",))


@pytest.fixture
def tapped(tmp_path: Path) -> str:
    samples = np.zeros(22050, np.float32)
    for place in (2000, 8000, 14000):
        samples[place : place + 600] = 0.3 * np.random.default_rng(0).standard_normal(600) * np.linspace(1, 0, 600)
    write(tmp_path / "tap.wav", Audio(samples[None], 22050))
    return str(tmp_path / "tap.wav")


def test_a_sketch_needs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vampnet.jobs.runner.load_model", lambda request: pytest.fail("a model was loaded"))
    request = GenerateRequest(words=WORDS, sketch="only", sampling=FAST, variations=2)
    outputs = [tmp_path / "a-1.wav", tmp_path / "a-2.wav"]
    result = run_job(request, outputs)
    assert result.facts["sketch"] is True and "chords(Dm7 | G7)" in result.facts["words"]
    first, second = (read(path) for path in outputs)
    assert first.n_samples == second.n_samples == round(4 * 60 / 150 * 44100)
    assert [output.seed for output in result.outputs] == [5, 6]
    assert not np.array_equal(first.samples, second.samples)
    alone = run_job(
        GenerateRequest(words=WORDS, sketch="only", sampling=SamplingConfig(1, 1, seed=6)), [tmp_path / "b.wav"]
    )
    assert (tmp_path / "b.wav").read_bytes() == outputs[1].read_bytes()
    assert "--sketch only --bpm 150.0 --key 'D minor'" in alone.outputs[0].command


def test_words_become_a_loop_of_exact_length_and_the_sketch_can_stay(model: VampNet, tmp_path: Path) -> None:
    request = GenerateRequest(words=WORDS, sketch="keep", sampling=FAST, prompt="periodic(3)")
    result = run_job(request, [tmp_path / "a.wav"], model=model)
    made, kept = read(tmp_path / "a.wav"), read(tmp_path / "a.sketch.wav")
    assert made.n_samples == kept.n_samples == round(1.6 * 44100) and made.channels == 2
    assert result.facts["sketch"] is True and 0.2 < (result.outputs[0].kept_share or 0) < 0.6
    assert not np.array_equal(made.samples, kept.samples)
    run_job(GenerateRequest(words=WORDS, sketch="only", sampling=FAST), [tmp_path / "s.wav"])
    np.testing.assert_allclose(read(tmp_path / "s.wav").samples, kept.samples, atol=1e-6)


def test_each_variation_equals_its_own_seed(model: VampNet, tmp_path: Path) -> None:
    request = GenerateRequest(words=WORDS, sampling=FAST, variations=2)
    run_job(request, [tmp_path / "1.wav", tmp_path / "2.wav"], model=model)
    alone = GenerateRequest(words=WORDS, sampling=SamplingConfig(1, 1, seed=6))
    run_job(alone, [tmp_path / "x.wav"], model=model)
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "2.wav").read_bytes()


def test_seconds_cut_the_sketch(model: VampNet, tmp_path: Path) -> None:
    request = GenerateRequest(words=ControlWords(bpm=150, style="pop"), seconds=1.1, sampling=FAST)
    run_job(request, [tmp_path / "a.wav"], model=model)
    assert read(tmp_path / "a.wav").n_samples == round(1.1 * 44100)


def test_taps_and_hums_keep_length_and_rate(tapped: str, tmp_path: Path) -> None:
    result = run_job(TapRequest(input=tapped, tap=TapConfig(bpm=100.0, tightness=0.5)), [tmp_path / "drums.wav"])
    made = read(tmp_path / "drums.wav")
    assert (made.n_samples, made.sample_rate_hz) == (22050, 22050) and np.abs(made.samples).max() > 0.01
    assert result.facts["sketch"] is True and shlex.split(result.outputs[0].command)[:2] == ["vampnet", "tap"]
    write(tmp_path / "hum.wav", tone(1.0, 22050))
    run_job(HumRequest(input=str(tmp_path / "hum.wav"), hum=HumConfig(instrument="flute")), [tmp_path / "lead.flac"])
    assert read(tmp_path / "lead.flac").n_samples == 22050


def test_drums_can_be_reimagined(model: VampNet, tapped: str, tmp_path: Path) -> None:
    request = TapRequest(input=tapped, prompt="periodic(2)", sampling=FAST)
    result = run_job(request, [tmp_path / "drums.wav"], model=model)
    run_job(TapRequest(input=tapped, sampling=FAST), [tmp_path / "plain.wav"])
    made, plain = read(tmp_path / "drums.wav"), read(tmp_path / "plain.wav")
    assert made.n_samples == plain.n_samples == 22050 and not np.array_equal(made.samples, plain.samples)
    assert result.outputs[0].kept_share is not None and result.facts["sketch"] is True


def test_silence_and_a_missing_file_are_named(tmp_path: Path) -> None:
    write(tmp_path / "silence.wav", Audio(np.zeros((1, 22050), np.float32), 22050))
    for request in (TapRequest(input=str(tmp_path / "silence.wav")), HumRequest(input=str(tmp_path / "silence.wav"))):
        with pytest.raises(AudioError, match="closer to the microphone"):
            run_job(request, [tmp_path / "x.wav"])
        assert not (tmp_path / "x.wav").exists()
    with pytest.raises(AudioError, match=r"none\.wav"):
        run_job(TapRequest(input=str(tmp_path / "none.wav")), [tmp_path / "x.wav"])


def test_the_best_candidates_are_kept(model: VampNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vampnet.controls.config import SteeringConfig
    from vampnet.controls.ranking import Agreement

    scores = iter([[(2, Agreement(beats=0.9)), (0, Agreement(beats=0.5)), (1, Agreement(beats=0.1))]])
    monkeypatch.setattr("vampnet.jobs.best_of.rank", lambda audios, wanted: next(scores))
    monkeypatch.setattr("vampnet.jobs.best_of.wanted_controls", lambda request, steering: None)
    write(tmp_path / "in.wav", tone(0.5))
    song = str(tmp_path / "in.wav")
    steering = SteeringConfig("beats", best_of=3)
    request = VampRequest(input=song, steering=steering, variations=2, sampling=FAST, domain_warning=False)
    outputs = [tmp_path / "o-1.wav", tmp_path / "o-2.wav"]
    result = run_job(request, outputs, model=model)
    assert [output.seed for output in result.outputs] == [7, 5]
    assert [entry["score"] for entry in result.facts["candidates"]] == [0.9, 0.5, 0.1]
    plain = VampRequest(input=song, sampling=SamplingConfig(1, 1, seed=7), domain_warning=False)
    done = run_job(plain, [tmp_path / "p.wav"], model=model)
    assert (tmp_path / "p.wav").read_bytes() == outputs[0].read_bytes()
    assert done.outputs[0].kept_share == result.outputs[0].kept_share
    assert "--seed 7" in result.outputs[0].command and "best-of" not in result.outputs[0].command
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.wav", "o-1.wav", "o-2.wav", "p.wav"]


def test_what_leaves_no_choice_is_named(model: VampNet, tmp_path: Path) -> None:
    from vampnet.controls.config import SteeringConfig

    write(tmp_path / "in.wav", tone(0.3))
    steering = SteeringConfig(best_of=2)
    for variations, variation, said in ((3, 0, "best_of is 2"), (2, 1, "variation cannot")):
        song = str(tmp_path / "in.wav")
        request = VampRequest(input=song, steering=steering, variations=variations, variation=variation)
        with pytest.raises(SettingsError, match=said):
            run_job(request, [tmp_path / f"{k}.wav" for k in range(len(request.numbers))], model=model)
