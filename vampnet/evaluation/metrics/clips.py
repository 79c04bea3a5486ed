"""Statistics of a single clip: level, onsets, spectral flux, and signs of collapse into silence or a drone.

For one clip at a time and without a reference; what is normal is what real music of the same kind shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vampnet.audio.files import Samples
from vampnet.audio.loudness import measure
from vampnet.evaluation.metrics.onsets import Floats, mel_db_of, onset_times_s, spectral_flux_db

SILENCE_DBFS = -60.0
"""A frame of 50 ms with an RMS below this is silent."""
FRAME_S = 0.05
BLOCK_FRAMES, WINDOW_BLOCKS = 11, 8
"""Spectra per block (0.26 s) and blocks per window (2 s) of the drone indicator."""
DRONE_DB = 1.5
"""A window whose bands stay within this (mean over bands of the deviation over its blocks) stands still."""


@dataclass(frozen=True)
class ClipStatistics:
    """Statistics of a clip."""

    duration_s: float
    loudness_lufs: float
    """Integrated loudness; -inf for silence."""
    peak_dbfs: float
    """Highest sample; -inf for digital silence."""
    silence_share: float
    """Share of 50 ms frames below SILENCE_DBFS, 0 to 1."""
    onsets_hz: float
    """Onsets per second."""
    flux_db: float
    """Spectral flux: mean over spectra and mel bands of the rise since the last one, dB per 23 ms."""
    flux_deviation_db: float
    """Standard deviation of the flux over time: large for music with attacks, small for textures and drones."""
    drone_share: float
    """Share of sounding 2 s windows whose spectrum stands still, 0 to 1; NaN if none sounds or the clip is shorter."""


def clip_statistics(samples: Samples, sample_rate_hz: int) -> ClipStatistics:
    """Statistics of a signal (channels, samples), at least 0.1 s; a shorter one is padded with silence."""
    mel_db_UM = mel_db_of(samples, sample_rate_hz)
    flux_U = spectral_flux_db(mel_db_UM)
    peak = float(np.abs(samples).max())
    duration_s = samples.shape[1] / sample_rate_hz
    return ClipStatistics(
        duration_s,
        measure(samples, sample_rate_hz),
        20 * math.log10(peak) if peak > 0 else -math.inf,
        silence_share(samples.mean(axis=0), sample_rate_hz),
        len(onset_times_s(mel_db_UM)) / duration_s,
        float(flux_U.mean()),
        float(flux_U.std()),
        _drone_share(mel_db_UM),
    )


def silence_share(mono_S: Samples, sample_rate_hz: int) -> float:
    """Share of whole 50 ms frames with an RMS below SILENCE_DBFS; a shorter signal is one frame."""
    length = max(round(FRAME_S * sample_rate_hz), 1)
    n = max(len(mono_S) // length, 1)
    frames = np.resize(mono_S, n * length) if len(mono_S) < length else mono_S[: n * length]
    mean_square = np.square(frames.reshape(n, length), dtype=np.float64).mean(axis=1)
    return float((mean_square < 10 ** (SILENCE_DBFS / 10)).mean())


def _drone_share(mel_db_UM: Floats) -> float:
    n = len(mel_db_UM) // BLOCK_FRAMES
    if n < WINDOW_BLOCKS:
        return math.nan
    blocks_NM = mel_db_UM[: n * BLOCK_FRAMES].reshape(n, BLOCK_FRAMES, -1).mean(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(blocks_NM, WINDOW_BLOCKS, axis=0)[:: WINDOW_BLOCKS // 2]
    deviation_W = windows.std(axis=2).mean(axis=1)
    loudest_W = windows.max(axis=(1, 2))
    sounding_W = loudest_W > mel_db_UM.max() - 40
    if mel_db_UM.max() < -80 or not sounding_W.any():
        return math.nan
    return float((deviation_W[sounding_W] < DRONE_DB).mean())
