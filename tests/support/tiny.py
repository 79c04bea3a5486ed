"""A bundle small enough for tests: random weights, real shapes and code paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vampnet.audio.files import Audio
from vampnet.codec.config import MagnitudeConfig
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.models.config import ModelConfig
from vampnet.models.transformer import MaskedTransformer
from vampnet.tasks.model import VampNet

CODEC = MagnitudeConfig(
    width=32, encoder_depth=2, decoder_width=32, decoder_depth=2, fine_width=16, fine_depth=1, latent_dim=24,
    codebook_size=64, n_codebooks=6, low_rounds=3, high_rounds=2,
)  # fmt: skip
LINEAR = replace(CODEC, linear_path=True, low_fft=3072, low_hop=768, high_hop=256, codebook_dim=16)
COARSE = ModelConfig(n_codebooks=2, vocab_size=64, dim=32, n_heads=4, n_layers=2, learned_embedding=True)
C2F = ModelConfig(n_codebooks=6, n_conditioning_codebooks=2, vocab_size=64, dim=32, n_heads=4, n_layers=1)


def tiny_codec(seed: int = 0, config: MagnitudeConfig = CODEC) -> MagnitudeCodec:
    torch.manual_seed(seed)
    return MagnitudeCodec(config).eval()


def tiny_models(codec: MagnitudeCodec) -> tuple[MaskedTransformer, MaskedTransformer]:
    models = []
    for config in (COARSE, C2F):
        model = MaskedTransformer(config).eval()
        model.set_codebooks(codec.codebooks()[: config.n_codebooks])
        models.append(model)
    return models[0], models[1]


def write_tiny_bundle(folder: Path, storage: str = "int8") -> Path:
    codec = tiny_codec()
    save_bundle(folder, codec, *tiny_models(codec), storage=storage, card="tiny", overwrite=True)
    return folder


def tiny_vampnet(folder: Path) -> VampNet:
    return VampNet(load_bundle(write_tiny_bundle(folder)), "cpu")


def shorten_windows(patch: pytest.MonkeyPatch) -> None:
    """Windows of 1 and 0.3 s and blocks of 32 frames: a few seconds of audio go through what minutes would."""
    lengths = {"COARSE_WINDOW_S": 1.0, "COARSE_CONTEXT_S": 0.25, "C2F_WINDOW_S": 0.3, "C2F_CONTEXT_S": 0.075}
    for name, seconds in lengths.items():
        patch.setattr(f"vampnet.generation.pipeline.{name}", seconds)
    for module in ("codec.chunked", "generation.tokens"):
        patch.setattr(f"vampnet.{module}.BLOCK_FRAMES", 32)
    patch.setattr("vampnet.codec.magnitude.MagnitudeCodec.decoder_block", 32)


def in_float32(patch: pytest.MonkeyPatch) -> None:
    """Models loaded from here on compute in float32: the same on any CPU, and no time goes into preparing bfloat16."""
    patch.setattr("vampnet.generation.pipeline.select_precision", lambda name, device: torch.float32)


def tone(duration_s: float, rate_hz: int = 44100, channels: int = 1, level: float = 0.1, seed: int = 0) -> Audio:
    """A chord with a little noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    rows = [
        sum(np.sin(2 * np.pi * f * (1 + 0.01 * c) * time_s) for f in (220.0, 277.2, 329.6)) for c in range(channels)
    ]
    samples = level * (np.stack(rows) / 3 + 0.05 * rng.standard_normal((channels, len(time_s))))
    return Audio(samples.astype(np.float32), rate_hz)
