"""The bundle inside the package: there, small, whole, and better than chance at what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vampnet.audio.files import Audio, read, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.mel import mel_distance
from vampnet.generation.config import SamplingConfig
from vampnet.models.bundle import load_bundle
from vampnet.models.format import Bundle
from vampnet.prompts.parts import Periodic
from vampnet.tasks.model import VampNet
from vampnet.training.masked_objective import draw_fixed_rate_keep, masked_loss

LOOP = Path(__file__).parents[2] / "examples" / "loop.wav"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("default")


@pytest.fixture(scope="module")
def loop() -> torch.Tensor:
    """4 s of the example, mono, at the codec's level: (1, S)."""
    audio = read(LOOP)
    mono = resample(audio.samples.mean(0, keepdims=True), audio.sample_rate_hz, 44100)[:, : 4 * 44100]
    return torch.from_numpy(mono * gain_to(measure(mono, 44100)))


def test_size_and_contents(bundle: Bundle) -> None:
    assert sum(p.stat().st_size for p in bundle.folder.iterdir()) < 40 * 2**20
    assert "MIT" in (bundle.folder / "README.md").read_text()
    assert (bundle.codec.sample_rate_hz, bundle.codec.hop, bundle.codec.n_codebooks) == (44100, 768, 14)
    assert bundle.coarse is not None and bundle.coarse.config.n_codebooks == 4
    assert bundle.c2f is not None and bundle.c2f.config.n_conditioning_codebooks == 4


def test_codec_comes_close_to_its_input(bundle: Bundle, loop: torch.Tensor) -> None:
    codes = bundle.codec.encode(loop)
    one, four, eight, fourteen = (
        mel_distance(bundle.codec.decode(codes[:, :n])[:, : loop.shape[1]], loop, 44100).item() for n in (1, 4, 8, 14)
    )
    assert fourteen < eight < four < one and fourteen < 0.2  # measured: 0.173


def test_networks_know_more_than_chance(bundle: Bundle, loop: torch.Tensor) -> None:
    codes = bundle.codec.encode(loop)
    for model, most in ((bundle.coarse, 3.3), (bundle.c2f, 5.1)):
        assert model is not None
        config = model.config
        read_codes = codes[:, : config.n_codebooks].contiguous()
        keep = draw_fixed_rate_keep(read_codes, config.n_conditioning_codebooks, 0.2, torch.Generator().manual_seed(0))
        with torch.no_grad():
            loss, _, _ = masked_loss(model, read_codes, keep, config.n_conditioning_codebooks, config.mask_token)
        assert loss < most  # measured: 2.94 and 4.69; chance is ln 1024 = 6.93


def test_stationary_sound_has_no_seam_at_window_edges(bundle: Bundle) -> None:
    generator = torch.Generator().manual_seed(0)
    time_s = torch.arange(18 * 44100) / 44100
    sound = sum(torch.sin(2 * torch.pi * f * time_s) for f in (220.0, 330.0, 440.0))
    noise = 0.05 * torch.randn(len(time_s), generator=generator)
    audio = Audio((0.1 * sound + noise).numpy()[None], 44100)
    sampling = SamplingConfig(steps=4, c2f_steps=2)
    result = VampNet(bundle, "cpu").vamp(audio, prompt=Periodic(7), sampling=sampling)
    samples = torch.from_numpy(result.audio.samples[0])
    frames = samples[: len(samples) // 768 * 768].view(-1, 768)
    spectra = torch.fft.rfft(frames * torch.hann_window(768)).abs().add(1e-3).log10()
    change = (spectra[1:] - spectra[:-1]).abs().mean(1)
    # Coarse windows end at frame 575; c2f windows of 173 frames with 44 of context end at 173, 302, 431, 560, ...
    edges = [k - 1 for k in (173, 302, 431, 560, 575, 689, 818, 947) if k < len(change)]
    assert change[edges].mean() < 1.5 * change.median()
    assert change[edges].max() < change.quantile(0.999) + 0.1
