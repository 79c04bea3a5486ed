"""Loudness against pyloudnorm on whole signals, the edge cases it leaves open, and the limiter."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from vampnet.audio import loudness
from vampnet.errors import AudioError, SettingsError


def music_like(duration_s: float, rate_hz: int, channels: int) -> NDArray[np.float32]:
    """Noise that swells and fades, so that the gates have something to do."""
    n = round(duration_s * rate_hz)
    swell = np.abs(np.sin(np.arange(n) / rate_hz * 2)) ** 3
    return (0.2 * swell * np.random.default_rng(0).standard_normal((channels, n))).astype(np.float32)


def measure_in_blocks(samples: np.ndarray, rate_hz: int, block: int) -> float:
    meter = loudness.LoudnessMeter(rate_hz, len(samples))
    for start in range(0, samples.shape[1], block):
        meter.add(samples[:, start : start + block])
    return meter.integrated_lufs


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("duration_s", [0.41, 0.46, 2.017])
def test_equals_pyloudnorm(rate_hz: int, channels: int, duration_s: float) -> None:
    samples = music_like(duration_s, rate_hz, channels)
    expected = pyloudnorm.Meter(rate_hz).integrated_loudness(samples.T.astype(np.float64))
    assert measure_in_blocks(samples, rate_hz, 1237) == pytest.approx(expected, abs=0.001)
    assert loudness.measure(samples, rate_hz) == pytest.approx(expected, abs=0.001)


def test_gates_leave_out_quiet_parts() -> None:
    loud = music_like(3.0, 44100, 2)
    samples = np.concatenate([loud, 0.003 * loud, np.zeros_like(loud)], axis=1)
    expected = pyloudnorm.Meter(44100).integrated_loudness(samples.T.astype(np.float64))
    assert loudness.measure(samples, 44100) == pytest.approx(expected, abs=0.001)


@given(st.integers(1, 10000))
@settings(max_examples=15, deadline=None)
def test_blocks_do_not_matter(block: int) -> None:
    samples = music_like(0.9, 8000, 2)
    assert measure_in_blocks(samples, 8000, block) == pytest.approx(loudness.measure(samples, 8000), abs=1e-9)


def test_short_signals_are_one_block_filled_up_with_silence() -> None:
    short = music_like(0.1, 44100, 1)
    padded = np.pad(short, ((0, 0), (0, 44100 * 3 // 10)))
    # The filter's ringing in the padding counts for nothing here, hence the tolerance.
    assert loudness.measure(short, 44100) == pytest.approx(loudness.measure(padded, 44100), abs=0.05)
    assert math.isfinite(loudness.measure(np.full((2, 1), 0.5, np.float32), 44100))


@pytest.mark.parametrize("samples", [np.zeros((2, 44100)), np.zeros((1, 5)), 1e-5 * music_like(1.0, 44100, 2)])
def test_silence_has_no_loudness(samples: np.ndarray) -> None:
    lufs = loudness.measure(samples.astype(np.float32), 44100)
    assert lufs == -math.inf
    assert loudness.gain_to(lufs) == 1.0


def test_nothing_added_is_silence() -> None:
    assert loudness.LoudnessMeter(44100, 2).integrated_lufs == -math.inf


def test_more_than_five_channels() -> None:
    one = music_like(1.0, 48000, 1)
    lfe = np.zeros((6, 48000), np.float32)
    lfe[3] = one
    assert loudness.measure(lfe, 48000) == -math.inf
    eight = np.zeros((8, 48000), np.float32)
    eight[7] = one
    assert loudness.measure(eight, 48000) == pytest.approx(loudness.measure(one, 48000))


def test_gain_reaches_the_target() -> None:
    samples = music_like(2.0, 44100, 2)
    gain = loudness.gain_to(loudness.measure(samples, 44100))
    assert loudness.measure(samples * np.float32(gain), 44100) == pytest.approx(loudness.INPUT_LUFS, abs=0.001)
    assert loudness.gain_to(-30.0, -math.inf) == 1.0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(SettingsError, match="3000 Hz"):
        loudness.LoudnessMeter(3000, 2)
    with pytest.raises(SettingsError, match="channels"):
        loudness.LoudnessMeter(44100, 0)
    with pytest.raises(AudioError, match="shape"):
        loudness.LoudnessMeter(44100, 2).add(np.zeros((1, 10), np.float32))
