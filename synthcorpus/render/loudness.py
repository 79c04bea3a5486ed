"""Integrated loudness of rendered audio (ITU-R BS.1770-4), by pyloudnorm."""

from __future__ import annotations

import math
import warnings

import numpy as np
from pyloudnorm import Meter

_SHORTEST_S = 0.4
"""Length of a gating block, seconds; shorter audio is filled up with silence."""


def measure(audio: np.ndarray, sample_rate_hz: int) -> float:
    """Loudness of a whole signal (channels, samples), LUFS; -inf for silence."""
    missing = math.ceil(_SHORTEST_S * sample_rate_hz) - audio.shape[1]
    if missing > 0:
        audio = np.pad(audio, ((0, 0), (0, missing)))
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of the mean over no block, where all is silent
        return float(Meter(sample_rate_hz).integrated_loudness(audio.T.astype(np.float64)))
