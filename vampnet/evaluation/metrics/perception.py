"""Perceived quality of an output beside its reference: ViSQOL in audio mode (Chinen et al. 2020), by visqol-python.

Values are mean opinion scores, 1 (bad) to 4.73 (the same); 4.73 and not 5, since that is what listeners gave hidden
references. Known limits: it was fitted to codecs at 24 to 256 kbps and to low passes, judged by listeners, on music at
48 kHz; it compares spectra patch by patch, so another note or hit in the same place counts as damage, and it is no
judge of music that is meant to differ (docs/reference/metrics.md).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from vampnet.audio.files import Samples, resample
from vampnet.errors import require

RATE_HZ = 48000
"""Sample rate that ViSQOL's audio mode is defined at, Hz."""
MIN_S = 1.0
"""Shorter audio has too few patches to compare, seconds."""
SILENCE = 1e-5
"""A reference whose loudest sample is below has nothing to be compared with."""


def visqol(samples: Samples, reference: Samples, sample_rate_hz: int) -> float:
    """Mean opinion score that listeners would give an output beside its reference, 1 to 4.73; higher is better.

    Args:
        samples: the output, (1, S).
        reference: what it should sound like, (1, S).
        sample_rate_hz: sample rate of both, Hz.

    Returns:
        NaN where the reference is silent, or the audio shorter than MIN_S. Raises DependencyError without the extra.
    """
    require("visqol", "ViSQOL scores")
    if reference.shape[1] < MIN_S * sample_rate_hz or float(np.abs(reference).max(initial=0.0)) < SILENCE:
        return math.nan
    if float(np.abs(samples).max(initial=0.0)) < SILENCE:
        return 1.0
    one, other = (resample(x, sample_rate_hz, RATE_HZ)[0].astype(np.float64) for x in (reference, samples))
    return float(_judge().measure_from_arrays(one, other, RATE_HZ).moslqo)


@functools.cache
def _judge() -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="audio")
    return api
