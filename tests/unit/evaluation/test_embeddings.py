"""Embeddings of a bundle and without weights, and the sets built of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_codec, tiny_models, tone, write_tiny_bundle
from vampnet.errors import AudioError, BundleError, SettingsError
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.embeddings.builtin import CodecLatents, MaskedHidden, MelStatistics
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.metrics import sets
from vampnet.evaluation.metrics.sets import SetBuilder, frechet_of, kernel_of, load_set, save_set


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("embeddings") / "tiny")


class Plain(Embedding):
    """Two vectors per excerpt: mean and deviation of each half."""

    id, dim, sample_rate_hz = "plain", 2, 8000

    def vectors(self, audio_BS: torch.Tensor) -> torch.Tensor:
        halves = torch.stack(audio_BS[:, : audio_BS.shape[1] // 2 * 2].chunk(2, dim=1), dim=1)
        return torch.stack([halves.mean(dim=2), halves.std(dim=2)], dim=2)


@pytest.mark.parametrize("spec", ["mel", "codec", "hidden", "hidden:0"])
def test_shapes(spec: str, bundle: Path) -> None:
    embedding = open_embedding(spec, bundle, "cpu")
    audio = torch.from_numpy(np.concatenate([tone(3.0, seed=k).samples for k in range(2)]))
    found = embedding.vectors(audio)
    assert found.shape[0] == 2 and found.shape[2] == embedding.dim and found.dtype == torch.float32
    assert torch.isfinite(found).all() and not torch.equal(found[0], found[1])
    assert torch.allclose(embedding.vectors(audio[:1]), found[:1], atol=1e-4)
    shortest = embedding.vectors(audio[:1, : embedding.min_samples])
    assert shortest.shape[1] >= 1


def test_mel_statistics_of_a_stationary_and_a_changing_sound() -> None:
    embedding = MelStatistics()
    noise = torch.randn(1, 5 * 44100, generator=torch.Generator().manual_seed(0))
    steady = embedding.vectors(0.1 * noise)[0].mean(dim=0)
    pulses = embedding.vectors(0.1 * noise * (torch.arange(5 * 44100) // 4410 % 2))[0].mean(dim=0)
    louder = embedding.vectors(noise)[0].mean(dim=0)
    assert torch.allclose(louder - steady, torch.cat([torch.ones(32), torch.zeros(64)]), atol=0.01)  # a tenfold gain
    assert (pulses[32:64] > 2 * steady[32:64]).all()  # deviation


def test_hidden_layers_are_those_of_the_model() -> None:
    codec = tiny_codec()
    coarse, _ = tiny_models(codec)
    audio = torch.from_numpy(tone(2.0).samples[:, : 100 * codec.hop])
    codes = codec.encode(audio)[:, :2]
    with torch.no_grad():
        assert torch.allclose(MaskedHidden(codec, coarse, 0).vectors(audio), coarse.embed(codes), atol=1e-4)
        top = coarse.norm(MaskedHidden(codec, coarse, 2).vectors(audio))
        assert torch.allclose(top, coarse.hidden(codes), atol=1e-4)
    with pytest.raises(SettingsError, match="layer is 3"):
        MaskedHidden(codec, coarse, 3)


def test_names_tell_what_differs(bundle: Path) -> None:
    ids = {open_embedding(spec, bundle, "cpu").id for spec in ("mel", "codec", "hidden:1", "hidden:2")}
    assert len(ids) == 4 and any("tiny/coarse@1" in name for name in ids)
    assert CodecLatents(tiny_codec(1)).id != CodecLatents(tiny_codec(2)).id


def test_refusals(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mel, codec, hidden"):
        open_embedding("clap", bundle, "cpu")
    with pytest.raises(SettingsError, match="must be a number"):
        open_embedding("hidden:top", bundle, "cpu")
    with pytest.raises(BundleError):
        open_embedding("codec", tmp_path / "none", "cpu")
    with pytest.raises(AudioError, match="no audio"):
        SetBuilder(Plain(), "empty").finish()
    with pytest.raises(SettingsError, match="same"):
        one, other = SetBuilder(Plain(), "a"), SetBuilder(MelStatistics(), "b")
        for builder in (one, other):
            builder.add(tone(2.0, 8000).samples, 8000)
        frechet_of(one.finish(), other.finish())


def test_excerpts_and_levels() -> None:
    builder = SetBuilder(Plain(), "tones", excerpt_s=1.0)
    for length_s in (0.3, 1.0, 2.4, 2.6):  # 1, 1, 2 and 3 excerpts
        builder.add(tone(length_s, 16000, 2).samples, 16000)
    found = builder.finish()
    assert (found.n_excerpts, found.n_vectors) == (7, 14)
    assert found.duration_s == pytest.approx(6.3, abs=0.01)
    codec = CodecLatents(tiny_codec())
    values = []
    for gain in (1.0, 0.1):  # the codec hears everything at its own level
        builder = SetBuilder(codec, "levelled")
        builder.add(gain * tone(1.0).samples, 44100)
        values.append(builder.finish().moments.mean_GD)
    assert np.allclose(values[0], values[1], atol=1e-4)


def test_memory_is_bounded_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MIN_GROUPS_KEPT", 8)
    monkeypatch.setattr(sets, "MOMENTS_BYTES", 0)
    monkeypatch.setattr(sets, "MAX_VECTORS", 60)
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(10, 2)) for _ in range(45)]
    builder = SetBuilder(Plain(), "many")
    for one in vectors:
        builder.add_vectors(one, 1.0)
    found = builder.finish()
    assert found.moments.n_groups == len(found.vectors) <= 8
    assert found.moments.n_G.tolist() == [80] * 5 + [50]
    assert sum(map(len, found.vectors)) <= 60 and all(map(len, found.vectors))
    assert np.allclose(found.moments.total().covariance_DD, np.cov(np.concatenate(vectors).T))


def test_distances_of_sets_and_their_files(tmp_path: Path) -> None:
    def built(seed: int, shift: float) -> sets.EmbeddedSet:
        rng, builder = np.random.default_rng(seed), SetBuilder(Plain(), f"set {seed}")
        for _ in range(20):
            builder.add_vectors(rng.normal(size=(6, 2)) + shift, 10.0)
        return builder.finish()

    one, other = built(0, 0.0), built(1, 1.0)
    assert frechet_of(one, other).value == pytest.approx(2.0, abs=0.7)
    assert kernel_of(one, other).interval.low > 0
    save_set(tmp_path / "one.npz", one)
    back = load_set(tmp_path / "one.npz")
    assert back.describe() == one.describe()
    assert frechet_of(back, other) == frechet_of(one, other) and kernel_of(back, other) == kernel_of(one, other)
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(SettingsError, match="not a set"):
        load_set(tmp_path / "bad.npz")
