"""Conversions and windows: the authors' table of seconds and frames, and properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from vampnet.audio import units as frames
from vampnet.errors import SettingsError

RATE_HZ, HOP = 44100, 768

# Seconds to frames in the authors' code (golden info.json, "s2t").
AUTHORS = {
    0.0: 0,
    0.01: 1,
    0.05: 3,
    0.07: 5,
    0.1: 6,
    1.0: 58,
    3.0: 173,
    10.0: 575,
    HOP / RATE_HZ: 1,
    2 * HOP / RATE_HZ: 2,
}


@pytest.mark.parametrize(("seconds", "expected"), AUTHORS.items())
def test_seconds_to_frames_agrees_with_the_authors(seconds: float, expected: int) -> None:
    assert frames.seconds_to_frames(seconds, RATE_HZ, HOP) == expected


@given(st.integers(0, 10**7), st.sampled_from([(44100, 768), (44100, 512), (16000, 320), (48000, 960)]))
def test_frame_edges_survive_the_way_through_seconds(n: int, rate_and_hop: tuple[int, int]) -> None:
    rate_hz, hop = rate_and_hop
    seconds = frames.frames_to_seconds(n, rate_hz, hop)
    assert frames.seconds_to_frames(seconds, rate_hz, hop) == n
    assert frames.frame_at(seconds, rate_hz, hop) == n


@given(st.floats(0, 1e5))
def test_frame_at_contains_the_moment(seconds: float) -> None:
    frame = frames.frame_at(seconds, RATE_HZ, HOP)
    assert frame * HOP / RATE_HZ <= seconds + 1e-6 < (frame + 1) * HOP / RATE_HZ + 2e-6


@given(st.integers(0, 10**9), st.sampled_from([8000, 44100, 48000, 192000]))
def test_samples_survive_the_way_through_seconds(n: int, rate_hz: int) -> None:
    assert frames.seconds_to_samples(frames.samples_to_seconds(n, rate_hz), rate_hz) == n


@given(st.integers(0, 10**9), st.integers(1, 4096))
def test_frames_of_samples_are_just_enough(n: int, hop: int) -> None:
    n_frames = frames.samples_to_frames(n, hop)
    assert frames.frames_to_samples(n_frames, hop) - hop < n <= frames.frames_to_samples(n_frames, hop)


@given(st.integers(1, 10**9), st.integers(4000, 768000), st.integers(4000, 768000))
def test_resampled_length_is_the_nearest(n: int, from_hz: int, to_hz: int) -> None:
    out = frames.resampled_length(n, from_hz, to_hz)
    assert out == 1 or abs(2 * out * from_hz - 2 * n * to_hz) <= from_hz
    assert out >= 1


def test_resampling_there_and_back_keeps_the_length_upwards() -> None:
    for n in (1, 2, 999, 44100, 12345678):
        there = frames.resampled_length(n, 44100, 48000)
        assert frames.resampled_length(there, 48000, 44100) == n


def test_resampled_length_of_nothing() -> None:
    assert frames.resampled_length(0, 44100, 48000) == 0
    assert frames.resampled_length(1, 768000, 4000) == 1


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_bad_times_are_refused(bad: float) -> None:
    for convert in (frames.seconds_to_frames, frames.frame_at):
        with pytest.raises(SettingsError, match="time in seconds"):
            convert(bad, RATE_HZ, HOP)
    with pytest.raises(SettingsError, match="time in seconds"):
        frames.seconds_to_samples(bad, RATE_HZ)
