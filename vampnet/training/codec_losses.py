"""Reconstruction losses of the codec: log magnitudes of both grids, per bin and per mel band.

Axis letters: B batch, F bin, U window, M mel band.
"""

from __future__ import annotations

from torch import Tensor, nn

from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.codec.pca_path import COMPRESSION, LEAST

BIN_FLOOR = 1e-2
"""Added to magnitudes before the logarithm of a bin: what lies below it, -40 dB of normalised music, hardly counts."""
MEL_FLOOR = 1e-4
WEIGHTS = {"low": 0.7, "low_peaks": 2.5, "low_mel": 0.5, "high": 0.2, "high_peaks": 0.8, "high_mel": 1.0}
"""Weights of the parts of the reconstruction loss."""


class Reconstruction(nn.Module):
    """Parts of the reconstruction loss, by the names in WEIGHTS."""

    low_mel_FM: Tensor
    high_mel_FM: Tensor

    def __init__(self, codec: MagnitudeCodec) -> None:
        super().__init__()
        rate_hz = codec.sample_rate_hz
        self.register_buffer("low_mel_FM", codec.low.mel_filters_FM(rate_hz), persistent=False)
        self.register_buffer("high_mel_FM", codec.high.mel_filters_FM(rate_hz), persistent=False)

    def forward(self, grid: str, log_BFU: Tensor, target_BFU: Tensor) -> dict[str, Tensor]:
        """Losses of one grid, "low" or "high": predicted log magnitudes against the recording's magnitudes."""
        low = grid == "low"
        said_BUM, target_BUM = (
            log_mel(x, self.low_mel_FM if low else self.high_mel_FM) for x in (log_BFU.exp(), target_BFU)
        )
        parts = {grid: bin_loss(log_BFU, target_BFU), f"{grid}_mel": (said_BUM - target_BUM).abs().mean()}
        return {**parts, f"{grid}_peaks": peak_loss(log_BFU, target_BFU)}


def floored_log(magnitude_BFU: Tensor) -> Tensor:
    """ln of magnitudes, nearly level below BIN_FLOOR."""
    return (magnitude_BFU + BIN_FLOOR).log()


def bin_loss(log_BFU: Tensor, target_BFU: Tensor) -> Tensor:
    """L1 of ln magnitudes, bin by bin."""
    return (floored_log(log_BFU.exp()) - floored_log(target_BFU)).abs().mean()


def log_mel(magnitude_BFU: Tensor, mel_FM: Tensor) -> Tensor:
    """ln magnitudes in mel bands (B, U, M): how loud noise is, wherever it puts its bins."""
    return (magnitude_BFU.mT @ mel_FM).clamp_min(MEL_FLOOR).log()


def peak_loss(log_BFU: Tensor, target_BFU: Tensor) -> Tensor:
    """L1 of compressed magnitudes relative to their mean, which partials dominate and the noise between does not."""
    said_BFU, target_BFU = ((x + LEAST).pow(COMPRESSION) for x in (log_BFU.exp(), target_BFU))
    return (said_BFU - target_BFU).abs().mean() / target_BFU.mean()
