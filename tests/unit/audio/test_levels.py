"""Constant offsets: refused where there is nothing else, told where they are stronger than the sound."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.audio_files import RATE_HZ, tone
from vampnet.audio.levels import LevelMeter, check_levels, find_scale
from vampnet.audio.loudness import LoudnessMeter, finite_or_none
from vampnet.errors import AudioError


def blocks_of(samples: np.ndarray) -> list[np.ndarray]:
    return [samples[:, start : start + 7777] for start in range(0, samples.shape[1], 7777)]


def test_music_and_silence_have_no_offset() -> None:
    for samples in (tone(), np.zeros((2, 30000), np.float32), tone() + np.float32(0.05)):
        assert check_levels(blocks_of(samples), 2, "x") == []


def test_nothing_but_an_offset_is_refused() -> None:
    with pytest.raises(AudioError, match=r"'a\.wav' holds no sound: every sample is 0\.5 \(a constant offset, DC\)"):
        check_levels(blocks_of(np.full((2, 30000), -0.5, np.float32)), 2, "'a.wav'")


def test_an_offset_that_is_stronger_than_the_sound_is_told() -> None:
    said = check_levels(blocks_of(0.1 * tone() + np.float32(0.7)), 2, "x")
    assert len(said) == 1 and "constant offset (DC) of 0.7 " in said[0]


def test_the_loudness_meter_measures_the_level_too() -> None:
    meter = LoudnessMeter(RATE_HZ, 2)
    for block in blocks_of(tone()):
        meter.add(block)
    level = LevelMeter(2)
    level.add(tone())
    assert meter.level.peak == level.peak == float(np.abs(tone()).max())
    assert meter.level.offset == pytest.approx(level.offset)


def test_silence_is_null_in_json() -> None:
    assert finite_or_none(-np.inf) is None
    assert finite_or_none(-23.5) == -23.5


@pytest.mark.parametrize(("peak", "scale"), [(0.0, 1), (1.0, 1), (16.0, 1), (17.0, 2**-7), (32768.0, 2**-15)])
def test_scales(peak: float, scale: float) -> None:
    assert find_scale(peak, "x")[0] == scale
