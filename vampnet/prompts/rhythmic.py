"""Prompt parts tied to musical time: prefix, suffix, beats and onsets (paper, section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from vampnet.errors import PromptError
from vampnet.prompts.parts import Prompt, check_whole
from vampnet.prompts.time import Time, as_reach, as_time, check_length

if TYPE_CHECKING:
    from torch import Tensor

    from vampnet.prompts.context import PromptContext

WHICH = ("all", "downbeats", "upbeats")
"""Kinds of beats that `Beats` can keep."""


@dataclass(frozen=True, repr=False)
class Prefix(Prompt):
    """Keeps every frame that overlaps the beginning (the paper's inpainting context)."""

    length: Time | float | str
    """Length from the start of the file: seconds, or a text such as 75ms, 4f (frames), 2b (beats)."""

    def __post_init__(self) -> None:
        """Check the length."""
        object.__setattr__(self, "length", as_time(self.length, "prefix: length"))

    def check_fits(self, duration_s: float) -> None:
        """Raise PromptError for more time than the recording lasts."""
        check_length(as_time(self.length, "prefix: length"), duration_s, "prefix: length")

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the beginning."""
        assert isinstance(self.length, Time)
        return context.region(0, context.stop_frame(self.length, "prefix"))


@dataclass(frozen=True, repr=False)
class Suffix(Prompt):
    """Keeps every frame that overlaps the end."""

    length: Time | float | str
    """Length up to the end of the codes: seconds, or a text such as 75ms, 4f (frames), 2b (beats)."""

    def __post_init__(self) -> None:
        """Check the length."""
        object.__setattr__(self, "length", as_time(self.length, "suffix: length"))

    def check_fits(self, duration_s: float) -> None:
        """Raise PromptError for more time than the recording lasts."""
        check_length(as_time(self.length, "suffix: length"), duration_s, "suffix: length")

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the end."""
        assert isinstance(self.length, Time)
        return context.region(context.n_frames - _frames(self.length, "suffix", context), context.n_frames)


@dataclass(frozen=True, repr=False)
class Beats(Prompt):
    """Keeps the frames around beats (paper: 75 ms to the right of each)."""

    before: Time | float | str = 0.0
    """Time kept before each beat."""
    after: Time | float | str = 0.075
    """Time kept after each beat; the frame of the beat itself is always kept."""
    every: int = 1
    """Keep every n-th of the chosen beats, from the first one on; 1 or more."""
    which: str = "all"
    """"all" beats, "downbeats" (the first of each bar) or "upbeats" (half way between beats)."""

    def __post_init__(self) -> None:
        """Check the times, `every` and `which`."""
        object.__setattr__(self, "before", as_reach(self.before, "beats: before"))
        object.__setattr__(self, "after", as_reach(self.after, "beats: after"))
        check_whole("beats: every", self.every, 1, 10**6)
        if self.which not in WHICH:
            raise PromptError(f"beats: which is {self.which!r}, but must be one of {', '.join(WHICH)}")

    def check_fits(self, duration_s: float) -> None:
        """Raise PromptError for more time than the recording lasts."""
        check_length(as_time(self.before, "beats: before"), duration_s, "beats: before")
        check_length(as_time(self.after, "beats: after"), duration_s, "beats: after")

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the frames around the chosen beats."""
        assert isinstance(self.before, Time) and isinstance(self.after, Time)
        if self.which == "upbeats":
            beats_s = context.event_times_s("beats", "beats")
            times_s = [(one + two) / 2 for one, two in pairwise(beats_s)]
        else:
            times_s = list(context.event_times_s("beats" if self.which == "all" else self.which, "beats"))
        return _around(context, times_s[:: self.every], self.before, self.after, "beats")


@dataclass(frozen=True, repr=False)
class Onsets(Prompt):
    """Keeps the frames around note onsets."""

    before: Time | float | str = 0.0
    """Time kept before each onset."""
    after: Time | float | str = 0.05
    """Time kept after each onset; the frame of the onset itself is always kept."""

    def __post_init__(self) -> None:
        """Check the times."""
        object.__setattr__(self, "before", as_reach(self.before, "onsets: before"))
        object.__setattr__(self, "after", as_reach(self.after, "onsets: after"))

    def check_fits(self, duration_s: float) -> None:
        """Raise PromptError for more time than the recording lasts."""
        check_length(as_time(self.before, "onsets: before"), duration_s, "onsets: before")
        check_length(as_time(self.after, "onsets: after"), duration_s, "onsets: after")

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the frames around all onsets."""
        assert isinstance(self.before, Time) and isinstance(self.after, Time)
        return _around(context, context.event_times_s("onsets", "onsets"), self.before, self.after, "onsets")


def _frames(duration: Time, part: str, context: PromptContext) -> int:
    if duration.value == math.inf:
        return context.n_frames
    if duration.unit == "f":
        return int(duration.value)
    return math.ceil(context.duration_s(duration, part) * context.frames_per_s - 1e-6)


def _around(context: PromptContext, times_s: Sequence[float], before: Time, after: Time, part: str) -> Tensor:
    """Keep the frames around moments of the file; stretches that begin before the first frame are cut, not lost."""
    regions = []
    for moment_s in times_s:
        own = context.begin_frame(moment_s)
        start = _reach(context, moment_s, own, before, -1, part)
        stop = max(_reach(context, moment_s, own, after, 1, part), own + 1)
        regions.append((start, stop))
    return context.regions(regions)


def _reach(context: PromptContext, moment_s: float, own: int, length: Time, side: int, part: str) -> int:
    """Frame at which a stretch before (side -1) or after (side 1) a moment in frame `own` begins or stops."""
    if length.value == math.inf:
        return context.n_frames if side > 0 else 0
    if length.unit == "f":
        return own + side * int(length.value)
    edge_s = max(moment_s + side * context.duration_s(length, part), 0.0)
    return context.end_frame(edge_s) if side > 0 else context.begin_frame(edge_s)
