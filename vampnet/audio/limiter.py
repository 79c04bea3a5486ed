"""Look-ahead limiter for streams: the gain falls smoothly around peaks; nothing is clipped.

Decoded audio has higher peaks than its input of the same loudness, since its phases are made up: those of loud masters
would come out far above full scale. The gain goes down within 1.5 ms before a peak and up again after it, alike in all
channels; what has no such peaks comes out bit for bit. A slower release (60 dB/s) made recordings of -10 LUFS 1 to 2 LU
quieter still. Axis letters: N step of STEP_S.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vampnet.errors import SettingsError

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]

CEILING = 10 ** (-1 / 20)
"""Highest peak that comes out: 1 dB below full scale. Peaks lie between samples too, and MP3 and Vorbis add to them."""
STEP_S = 0.0005
"""The gain is found once per so long, from the highest peak there."""
ATTACK_STEPS = 3
"""Steps from the moment when the gain begins to fall to the peak."""
RELEASE_DB_PER_S = 1000.0
MOST_DB = 36.0
"""The gain falls by this at most; peaks above even that are cut off."""
SEGMENT_STEPS = 2048
"""Steps computed at once, on a grid of their own: the result does not depend on how the stream comes in blocks."""


def limited(blocks: Iterable[Samples], sample_rate_hz: int, ceiling: float = CEILING) -> Iterator[Samples]:
    """A stream of blocks (channels, n), finite, with peaks of `ceiling` at most; as many samples, in other blocks.

    Bounded memory: about a second of audio. Raises SettingsError for a ceiling that is not above 0 and finite.
    """
    if not 0 < ceiling < math.inf:
        raise SettingsError(f"ceiling is {ceiling}, but must be above 0 and finite")
    step = max(round(STEP_S * sample_rate_hz), 1)
    release_db = RELEASE_DB_PER_S * step / sample_rate_hz
    n_before = math.ceil(MOST_DB / release_db) + ATTACK_STEPS + 1  # steps whose peaks still count
    before_N = np.zeros(n_before)
    segment, ahead = SEGMENT_STEPS * step, (ATTACK_STEPS + 2) * step
    pending: Samples | None = None
    for block in blocks:
        pending = block if pending is None else np.concatenate([pending, block], axis=1)
        while pending.shape[1] >= segment + ahead:
            peaks_N = np.concatenate([before_N, _peaks(pending[:, : segment + ahead], step)])
            yield _turned_down(pending[:, :segment], peaks_N, n_before, step, release_db, ceiling)
            before_N = peaks_N[SEGMENT_STEPS : SEGMENT_STEPS + n_before]
            pending = pending[:, segment:]
    while pending is not None and pending.shape[1]:
        part = pending[:, : segment + ahead]
        padded = np.pad(part, ((0, 0), (0, segment + ahead - part.shape[1])))
        peaks_N = np.concatenate([before_N, _peaks(padded, step)])
        yield _turned_down(padded[:, :segment], peaks_N, n_before, step, release_db, ceiling)[:, : pending.shape[1]]
        before_N = peaks_N[SEGMENT_STEPS : SEGMENT_STEPS + n_before]
        pending = pending[:, segment:]


def limit_loop(samples: Samples, sample_rate_hz: int, ceiling: float = CEILING) -> Samples:
    """A loop (channels, n) with peaks of `ceiling` at most, limited as if it went on for ever: it still joins itself.

    The gain reaches a few hundredths of a second beyond a peak, also across the seam.
    """
    if not 0 < ceiling < math.inf:
        raise SettingsError(f"ceiling is {ceiling}, but must be above 0 and finite")
    if not samples.size or float(np.abs(samples).max()) <= ceiling:
        return samples
    n_samples = samples.shape[1]
    # Whole turns on both sides, so that the steps on which the gain is found lie alike around the seam.
    n_turns = 2 * math.ceil(0.1 * sample_rate_hz / n_samples) + 1
    tiled = np.tile(samples, (1, n_turns))
    result = np.concatenate(list(limited([tiled], sample_rate_hz, ceiling)), axis=1)
    first = n_turns // 2 * n_samples
    return np.ascontiguousarray(result[:, first : first + n_samples])


def _peaks(samples: Samples, step: int) -> Floats:
    """Highest absolute value per step, in all channels."""
    highest_S = np.maximum(samples.max(axis=0), -samples.min(axis=0))
    return highest_S.reshape(-1, step).max(axis=1).astype(np.float64)


def _turned_down(
    samples: Samples, peaks_N: Floats, n_before: int, step: int, release_db: float, ceiling: float
) -> Samples:
    """A segment with its gain. `peaks_N`: of the `n_before` steps before it, of its own, and of a few after it."""
    if peaks_N.max() <= ceiling:
        return samples
    needed_N = np.maximum(np.minimum(20 * np.log10(ceiling / np.maximum(peaks_N, 1e-9)), 0.0), -MOST_DB)
    needed_N = _lowest(needed_N, 1, 1)  # the gain is linear between the middles of steps
    slope_N = release_db * np.arange(len(needed_N))
    needed_N = np.minimum(slope_N + np.minimum.accumulate(needed_N - slope_N), 0.0)
    # The lowest of what is to come, then the mean of that over as long: down in time, and without a corner.
    needed_N = _lowest(needed_N, 0, ATTACK_STEPS)
    first = n_before - 1
    n_steps = samples.shape[1] // step + 2  # with a neighbour on each side
    windows = np.lib.stride_tricks.sliding_window_view(needed_N, ATTACK_STEPS + 1)
    gain_N = 10 ** (windows[first - ATTACK_STEPS : first - ATTACK_STEPS + n_steps].mean(axis=1) / 20)
    middles = (np.arange(n_steps) - 0.5) * step
    gain_S = np.interp(np.arange(samples.shape[1]) + 0.5, middles, gain_N).astype(np.float32)
    return np.clip(samples * gain_S, -np.float32(ceiling), np.float32(ceiling))


def _lowest(values_N: Floats, before: int, after: int) -> Floats:
    """The lowest of each value and the `before` and `after` ones around it; 0 beyond the ends."""
    padded = np.pad(values_N, (before, after))
    return np.lib.stride_tricks.sliding_window_view(padded, before + after + 1).min(axis=1)
