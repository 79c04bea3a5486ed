"""A training session: audio that grows, tokens that grow, stages that count their time, data that lies on a device."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.support.tiny import C2F, COARSE, CODEC, tiny_codec, tone
from vampnet.apps.cli.main import main
from vampnet.audio.loudness import INPUT_LUFS, measure
from vampnet.errors import CorpusError, SettingsError
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.training.codec_objective import CodecObjective
from vampnet.training.data.token_dataset import open_tokens
from vampnet.training.data.wave_dataset import WaveSet
from vampnet.training.export import write_bundle
from vampnet.training.masked_objective import MaskedObjective
from vampnet.training.recipe import SHIPPED, CodecRecipe, MaskedRecipe, TrainerConfig
from vampnet.training.session import rendering as session_audio, session, stages as session_stages
from vampnet.training.session.config import SessionConfig
from vampnet.training.train import train
from vampnet.training.trainer import learning_rate

CPU = torch.device("cpu")
LOOP = {"steps": 10**6, "batch_size": 2, "warmup_steps": 2, "decay_steps": 4 * 10**5, "log_every": 1}
LOOP |= {"validate_every": 10**6, "checkpoint_every": 10**6, "ema_decay": 0.5}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audio of a session, and recipes."""
    root = tmp_path_factory.mktemp("session")
    (root / "audio").mkdir()
    for kind, count in (("validation", 2), ("diverse", 3), ("music", 3)):
        for k in range(count):
            samples = tone(3.0 + 0.4 * k, seed=k).samples[0] * 32767
            np.save(root / "audio" / f"{kind}-{k:06d}.npy", samples.astype(np.int16))
    np.save(root / "audio" / "music-000009.partial.npy", np.zeros(10, np.int16))  # being written
    (root / "recipes").mkdir()
    paths = {"train_audio": "-", "validation_audio": "-"}
    codec = {"task": "codec", **paths, "crop_frames": 20, "codec": dataclasses.asdict(CODEC), "loop": LOOP}
    paths = {"train_tokens": "-", "validation_tokens": "-", "bundle": "-"}
    masked = {"task": "masked", **paths, "crop_frames": 40, "loop": LOOP}
    recipes = {
        "codec": {**codec, "quantize_from_step": 2},
        "decoder": {**codec, "learn": "decoder"},
        "coarse": {**masked, "model": dataclasses.asdict(COARSE)},
        "c2f": {**masked, "model": dataclasses.asdict(C2F)},
    }
    for name, data in recipes.items():
        (root / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(data))
    return root


def test_a_session_from_audio_to_a_bundle(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = CodecObjective._held_out
    monkeypatch.setattr(CodecObjective, "_held_out", lambda task, n_items: held_out(task, 1))
    recipes = work / "recipes"
    session_stages.train_codec(work, recipes / "codec.yaml", 0.6, "cpu", None, n_first=3)
    assert session_stages.has_finished(work / "codec-run", 0.6) and not session_stages.has_finished(
        work / "codec-run", 900.0
    )
    write_bundle(work / "codec", work / "codec-run")
    session_stages.encode_pieces(work, 0.0, "cpu")
    names = open_tokens(work / "tokens" / "train").names
    assert sorted(names) == [f"{kind}-{k:06d}.npy" for kind in ("diverse", "music") for k in range(3)]
    for name in ("coarse", "c2f"):
        session_stages.train_masked(work, recipes / f"{name}.yaml", name, 0.3, "cpu")
    session_stages.train_decoder(work, recipes / "decoder.yaml", 0.3, "cpu")
    write_bundle(work / "bundle", work / "decoder-run", work / "coarse-run", work / "c2f-run")
    made = load_bundle(work / "bundle")
    assert made.coarse is not None and made.c2f is not None
    assert set(made.config["about"]) == {"decoder_steps", "coarse_steps", "c2f_steps"}
    write_bundle(work / "again", work / "bundle", work / "bundle", work / "bundle")
    assert load_bundle(work / "again").config["about"] == made.config["about"]
    assert made.codec.id == load_bundle(work / "codec").codec.id  # the decoder learned, tokens kept their meaning
    log = [json.loads(line) for line in (work / "coarse-run" / "log.jsonl").read_text().splitlines()]
    assert all(line["tokens_per_s"] > 0 and line["tflop_per_s"] > 0 for line in log if "loss" in line)
    rates = [line["rate"] for line in log if "loss" in line]
    assert rates[-1] < 0.5 * max(rates)  # the fall follows the clock


def test_new_pieces_join(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_audio, "MUSIC_PER_DIVERSE", 0.1)
    growing = session_audio.GrowingWaves(work / "audio", CPU, every_s=3600)
    before = dict(growing.length)
    assert before["diverse"] > 0 and 0 < before["music"] < before["diverse"]  # one piece of music is enough
    path = work / "audio" / "diverse-000099.npy"
    np.save(path, np.full(90000, 12345, np.int16))
    growing.grow()
    path.unlink()
    assert growing.length["diverse"] == before["diverse"] + 90000
    batch_BS = growing.batch((0,), 40, 1000, 0.0)
    assert any(bool((row_S == 12345 / 32768).all()) for row_S in batch_BS) and batch_BS.shape == (40, 1000)


def test_workers_render_held_out_pieces_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_audio.os, "nice", lambda _: 0)
    threads = torch.get_num_threads()
    counters = {kind: _Counter() for kind in (*session_audio.KINDS, session_audio.LEFT)}
    counters["validation"].value = session_audio.N_VALIDATION - 1
    counters[session_audio.LEFT].value = 1  # sample, so one diverse piece after the last held-out one
    session_audio._render(0, counters, str(tmp_path), None, time.time() + 60)
    torch.set_num_threads(threads)
    assert counters[session_audio.LEFT].value <= 0
    (held_out,) = session_audio.pieces(tmp_path, "validation")
    (diverse,) = session_audio.pieces(tmp_path, "diverse")
    assert len(np.load(diverse)) > 19 * 44100
    lufs = measure(np.load(held_out)[None] / np.float32(32768), 44100)
    assert -31 < lufs < INPUT_LUFS + 3  # one channel of a mix that has INPUT_LUFS
    assert held_out.stem == f"validation-{session_audio.N_VALIDATION - 1:06d}"
    assert session_audio._next_number(tmp_path, "validation") == session_audio.N_VALIDATION
    assert session_audio._next_number(tmp_path, "music") == 0
    session_stages._encode_new(tiny_codec(), tmp_path, "train", [held_out, diverse])
    beats = open_tokens(tmp_path / "tokens" / "train").beats
    assert len(beats[0]) > 10 and len(beats[1]) == 0  # composed music says where its beats are
    first_s = json.loads(session_audio.beats_beside(held_out).read_text())[1]
    assert beats[0][1] == pytest.approx(first_s * 44100 / 768, abs=0.01)


class _Counter:
    """A shared number within one process."""

    value = 0

    def get_lock(self) -> _Counter:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_pieces_encoded_together_have_the_codes_that_they_have_alone() -> None:
    codec = tiny_codec()
    lengths = (30 * codec.hop, 11 * codec.hop + 5, 30 * codec.hop - 7)
    samples = [(tone(2.0, seed=k).samples[0][:n] * 32767).astype(np.int16) for k, n in enumerate(lengths)]
    together = session_stages.encode_together(codec, samples)
    for own, codes_TC in zip(samples, together, strict=True):
        alone_CT = codec.encode(torch.from_numpy(own / np.float32(32768))[None])[0].numpy()
        assert codes_TC.shape == alone_CT.T.shape
        assert (codes_TC[:-4] == alone_CT.T[:-4]).mean() > 0.98  # past the end there is silence instead of nothing


def test_data_on_a_device_are_the_same_data(tokens: Path) -> None:
    codes = open_tokens(tokens)
    for n_frames in (7, 4000):  # 4000: longer than any piece, which is repeated
        assert torch.equal(codes.on(CPU).batch((1, 2), 5, n_frames), codes.batch((1, 2), 5, n_frames))
    rng = np.random.default_rng(0)
    waves = WaveSet(rng.integers(-30000, 30000, 5000).astype(np.int16), np.array([0, 700, 5000]))
    for n_samples in (100, 2000):  # 2000: longer than the first file, which is padded
        on_device = waves.on(CPU).batch((3,), 9, n_samples, 8.0)
        assert torch.allclose(on_device, waves.batch((3,), 9, n_samples, 8.0), atol=1e-6)
        assert on_device.dtype == torch.float32


@pytest.fixture(scope="module")
def tokens(work: Path) -> Path:
    """Tokens of a codec that nothing trained."""
    session_stages._encode_new(tiny_codec(), work / "plain", "train", session_audio.pieces(work / "audio", "music"))
    return work / "plain" / "tokens" / "train"


def test_the_fall_of_the_learning_rate_follows_the_clock() -> None:
    loop = TrainerConfig(steps=1000, warmup_steps=1, decay_steps=400, learning_rate=1.0, seconds=100.0)
    assert learning_rate(loop, 5, 0.0) == learning_rate(loop, 900, 60.0) == 1.0
    assert learning_rate(loop, 5, 80.0) == pytest.approx(0.5) and learning_rate(loop, 5, 101.0) == 0.0


def test_layers_are_compiled_and_codecs_are_not(work: Path, tokens: Path) -> None:
    codes = open_tokens(tokens)
    task = MaskedObjective(MaskedRecipe("-", "-", "-", model=COARSE), codes, codes, tiny_codec().codebooks())
    names = list(task.module.state_dict())
    task.compile()
    assert all(layer._compiled_call_impl is not None for layer in task.module.layers)
    assert list(task.module.state_dict()) == names  # a compiled run resumes one that is not, and is exported alike
    waves = session_audio.held_out_waves(work / "audio")
    with pytest.raises(SettingsError, match="compile"):
        CodecObjective(CodecRecipe("-", "-", codec=CODEC), waves, waves).compile()


def test_work_counts_what_a_step_computes() -> None:
    recipe = MaskedRecipe("-", "-", "-", model=C2F, crop_frames=50, loop=TrainerConfig(batch_size=3))
    task = MaskedObjective.__new__(MaskedObjective)
    task.recipe = recipe
    assert task.work["tokens"] == 3 * 50 * C2F.n_predicted
    matrices = 16 * C2F.dim**2 * C2F.n_layers + C2F.n_codebooks * C2F.codebook_dim * C2F.dim
    attention = 2 * 50 * C2F.dim * C2F.n_layers
    half_of_the_classifier = C2F.n_predicted * C2F.vocab_size * C2F.dim / 2
    assert task.work["tflop"] == pytest.approx(6e-12 * 150 * (matrices + attention + half_of_the_classifier))


def test_what_goes_wrong_is_said(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError, match=r"codec.yaml, coarse.yaml"):
        session.session(tmp_path, tmp_path / "b", tmp_path, SessionConfig(10.0))
    with pytest.raises(SettingsError, match="codec_share is"):
        SessionConfig(10.0, codec_share=1.5)
    with pytest.raises(CorpusError, match="fewer than 2 pieces"):
        session_stages.wait_for(tmp_path, "diverse", 2, seconds=0.0)
    with pytest.raises(SettingsError, match="learn: decoder"):
        session_stages.train_decoder(work, work / "recipes" / "codec.yaml", 1.0, "cpu")
    arguments = ["train-session", str(tmp_path), "-o", str(tmp_path / "b"), "--seconds", "1"]
    assert main([*arguments, "--recipes", str(tmp_path)]) == 2
    assert "holds no codec.yaml" in capsys.readouterr().err


def test_recipes_of_the_session_fit_together() -> None:
    folder = SHIPPED / "accelerator"
    recipes = {name: session_stages.read_recipe(folder / f"{name}.yaml") for name in session.RECIPES}
    assert recipes["codec"].codec == recipes["decoder"].codec  # type: ignore[union-attr]
    codec = recipes["codec"].codec  # type: ignore[union-attr]
    for name in ("coarse", "c2f"):
        model = recipes[name].model  # type: ignore[union-attr]
        assert model.codebook_dim == codec.codebook_dim and model.n_codebooks <= codec.n_codebooks


def test_a_run_ends_with_its_time(tokens: Path, tmp_path: Path) -> None:
    save_bundle(tmp_path / "codec", tiny_codec())
    where = {"train_tokens": str(tokens), "validation_tokens": str(tokens), "bundle": str(tmp_path / "codec")}
    loop = {**LOOP, "seconds": 0.3}
    data = {"task": "masked", **where, "crop_frames": 20, "model": dataclasses.asdict(COARSE), "loop": loop}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(data))
    train(tmp_path / "r.yaml", tmp_path / "run", device="cpu")
    with pytest.raises(SettingsError, match="already trained"):
        train(tmp_path / "r.yaml", tmp_path / "run", device="cpu")
