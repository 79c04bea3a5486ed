"""Vamp on a tiny model: lengths, rates, channels, loudness, seeds, variations, windows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from tests.support.tiny import CODEC, tiny_codec, tiny_vampnet, tone
from vampnet.audio.files import Audio, probe, read, write
from vampnet.audio.loudness import measure
from vampnet.errors import AudioError, BundleError, PromptError, SettingsError, VampnetError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Progress
from vampnet.jobs.request import VampRequest
from vampnet.jobs.runner import run_job
from vampnet.models.format import Bundle
from vampnet.prompts.parts import Everything, Keep, Nothing, Periodic, Random
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=2, seed=5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


@pytest.mark.parametrize(
    ("duration_s", "rate_hz", "channels"),
    [(0.5, 44100, 1), (0.301, 48000, 2), (0.5, 22050, 2), (0.2, 8000, 1), (0.01, 44100, 1), (0.3, 96000, 3)],
)
def test_output_has_the_inputs_shape(model: VampNet, duration_s: float, rate_hz: int, channels: int) -> None:
    audio = tone(duration_s, rate_hz, channels)
    result = model.vamp(audio, prompt=Periodic(7), sampling=FAST)
    assert result.audio.samples.shape == audio.samples.shape
    assert result.audio.sample_rate_hz == rate_hz
    assert np.isfinite(result.audio.samples).all() and np.abs(result.audio.samples).max() <= 1
    assert result.codes is not None and result.codes.shape[:2] == (channels, CODEC.n_codebooks)


def test_one_sample(model: VampNet) -> None:
    result = model.vamp(Audio(np.full((1, 1), 0.5, np.float32), 44100), prompt=Periodic(7), sampling=FAST)
    assert result.audio.samples.shape == (1, 1) and np.isfinite(result.audio.samples).all()


@pytest.mark.parametrize("samples", [np.zeros((2, 20000)), np.full((1, 20000), 1e-6)])
def test_silence_is_no_trouble(model: VampNet, samples: np.ndarray) -> None:
    result = model.vamp(Audio(samples.astype(np.float32), 44100), prompt=Periodic(3), sampling=FAST)
    assert np.isfinite(result.audio.samples).all() and np.abs(result.audio.samples).max() <= 1


def test_loudness_comes_back(model: VampNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def difference_lu(level: float) -> float:
        audio = tone(2.0, level=level)
        result = model.vamp(audio, prompt=Everything(), sampling=FAST)
        return measure(result.audio.samples, 44100) - measure(audio.samples, 44100)

    limited = [difference_lu(level) for level in (0.01, 0.3)]
    assert limited[0] == pytest.approx(limited[1], abs=0.1)  # a codec of random weights is out of the limit's reach
    monkeypatch.setattr("vampnet.audio.output_format.MAX_CORRECTION_DB", 60.0)
    assert all(abs(difference_lu(level)) < 0.2 for level in (0.01, 0.3))


def test_kept_tokens_stay_and_masked_ones_are_generated(model: VampNet) -> None:
    audio = tone(1.0, channels=2)
    everything = model.vamp(audio, prompt=Everything(), sampling=FAST)
    assert everything.keep_CT.all() and everything.kept_share == 1
    result = model.vamp(audio, prompt=Keep(0.2, 0.5) | Periodic(9), sampling=FAST)
    ((start_s, stop_s),) = result.kept_s  # single kept frames are no passage
    assert (start_s, stop_s) == (pytest.approx(0.2, abs=0.02), pytest.approx(0.5, abs=0.02))
    assert result.codes is not None and everything.codes is not None
    kept = result.keep_CT.expand_as(result.codes)
    assert torch.equal(result.codes[kept], everything.codes[kept])
    assert (result.codes[~kept] != everything.codes[~kept]).float().mean() > 0.5
    assert result.codes.min() >= 0 and result.codes.max() < CODEC.codebook_size
    assert result.kept_share == pytest.approx(float(result.keep_CT.float().mean())) and 0.2 < result.kept_share < 0.6


def test_seeds(model: VampNet) -> None:
    audio = tone(0.6)
    first, again = (model.vamp(audio, prompt=Periodic(7), sampling=FAST) for _ in range(2))
    other = model.vamp(audio, prompt=Periodic(7), sampling=SamplingConfig(steps=2, c2f_steps=2, seed=6))
    assert first.audio.samples.tobytes() == again.audio.samples.tobytes() and first.seed == 5
    assert not np.array_equal(first.audio.samples, other.audio.samples)
    zero, zero_again = (
        model.vamp(audio, prompt=Nothing(), sampling=SamplingConfig(steps=2, c2f_steps=2, seed=0)) for _ in range(2)
    )
    assert zero.codes is not None and zero_again.codes is not None and torch.equal(zero.codes, zero_again.codes)


def test_variations_equal_single_runs(model: VampNet) -> None:
    audio, prompt = tone(0.6, channels=2), Periodic(7) | Random(0.2)
    batch = model.vamp(audio, n=4, prompt=prompt, sampling=FAST)
    assert [(item.seed, item.number) for item in batch] == [(5, 1), (6, 2), (7, 3), (8, 4)]
    for item in batch:
        single = model.vamp(audio, prompt=prompt, sampling=SamplingConfig(steps=2, c2f_steps=2, seed=item.seed))
        assert single.codes is not None and item.codes is not None
        assert torch.equal(single.codes, item.codes) and torch.equal(single.keep_CT, item.keep_CT)
        assert np.array_equal(single.audio.samples, item.audio.samples)
    assert not np.array_equal(batch[0].audio.samples, batch[1].audio.samples)


def test_equal_channels_stay_equal(model: VampNet) -> None:
    mono = tone(0.5).samples
    result = model.vamp(Audio(np.concatenate([mono, mono]), 44100), prompt=Periodic(7), sampling=FAST)
    assert np.array_equal(result.audio.samples[0], result.audio.samples[1])


def test_opposite_channels_survive(model: VampNet) -> None:
    mono = tone(0.5).samples
    result = model.vamp(Audio(np.concatenate([mono, -mono]), 44100), prompt=Everything(), sampling=FAST)
    assert all(np.abs(channel).max() > 1e-3 for channel in result.audio.samples)


def test_windows_differ_and_see_their_context(model: VampNet) -> None:
    audio, told = tone(24.0), list[Progress]()
    result = model.vamp(audio, prompt=Nothing(), sampling=FAST, report=told.append)
    assert result.codes is not None
    codes = result.codes[0, :2]
    assert not torch.equal(codes[:, :400], codes[:, 431:831])  # equal windows must not come out equal
    assert {progress.stage for progress in told} == {"encode", "coarse", "c2f", "decode"}
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and shares[-1] == 1 and 0 <= shares[0] < 0.1
    assert all(0 < progress.done <= progress.total for progress in told)


def test_file_equals_memory(model: VampNet, tmp_path: Path) -> None:
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    write(source, tone(1.3, 48000, 2), subtype="FLOAT")
    request = VampRequest(input=str(source), prompt="periodic(5)", sampling=FAST)
    made = run_job(request, [target], model=model)
    result = model.vamp(read(source), prompt=Periodic(5), sampling=FAST)
    output = made.outputs[0]
    assert (output.seed, output.kept_share) == (result.seed, round(result.kept_share, 4))
    assert np.allclose(read(target).samples, result.audio.samples, atol=1e-6)
    info = probe(target)
    assert (info.n_samples, info.channels, info.sample_rate_hz, info.subtype) == (62400, 2, 48000, "FLOAT")
    assert output.seconds == pytest.approx(1.3) and made.timings is not None and made.timings.real_time_factor > 0
    assert made.timings.total_s == pytest.approx(
        made.timings.encode_s + made.timings.coarse_s + made.timings.c2f_s + made.timings.decode_s, abs=0.003
    )


def test_failed_input_leaves_no_output(model: VampNet, tmp_path: Path) -> None:
    samples = tone(1.0).samples.copy()
    samples[0, 30000] = math.nan
    soundfile.write(tmp_path / "bad.wav", samples.T, 44100, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"bad\.wav"):
        run_job(VampRequest(input=str(tmp_path / "bad.wav"), sampling=FAST), [tmp_path / "out.wav"], model=model)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.wav"]


def test_bad_settings(model: VampNet) -> None:
    for n in (0, 1001):
        with pytest.raises(SettingsError, match=f"n is {n}"):
            model.vamp(tone(0.2), n=n)
    for bad in ({"steps": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"seed": -1}, {"mask_temperature": math.nan}):
        with pytest.raises(SettingsError, match=next(iter(bad))):
            SamplingConfig(**bad)  # type: ignore[arg-type]


def test_codec_only_bundle_cannot_vamp(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="only a codec"):
        VampNet(Bundle(tmp_path, {}, tiny_codec(), None, None))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": 3}, r"prompt is 3, but must be a text such as 'periodic\(7\)'"),
        ({"n": 1.5}, "n is 1.5, but must be a whole number"),
        ({"n": "2"}, "n is '2', but must be a whole number"),
        ({"beats": "beats.txt"}, "beats is 'beats.txt', but must be an Events"),
        ({"sampling": {"steps": 2}}, "but must be a vampnet.SamplingConfig"),
        ({"prompt": "keep(100, 200)"}, "lies outside the recording, which ends at 0.50 s"),
        ({"prompt": "prefix(2)"}, "longer than the recording"),
    ],
)
def test_wrong_arguments_are_named(model: VampNet, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(VampnetError, match=words):
        model.vamp(tone(0.5), **{"sampling": FAST, **wrong})


def test_other_tasks_refuse_what_lies_beyond_the_recording(model: VampNet) -> None:
    sound = tone(0.5)
    with pytest.raises(PromptError, match="lies outside the recording"):
        model.telephone(sound, rounds=1, prompt="keep(5, 6)", sampling=FAST)
    with pytest.raises(PromptError, match="lies outside the recording"):
        model.loop(sound, prompt="keep(5, 6)", sampling=FAST)
    with pytest.raises(PromptError, match="lies outside the recording"):
        model.inpaint(sound, regions=[(0.1, 0.2)], prompt="keep(5, 6)", sampling=FAST)
    with pytest.raises(SettingsError, match=r"region is 0.1 to 9 s, but the recording ends at 0.50 s"):
        model.inpaint(sound, regions=[(0.1, 9.0)], sampling=FAST)
    with pytest.raises(SettingsError, match=r"must be pairs of start and end in seconds, such as \[\(1.0, 2.0\)\]"):
        model.inpaint(sound, regions=(0.1, 0.2), sampling=FAST)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"rounds is 1.5, but must be a whole number"):
        model.telephone(sound, rounds=1.5, sampling=FAST)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="seconds after is '3', but must be a number"):
        model.outpaint(sound, after_s="3", sampling=FAST)  # type: ignore[call-overload]
