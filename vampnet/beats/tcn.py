"""Network of the learned tracker: spectra -> logits of beat and downbeat per frame.

A temporal convolution network after Davies and Böck (2019): a few detectors slide over time and frequency, then
residual layers of growing dilation see about 20 s to each side. 50 frames per second, 0.14 M parameters.
"""

from __future__ import annotations

import functools
import json
import os
from importlib import resources

import safetensors.torch
import torch
from torch import Tensor, nn

from vampnet.beats.features import N_BANDS
from vampnet.storage import write_whole

N_DETECTORS, WIDTH, KERNEL = 12, 48, 5
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
REACH_FRAMES = 2 + sum(DILATIONS) * (KERNEL // 2)
"""Frames to each side that an output depends on."""
WINDOW_FRAMES = 4096
"""Frames that are computed at once."""


class BeatNetwork(nn.Module):
    """Spectra (B, T, N_BANDS) -> logits (B, T, 2) of a beat and of a downbeat at each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.detectors = nn.Conv2d(1, N_DETECTORS, (5, 3), padding=(2, 1))
        self.mix = nn.Conv1d(N_DETECTORS * (N_BANDS // 2), WIDTH, 1)
        self.layers = nn.ModuleList(Layer(dilation) for dilation in DILATIONS)
        self.head = nn.Conv1d(WIDTH, 2, 1)

    def forward(self, spectra_BTM: Tensor) -> Tensor:
        """Log-mel spectra (B, T, M) -> logits (B, T, 2) of beat and downbeat."""
        found_BDTM = nn.functional.max_pool2d(self.detectors(spectra_BTM[:, None]), (1, 2)).relu()
        x_BDT = self.mix(found_BDTM.transpose(2, 3).flatten(1, 2))
        for layer in self.layers:
            x_BDT = layer(x_BDT)
        return self.head(x_BDT).mT


class Layer(nn.Module):
    """x + mix(gelu(dilated convolution(x))), (B, WIDTH, T)."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.spread = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=dilation * (KERNEL // 2), dilation=dilation)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 1)
        self.dropout = nn.Dropout1d(0.1)

    def forward(self, x_BDT: Tensor) -> Tensor:
        """Dilated convolution with a residual sum; the shape (B, D, T) stays."""
        return x_BDT + self.mix(self.dropout(nn.functional.gelu(self.spread(x_BDT))))


@torch.inference_mode()
def beat_probabilities(network: BeatNetwork, spectra: Tensor) -> Tensor:
    """Probabilities (frames, 2) of spectra (frames, bands), in windows whose joins the result does not show."""
    parts = []
    for start in range(0, len(spectra), WINDOW_FRAMES):
        first = max(0, start - REACH_FRAMES)
        logits = network(spectra[None, first : start + WINDOW_FRAMES + REACH_FRAMES])[0]
        parts.append(logits[start - first : start - first + WINDOW_FRAMES].sigmoid())
    return torch.cat(parts) if parts else torch.zeros(0, 2)


def save_network(network: BeatNetwork, path: str | os.PathLike[str], facts: dict[str, object]) -> None:
    """Write the weights as float16 safetensors; `facts` (how it was trained) go into its metadata."""
    weights = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {"format": "vampnet beats 1", "trained": json.dumps(facts)}
    write_whole(path, safetensors.torch.save(weights, metadata))


def load_network(path: str | os.PathLike[str]) -> BeatNetwork:
    """Read a network that `save_network` wrote."""
    network = BeatNetwork()
    network.load_state_dict({name: t.float() for name, t in safetensors.torch.load_file(path).items()})
    return network.eval()


@functools.cache
def shipped_network() -> BeatNetwork:
    """Network with the weights that come with the package."""
    with resources.as_file(resources.files("vampnet") / "bundles/beats/beats.safetensors") as path:
        return load_network(path)
