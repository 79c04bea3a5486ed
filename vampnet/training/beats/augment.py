"""Random crops of mel magnitudes for the beat tracker: changed speed, pitch, colour, noise; pure functions.

All is done on the magnitudes, so that a crop costs milliseconds and the beats stay exact.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter


def random_crop(
    magnitudes: np.ndarray, times_s: tuple[np.ndarray, ...], source_hz: float, n_frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """A crop (n_frames, bands) and the times that fall into it, seconds from its start.

    Args:
        magnitudes: (frames, bands), `source_hz` per second; the crop has a third as many per second.
        times_s: ascending moments, moved as the audio is.
    """
    crop_hz = source_hz / 3.0
    speed = float(np.exp(rng.uniform(-0.2, 0.2)))
    sway = float(rng.uniform(0.0, 0.06)) * (rng.random() < 0.3)
    clock_s = np.arange(n_frames) / crop_hz
    paces = speed * np.exp(sway * np.sin(2.0 * np.pi * clock_s / rng.uniform(5.0, 30.0) + rng.uniform(0.0, 6.28)))
    run_s = np.concatenate([[0.0], np.cumsum(paces[:-1])]) / crop_hz
    slack_s = len(magnitudes) / source_hz - run_s[-1]
    begin_s = float(rng.uniform(min(-1.5, slack_s), max(slack_s, 0.0)))
    heard_s = begin_s + run_s
    crop = _at(magnitudes, heard_s * source_hz)
    moved = tuple(
        np.interp(times, heard_s, clock_s)[(times >= heard_s[0]) & (times <= heard_s[-1])] for times in times_s
    )
    return _colour(crop, rng), *moved


def _at(magnitudes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Magnitudes between frames, by linear interpolation; silence outside."""
    inside = (places >= 0) & (places <= len(magnitudes) - 1)
    low = np.clip(places.astype(int), 0, len(magnitudes) - 2)
    share = np.clip(places - low, 0.0, 1.0)[:, None].astype(np.float32)
    mixed = magnitudes[low].astype(np.float32) * (1 - share) + magnitudes[low + 1].astype(np.float32) * share
    return mixed * inside[:, None]


def _colour(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another pitch, equaliser, room, level of noise, band limit, gaps; each with its own probability."""
    n_frames, n_bands = crop.shape
    shift = int(rng.integers(-3, 4))
    crop = crop[:, np.clip(np.arange(n_bands) + shift, 0, n_bands - 1)]
    if rng.random() < 0.3:
        crop = crop ** float(rng.uniform(0.7, 1.25))
    if rng.random() < 0.2:
        decay = float(rng.uniform(0.7, 0.95))
        room = np.asarray(lfilter([1.0 - decay], [1.0, -decay], crop, axis=0))
        crop = crop + room * float(rng.uniform(0.3, 1.0))
    crop = crop * _equaliser(n_bands, rng)
    if rng.random() < 0.3:
        crop = crop + _noise(crop, rng)
    if rng.random() < 0.3:
        start, length = int(rng.integers(n_frames)), int(rng.integers(20, 150))
        crop[start : start + length] *= float(rng.choice([0.0, 0.1]))
    return crop


def _equaliser(n_bands: int, rng: np.random.Generator) -> np.ndarray:
    """Gains (n_bands,): a smooth curve of at most about 9 dB, sometimes with the top or the bottom cut away."""
    places = np.linspace(0.0, 1.0, n_bands)
    curve_db = sum(
        float(rng.normal(0.0, 3.0)) * np.cos(np.pi * order * places + rng.uniform(0.0, 6.28)) for order in (1, 2, 3)
    )
    gains = 10.0 ** (np.clip(curve_db, -15.0, 15.0) / 20.0)
    if rng.random() < 0.15:
        gains[places > rng.uniform(0.35, 0.8)] *= 0.02
    if rng.random() < 0.1:
        gains[places < rng.uniform(0.05, 0.3)] *= 0.05
    return gains.astype(np.float32)


def _noise(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Steady noise of a random colour, 40 to 6 dB below the mean."""
    level = float(crop.mean()) * 10.0 ** (float(rng.uniform(-40.0, -6.0)) / 20.0)
    tilt = np.exp(rng.uniform(-1.5, 1.5) * np.linspace(-1.0, 1.0, crop.shape[1]))
    return (level * tilt * rng.rayleigh(0.8, size=crop.shape)).astype(np.float32)
