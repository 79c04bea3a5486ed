"""Embeddings with weights from elsewhere, here random ones in files of the right form: transformers and VGGish."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.tiny import tone
from vampnet.errors import BundleError, DependencyError, SettingsError
from vampnet.evaluation.embeddings import vggish
from vampnet.evaluation.embeddings.huggingface import parse_hub_spec
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.metrics.sets import SetBuilder, frechet_of

pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter")  # of spectra as small as the models here

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders hubert, ast, clap and whisper: the real classes, tiny and random."""
    transformers = pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    conv = {"conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (80, 4), "num_conv_pos_embeddings": 4}
    hubert = transformers.HubertConfig(**SMALL, **conv, num_conv_pos_embedding_groups=2)
    ast = transformers.ASTConfig(**SMALL, max_length=128, num_mel_bins=32)
    audio = {**SMALL, "depths": [1, 1], "num_attention_heads": [1, 1], "patch_embeds_hidden_size": 8}
    audio |= {"window_size": 4, "num_mel_bins": 16, "spec_size": 32, "hidden_size": 16, "num_hidden_layers": 2}
    text = {**SMALL, "vocab_size": 20, "max_position_embeddings": 20}
    clap = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=12)
    whisper = transformers.WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=16, max_source_positions=150, vocab_size=60,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    made = {
        "hubert": (transformers.HubertModel(hubert), transformers.Wav2Vec2FeatureExtractor()),
        "ast": (transformers.ASTModel(ast), transformers.ASTFeatureExtractor(max_length=128, num_mel_bins=32)),
        "clap": (transformers.ClapModel(clap), transformers.ClapFeatureExtractor(
            feature_size=16, sampling_rate=16000, hop_length=320, max_length_s=1, fft_window_size=512,
            truncation="rand_trunc", padding="repeatpad",
        )),
        "whisper": (transformers.WhisperModel(whisper), transformers.WhisperFeatureExtractor(
            feature_size=16, chunk_length=3)),
    }  # fmt: skip
    for name, (model, extractor) in made.items():
        model.save_pretrained(root / name)
        extractor.save_pretrained(root / name)
    return root


def audio(duration_s: float, seed: int = 0, rate_hz: int = 16000) -> torch.Tensor:
    return torch.from_numpy(tone(duration_s, rate_hz, seed=seed).samples)


@pytest.mark.parametrize(
    ("name", "dim", "per_2s"), [("hubert", 16, 98), ("ast", 16, 2), ("clap", 12, 2), ("whisper", 16, 100)]
)
def test_encoders(models: Path, name: str, dim: int, per_2s: int) -> None:
    embedding = open_embedding(f"transformers:{models / name}", device="cpu")
    found = embedding.vectors(audio(2.0))
    assert embedding.dim == found.shape[2] == dim and found.shape[1] == pytest.approx(per_2s, abs=3)
    assert torch.isfinite(found).all() and embedding.id.startswith(f"transformers:{name}#")
    assert torch.equal(found, embedding.vectors(audio(2.0)))  # nothing random, whatever the extractor's cutting is
    assert not torch.allclose(found, embedding.vectors(audio(2.0, seed=1) * 0.3), atol=1e-6)


def test_layers(models: Path) -> None:
    first, last = (open_embedding(f"transformers:{models / 'hubert'}@{k}", device="cpu") for k in (0, 2))
    whole = open_embedding(f"transformers:{models / 'hubert'}", device="cpu")
    assert torch.allclose(last.vectors(audio(1.0)), whole.vectors(audio(1.0)), atol=1e-5)
    assert first.id != last.id and not torch.allclose(first.vectors(audio(1.0)), last.vectors(audio(1.0)))
    with pytest.raises(SettingsError, match="0 to 2"):
        open_embedding(f"transformers:{models / 'hubert'}@3", device="cpu")
    with pytest.raises(SettingsError, match="no layers"):
        open_embedding(f"transformers:{models / 'clap'}@1", device="cpu")


def test_mert_is_read_as_hubert_without_its_code(models: Path, tmp_path: Path) -> None:
    for path in (models / "hubert").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mert_model", "auto_map": {"AutoModel": "modeling_MERT.MERTModel"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = open_embedding(f"transformers:{tmp_path}", device="cpu").vectors(audio(1.0))
    assert torch.equal(found, open_embedding(f"transformers:{models / 'hubert'}", device="cpu").vectors(audio(1.0)))


def test_what_cannot_be_loaded(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (models / "hubert").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    dropped = next(name for name in weights if "layers.1" in name)
    save_file({k: v for k, v in weights.items() if k != dropped}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(BundleError, match="would be random"):
        open_embedding(f"transformers:{tmp_path}", device="cpu")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BundleError, match="cannot load"):
        open_embedding(f"transformers:{tmp_path}", device="cpu")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DependencyError, match=r"vampnet\[eval\]"):
        open_embedding(f"transformers:{tmp_path}", device="cpu")


def test_hub_specs() -> None:
    assert parse_hub_spec("m-a-p/MERT-v1-95M@7") == ("m-a-p/MERT-v1-95M", 7)
    assert parse_hub_spec("a/b") == ("a/b", None)
    with pytest.raises(SettingsError, match="number"):
        parse_hub_spec("a/b@top")
    with pytest.raises(SettingsError, match="needs a folder"):
        parse_hub_spec("")


def test_vggish_has_the_published_size() -> None:
    n_convolutions = sum(9 * i * o + o for _, i, o in vggish.CONVOLUTIONS)
    assert n_convolutions + sum(i * o + o for _, i, o in vggish.LINEARS) == 72_141_184


@pytest.fixture
def vggish_state(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Random weights under the published names, of a network with narrow linear layers: the real ones take 270 MB."""
    monkeypatch.setattr(vggish, "CONVOLUTIONS", tuple((n, -(-i // 16), o // 16) for n, i, o in vggish.CONVOLUTIONS))
    monkeypatch.setattr(vggish, "LINEARS", ((0, 32 * 24, 16), (2, 16, 16), (4, 16, 128)))
    generator, state = torch.Generator().manual_seed(0), {}
    for number, i, o in vggish.CONVOLUTIONS:
        state[f"features.{number}.weight"] = torch.randn(o, i, 3, 3, generator=generator) / (9 * i) ** 0.5
        state[f"features.{number}.bias"] = torch.zeros(o)
    for number, i, o in vggish.LINEARS:
        state[f"embeddings.{number}.weight"] = torch.randn(o, i, generator=generator) / i**0.5
        state[f"embeddings.{number}.bias"] = torch.zeros(o)
    return state


def test_vggish(vggish_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vggish.pth"
    torch.save({**vggish_state, "pproc.pca_means": torch.zeros(128, 1)}, path)
    embedding = open_embedding(f"vggish:{path}", device="cpu")
    found = embedding.vectors(audio(2.95))
    assert found.shape == (1, 3, 128) and found.abs().max() > 0
    assert torch.allclose(found[:, :1], embedding.vectors(audio(2.95)[:, : embedding.min_samples]), atol=1e-5)
    one, other = (SetBuilder(embedding, name) for name in "ab")
    for builder in (one, other):
        builder.add(tone(3.0).samples, 44100)
    assert frechet_of(one.finish(), other.finish()).value == pytest.approx(0, abs=1e-6)
    del vggish_state["features.8.bias"]
    torch.save({**vggish_state, "features.9.bias": torch.zeros(1)}, path)
    with pytest.raises(BundleError, match=r"missing: features.8.bias; unexpected: features.9.bias"):
        vggish.load_network(path)
    with pytest.raises(BundleError, match="no such file"):
        open_embedding(f"vggish:{tmp_path / 'none.safetensors'}", device="cpu")


def test_vggish_features() -> None:
    # A 1 kHz tone of amplitude 1: the Hann window's sum is 200, so its peak bin has magnitude 100.
    mel = vggish.log_mel(torch.sin(2 * np.pi * 1000 * torch.arange(16000) / 16000)[None])
    assert mel.shape == (1, 98, 64)
    centres = 1127 * np.log1p(np.array([125.0, 7500.0]) / 700)
    step = (centres[1] - centres[0]) / 65
    expected = round((1127 * np.log1p(1000 / 700) - centres[0]) / step) - 1
    assert int(mel[0, 50].argmax()) == expected
    assert 4 < mel[0, 50].max() < 6  # ln(100) = 4.6 and a little from the neighbouring bins
    silence = vggish.log_mel(torch.zeros(1, 16000))
    assert torch.allclose(silence, torch.full_like(silence, float(np.log(0.01))))
