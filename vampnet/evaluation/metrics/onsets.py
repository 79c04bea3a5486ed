"""Spectral flux and the onsets in it, with thresholds in dB, so that a drone or hiss has none.

(The tracker in `vampnet.beats.tracking` scales its onset strength by the recording's own maximum: it places onsets
well in music, and finds some in steady noise too.) Axis letters: U spectrum, M mel band.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.signal import find_peaks

from vampnet.audio.files import Samples, resample
from vampnet.audio.mel import log_mel

RATE_HZ, FFT, MELS = 22050, 2048, 64
STEP_S = FFT / 4 / RATE_HZ
"""Time from one spectrum to the next: 23 ms."""
RANGE_DB = 60.0
"""Mel bands further below the clip's loudest count as this far below."""
RISE_DB = 1.0
"""An onset is a peak of the flux this far above the median of the 0.5 s around it, dB per 23 ms, mean over bands."""
MIN_GAP_FRAMES, MEDIAN_FRAMES = 3, 21

Floats = NDArray[np.float64]


def mel_db_of(samples: Samples, sample_rate_hz: int) -> Floats:
    """Mel spectra (U, M) of a signal (channels, S), channels averaged, in dB, at most RANGE_DB below the loudest."""
    low = resample(samples.mean(axis=0, keepdims=True), sample_rate_hz, RATE_HZ)
    padded = np.pad(low, ((0, 0), (0, max(FFT - low.shape[1], 0))))
    mel_db_UM = 20 * log_mel(torch.from_numpy(np.ascontiguousarray(padded)), RATE_HZ, FFT, MELS)[0].double().numpy()
    return np.maximum(mel_db_UM, mel_db_UM.max() - RANGE_DB)


def spectral_flux_db(mel_db_UM: Floats) -> Floats:
    """Rise since the last spectrum, falls counted as 0, mean over bands: (U - 1,), dB per 23 ms."""
    return np.maximum(np.diff(mel_db_UM, axis=0), 0).mean(axis=1)


def onset_times_s(mel_db_UM: Floats) -> Floats:
    """Moments of onsets, seconds from the start, ascending; one at the very beginning cannot be seen."""
    flux_U = spectral_flux_db(mel_db_UM)
    height_U = flux_U - median_filter(flux_U, MEDIAN_FRAMES, mode="nearest")
    peaks, _ = find_peaks(height_U, height=RISE_DB, distance=MIN_GAP_FRAMES)
    return (peaks + 1) * STEP_S
