"""The two short-time transforms of the magnitude codec, each with the bins that are its own.

Axis letters: B batch, S samples, F bin, U window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.audio.mel import mel_filters_FM
from vampnet.codec.config import MagnitudeConfig
from vampnet.codec.griffin_lim import stft

LEAST_WEIGHT = 4e-4
"""Bins that the crossover weighs with less than this (-68 dB) are left out of a grid."""
LOW_MELS, HIGH_MELS = 150, 80
"""Mel bands of the whole spectrum, for the two grids; each has those that lie in it."""


class StftGrid(nn.Module):
    """One of the two transforms: its windows, its bins, and the weight that fades them out at the crossover."""

    window_S: Tensor
    weight_F: Tensor
    gain_F: Tensor

    def __init__(self, config: MagnitudeConfig, low: bool) -> None:
        super().__init__()
        self.n_fft, self.hop = (config.low_fft, config.low_hop) if low else (config.high_fft, config.high_hop)
        self.per_frame = config.hop // self.hop
        self.n_mels = LOW_MELS if low else HIGH_MELS
        frequency_F = torch.arange(self.n_fft // 2 + 1) * (config.sample_rate_hz / self.n_fft)
        below_F = 0.5 - 0.5 * torch.tanh((frequency_F - config.crossover_hz) / config.crossover_width_hz)
        weight_F = below_F if low else 1 - below_F
        bins = (weight_F > LEAST_WEIGHT).nonzero().squeeze(1)
        self.first, self.stop = int(bins[0]), int(bins[-1]) + 1
        self.register_buffer("window_S", torch.hann_window(self.n_fft), persistent=False)
        self.register_buffer("weight_F", weight_F[self.first : self.stop], persistent=False)
        # Where both grids sound, each with phases of its own, their powers add up: two halves would make 0.71.
        gain_F = (below_F.square() + (1 - below_F).square()).rsqrt()
        self.register_buffer("gain_F", gain_F[self.first : self.stop], persistent=False)

    @property
    def n_bins(self) -> int:
        """Number of frequency bins of the grid."""
        return self.stop - self.first

    def forward(self, audio_BS: Tensor) -> Tensor:
        """Weighted magnitudes (B, F, U) of a waveform (B, S)."""
        return self.select_bins(stft(audio_BS, self.window_S, self.hop).abs())

    def select_bins(self, magnitude_BFU: Tensor) -> Tensor:
        """Select this grid's bins from the magnitudes of all bins, weighted."""
        return magnitude_BFU[:, self.first : self.stop] * self.weight_F[:, None]

    def all_bins(self, magnitude_BFU: Tensor, n_fft: int) -> Tensor:
        """The same with zeros in the bins left out, up to n_fft / 2."""
        return F.pad(magnitude_BFU, (0, 0, self.first, n_fft // 2 + 1 - self.stop))

    def mel_filters_FM(self, sample_rate_hz: int) -> Tensor:
        """Mel filters over this grid's bins: those bands that lie in it, whole or nearly so."""
        whole_FM = mel_filters_FM(sample_rate_hz, self.n_fft, self.n_mels)
        part_FM = whole_FM[self.first : self.stop]
        return part_FM[:, (part_FM.sum(0) > 0.5 * whole_FM.sum(0)) & (whole_FM.sum(0) > 0)].contiguous()
