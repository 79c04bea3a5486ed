"""Control encoders of the VampNet authors' code, as conditioning: the level, added to the first layer's input.

Their network has one linear map for each control (`ctrl_encoder.ctrl_encoders.NAME`), whose result is added to the
embedded tokens of the frames in which the control is given. Known here are their controls of level: the RMS of 2048
samples under a Hann window around a frame's first sample, as it is (`rms`), in 16 or 128 steps of its range
(`rmsq16`, `rmsq128`), or smoothed by a median (`rms-median`, `rmsq16-median`).

Axis letters: B item, T frame, I feature, N place of adding, D width, W sample of the window.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor, nn

from vampnet.controls.signals import Controls
from vampnet.errors import BundleError
from vampnet.models.conditioning import Conditioning
from vampnet.models.config import ConditioningConfig

WINDOW = 2048
"""Samples that the level of a frame is measured over."""
GUIDANCE = "loudness=3"
"""Guidance of the authors' code."""


@dataclasses.dataclass(frozen=True)
class LevelControl:
    """One of the authors' controls of level."""

    n_steps: int = 0
    """Steps that its range is divided into; 0: none."""
    n_median: int = 0
    """Frames of its median filter; 0: none."""


LEVEL_CONTROLS = {
    "rms": LevelControl(),
    "rmsq128": LevelControl(n_steps=128),
    "rmsq16": LevelControl(n_steps=16),
    "rms-median": LevelControl(n_median=5),
    "rmsq16-median": LevelControl(n_steps=16, n_median=3),
}
"""The controls that are known here, by the authors' names."""


class ReferenceConditioning(Conditioning):
    """The authors' control encoders. Features (B, T, I): value and flag of each control."""

    def __init__(self, config: ConditioningConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.encoders = nn.ModuleDict({name: nn.Linear(1, config.dim) for name in config.reference})

    def forward(self, features_BTI: Tensor) -> Tensor:
        """Sum to add, (N, B, T, D): to the first layer's input alone; 0 where no control is given."""
        pairs_BTI2 = features_BTI.unflatten(-1, (-1, 2))
        added_NBTD = features_BTI.new_zeros(self.config.n_layers + 1, *features_BTI.shape[:2], self.config.dim)
        for i, encoder in enumerate(self.encoders.values()):
            value_BT1, flag_BT1 = pairs_BTI2[:, :, i].split(1, dim=-1)
            added_NBTD[0] += flag_BT1 * encoder(value_BT1)
        return added_NBTD

    def features(self, controls: list[Controls] | tuple[Controls, ...]) -> Tensor:  # type: ignore[override]
        """Features (B, T, I) of the controls of each item, where the weights are."""
        rows = [torch.from_numpy(level_features(own, self.config.reference)) for own in controls]
        return torch.stack(rows).to(next(self.parameters()).device)

    def without(self, features_BTI: Tensor, groups: object) -> Tensor:
        """The same features without controls, where `groups` names the level."""
        return torch.zeros_like(features_BTI) if "loudness" in groups else features_BTI  # type: ignore[operator]


def make_conditioning(config: ConditioningConfig) -> Conditioning:
    """Conditioning of the kind that its settings name."""
    return ReferenceConditioning(config) if config.reference else Conditioning(config)


def reference_config(names: tuple[str, ...], dim: int, n_layers: int) -> ConditioningConfig:
    """Settings of the authors' control encoders of these names. Raises BundleError for one that is not known here."""
    if unknown := [name for name in names if name not in LEVEL_CONTROLS]:
        raise BundleError(
            f"its control {unknown[0]!r} is not known here; known are {', '.join(LEVEL_CONTROLS)} (controls of level)"
        )
    return ConditioningConfig(dim, n_layers, reference=names, groups=("loudness",), guidance=GUIDANCE)


def level_features(controls: Controls, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Value and flag (T, I) of each of the authors' controls; 0 in frames whose level is not known."""
    features_TI = np.zeros((controls.n_frames, 2 * len(names)), np.float32)
    if controls.loudness_db is None:
        return features_TI
    known_T = np.isfinite(controls.loudness_db)
    if not known_T.any():
        return features_TI
    power_T = np.where(known_T, 10.0 ** (controls.loudness_db / 10.0), 0.0)
    rms_T = np.sqrt(_under_window(power_T, controls.hop))
    for i, name in enumerate(names):
        kind, value_T = LEVEL_CONTROLS[name], rms_T
        if kind.n_steps:
            low, high = value_T[known_T].min(), value_T[known_T].max()
            value_T = np.round((value_T - low) / max(high - low, 1e-9) * kind.n_steps) / kind.n_steps
        if kind.n_median:
            value_T = median_filter(value_T, kind.n_median, mode="nearest")
        features_TI[:, 2 * i] = np.where(known_T, value_T, 0.0)
        features_TI[:, 2 * i + 1] = known_T
    return features_TI


def _under_window(power_T: NDArray[np.float64], hop: int) -> NDArray[np.float64]:
    """Mean power (T,) under the window around each frame's first sample, from the mean power of frames of `hop`."""
    square_W = np.square(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW))
    frames_W = (np.arange(WINDOW) - WINDOW // 2) // hop
    reach = int(-frames_W.min())
    weights = np.bincount(frames_W + reach, weights=square_W) / WINDOW
    padded = np.pad(power_T, (reach, int(frames_W.max())))
    return np.correlate(padded, weights, mode="valid")
