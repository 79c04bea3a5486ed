"""Audio through .vamp files: what is kept, what is generated, rates, levels, mistakes, the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_codec, tiny_models, tiny_vampnet, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import Audio, probe, read, write
from vampnet.compression.config import CompressionConfig
from vampnet.compression.container import read_header
from vampnet.errors import AudioError, SettingsError, VampFileError
from vampnet.generation.config import SamplingConfig
from vampnet.models.bundle import save_bundle
from vampnet.prompts.parts import Everything
from vampnet.tasks.compress import compress, compress_file, decompress, decompress_file, kept_prompt, model_id
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)
ALL = CompressionConfig(codebooks=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("compress"))


def test_all_tokens_need_no_model(model: VampNet) -> None:
    audio = tone(1.5, 48000, 2, level=0.02)
    data = compress(audio, model.codec, ALL)
    made = decompress(data, model.codec)[0]
    assert made.samples.shape == audio.samples.shape and made.sample_rate_hz == 48000
    vamped = model.vamp(audio, Everything())
    np.testing.assert_allclose(made.samples, vamped.audio.samples, atol=1e-6)
    assert compress(audio, model, ALL) == data  # a model is welcome and not used
    assert np.array_equal(decompress(data, model)[0].samples, made.samples)


@pytest.mark.parametrize(("codebooks", "period"), [(1, 1), (2, 1), (4, 1), (6, 4), (3, 5)])
def test_the_rest_is_generated_as_a_vamp_does(model: VampNet, codebooks: int, period: int) -> None:
    audio = tone(1.5)
    data = compress(audio, model, CompressionConfig(codebooks, period), FAST)
    made = decompress(data, model)[0]
    vamped = model.vamp(audio, kept_prompt(codebooks, period), FAST)
    np.testing.assert_allclose(made.samples, vamped.audio.samples, atol=1e-6)
    again = decompress(data, model)[0]
    assert np.array_equal(made.samples, again.samples)


def test_variations_and_seeds(model: VampNet) -> None:
    data = compress(tone(1.0), model, CompressionConfig(1, 4), FAST)
    first, second = decompress(data, model, variations=2)
    assert np.array_equal(first.samples, decompress(data, model)[0].samples)
    assert np.array_equal(second.samples, decompress(data, model, seed=4)[0].samples)
    assert not np.array_equal(first.samples, second.samples)


@pytest.mark.parametrize(("n_samples", "rate_hz", "channels", "level"), [(1, 44100, 1, 0.1), (30000, 8000, 3, 0.0)])
def test_tiny_and_silent_audio(model: VampNet, n_samples: int, rate_hz: int, channels: int, level: float) -> None:
    audio = Audio(tone(5.0, rate_hz, channels, level).samples[:, :n_samples], rate_hz)
    for settings in (ALL, CompressionConfig(2, 3)):
        made = decompress(compress(audio, model, settings, FAST), model)[0]
        assert made.samples.shape == audio.samples.shape


def test_files_with_their_rates(model: VampNet, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", tone(2.0, 22050, 2))
    report = compress_file(tmp_path / "in.wav", tmp_path / "x.vamp", model, CompressionConfig(2, 4), FAST)
    size = (tmp_path / "x.vamp").stat().st_size
    assert report.n_bytes == size and report.file_bps == 8 * size / 2.0
    assert report.kept_bps == pytest.approx(2 * model.codec.frames_per_s * 2 * 6 / 4)
    assert report.paper_label_bps == pytest.approx(2 * model.codec.frames_per_s * 6 * 6 / (4 * (6 - 2)))
    assert report.header == read_header(tmp_path / "x.vamp") and report.header.entropy in ("flat", "adaptive")
    decompress_file(tmp_path / "x.vamp", [tmp_path / "1.wav", tmp_path / "2.flac"], model)
    for name in ("1.wav", "2.flac"):
        info = probe(tmp_path / name)
        assert (info.n_samples, info.channels, info.sample_rate_hz) == (44100, 2, 22050)
    whole = compress_file(tmp_path / "in.wav", tmp_path / "x.vamp", model.codec, ALL)
    assert math.isinf(whole.paper_label_bps)


def test_damage_leaves_no_output(model: VampNet, tmp_path: Path) -> None:
    data = compress(tone(1.0), model, CompressionConfig(2, 4), FAST)
    for wrong in (data[:-3], data[:200] + b"\x00" + data[201:]):
        (tmp_path / "x.vamp").write_bytes(wrong)
        with pytest.raises(VampFileError, match=r"x\.vamp"):
            decompress_file(tmp_path / "x.vamp", [tmp_path / "o.wav"], model)
    assert [p.name for p in tmp_path.iterdir()] == ["x.vamp"]


def test_other_models_and_codecs_are_named(model: VampNet, tmp_path: Path) -> None:
    data = compress(tone(1.0), model, CompressionConfig(2, 4), FAST)
    torch.manual_seed(9)
    codec = tiny_codec()
    coarse, c2f = tiny_models(codec)
    torch.nn.init.normal_(c2f.state_dict()["out.bias"] if "out.bias" in c2f.state_dict() else next(c2f.parameters()))
    save_bundle(tmp_path / "other", codec, coarse, c2f)
    from vampnet.tasks.model import load

    other = load(tmp_path / "other", "cpu")
    assert other.codec.id == model.codec.id and model_id(other) != model_id(model)
    with pytest.raises(VampFileError, match=f"{model_id(model)}.*{model_id(other)}"):
        decompress(data, other)
    assert decompress(data, other, any_model=True)[0].n_samples == 44100
    foreign = tiny_codec(seed=5)
    with pytest.raises(VampFileError, match=f"{model.codec.id}.*{foreign.id}"):
        decompress(compress(tone(1.0), model, ALL), foreign)


def test_refusals(model: VampNet, tmp_path: Path) -> None:
    audio = tone(0.5)
    with pytest.raises(SettingsError, match="codebooks is 7, but the codec has 6"):
        compress(audio, model, CompressionConfig(7))
    with pytest.raises(SettingsError, match="codec alone"):
        compress(audio, model.codec, CompressionConfig(2))
    with pytest.raises(SettingsError, match="codec alone"):
        decompress(compress(audio, model, CompressionConfig(2), FAST), model.codec)
    with pytest.raises(SettingsError, match="holds all tokens"):
        decompress(compress(audio, model, ALL), model, seed=1)
    write(tmp_path / "in.wav", audio)
    with pytest.raises(VampFileError, match=r"end in \.vamp"):
        compress_file(tmp_path / "in.wav", tmp_path / "x.wav", model, ALL)
    with pytest.raises(VampFileError, match="cannot write"):
        compress_file(tmp_path / "in.wav", tmp_path / "no" / "x.vamp", model, ALL)
    with pytest.raises(AudioError, match="no such file"):
        compress_file(tmp_path / "none.wav", tmp_path / "x.vamp", model, ALL)
    for wrong in (CompressionConfig, lambda: CompressionConfig(entropy="zip")):
        if wrong is not CompressionConfig:
            with pytest.raises(SettingsError, match="entropy is 'zip'"):
                wrong()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = str(write_tiny_bundle(tmp_path / "bundle"))
    write(tmp_path / "in.wav", tone(1.0, 48000, 2))
    source, small, out = (str(tmp_path / name) for name in ("in.wav", "x.vamp", "o.wav"))
    flags = ["--bundle", bundle, "--steps", "1", "--c2f-steps", "1", "--seed", "5"]
    assert main(["compress", source, "-o", small, "--codebooks", "2", "--period", "2", "--json", *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == Path(small).stat().st_size and told["generation"]["sampling"]["seed"] == 5
    assert main(["info", small, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_id"] == told["generation"]["model_id"]
    assert main(["decompress", small, "-o", out, "--bundle", bundle, "--variations", "2"]) == 0
    assert "o-2.wav: 1 s, seed 6" in capsys.readouterr().out and probe(tmp_path / "o-1.wav").n_samples == 48000
    assert main(["compress", source, "-o", small, "--codebooks", "6", "--entropy", "static", "--bundle", bundle]) == 0
    assert "6 codebooks of every frame" in capsys.readouterr().out
    assert main(["decompress", small, "-o", out, "--bundle", bundle]) == 0
    assert read(out).channels == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compress", "in.wav", "-o", "x.wav"], "end in .vamp"),
        (["compress", "none.wav", "-o", "x.vamp"], "none.wav"),
        (["compress", "in.wav", "-o", "x.vamp", "--codebooks", "9"], "codebooks is 9"),
        (["compress", "in.wav", "-o", "x.vamp", "--codebooks", "6", "--seed", "1"], "would change nothing"),
        (["compress", "in.wav", "-o", "x.vamp", "--period", "0"], "period is 0"),
        (["decompress", "in.wav", "-o", "o.wav"], "not a .vamp file"),
        (["decompress", "none.vamp", "-o", "o.wav"], "no such file"),
        (["decompress", "in.wav", "-o", "in.wav"], "is the input itself"),
        (["decompress", "in.wav", "-o", "o.xyz"], "o.xyz"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    words: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: VampNet,
) -> None:
    folder = tmp_path_factory.mktemp("mistakes")
    monkeypatch.chdir(folder)
    write(folder / "in.wav", tone(0.3))
    before = (folder / "in.wav").read_bytes()
    assert main([*arguments, "--bundle", str(model.bundle.folder)]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert (folder / "in.wav").read_bytes() == before and len(list(folder.iterdir())) == 1
