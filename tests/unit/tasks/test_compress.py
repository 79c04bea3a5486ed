"""Audio through .vamp files: what is kept, what is generated, rates, levels, mistakes."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_codec, tiny_models, tiny_vampnet, tone
from vampnet.audio.files import Audio, probe, read, write
from vampnet.audio.sources import MemorySource
from vampnet.codec.base import Codec
from vampnet.compression.config import CompressionConfig
from vampnet.compression.container import read_header
from vampnet.errors import AudioError, SettingsError, VampFileError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import CompressRequest, DecompressRequest
from vampnet.jobs.runner import run_job
from vampnet.models.bundle import save_bundle
from vampnet.models.choice import ModelChoice
from vampnet.prompts.parts import Everything
from vampnet.tasks.compress import compress, kept_prompt
from vampnet.tasks.model import VampNet, load

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)
ALL = CompressionConfig(codebooks=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("compress"))


def compressed(
    audio: Audio, model: VampNet | Codec, config: CompressionConfig, sampling: SamplingConfig = FAST
) -> bytes:
    file = io.BytesIO()
    compress(MemorySource(audio), file, model, config, sampling)
    return file.getvalue()


def file_of(folder: Path, data: bytes) -> Path:
    path = folder / "x.vamp"
    path.write_bytes(data)
    return path


def choice(model: VampNet) -> ModelChoice:
    return ModelChoice(bundle=str(model.bundle.folder), device="cpu")


def test_all_tokens_need_no_model(model: VampNet, tmp_path: Path) -> None:
    audio = tone(1.5, 48000, 2, level=0.02)
    data = compressed(audio, model.codec, ALL)
    made = model.decompress(file_of(tmp_path, data))
    assert made.audio.samples.shape == audio.samples.shape and made.audio.sample_rate_hz == 48000
    vamped = model.vamp(audio, prompt=Everything())
    np.testing.assert_allclose(made.audio.samples, vamped.audio.samples, atol=1e-6)
    assert compressed(audio, model, ALL) == data  # a model is welcome and not used
    request = DecompressRequest(input=str(tmp_path / "x.vamp"), model=choice(model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vampnet.jobs.runner.load_model", None)
        result = run_job(request, [tmp_path / "o.wav"])
    assert (result.outputs[0].seed, result.outputs[0].kept_share) == (None, None)
    np.testing.assert_allclose(read(tmp_path / "o.wav").samples, made.audio.samples, atol=2e-4)


@pytest.mark.parametrize(("codebooks", "period"), [(1, 1), (2, 1), (4, 1), (6, 4), (3, 5)])
def test_the_rest_is_generated_as_a_vamp_does(model: VampNet, tmp_path: Path, codebooks: int, period: int) -> None:
    audio = tone(1.5)
    path = file_of(tmp_path, compressed(audio, model, CompressionConfig(codebooks, period)))
    made = model.decompress(path)
    vamped = model.vamp(audio, prompt=kept_prompt(codebooks, period), sampling=FAST)
    np.testing.assert_allclose(made.audio.samples, vamped.audio.samples, atol=1e-6)
    assert made.kept_share == vamped.kept_share and made.seed == 3
    assert np.array_equal(made.audio.samples, model.decompress(path).audio.samples)


def test_variations_and_seeds(model: VampNet, tmp_path: Path) -> None:
    path = file_of(tmp_path, compressed(tone(1.0), model, CompressionConfig(1, 4)))
    first, second = model.decompress(path, n=2)
    assert np.array_equal(first.audio.samples, model.decompress(path).audio.samples)
    assert np.array_equal(second.audio.samples, model.decompress(path, seed=4).audio.samples)
    assert not np.array_equal(first.audio.samples, second.audio.samples)


@pytest.mark.parametrize(("n_samples", "rate_hz", "channels", "level"), [(1, 44100, 1, 0.1), (30000, 8000, 3, 0.0)])
def test_tiny_and_silent_audio(
    model: VampNet, tmp_path: Path, n_samples: int, rate_hz: int, channels: int, level: float
) -> None:
    audio = Audio(tone(5.0, rate_hz, channels, level).samples[:, :n_samples], rate_hz)
    for settings in (ALL, CompressionConfig(2, 3)):
        made = model.decompress(file_of(tmp_path, compressed(audio, model, settings)))
        assert made.audio.samples.shape == audio.samples.shape


def test_files_with_their_rates(model: VampNet, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", tone(2.0, 22050, 2))
    report = model.compress(
        tmp_path / "in.wav", tmp_path / "x.vamp", compression=CompressionConfig(2, 4), sampling=FAST
    )
    size = (tmp_path / "x.vamp").stat().st_size
    assert report.n_bytes == size and report.file_bps == 8 * size / 2.0
    assert report.kept_bps == pytest.approx(2 * model.codec.frames_per_s * 2 * 6 / 4)
    assert report.paper_label_bps == pytest.approx(2 * model.codec.frames_per_s * 6 * 6 / (4 * (6 - 2)))
    assert report.header == read_header(tmp_path / "x.vamp") and report.header.entropy == "adaptive"
    for name in ("1.wav", "2.flac"):
        run_job(DecompressRequest(input=str(tmp_path / "x.vamp")), [tmp_path / name], model=model)
        info = probe(tmp_path / name)
        assert (info.n_samples, info.channels, info.sample_rate_hz) == (44100, 2, 22050)
    assert math.isinf(model.compress(tmp_path / "in.wav", tmp_path / "x.vamp", compression=ALL).paper_label_bps)


def test_the_job_equals_the_method(model: VampNet, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", tone(1.0, 22050, 2))
    kept = CompressionConfig(2, 4)
    model.compress(tmp_path / "in.wav", tmp_path / "a.vamp", compression=kept, sampling=FAST)
    request = CompressRequest(input=str(tmp_path / "in.wav"), compression=kept, sampling=FAST, model=choice(model))
    for name, given in (("b.vamp", model), ("c.vamp", None)):
        result = run_job(request, [tmp_path / name], model=given)
        assert (tmp_path / name).read_bytes() == (tmp_path / "a.vamp").read_bytes()
    assert result.outputs[0].seed == 3 and result.model == model.id
    assert result.facts["bytes"] == (tmp_path / "a.vamp").stat().st_size and result.facts["period"] == 4


def test_damage_leaves_no_output(model: VampNet, tmp_path: Path) -> None:
    data = compressed(tone(1.0), model, CompressionConfig(2, 4))
    for wrong in (data[:-3], data[:200] + b"\x00" + data[201:]):
        (tmp_path / "x.vamp").write_bytes(wrong)
        with pytest.raises(VampFileError, match=r"x\.vamp"):
            run_job(DecompressRequest(input=str(tmp_path / "x.vamp")), [tmp_path / "o.wav"], model=model)
    assert [p.name for p in tmp_path.iterdir()] == ["x.vamp"]


def test_other_models_and_codecs_are_named(model: VampNet, tmp_path: Path) -> None:
    path = file_of(tmp_path, compressed(tone(1.0), model, CompressionConfig(2, 4)))
    torch.manual_seed(9)
    codec = tiny_codec()
    coarse, c2f = tiny_models(codec)
    torch.nn.init.normal_(next(c2f.parameters()))
    save_bundle(tmp_path / "other", codec, coarse, c2f)
    other = load(tmp_path / "other", device="cpu")
    assert other.codec.id == model.codec.id and other.id != model.id
    with pytest.raises(VampFileError, match=f"{model.id}.*{other.id}"):
        other.decompress(path)
    assert other.decompress(path, any_model=True).audio.n_samples == 44100
    foreign = tiny_codec(seed=5)
    path = file_of(tmp_path, compressed(tone(1.0), foreign, ALL))
    with pytest.raises(VampFileError, match=f"{foreign.id}.*{model.codec.id}"):
        model.decompress(path)


def test_refusals(model: VampNet, tmp_path: Path) -> None:
    audio = tone(0.5)
    with pytest.raises(SettingsError, match="codebooks is 7, but the codec has 6"):
        compressed(audio, model, CompressionConfig(7))
    with pytest.raises(SettingsError, match="codec alone"):
        compressed(audio, model.codec, CompressionConfig(2))
    whole = file_of(tmp_path, compressed(audio, model, ALL))
    with pytest.raises(SettingsError, match="holds all tokens"):
        model.decompress(whole, seed=1)
    with pytest.raises(SettingsError, match="holds all tokens"):
        model.decompress(whole, n=2)
    with pytest.raises(SettingsError, match="holds all tokens"):
        run_job(DecompressRequest(input=str(whole), seed=1), [tmp_path / "o.wav"], model=model)
    write(tmp_path / "in.wav", audio)
    request = CompressRequest(input=str(tmp_path / "in.wav"), compression=ALL)
    with pytest.raises(VampFileError, match=r"end in \.vamp"):
        run_job(request, [tmp_path / "x.wav"], model=model)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AudioError, match="file"):
        run_job(request, [tmp_path / "file" / "x.vamp"], model=model)
    with pytest.raises(AudioError, match="no such file"):
        run_job(CompressRequest(input=str(tmp_path / "none.wav")), [tmp_path / "x.vamp"], model=model)
    with pytest.raises(SettingsError, match="file is compressed once"):
        CompressRequest(input="x.wav", variations=2)


def test_a_model_that_cuts_like_the_authors_is_refused(model: VampNet, tmp_path: Path) -> None:
    theirs = load(model.bundle.folder, device="cpu", compat="reference")
    with pytest.raises(SettingsError, match="without compat"):
        compressed(tone(0.5), theirs, CompressionConfig(2))
    with pytest.raises(SettingsError, match="without compat"):
        theirs.decompress(file_of(tmp_path, compressed(tone(0.5), model, CompressionConfig(2))))


def test_rate_and_channels_come_back(model: VampNet, tmp_path: Path) -> None:
    path = file_of(tmp_path, compressed(tone(1.0, 8000, 2), model, CompressionConfig(1, 2)))
    made = model.decompress(path)
    assert (made.audio.sample_rate_hz, made.audio.samples.shape) == (8000, (2, 8000))
    assert made.codes is not None and made.codes.shape == (2, 6, made.keep_CT.shape[1])
