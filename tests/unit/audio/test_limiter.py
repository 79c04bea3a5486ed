"""The limiter: peaks stay below the ceiling without being cut off, whatever blocks the stream comes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from vampnet.audio.files import AudioWriter
from vampnet.audio.limiter import CEILING, limit_loop, limited
from vampnet.audio.output_format import OutputFormat, RestoredSource
from vampnet.audio.spool import Spool
from vampnet.errors import SettingsError

RATE_HZ = 44100


def music(seconds: float, loudest: float, channels: int = 2) -> np.ndarray:
    """Noise with bursts of several levels; the loudest is in one channel alone."""
    rng = np.random.default_rng(3)
    samples = 0.1 * np.tanh(rng.standard_normal((channels, int(seconds * RATE_HZ))))
    for start, level in ((0.0, 2.0), (0.31, 9.0), (0.5, 14.0), (seconds - 0.02, 20.0)):
        samples[:, int(start * RATE_HZ) : int((start + 0.02) * RATE_HZ)] *= level
    samples[0, RATE_HZ // 3] = loudest
    return samples.astype(np.float32)


def through(samples: np.ndarray, cuts: list[int] = [], rate_hz: int = RATE_HZ) -> np.ndarray:  # noqa: B006
    return np.concatenate(list(limited(np.split(samples, cuts, axis=1), rate_hz)), axis=1)


@pytest.mark.parametrize("loudest", [0.5, 3.0, 1e4])
@pytest.mark.parametrize("rate_hz", [4000, 44100, 192000])
def test_peaks_stay_below_the_ceiling(loudest: float, rate_hz: int) -> None:
    samples = music(4.0, loudest)
    out = through(samples, rate_hz=rate_hz)
    assert out.shape == samples.shape and out.dtype == np.float32
    assert 0.9 * CEILING < np.abs(out).max() <= CEILING
    assert np.isfinite(out).all()


def test_what_has_no_peaks_comes_out_bit_for_bit() -> None:
    samples = music(3.0, 0.2) * np.float32(0.44)
    assert np.array_equal(through(samples), samples)
    loud = music(6.0, 3.0)
    quiet = slice(2 * RATE_HZ, 5 * RATE_HZ)  # more than a release away from the bursts
    assert np.array_equal(through(loud)[:, quiet], loud[:, quiet])


@pytest.mark.parametrize("cuts", [[1, 2, 30000, 30001], [45056], [10, 100000], list(range(777, 170000, 777))])
def test_blocks_do_not_matter(cuts: list[int]) -> None:
    samples = music(4.0, 3.0)
    assert np.array_equal(through(samples, cuts), through(samples))


@pytest.mark.parametrize("n_samples", [1, 20, 1000, 45056, 45057])
def test_as_many_samples_come_out(n_samples: int) -> None:
    samples = np.full((3, n_samples), 2.0, np.float32)
    assert np.allclose(through(samples), CEILING)
    assert through(samples).shape == samples.shape


def test_channels_share_one_smooth_gain() -> None:
    samples = music(2.0, 4.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(np.abs(samples) > 0.01, through(samples) / samples, np.nan)
    assert np.nanmax(np.abs(gain[0] - gain[1])) < 1e-5
    assert np.nanmin(gain) == pytest.approx(CEILING / 4.0, rel=0.05)
    assert np.nanmax(np.abs(np.diff(gain[0]))) < 0.02  # no step, so no click


def test_loud_decoded_audio_is_not_cut_off(tmp_path: Path) -> None:
    """A sine at three times full scale: turned down it has no harmonics, cut off the third is at -11 dB."""
    time = np.arange(RATE_HZ) / RATE_HZ
    with Spool(1) as spool:
        spool.add((0.3 * np.sin(2 * np.pi * 1000 * time))[None].astype(np.float32))
        output = OutputFormat(RATE_HZ, 2, RATE_HZ, gain=0.1)
        out = np.concatenate(list(RestoredSource(spool, RATE_HZ, output).blocks()), axis=1)
    assert out.shape == (2, RATE_HZ) and np.abs(out).max() <= CEILING
    spectrum = np.abs(np.fft.rfft(out[0, 4410 : 4410 + 22050]))
    assert spectrum[1500] < 0.01 * spectrum[500]
    with AudioWriter(tmp_path / "out.wav", RATE_HZ, 2, "PCM_16") as writer:
        writer.write(out)
    written, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert np.abs(written.astype(int)).max() < 0.9 * 32767


@pytest.mark.parametrize("ceiling", [0.0, -1.0, float("inf"), float("nan")])
def test_ceiling_is_checked(ceiling: float) -> None:
    with pytest.raises(SettingsError, match="ceiling"):
        list(limited([np.zeros((1, 10), np.float32)], RATE_HZ, ceiling))


@pytest.mark.parametrize("n_samples", [500, 11111, 44100])
def test_a_limited_loop_still_joins_itself(n_samples: int) -> None:
    rate_hz = 44100
    turn = np.sin(2 * np.pi * 20 * np.arange(n_samples) / n_samples)[None].astype(np.float32)
    turn[:, -40:] = 1.7  # loud on one side of the seam
    looped = limit_loop(turn, rate_hz)
    assert looped.shape == turn.shape
    assert np.abs(looped).max() <= CEILING
    gain_S = looped[0] / np.where(turn[0] == 0, 1, turn[0])
    assert gain_S[1] == pytest.approx(gain_S[-1], abs=0.02)  # the peak before the seam turns down what follows it too
    assert gain_S[1] < 0.6


def test_a_quiet_loop_is_left_as_it_is() -> None:
    quiet = np.full((2, 1000), 0.5, np.float32)
    assert limit_loop(quiet, 44100) is quiet
    with pytest.raises(SettingsError, match="ceiling"):
        limit_loop(quiet, 44100, 0.0)
