"""Seconds <-> samples <-> codec frames, and the windows that long material is generated in.

This is the one module that converts. The rules:

* a moment in seconds becomes the nearest sample;
* a duration in seconds becomes the number of frames that hold all of it (rounded up, as in the authors' code);
* a moment in seconds lies in the frame that begins at or before it (rounded down);
* `n` samples occupy `ceil(n / hop)` frames;
* `n` samples at one rate become `round(n * to / from)` samples at another, halves up, at least one.

The embedded codec has a hop of 768 samples at 44100 Hz: 57.42 frames per second.
"""

from __future__ import annotations

import math

from vampnet.errors import SettingsError

# Products such as 0.07 * 44100 are not exact in floating point; a time this close to a frame edge is on the edge.
_SLACK_FRAMES = 1e-6


def seconds_to_samples(seconds: float, sample_rate_hz: int) -> int:
    """The sample nearest to a moment or duration in seconds, halves up."""
    return math.floor(_checked(seconds, "time in seconds") * sample_rate_hz + 0.5)


def samples_to_seconds(n_samples: int, sample_rate_hz: int) -> float:
    """Convert samples to seconds."""
    return n_samples / sample_rate_hz


def seconds_to_frames(seconds: float, sample_rate_hz: int, hop: int) -> int:
    """The number of frames that a duration in seconds needs, rounded up."""
    return math.ceil(_checked(seconds, "time in seconds") * sample_rate_hz / hop - _SLACK_FRAMES)


def frame_at(seconds: float, sample_rate_hz: int, hop: int) -> int:
    """The index of the frame that contains a moment in seconds."""
    return math.floor(_checked(seconds, "time in seconds") * sample_rate_hz / hop + _SLACK_FRAMES)


def frames_to_seconds(n_frames: int, sample_rate_hz: int, hop: int) -> float:
    """The time at which frame `n_frames` begins, which is the duration of the frames before it."""
    return n_frames * hop / sample_rate_hz


def samples_to_frames(n_samples: int, hop: int) -> int:
    """The number of frames that `n_samples` samples occupy; the last one may be partly filled."""
    return -(-int(_checked(n_samples, "number of samples")) // hop)


def frames_to_samples(n_frames: int, hop: int) -> int:
    """Convert codec frames to samples."""
    return n_frames * hop


def resampled_length(n_samples: int, from_hz: int, to_hz: int) -> int:
    """The number of samples after resampling: the nearest whole number, halves up; 0 only for 0 samples.

    Exact for any length, since it is computed in whole numbers.
    """
    if from_hz < 1 or to_hz < 1:
        raise SettingsError(f"sample rates are {from_hz} and {to_hz} Hz, but must be at least 1")
    n_samples = int(_checked(n_samples, "number of samples"))
    return max(1, (2 * n_samples * to_hz + from_hz) // (2 * from_hz)) if n_samples else 0


def _checked(value: float, name: str) -> float:
    """The value itself; SettingsError if it is negative, infinite or NaN."""
    if not 0 <= value < math.inf:
        raise SettingsError(f"{name} is {value}, but must be 0 or more and finite")
    return value
