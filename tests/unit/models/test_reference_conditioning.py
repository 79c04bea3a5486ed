"""Control encoders of the authors' files: read, heard by the network, carried into a bundle, refused where unknown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny import in_float32, shorten_windows, tone
from tests.unit.models.test_reference_checkpoints import DIM, change, convert, folder
from vampnet.audio.files import Audio, write
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.errors import BundleError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.models.bundle import load_bundle
from vampnet.models.conditioning import Guidance, hear
from vampnet.models.reference_conditioning import WINDOW, ReferenceConditioning, level_features
from vampnet.tasks.model import VampNet

__all__ = ["folder"]  # the authors' three files

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)
NAMES = ("rms", "rmsq16-median")


def add_controls(path: Path, names: tuple[str, ...] = NAMES, size: float = 3.0) -> None:
    """Give a checkpoint control encoders, as their code writes them."""
    generator = torch.Generator().manual_seed(7)

    def update(data: dict) -> None:
        data["metadata"]["kwargs"].update(ctrl_dims=dict.fromkeys(names, 1), cfg_dropout_prob=0.2)
        for name in names:
            for part, shape in (("weight", (DIM, 1)), ("bias", (DIM,))):
                value = size * torch.randn(shape, generator=generator)
                data["state_dict"][f"ctrl_encoder.ctrl_encoders.{name}.{part}"] = value

    change(path, update)


def swelling(duration_s: float = 2.0) -> Audio:
    """A tone whose level rises and falls."""
    sound = tone(duration_s)
    swell = 0.1 + 0.9 * np.sin(np.linspace(0, 3 * np.pi, sound.n_samples)) ** 2
    return Audio((sound.samples * swell).astype(np.float32), sound.sample_rate_hz)


def test_the_network_hears_the_level(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_windows(monkeypatch)
    in_float32(monkeypatch)
    write(tmp_path / "song.wav", swelling())
    shutil.copytree(folder, tmp_path / "plain")
    plain = VampNet(load_bundle(tmp_path / "plain"), "cpu")
    assert not plain.hears
    add_controls(folder / "coarse.pth")
    model = VampNet(load_bundle(folder), "cpu")
    assert model.hears == ("loudness",) and model.id == plain.id
    told = {"prompt": "periodic(9)", "sampling": FAST}
    free = plain.vamp(tmp_path / "song.wav", **told)
    assert np.array_equal(model.vamp(tmp_path / "song.wav", **told).audio.samples, free.audio.samples)
    followed = model.vamp(tmp_path / "song.wav", follow="loudness", **told)
    assert not np.array_equal(followed.audio.samples, free.audio.samples)
    assert followed.kept_share == free.kept_share
    with pytest.raises(SettingsError, match="follows loudness, but not beats"):
        model.vamp(tmp_path / "song.wav", follow="beats", **told)
    assert convert(folder, tmp_path / "bundle") == 0
    copy = VampNet(load_bundle(tmp_path / "bundle"), "cpu")
    again = copy.vamp(tmp_path / "song.wav", follow="loudness", **told)
    assert np.array_equal(again.audio.samples, followed.audio.samples)


def test_what_is_added_is_what_their_code_adds(folder: Path) -> None:
    """The sum of the linear maps, at the first layer's input, in frames whose level is known."""
    add_controls(folder / "coarse.pth")
    bundle = load_bundle(folder)
    made, state = bundle.conditioning, torch.load(folder / "coarse.pth", weights_only=True)["state_dict"]
    assert isinstance(made, ReferenceConditioning) and bundle.coarse is not None
    controls = extract_controls(swelling(), ExtractionConfig(("loudness_db",), 44100, 512)).slice(-3, 60)
    added_NBTD = made(made.features([controls]))
    value_TI = torch.from_numpy(level_features(controls, NAMES))
    expected_TD: Any = sum(
        value_TI[:, 2 * i : 2 * i + 1] @ state[f"ctrl_encoder.ctrl_encoders.{name}.weight"].T
        + state[f"ctrl_encoder.ctrl_encoders.{name}.bias"]
        for i, name in enumerate(NAMES)
    )
    assert torch.allclose(added_NBTD[0, 0, 3:], expected_TD[3:], atol=1e-5)
    assert not added_NBTD[0, 0, :3].any() and not added_NBTD[1:].any()
    codes_BCT = torch.randint(0, 32, (1, 2, 63), generator=torch.Generator().manual_seed(0))
    chosen_BPT = torch.ones(1, 2, 63, dtype=torch.bool)
    with torch.no_grad():
        one = hear(bundle.coarse, made, [controls], Guidance.parse("1"))(codes_BCT, chosen_BPT)
        three = hear(bundle.coarse, made, [controls], Guidance.parse("3"))(codes_BCT, chosen_BPT)
        without = bundle.coarse(codes_BCT, chosen_BPT)
    assert torch.allclose(three, without + 3.0 * (one - without), atol=1e-3)


def test_the_level_is_that_of_their_spectra() -> None:
    """RMS from the power of a centred STFT, as their code takes it, but for what changes within a frame."""
    sound = swelling(1.0)
    wave_S, hop = torch.from_numpy(sound.samples[0]), 512
    spectrum_FT = torch.stft(wave_S, WINDOW, hop, window=torch.hann_window(WINDOW), return_complex=True).abs() ** 2
    spectrum_FT[0] *= 0.5
    spectrum_FT[-1] *= 0.5
    expected_T = (2 * spectrum_FT.sum(dim=0) / WINDOW**2).sqrt()[:-1]
    controls = extract_controls(sound, ExtractionConfig(("loudness_db",), 44100, hop))
    found_T = torch.from_numpy(level_features(controls, ("rms",))[:, 0])
    inner = slice(4, len(expected_T) - 4)
    ratio_T = found_T[inner] / expected_T[inner]  # within a frame the power is taken as even
    assert abs(float(ratio_T.mean()) - 1) < 0.02 and float((ratio_T - 1).abs().mean()) < 0.08


def test_controls_that_are_not_known_are_refused(folder: Path) -> None:
    add_controls(folder / "coarse.pth", ("hchroma",))
    with pytest.raises(BundleError, match="'hchroma' is not known here; known are rms") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def test_encoders_that_are_missing_are_named(folder: Path) -> None:
    change(folder / "coarse.pth", lambda d: d["metadata"]["kwargs"].update(ctrl_dims={"rms": 1}))
    with pytest.raises(BundleError, match=r"missing: ctrl_encoder.ctrl_encoders.rms.weight"):
        load_bundle(folder)
