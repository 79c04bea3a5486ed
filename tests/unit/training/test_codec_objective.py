"""Further training of a codec: the adversarial stage; bundles made of bundles."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

from tests.support.tiny import CODEC, tiny_codec, tiny_models, tone
from vampnet.audio.files import write
from vampnet.errors import BundleError, SettingsError
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.training.discriminators import GridDiscriminator, judge
from vampnet.training.export import codec_of_run, write_bundle
from vampnet.training.train import train

LOOP = {"steps": 4, "batch_size": 2, "warmup_steps": 1, "decay_steps": 1, "log_every": 1, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audio, and a codec to start from."""
    root = tmp_path_factory.mktemp("adversarial")
    (root / "audio").mkdir()
    write(root / "audio" / "a.flac", tone(4.0))
    save_bundle(root / "codec", tiny_codec())
    return root


def recipe(root: Path, path: Path, codec: dict | None = None, **settings) -> Path:
    audio = str(root / "audio")
    data = {"task": "codec", "train_audio": audio, "validation_audio": audio, "crop_frames": 20}
    data |= {"loop": LOOP, "codec": dataclasses.asdict(CODEC) | (codec or {}), **settings}
    path.write_text(yaml.safe_dump(data))
    return path


def log_of(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def test_each_side_is_moved_by_its_own_losses_alone() -> None:
    torch.manual_seed(0)
    discriminator = GridDiscriminator(4)
    said = torch.rand(2, 17, 9).requires_grad_()
    parts = judge(discriminator, said, torch.rand(2, 17, 9))
    own = list(discriminator.parameters())
    for name in ("adversarial", "features"):
        *of_weights, of_said = torch.autograd.grad(parts[name], [*own, said], retain_graph=True, allow_unused=True)
        assert all(g is None for g in of_weights) and of_said.abs().sum() > 0
    *of_weights, of_said = torch.autograd.grad(parts["discriminator"], [*own, said], allow_unused=True)
    assert of_said is None and all(g.abs().sum() > 0 for g in of_weights if g is not None)
    assert any(g is not None for g in of_weights)


def test_a_discriminator_learns_to_tell_blurred_magnitudes() -> None:
    torch.manual_seed(0)
    discriminator = GridDiscriminator(8)
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(60):
        there = torch.randn(4, 33, 16, generator=generator).exp()
        said = torch.nn.functional.avg_pool1d(there.mT, 5, 1, 2).mT
        parts = judge(discriminator, said, there)
        optimizer.zero_grad()
        parts["discriminator"].backward()
        optimizer.step()
    assert parts["discriminator"] < 0.2  # 1/2 where it cannot tell
    assert judge(discriminator, there, there)["features"] == 0
    assert judge(discriminator, there, there)["adversarial"] < judge(discriminator, said, there)["adversarial"]


def test_adversarial_run_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    settings = {"learn": "decoder", "adversarial_weight": 0.5, "adversarial_from_step": 1, "discriminator_width": 4}
    path = recipe(folder, tmp_path / "r.yaml", **settings)
    train(path, tmp_path / "whole", device="cpu", start_from=folder / "codec")
    train(path, tmp_path / "parts", steps=2, device="cpu", start_from=folder / "codec")  # same rates up to there
    train(path, tmp_path / "parts", device="cpu", start_from=folder / "codec")
    whole, parts = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "parts"))
    assert all(torch.equal(whole["model"][name], parts["model"][name]) for name in whole["model"])
    lines = log_of(tmp_path / "whole")
    reconstruction = [sum(line[n] for n in ("low", "low_peaks", "high", "high_peaks", "high_mel")) for line in lines]
    assert all(line["loss"] > r for line, r in zip(lines, reconstruction, strict=True))
    codec = codec_of_run(tmp_path / "whole")[0]  # discriminators stay behind
    assert codec.id == load_bundle(folder / "codec").codec.id


def test_a_codec_to_start_from_has_to_fit(folder: Path, tmp_path: Path) -> None:
    path = recipe(folder, tmp_path / "r.yaml", {"decoder_width": 2 * CODEC.decoder_width}, learn="decoder")
    with pytest.raises(SettingsError, match="differ in shape"):
        train(path, tmp_path / "run", device="cpu", start_from=folder / "codec")
    path = recipe(folder, tmp_path / "r.yaml", learn="low")
    with pytest.raises(SettingsError, match="known: all, decoder"):
        train(path, tmp_path / "run", device="cpu")


def test_masked_models_of_a_bundle_go_into_another_with_the_same_codebooks(tmp_path: Path) -> None:
    codec = tiny_codec()
    save_bundle(tmp_path / "old", codec, *tiny_models(codec), about={"coarse_steps": 7})
    write_bundle(tmp_path / "new", tmp_path / "old", coarse=tmp_path / "old", c2f=tmp_path / "old")
    old, new = load_bundle(tmp_path / "old"), load_bundle(tmp_path / "new")
    for part in ("coarse", "c2f"):
        states = [getattr(bundle, part).state_dict() for bundle in (old, new)]
        assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in states[0])
    assert new.config["about"]["coarse_steps"] == 7
    save_bundle(tmp_path / "other", tiny_codec(seed=1))
    with pytest.raises(BundleError, match="another codec"):
        write_bundle(tmp_path / "wrong", tmp_path / "other", coarse=tmp_path / "old")
