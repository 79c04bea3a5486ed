"""Outputs at the rate, length and level of their input: whole, from any sample on, and for a beginning alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.tiny import tone
from vampnet.audio.files import Samples
from vampnet.audio.loudness import LoudnessMeter, measure
from vampnet.audio.output_format import MAX_CORRECTION_DB, OutputFormat, RestoredSource
from vampnet.audio.spool import Spool

CODEC_HZ = 44100


@pytest.fixture
def spool() -> Iterator[Spool]:
    with Spool(1) as made:
        made.add(tone(2.0).samples)
        made.add(np.zeros((1, 500), np.float32))  # what the last frame is filled up with
        yield made


def all_of(source: RestoredSource, first: int = 0) -> Samples:
    return np.concatenate(list(source.blocks(first)), axis=1)


@pytest.mark.parametrize(("rate_hz", "n"), [(44100, 88200), (48000, 96000), (22050, 44099), (8000, 1)])
def test_rate_and_length(spool: Spool, rate_hz: int, n: int) -> None:
    source = RestoredSource(spool, CODEC_HZ, OutputFormat(rate_hz, 1, n))
    whole = all_of(source)
    assert whole.shape == (1, n) == (source.channels, source.n_samples)
    for first in (0, n // 3, n - 1, n):
        rest = [block for block in source.blocks(first) if block.shape[1]]
        assert np.array_equal(np.concatenate([np.zeros((1, 0), np.float32), *rest], axis=1), whole[:, first:])
    if rate_hz == CODEC_HZ:
        assert np.array_equal(whole, tone(2.0).samples)


def test_one_channel_is_copied_to_all(spool: Spool) -> None:
    whole = all_of(RestoredSource(spool, CODEC_HZ, OutputFormat(44100, 3, 5000)))
    assert whole.shape == (3, 5000) and np.array_equal(whole[0], whole[2])


def test_the_gain_before_encoding_is_undone(spool: Spool) -> None:
    plain, undone = (all_of(RestoredSource(spool, CODEC_HZ, OutputFormat(44100, 1, 5000, gain=g))) for g in (1.0, 4.0))
    assert np.allclose(plain, 4 * undone)


@pytest.mark.parametrize("lufs", [-30.0, -18.0, -math.inf, None])
def test_loudness_is_matched(spool: Spool, lufs: float | None) -> None:
    whole = all_of(RestoredSource(spool, CODEC_HZ, OutputFormat(44100, 1, 88200, lufs=lufs)))
    own = measure(tone(2.0).samples, 44100)
    expected = own if lufs is None or math.isinf(lufs) else lufs
    assert measure(whole, 44100) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("wanted", [-80.0, -1.0])
def test_the_correction_is_limited_but_for_new_music(spool: Spool, wanted: float) -> None:
    own = measure(tone(2.0).samples, 44100)
    limited, free = (
        measure(all_of(RestoredSource(spool, CODEC_HZ, OutputFormat(44100, 1, 88200, lufs=wanted, limited=on))), 44100)
        for on in (True, False)
    )
    assert abs(limited - own) <= MAX_CORRECTION_DB + 0.1 < abs(free - own)


def test_a_beginning_is_as_loud_as_the_inputs_beginning(spool: Spool) -> None:
    meter, samples = LoudnessMeter(44100, 1), tone(2.0).samples
    samples[:, 44100:] *= 4
    meter.add(samples)
    whole = OutputFormat(44100, 1, 88200, lufs=meter.integrated_lufs, meter=meter)
    first = whole.first(44100)
    assert first.n_samples == 44100 and first.lufs == pytest.approx(measure(samples[:, :44100], 44100), abs=0.5)
    assert whole.lufs is not None and first.lufs is not None and first.lufs < whole.lufs - 3


def test_the_beginning_of_an_output_whose_level_is_left_alone_is_left_alone(spool: Spool) -> None:
    """Part files of inpainting and continuing were corrected, where their outputs are not."""
    meter = LoudnessMeter(44100, 1)
    meter.add(tone(2.0, level=0.4).samples)
    untouched = OutputFormat(44100, 1, 88200, lufs=meter.integrated_lufs, meter=meter).untouched()
    part = all_of(RestoredSource(spool, CODEC_HZ, untouched.first(44100)))
    assert untouched.first(44100).lufs is None and np.array_equal(part, tone(2.0).samples[:, :44100])


def test_peaks_are_limited(spool: Spool) -> None:
    whole = all_of(RestoredSource(spool, CODEC_HZ, OutputFormat(44100, 1, 88200, gain=1 / 20)))
    assert np.abs(whole).max() <= 10 ** (-1 / 20) + 1e-6
