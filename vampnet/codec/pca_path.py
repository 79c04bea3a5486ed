"""The linear path of the magnitude codec: principal components of compressed magnitudes, set before training.

Harmony is what networks learn last and a linear map has at once. Magnitudes to the power COMPRESSION weigh partials
more than the noise between them, and a band as much as it has mel bands; 128 principal components of them, quantised,
keep more of the pitch than networks trained for hours without them did (docs/results/experiments.md). So the networks
beside this path begin with what it leaves over.

Axis letters: B batch, F bin, U window, T token frame, X features of a frame, L latent width, N frames of a sample.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vampnet.codec.stft_grids import StftGrid
from vampnet.errors import SettingsError

COMPRESSION = 0.33
LEAST = 1e-6
"""Added to magnitudes before compressing them, so that gradients stay finite."""
MEL_FLOOR = 1e-3
"""Added to magnitudes of mel bands before the logarithm: -60 dB of normalised music."""
MEL_SHARE = 0.3
"""Share of the features' variance that log mel bands have; compressed bins have the rest."""
LEAST_SAID = 0.1
"""Compressed magnitude that the decoder's linear map says at least: 1e-3, -60 dB of normalised music."""


def compress(magnitude_BFU: Tensor, grid: StftGrid) -> Tensor:
    """Magnitudes of a grid -> compressed ones, frame by frame (B, T, X)."""
    compressed_BFU = (COMPRESSION * (magnitude_BFU + LEAST).log()).exp()  # a power, in a fraction of the time of pow()
    return compressed_BFU.mT.unflatten(1, (-1, grid.per_frame)).flatten(2)


class LinearEncoder(nn.Module):
    """Magnitudes of both grids -> latent (B, T, L). Log mel bands beside compressed bins make quiet bands count too."""

    low_mel_FM: Tensor
    high_mel_FM: Tensor

    def __init__(self, latent_dim: int, low: StftGrid, high: StftGrid, sample_rate_hz: int) -> None:
        super().__init__()
        self.low, self.high = low, high
        for grid, name in ((low, "low_mel_FM"), (high, "high_mel_FM")):
            self.register_buffer(name, grid.mel_filters_FM(sample_rate_hz), persistent=False)
        self.n_said = sum(grid.per_frame * grid.n_bins for grid in (low, high))
        n_mels = low.per_frame * self.low_mel_FM.shape[1] + high.per_frame * self.high_mel_FM.shape[1]
        self.project = nn.Linear(self.n_said + n_mels, latent_dim)

    def features(self, low_BFU: Tensor, high_BFU: Tensor) -> Tensor:
        """Compressed magnitudes of both grids (the decoder predicts them too), then log mel bands: (B, T, X)."""
        low, high = self.low, self.high
        bands = [_log_bands(low_BFU, self.low_mel_FM, low), _log_bands(high_BFU, self.high_mel_FM, high)]
        return torch.cat([compress(low_BFU, low), compress(high_BFU, high), *bands], dim=2)

    def forward(self, low_BFU: Tensor, high_BFU: Tensor) -> Tensor:
        """Magnitudes (B, F, U) of both grids -> latent (B, T, L)."""
        return self.project(self.features(low_BFU, high_BFU))


class LinearDecoder(nn.Module):
    """Latent (B, T, L) -> natural log of the magnitudes of each grid, (B, U, F)."""

    def __init__(self, latent_dim: int, low: StftGrid, high: StftGrid) -> None:
        super().__init__()
        self.per_frame = (low.per_frame, high.per_frame)
        self.sizes = [grid.per_frame * grid.n_bins for grid in (low, high)]
        self.say = nn.Linear(latent_dim, sum(self.sizes))

    def forward(self, latent_BTL: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, T, L) -> compressed magnitudes (B, U, F) of both grids."""
        log_BTX = self.say(latent_BTL).float().clamp_min(LEAST_SAID).log() / COMPRESSION
        low_BUF, high_BUF = (
            part_BTX.unflatten(2, (n, -1)).flatten(1, 2)
            for part_BTX, n in zip(log_BTX.split(self.sizes, dim=2), self.per_frame, strict=True)
        )
        return low_BUF, high_BUF


@torch.no_grad()
def set_linear(
    encoder: LinearEncoder, decoder: LinearDecoder, magnitudes: Iterable[tuple[Tensor, Tensor]], sample_rate_hz: int
) -> float:
    """Set both maps from magnitudes of the two grids, batch by batch; the share of variance that they keep.

    Features are weighted by the mel bands that fall on them (bands per Hz: 1 / (1 + f / 700 Hz)), then the leading
    components taken, scaled so that the latents' mean square is 1. Raises SettingsError for fewer frames than features.
    """
    features_NX = torch.cat([encoder.features(*batch).flatten(0, 1).cpu() for batch in magnitudes])
    n_latent, n_features = encoder.project.weight.shape
    if len(features_NX) < n_features:
        raise SettingsError(f"{len(features_NX)} frames are too few to find components of {n_features} features")
    n_said = encoder.n_said
    weight_X = _weights(encoder, features_NX.var(dim=0), sample_rate_hz)
    mean_X = features_NX.mean(dim=0) * weight_X
    features_NX = features_NX * weight_X - mean_X
    power_X, vectors_XX = torch.linalg.eigh(features_NX.T @ features_NX / len(features_NX))
    leading_XL, kept = vectors_XX[:, -n_latent:].flip(1), power_X[-n_latent:].sum()
    scale = (kept / n_latent).sqrt()
    encoder.project.weight.copy_((leading_XL * weight_X[:, None] / scale).T)
    encoder.project.bias.copy_(-mean_X @ leading_XL / scale)
    decoder.say.weight.copy_((leading_XL * scale / weight_X[:, None])[:n_said])
    decoder.say.bias.copy_((mean_X / weight_X)[:n_said])
    return float(kept / power_X.sum())


def _weights(encoder: LinearEncoder, variance_X: Tensor, sample_rate_hz: int) -> Tensor:
    n_said, n_mels = encoder.n_said, len(variance_X) - encoder.n_said
    bins_X = torch.cat([_mel_density(grid, sample_rate_hz) for grid in (encoder.low, encoder.high)]).sqrt()
    said = (variance_X[:n_said] * bins_X.square()).sum()
    bands = MEL_SHARE / (1 - MEL_SHARE) * said / variance_X[n_said:].sum().clamp_min(1e-12)
    return torch.cat([bins_X, bands.sqrt().expand(n_mels)])


def _mel_density(grid: StftGrid, sample_rate_hz: int) -> Tensor:
    """Mel bands per bin, shared by the windows of a frame; up to a factor."""
    bin_hz = sample_rate_hz / grid.n_fft
    frequency_F = torch.arange(grid.first, grid.stop) * bin_hz
    return (bin_hz / (1 + frequency_F / 700) / grid.per_frame).repeat(grid.per_frame)


def _log_bands(magnitude_BFU: Tensor, mel_FM: Tensor, grid: StftGrid) -> Tensor:
    log_BUM = (magnitude_BFU.mT @ mel_FM + MEL_FLOOR).log()
    return log_BUM.unflatten(1, (-1, grid.per_frame)).flatten(2)
