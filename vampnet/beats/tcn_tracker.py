"""The learned tracker: spectra -> network -> search -> beats and downbeats in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vampnet.beats.features import FRAMES_PER_S, compress
from vampnet.beats.postprocessing import Search, bar_numbers, best_path, refine_frames
from vampnet.beats.tcn import beat_probabilities, shipped_network


def track(magnitudes: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Beats and downbeats in seconds, from mel magnitudes (frames, bands) of beats/spectra.py."""
    return beats_and_bars(probabilities_of(magnitudes))


def downbeats_among(beats_s: Sequence[float], magnitudes: np.ndarray) -> tuple[float, ...]:
    """Downbeats among the given beats (seconds, ascending), from mel magnitudes (frames, bands)."""
    probabilities = probabilities_of(magnitudes)
    frames = np.clip(np.round(np.asarray(beats_s) * FRAMES_PER_S).astype(int), 0, len(probabilities) - 1)
    numbers = bar_numbers(downbeat_at(probabilities, frames), Search())
    return tuple(float(t) for t, number in zip(beats_s, numbers, strict=True) if number == 1)


def probabilities_of(magnitudes: np.ndarray) -> np.ndarray:
    """Probability of a beat and of a downbeat in each frame, (frames, 2)."""
    spectra = torch.from_numpy(np.ascontiguousarray(compress(magnitudes), dtype=np.float32))
    return beat_probabilities(shipped_network(), spectra).double().numpy()


def beats_and_bars(probabilities: np.ndarray, search: Search = Search()) -> tuple[tuple[float, ...], tuple[float, ...]]:  # noqa: B008
    """Beats and downbeats in seconds, from the probabilities (frames, 2) of both in each frame."""
    beats, numbers = best_path(probabilities, search)
    times_s = refine_frames(beats, probabilities[:, 0]) / FRAMES_PER_S
    return tuple(times_s.tolist()), tuple(times_s[numbers == 1].tolist())


def downbeat_at(probabilities: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """The probability that each beat (n,), a frame number, is a downbeat: the largest within a frame of it."""
    padded = np.pad(probabilities[:, 1], 1)
    return np.maximum(np.maximum(padded[beats], padded[beats + 1]), padded[beats + 2])
