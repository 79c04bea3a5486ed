"""The pipeline on a tiny model: lengths, rates, channels, seeds, batches, windows, files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import CODEC, tiny_codec, tiny_vampnet, tone
from vampnet.audio.files import Audio, probe, read, write
from vampnet.audio.loudness import measure
from vampnet.errors import AudioError, BundleError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.windows import derive_seed
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
    result = model.vamp(audio, Periodic(7), FAST)
    assert result.audio.samples.shape == audio.samples.shape
    assert result.audio.sample_rate_hz == rate_hz
    assert np.isfinite(result.audio.samples).all() and np.abs(result.audio.samples).max() <= 1
    assert result.codes_NCT.shape[:2] == (channels, CODEC.n_codebooks)


def test_one_sample(model: VampNet) -> None:
    result = model.vamp(Audio(np.full((1, 1), 0.5, np.float32), 44100), Periodic(7), FAST)
    assert result.audio.samples.shape == (1, 1) and np.isfinite(result.audio.samples).all()


@pytest.mark.parametrize("samples", [np.zeros((2, 20000)), np.full((1, 20000), 1e-6)])
def test_silence_is_no_trouble(model: VampNet, samples: np.ndarray) -> None:
    result = model.vamp(Audio(samples.astype(np.float32), 44100), Periodic(3), FAST)
    assert np.isfinite(result.audio.samples).all() and np.abs(result.audio.samples).max() <= 1


def test_loudness_comes_back(model: VampNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def difference_lu(level: float) -> float:
        audio = tone(2.0, level=level)
        result = model.vamp(audio, Everything(), FAST)
        return measure(result.audio.samples, 44100) - measure(audio.samples, 44100)

    limited = [difference_lu(level) for level in (0.01, 0.3)]
    assert limited[0] == pytest.approx(limited[1], abs=0.1)  # a codec of random weights is out of the limit's reach
    monkeypatch.setattr("vampnet.audio.output_format.MAX_CORRECTION_DB", 60.0)
    assert all(abs(difference_lu(level)) < 0.2 for level in (0.01, 0.3))


def test_kept_tokens_stay_and_masked_ones_are_generated(model: VampNet) -> None:
    audio = tone(1.0, channels=2)
    everything = model.vamp(audio, Everything(), FAST)
    assert not everything.mask_CT.any()
    result = model.vamp(audio, Keep(0.2, 0.5) | Periodic(9), FAST)
    kept = ~result.mask_CT.expand_as(result.codes_NCT)
    assert torch.equal(result.codes_NCT[kept], everything.codes_NCT[kept])
    assert (result.codes_NCT[~kept] != everything.codes_NCT[~kept]).float().mean() > 0.5
    assert result.codes_NCT.min() >= 0 and result.codes_NCT.max() < CODEC.codebook_size


def test_seeds(model: VampNet) -> None:
    audio = tone(0.6)
    first, again = (model.vamp(audio, Periodic(7), FAST) for _ in range(2))
    other = model.vamp(audio, Periodic(7), SamplingConfig(steps=2, c2f_steps=2, seed=6))
    assert first.audio.samples.tobytes() == again.audio.samples.tobytes() and first.seed == 5
    assert not np.array_equal(first.audio.samples, other.audio.samples)
    zero, zero_again = (model.vamp(audio, Nothing(), SamplingConfig(steps=2, c2f_steps=2, seed=0)) for _ in range(2))
    assert torch.equal(zero.codes_NCT, zero_again.codes_NCT)


def test_variations_equal_single_runs(model: VampNet) -> None:
    audio, prompt = tone(0.6, channels=2), Periodic(7) | Random(0.2)
    batch = model.variations(audio, 4, prompt, FAST)
    assert [item.seed for item in batch] == [5, 6, 7, 8]
    for item in batch:
        single = model.vamp(audio, prompt, SamplingConfig(steps=2, c2f_steps=2, seed=item.seed))
        assert torch.equal(single.codes_NCT, item.codes_NCT) and torch.equal(single.mask_CT, item.mask_CT)
    assert not torch.equal(batch[0].codes_NCT, batch[1].codes_NCT)


def test_equal_channels_stay_equal(model: VampNet) -> None:
    mono = tone(0.5).samples
    result = model.vamp(Audio(np.concatenate([mono, mono]), 44100), Periodic(7), FAST)
    assert np.array_equal(result.audio.samples[0], result.audio.samples[1])


def test_opposite_channels_survive(model: VampNet) -> None:
    mono = tone(0.5).samples
    result = model.vamp(Audio(np.concatenate([mono, -mono]), 44100), Everything(), FAST)
    assert all(np.abs(channel).max() > 1e-3 for channel in result.audio.samples)


def test_windows_differ_and_see_their_context(model: VampNet) -> None:
    audio = tone(24.0)
    calls: list[tuple[str, int, int]] = []
    result = model.vamp(audio, Nothing(), FAST, progress=lambda *call: calls.append(call))
    codes = result.codes_NCT[0, :2]
    assert not torch.equal(codes[:, :400], codes[:, 431:831])  # equal windows must not come out equal
    assert {stage for stage, _, _ in calls} == {"encode", "coarse", "c2f", "decode"}
    for stage in ("coarse", "c2f"):
        done = [(d, t) for s, d, t in calls if s == stage]
        assert done == sorted(done) and done[-1][0] == done[-1][1]


def test_seed_of_each_window_is_its_own() -> None:
    seeds = {derive_seed(s, stage, n) for s in range(3) for stage in ("coarse", "c2f") for n in range(20)}
    assert len(seeds) == 120 and all(0 <= seed < 2**63 for seed in seeds)


def test_file_equals_memory(model: VampNet, tmp_path: Path) -> None:
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    write(source, tone(1.3, 48000, 2), subtype="FLOAT")
    drawn, timings = model.vamp_file(source, [target], Periodic(5), FAST)
    result = model.vamp(read(source), Periodic(5), FAST)
    assert torch.equal(drawn[0].mask_CT, result.mask_CT) and drawn[0].seed == result.seed
    assert np.allclose(read(target).samples, result.audio.samples, atol=1e-6)
    info = probe(target)
    assert (info.n_samples, info.channels, info.sample_rate_hz, info.subtype) == (62400, 2, 48000, "FLOAT")
    assert timings.audio_s == pytest.approx(1.3) and timings.real_time_factor > 0


def test_failed_input_leaves_no_output(model: VampNet, tmp_path: Path) -> None:
    samples = tone(1.0).samples.copy()
    samples[0, 30000] = math.nan
    import soundfile

    soundfile.write(tmp_path / "bad.wav", samples.T, 44100, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"bad\.wav"):
        model.vamp_file(tmp_path / "bad.wav", [tmp_path / "out.wav"], Periodic(5), FAST)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.wav"]


def test_bad_settings(model: VampNet) -> None:
    with pytest.raises(SettingsError, match="variations"):
        model.variations(tone(0.2), 0)
    for bad in ({"steps": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"seed": -1}, {"mask_temperature": math.nan}):
        with pytest.raises(SettingsError, match=next(iter(bad))):
            SamplingConfig(**bad)  # type: ignore[arg-type]


def test_codec_only_bundle_cannot_vamp(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="only a codec"):
        VampNet(Bundle(tmp_path, {}, tiny_codec(), None, None))
