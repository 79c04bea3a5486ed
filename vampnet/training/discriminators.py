"""Discriminators of log magnitudes, for the codec's adversarial stage.

A reconstruction loss alone makes the decoder say the median of all magnitudes that a code could stand for: partials
blur, noise turns into a hum. Discriminators look at patches of both grids and learn to tell what was said from what was
there. They see magnitudes and no waveform, for magnitudes are all that this decoder says; the least-squares objective
and feature matching are those of DAC (Kumar et al. 2023), whose discriminators see complex spectra and waveforms.

Axis letters: B batch, F bin, U window, D channel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm

from vampnet.training.codec_losses import floored_log

SLOPE = 0.1
"""Negative slope of the leaky rectifiers."""


class GridDiscriminator(nn.Module):
    """Patches of one grid's log magnitudes (B, F, U) -> how real each looks, and the features of every layer.

    Three layers halve the bins, each sees twice as far along the windows as the one before. Which bin a patch belongs
    to stands in a second input channel, since low and high bins sound different.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers, channels = [], 2
        for dilation in (1, 2, 4):
            padding = (2, dilation)
            layers.append(nn.Conv2d(channels, width, (5, 3), stride=(2, 1), dilation=(1, dilation), padding=padding))
            channels = width
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.leave = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, log_BFU: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Log magnitudes (B, F, U) -> scores, and the feature maps of every layer."""
        bin_F1 = torch.linspace(-1, 1, log_BFU.shape[1], device=log_BFU.device)[:, None]
        x_BDFU = torch.stack([0.4 * (log_BFU + 1.5), bin_F1.expand_as(log_BFU)], dim=1)
        features = []
        for layer in self.layers:
            x_BDFU = F.leaky_relu(layer(x_BDFU), SLOPE)
            features.append(x_BDFU)
        return self.leave(x_BDFU), features


def judge(discriminator: GridDiscriminator, said_BFU: Tensor, there_BFU: Tensor) -> dict[str, Tensor]:
    """Losses of discriminator and decoder; the gradient of each reaches its own side only.

    said_BFU, there_BFU: magnitudes that the decoder says and those of the recording.

    "discriminator": least squares, real patches to 1 and said ones to 0. "adversarial": the decoder's, said patches to
    1. "features": L1 between features of both, relative to those of the real ones.
    """
    real_BFU, said_BFU = floored_log(there_BFU), floored_log(said_BFU)
    real_score, real_features = discriminator(real_BFU)
    said_score, _ = discriminator(said_BFU.detach())
    # The decoder is judged by weights that its own losses do not move, so that one backward pass serves both sides.
    fixed = {name: tensor.detach() for name, tensor in discriminator.named_parameters()}
    score, features = functional_call(discriminator, fixed, (said_BFU,))
    matched = [
        (own - other.detach()).abs().mean() / other.detach().abs().mean().clamp_min(1e-6)
        for own, other in zip(features, real_features, strict=True)
    ]
    return {
        "discriminator": (real_score - 1).square().mean() + said_score.square().mean(),
        "adversarial": (score - 1).square().mean(),
        "features": torch.stack(matched).mean(),
    }
