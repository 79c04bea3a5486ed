"""Silence, fades, jumps of level and hard cuts, drawn along a piece."""

from __future__ import annotations

import numpy as np

from synthcorpus.diverse.effects import log_uniform
from synthcorpus.render.effects import db


def level_curve(n_samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Gain at each sample, float32 (n_samples,): stretches at full level, silences, fades and jumps; edges of 3 ms."""
    curve, start, level = np.ones(n_samples, dtype=np.float32), 0, 1.0
    while start < n_samples:
        kind, goal = int(rng.choice(4, p=(0.2, 0.2, 0.2, 0.4))), db(float(rng.uniform(-40.0, 0.0)))
        longest_s = 2.5 if kind == 0 else 6.0
        stop = min(n_samples, start + int(log_uniform(rng, 0.3, longest_s) * rate_hz))
        ramp = np.linspace(0.0, 1.0, stop - start)
        if kind == 0:
            curve[start:stop] = 0.0
        elif kind == 1:
            curve[start:stop] = level * (goal / level) ** ramp
        elif kind == 2:
            curve[start:stop] = ramp if rng.random() < 0.5 else 1.0 - ramp
            goal = max(float(curve[stop - 1]), 1e-3)
        else:
            curve[start:stop] = goal
        start, level = stop, goal
    width = max(1, int(0.003 * rate_hz))
    return np.convolve(curve, np.full(width, 1.0 / width), mode="same").astype(np.float32)


def fade(audio: np.ndarray, in_s: float, out_s: float, rate_hz: int) -> np.ndarray:
    """A fade in and one out, quarter sines, of the given lengths; (2, samples)."""
    faded = audio.copy()
    for seconds, part in (
        (in_s, slice(None, int(in_s * rate_hz))),
        (out_s, slice(-max(1, int(out_s * rate_hz)), None)),
    ):
        if seconds > 0.0:
            ramp = np.sin(0.5 * np.pi * np.linspace(0.0, 1.0, faded[:, part].shape[1])).astype(np.float32)
            faded[:, part] *= ramp if part.start is None else ramp[::-1]
    return faded
