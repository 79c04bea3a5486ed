"""ViSQOL: the package's own reference value, the order of damages, and what has no score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vampnet.evaluation.metrics.paired import Pair, find_metrics, measure_pair
from vampnet.evaluation.metrics.perception import visqol

pytest.importorskip("visqol")
RATE_HZ = 48000


def music(seconds: float = 2.0) -> np.ndarray:
    """Notes of several partials that change four times a second; (1, S)."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = np.array([60, 64, 67, 72, 71, 67, 62, 65])[(4 * time_s).astype(int) % 8]
    cycles = np.cumsum(440 * 2 ** ((pitch - 69) / 12)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * h * cycles) / h for h in range(1, 12))
    return (0.1 * wave * np.exp(-6 * ((4 * time_s) % 1)))[None].astype(np.float32)


def test_the_same_sound_has_the_reference_score() -> None:
    """4.7321 for castanets beside themselves, the package's and the C++ program's value, holds for any sound."""
    clean = music()[0]
    found = measure_pair(Pair(clean, clean, RATE_HZ), find_metrics(["visqol"]))
    assert found["visqol"] == pytest.approx(4.7321, abs=1e-3)


def test_other_sounds_score_lower() -> None:
    """Noise, and the same notes an octave higher, beside the music."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 2 * RATE_HZ)).astype(np.float32)
    higher = np.repeat(music()[:, ::2], 2, axis=1)[:, ::2]
    higher = np.concatenate([higher, higher], axis=1)
    for other in (noise, higher):
        assert 1.0 <= visqol(other, music(), RATE_HZ) < 4.5


def test_silence_and_moments_have_no_score() -> None:
    clean, silent = music(), np.zeros((1, 2 * RATE_HZ), np.float32)
    assert math.isnan(visqol(clean, silent, RATE_HZ)) and visqol(silent, clean, RATE_HZ) == 1.0
    assert math.isnan(visqol(clean[:, :1000], clean[:, :1000], RATE_HZ))
