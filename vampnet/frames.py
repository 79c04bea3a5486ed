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
from dataclasses import dataclass

from vampnet.errors import SettingsError

# Products such as 0.07 * 44100 are not exact in floating point; a time this close to a frame edge is on the edge.
_SLACK_FRAMES = 1e-6


def seconds_to_samples(seconds: float, sample_rate_hz: int) -> int:
    """The sample nearest to a moment or duration in seconds, halves up."""
    return math.floor(_checked(seconds, "time in seconds") * sample_rate_hz + 0.5)


def samples_to_seconds(n_samples: int, sample_rate_hz: int) -> float:
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
    return n_frames * hop


def resampled_length(n_samples: int, from_hz: int, to_hz: int) -> int:
    """The number of samples after resampling: the nearest whole number, halves up; 0 only for 0 samples.

    Exact for any length, since it is computed in whole numbers.
    """
    if from_hz < 1 or to_hz < 1:
        raise SettingsError(f"sample rates are {from_hz} and {to_hz} Hz, but must be at least 1")
    n_samples = int(_checked(n_samples, "number of samples"))
    return max(1, (2 * n_samples * to_hz + from_hz) // (2 * from_hz)) if n_samples else 0


@dataclass(frozen=True)
class Window:
    """A stretch of frames that is generated in one go, with the frames before it as context."""

    start: int
    """First frame of the window, counted from the start of the material."""
    stop: int
    """One past the last frame."""
    n_context: int
    """Leading frames of the window that earlier windows already generated; 0 in the first one."""

    @property
    def n_frames(self) -> int:
        """Length of the window, context included."""
        return self.stop - self.start

    @property
    def first_new(self) -> int:
        """The first frame that this window generates, counted from the start of the material."""
        return self.start + self.n_context


def windows(n_frames: int, window_frames: int, overlap_frames: int) -> list[Window]:
    """Windows that cover frames 0 to `n_frames`, each beginning inside the one before it.

    Windows have `window_frames` frames. Each but the first begins with at least `overlap_frames` frames (0 to
    `window_frames` - 1) of context; the last one is shifted left to stay full, so it has more context. Material of
    at most one window gives a single window of its own length, and 0 frames give none.
    """
    _checked(n_frames, "number of frames")
    if window_frames < 1:
        raise SettingsError(f"window is {window_frames} frames, but must be at least 1")
    if not 0 <= overlap_frames < window_frames:
        raise SettingsError(
            f"overlap is {overlap_frames} frames, but must lie in 0 to {window_frames - 1}, below the window"
        )
    result: list[Window] = []
    done = 0
    while done < n_frames:
        start = max(0, min(done - overlap_frames, n_frames - window_frames)) if result else 0
        stop = min(start + window_frames, n_frames)
        result.append(Window(start, stop, done - start))
        done = stop
    return result


def _checked(value: float, name: str) -> float:
    """The value itself; SettingsError if it is negative, infinite or NaN."""
    if not 0 <= value < math.inf:
        raise SettingsError(f"{name} is {value}, but must be 0 or more and finite")
    return value
