"""Theme: the last bars of a recording, looped. A continuation keeps a few of their tokens, so tempo and key stay.

With nothing in sight but the seconds before it, generated music loses its key and, mostly, its tempo. With the theme
it is a row of variations on the recording's last bars, as a vamp is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vampnet.audio.files import BLOCK_SAMPLES, Samples
from vampnet.audio.sources import Source
from vampnet.audio.splice import Slice
from vampnet.audio.units import samples_to_seconds, seconds_to_samples
from vampnet.beats.events import Events, TrackerConfig
from vampnet.beats.tracking import track_events

HEARD_S = 20.0
"""Seconds of the recording's end, or beginning, in which beats are tracked."""
LONGEST_S = 8.0
"""Maximum length of a theme, seconds."""
SLACK = 1.03
"""Tolerance on the maximum length, so that a tempo just below a round number still fits."""
FEWEST_BEATS = 4
"""With fewer beats a theme has the maximum length."""
BARS_S = 2.0
"""A side of a region that is shorter has no bars to go on with, seconds."""


@dataclass(frozen=True, eq=False)
class Theme:
    """A stretch of a recording that is looped."""

    samples: Samples
    """(channels, samples)."""
    sample_rate_hz: int
    found: Events
    """Its events, seconds from its start."""

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return self.samples.shape[1]

    def events(self, kind: str, start_s: float, stop_s: float) -> Sequence[float]:
        """Events from `start_s` to `stop_s` of the theme repeated for ever, a turn of it beginning at 0."""
        turn_s = samples_to_seconds(self.n_samples, self.sample_rate_hz)
        turns = range(math.floor(start_s / turn_s), math.ceil(stop_s / turn_s))
        moments_s = (turn * turn_s + moment_s for turn in turns for moment_s in self.found.events(kind))
        return [moment_s for moment_s in moments_s if start_s <= moment_s < stop_s]


def find_theme(source: Source, at_end: bool = True) -> Theme:
    """The longest whole number of bars, doubled from one on, within LONGEST_S of the end (or beginning) of a source.

    Where no bars are found, four beats are one; where not even one fits, fewer beats; where hardly any beats are found,
    LONGEST_S, or all of a shorter source.
    """
    rate_hz, n_heard = source.sample_rate_hz, min(seconds_to_samples(HEARD_S, source.sample_rate_hz), source.n_samples)
    first = source.n_samples - n_heard if at_end else 0
    heard = np.concatenate(list(Slice(source, first, first + n_heard).blocks()), axis=1)
    found = track_events([heard], rate_hz, n_heard)
    length = seconds_to_samples(_length(found, samples_to_seconds(n_heard, rate_hz)), rate_hz)
    length = min(max(length, 1), n_heard)
    return _cut(heard, rate_hz, found, n_heard - length if at_end else 0, length)


def _length(found: Events, heard_s: float) -> float:
    """Length of the theme, seconds, given the beats tracked in `heard_s` seconds of audio."""
    beats_s = np.asarray(found.beats_s)
    if len(beats_s) < FEWEST_BEATS:
        return min(heard_s, LONGEST_S)
    beat_s = float(np.median(np.diff(beats_s)))
    bar_s = float(np.median(np.diff(found.downbeats_s))) if len(found.downbeats_s) > 1 else 4 * beat_s
    most = min(int(min(LONGEST_S * SLACK, heard_s) / beat_s), len(beats_s) - 1)
    n_beats = max(round(bar_s / beat_s), 1)
    while n_beats > most and n_beats > 1:
        n_beats = n_beats // 2 if n_beats % 2 == 0 else 1
    while 2 * n_beats <= most:
        n_beats *= 2
    return float(np.median(beats_s[n_beats:] - beats_s[:-n_beats]))  # many beats apart, so that turns do not drift


@dataclass(frozen=True, eq=False)
class RegionTheme:
    """A theme within a region of a recording: the bars before it, or after it, looped."""

    theme: Theme
    from_s: float
    """Where a turn of it begins, seconds from the start of the recording."""
    span: tuple[int, int]
    """First sample of the region and one past the last."""

    def events(self, kind: str) -> Sequence[float]:
        """Events within the region, seconds from the start of the recording."""
        first_s, stop_s = (samples_to_seconds(place, self.theme.sample_rate_hz) for place in self.span)
        found = self.theme.events(kind, first_s - self.from_s, stop_s - self.from_s)
        return [self.from_s + moment_s for moment_s in found]

    def blocks(self) -> Iterator[Samples]:
        """The looped bars, from the region's first sample to its last."""
        origin = seconds_to_samples(self.from_s, self.theme.sample_rate_hz)
        yield from _turns(self.theme, len(self.theme.samples), *self.span, origin)


def find_region_theme(
    source: Source, span: tuple[int, int], beats: Events | TrackerConfig | None = None
) -> RegionTheme | None:
    """The theme of a region: whole bars before it, where there are enough, else those after it.

    `beats`: those of the source, or how they are found in the region and HEARD_S on both sides of it. None where hardly
    any are found, or neither side has BARS_S seconds: such a region goes its own way.
    """
    (start, stop), rate_hz = span, source.sample_rate_hz
    n_heard, fewest = (seconds_to_samples(s, rate_hz) for s in (HEARD_S, BARS_S))
    first, last = max(start - n_heard, 0), min(stop + n_heard, source.n_samples)
    if max(start - first, last - stop) < fewest:
        return None
    heard = np.concatenate(list(Slice(source, first, last).blocks()), axis=1)
    if isinstance(beats, Events):
        found = events_within(beats, samples_to_seconds(first, rate_hz), samples_to_seconds(last, rate_hz))
    else:
        found = track_events([heard], rate_hz, last - first, beats or TrackerConfig())
    if len(found.beats_s) < FEWEST_BEATS:
        return None
    at_end = start - first >= fewest
    side = start - first if at_end else last - stop
    length = seconds_to_samples(_length(found, samples_to_seconds(side, rate_hz)), rate_hz)
    length = min(max(length, 1), side)
    begin = start - length if at_end else stop
    theme = _cut(heard, rate_hz, found, begin - first, length)
    return (
        RegionTheme(theme, samples_to_seconds(start if at_end else stop, rate_hz), span)
        if theme.found.beats_s
        else None
    )


def _cut(heard: Samples, rate_hz: int, found: Events, start: int, length: int) -> Theme:
    """A stretch of some audio, whose events are known, as a theme."""
    from_s, to_s = samples_to_seconds(start, rate_hz), samples_to_seconds(start + length, rate_hz)
    return Theme(heard[:, start : start + length], rate_hz, events_within(found, from_s, to_s))


def events_within(found: Events, from_s: float, to_s: float) -> Events:
    """Events from one moment to another, counted from the first."""
    return Events(
        *(
            tuple(moment_s - from_s for moment_s in found.events(kind) if from_s <= moment_s < to_s)
            for kind in ("beats", "downbeats", "onsets")
        )
    )


class ThemedSource:
    """A source with a theme before and after it, `n_before` and `n_after` samples, for prompts to keep tokens of."""

    def __init__(self, source: Source, before: Theme | None, n_before: int, after: Theme | None, n_after: int) -> None:
        self.source, self.before, self.n_before, self.after = source, before, n_before, after
        self.sample_rate_hz, self.channels = source.sample_rate_hz, source.channels
        self.end = n_before + source.n_samples
        """Sample after the source's last."""
        self.n_samples = self.end + n_after

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        yield from _turns(self.before, self.channels, min(first, self.n_before), self.n_before, self.n_before)
        if first < self.end:
            yield from self.source.blocks(max(first - self.n_before, 0), exact)
        yield from _turns(self.after, self.channels, max(first, self.end), self.n_samples, self.end)

    def events(self, kind: str) -> Sequence[float]:
        """Events of the themes, seconds from the start; none of the source's own."""
        edges = (self.n_before, self.end, self.n_samples)
        start_s, end_s, stop_s = (samples_to_seconds(n, self.sample_rate_hz) for n in edges)
        before = self.before.events(kind, -start_s, 0.0) if self.before is not None else ()
        after = self.after.events(kind, 0.0, stop_s - end_s) if self.after is not None else ()
        return [*(start_s + moment_s for moment_s in before), *(end_s + moment_s for moment_s in after)]


def _turns(theme: Theme | None, channels: int, first: int, stop: int, origin: int) -> Iterator[Samples]:
    """Samples `first` to `stop` - 1 of a theme repeated for ever, a turn of it beginning at `origin`; or silence."""
    for start in range(first, stop, BLOCK_SAMPLES):
        place = np.arange(start, min(start + BLOCK_SAMPLES, stop)) - origin
        if theme is None:
            yield np.zeros((channels, len(place)), np.float32)
        else:
            yield theme.samples[:, place % theme.n_samples]
