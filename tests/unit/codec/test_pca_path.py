"""The linear path of the magnitude codec: principal components, set from data and trained on from there."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml

from tests.support.tiny import CODEC, LINEAR, tiny_codec, tone
from vampnet.audio.files import write
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.codec.pca_path import COMPRESSION, LEAST_SAID, set_linear
from vampnet.errors import SettingsError
from vampnet.training.codec_objective import CodecObjective
from vampnet.training.data.wave_dataset import open_waves
from vampnet.training.export import codec_of_run
from vampnet.training.recipe import CodecRecipe, read_recipe
from vampnet.training.share import BatchShare
from vampnet.training.train import train

RATE = 44100


@pytest.fixture(autouse=True)
def _few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components, codebooks and validation from fewer crops than in earnest: still more frames than features."""
    monkeypatch.setattr("vampnet.training.codec_objective.INITIAL_BATCHES", 8)
    monkeypatch.setattr("vampnet.training.codec_objective.VALIDATION_CROPS", 2)
    monkeypatch.setattr("vampnet.training.codec_objective.VALIDATION_FRAMES", 48)


def few_notes(n_items: int, seed: int = 0) -> torch.Tensor:
    """Three sines at random levels, 1.04 s each: few dimensions, so few components hold them."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(60 * 768) / RATE
    notes = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in (220.0, 554.4, 3000.0)])
    return 0.1 * torch.rand(n_items, 3, generator=generator) @ notes


def set_from(codec: MagnitudeCodec, audio_BS: torch.Tensor) -> float:
    encoder, decoder = codec.encoder.linear, codec.decoder.linear
    assert encoder is not None and decoder is not None
    return set_linear(encoder, decoder, [codec.magnitudes(part) for part in audio_BS.split(8)], RATE)


def test_components_give_the_magnitudes_back() -> None:
    codec, audio = tiny_codec(config=LINEAR), few_notes(40)
    assert set_from(codec, audio) > 0.99
    encoder, decoder = codec.encoder.linear, codec.decoder.linear
    assert encoder is not None and decoder is not None
    with torch.no_grad():
        magnitudes = codec.magnitudes(few_notes(4, seed=1))
        latent = encoder(*magnitudes)
        said = decoder(latent)
    assert latent.shape == (4, 60, LINEAR.latent_dim)
    for log_BUF, true_BFU in zip(said, magnitudes, strict=True):
        true_BUF = true_BFU.mT.clamp_min(LEAST_SAID ** (1 / COMPRESSION))
        loud = true_BUF > 0.1 * true_BUF.max()
        assert log_BUF.shape == true_BUF.shape and loud.any()
        assert (log_BUF - true_BUF.log())[loud].abs().mean() < 0.1
    with torch.no_grad():
        trained_on = torch.cat([encoder(*codec.magnitudes(part)) for part in audio.split(8)])
    assert trained_on.square().mean() == pytest.approx(1.0, abs=0.02)
    assert trained_on.mean((0, 1)).abs().max() < 1e-3


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(SettingsError, match="too few"):
        set_from(tiny_codec(config=LINEAR), few_notes(1))


def test_codecs_without_the_path_keep_their_id() -> None:
    codec, other = tiny_codec(), tiny_codec(config=LINEAR)
    assert codec.id == "1cc8562265cd3d14" and codec.encoder.linear is None
    assert other.id != codec.id


def recipe(root: Path, name: str, loop: dict[str, int], **settings: object) -> Path:
    audio = root / "audio"
    if not audio.exists():
        audio.mkdir()
        write(audio / "a.flac", tone(4.0))
    data = {"task": "codec", "train_audio": str(audio), "validation_audio": str(audio), "crop_frames": 20}
    data |= {"quantize_from_step": 0, "codec": asdict(LINEAR), "loop": loop, **settings}
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


LOOP = {"steps": 4, "batch_size": 2, "warmup_steps": 1, "decay_steps": 1, "log_every": 1, "checkpoint_every": 2}


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_training_begins_with_the_components_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    path = recipe(tmp_path, "r", LOOP, requantize_every=2)
    train(path, tmp_path / "whole", device="cpu")
    train(path, tmp_path / "parts", steps=2, device="cpu")
    train(path, tmp_path / "parts", device="cpu")
    whole, parts = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "parts"))
    assert all(torch.equal(whole["model"][name], parts["model"][name]) for name in whole["model"])
    without = read_recipe(recipe(tmp_path, "without", LOOP, codec=asdict(replace(LINEAR, linear_path=False))))
    assert isinstance(without, CodecRecipe)
    waves = open_waves(tmp_path / "audio", RATE)
    task = CodecObjective(without, waves, waves)
    assert losses(tmp_path / "whole")[0] < 0.5 * task.loss(task.module, 0, BatchShare())["loss"].item()


def test_the_decoder_alone_can_learn_on_top_of_the_components(tmp_path: Path) -> None:
    path = recipe(tmp_path, "decoder", {**LOOP, "checkpoint_every": 1}, learn="decoder")
    train(path, tmp_path / "run", steps=1, device="cpu")
    before = codec_of_run(tmp_path / "run")[0]
    train(path, tmp_path / "run", device="cpu")
    after = codec_of_run(tmp_path / "run")[0]
    assert before.id == after.id  # tokens keep their meaning
    assert not torch.equal(before.decoder.leave_low.weight, after.decoder.leave_low.weight)
    refused = recipe(tmp_path, "refused", LOOP, learn="decoder", codec=asdict(CODEC))
    with pytest.raises(SettingsError, match="--start-from"):
        train(refused, tmp_path / "refused", device="cpu")


def test_encoders_learn_at_a_share_of_the_rate_and_the_map_stays(tmp_path: Path) -> None:
    for name, rate in (("still", 0.0), ("moving", 1.0)):
        path = recipe(tmp_path, name, {**LOOP, "steps": 2}, encoder_rate=rate)
        train(path, tmp_path / name, device="cpu")
    still, moving = (codec_of_run(tmp_path / run)[0].state_dict() for run in ("still", "moving"))
    of_encoder = [name for name in still if name.startswith("encoder.") and "linear" not in name]
    assert all(torch.equal(still[name], moving[name]) for name in still if name.startswith("encoder.linear."))
    assert any(not torch.equal(still[name], moving[name]) for name in of_encoder)
    assert still["encoder.leave.weight"].abs().max() == 0 and moving["encoder.leave.weight"].abs().max() > 0
    assert still["decoder.leave_low.weight"].abs().max() > 0
