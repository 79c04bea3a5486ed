"""Pitch and speed of recordings: what is heard afterwards, exact lengths, loops that still loop."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.beats.test_events import clicks
from vampnet.audio.files import Audio
from vampnet.audio.reshaping import reshape
from vampnet.beats.events import tempo_of
from vampnet.beats.tracking import track_events
from vampnet.errors import SettingsError

RATE_HZ = 22050


def sine(hertz: float, seconds: float, channels: int = 1) -> Audio:
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    return Audio(np.tile(wave, (channels, 1)).astype(np.float32), RATE_HZ)


def peak_hz(audio: Audio) -> float:
    middle = audio.samples[0, audio.n_samples // 4 : 3 * audio.n_samples // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum)) * audio.sample_rate_hz / len(middle)


@pytest.mark.parametrize(
    ("transpose", "speed", "hertz"), [(12, 1.0, 880.0), (-5, 1.0, 329.6), (0, 1.5, 440.0), (3, 0.8, 523.3)]
)
def test_pitch_and_length_go_their_own_ways(transpose: int, speed: float, hertz: float) -> None:
    made = reshape(sine(440.0, 2.0, channels=2), transpose=transpose, speed=speed)
    assert made.n_samples == round(2 * RATE_HZ / speed) and made.channels == 2
    assert peak_hz(made) == pytest.approx(hertz, rel=0.005)
    assert np.std(made.samples[:, 2000:-4000]) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)


def test_nothing_asked_changes_nothing() -> None:
    audio = sine(440.0, 0.2)
    assert np.array_equal(reshape(audio).samples, audio.samples)


def test_the_beat_is_at_the_new_tempo() -> None:
    made = reshape(Audio(clicks(120.0, 10.0, 4, RATE_HZ), RATE_HZ), speed=100 / 120)
    assert tempo_of(track_events([made.samples], RATE_HZ, made.n_samples)) == pytest.approx(100.0, abs=1.0)


def test_a_loop_still_loops() -> None:
    """A whole number of periods in a turn: the seam is no larger a step than any other."""
    made = reshape(sine(440.0, 1.0), transpose=4, speed=1.25, loops=True)
    steps = np.abs(np.diff(np.concatenate([made.samples[0], made.samples[0][:1]])))
    assert made.n_samples == round(RATE_HZ / 1.25) and steps[-1] <= 1.2 * np.percentile(steps, 99)


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(SettingsError, match="transpose is 25"):
        reshape(sine(440.0, 0.1), transpose=25)
    with pytest.raises(SettingsError, match=r"speed is 0\.1"):
        reshape(sine(440.0, 0.1), speed=0.1)
