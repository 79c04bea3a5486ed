"""Resampling: in blocks as in one piece, lengths, tones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.audio_files import RATE_HZ, tone
from vampnet.audio import files as audio
from vampnet.audio.units import resampled_length


def blocks_of(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, samples.shape[1], size):
        yield samples[:, start : start + size]


@pytest.mark.parametrize("n_samples", [1, 5, 1000, 50001])
@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(48000, 44100), (44100, 48000), (8000, 44100), (192000, 44100), (44100, 11025), (37800, 44100)],
)
def test_resampling_in_blocks_equals_one_shot(from_hz: int, to_hz: int, n_samples: int) -> None:
    samples = tone(n_samples, 2, from_hz)
    n_out = resampled_length(n_samples, from_hz, to_hz)
    whole = audio.resample(samples, from_hz, to_hz)
    assert whole.shape == (2, n_out)
    assert whole.dtype == np.float32
    parts = list(audio.resample_blocks(blocks_of(samples, 777), from_hz, to_hz, n_out))
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 1e-6


def test_equal_rates_pass_untouched() -> None:
    samples = tone()
    assert audio.resample(samples, RATE_HZ, RATE_HZ) is samples
    parts = list(audio.resample_blocks(blocks_of(samples, 777), RATE_HZ, RATE_HZ, 30000))
    assert np.array_equal(np.concatenate(parts, axis=1), samples)


@pytest.mark.parametrize("to_hz", [44100, 48000])
@pytest.mark.parametrize("n_out", [0, 1, 10000, 200000])
def test_resampling_gives_the_length_asked_for(to_hz: int, n_out: int) -> None:
    parts = list(audio.resample_blocks(blocks_of(tone(), 777), RATE_HZ, to_hz, n_out))
    assert sum(part.shape[1] for part in parts) == n_out


def test_resampling_keeps_a_tone() -> None:
    t = np.arange(48000) / 48000
    samples = np.sin(2 * np.pi * 1000 * t)[None].astype(np.float32)
    there = audio.resample(samples, 48000, 44100)
    expected = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    assert np.abs(there[0, 2000:-2000] - expected[2000:-2000]).max() < 1e-5
    back = audio.resample(there, 44100, 48000)
    assert back.shape == samples.shape
    assert np.abs(back - samples)[:, 2000:-2000].max() < 1e-5
