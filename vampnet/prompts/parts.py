"""Prompts: which tokens of the input are kept, and so which are regenerated (paper, section 3.4).

A prompt is a set of kept tokens. `|` unites (kept if either keeps it), `&` intersects (kept if both keep it):
`Periodic(7) & Codebooks(3)` keeps the three coarsest tokens of every seventh frame. A prompt is resolved once, over
the whole material and not window by window, so its pattern does not depend on how long material is cut.

A new part is a frozen dataclass with `keep` and `__str__`; whatever it needs to know comes from `PromptContext`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

import torch
from torch import Tensor

from vampnet.audio.units import frame_at, seconds_to_frames
from vampnet.config import check
from vampnet.errors import PromptError
from vampnet.prompts import masks
from vampnet.prompts.time import Time, as_time, number_text

_MAX_FRAMES = 2**31 - 1


@dataclass(frozen=True)
class PromptContext:
    """What a prompt is resolved against: the size and time base of the material, and where chance comes from."""

    n_codebooks: int
    """Codebooks C of the codes, 1 or more."""
    n_frames: int
    """Frames T of the codes, 0 or more."""
    sample_rate_hz: int
    """Sample rate of the codec, Hz."""
    hop: int
    """Samples per frame of the codec."""
    generator: torch.Generator | None = None
    """CPU generator for parts that draw; parts use it up from left to right. None: such parts raise PromptError."""
    start_frame: int = 0
    """Number of the first frame within the file that times and periods count from, 0 or more."""
    find_events: Callable[[str], Sequence[float]] | None = None
    """Times in seconds, from the start of the file, ascending, of events named "beats", "downbeats" or "onsets"; called
    only by parts that need them. None: such parts raise PromptError."""

    def __post_init__(self) -> None:
        check("n_codebooks", self.n_codebooks, 1, _MAX_FRAMES)
        check("n_frames", self.n_frames, 0, _MAX_FRAMES)
        check("sample_rate_hz", self.sample_rate_hz, 1, _MAX_FRAMES)
        check("hop", self.hop, 1, _MAX_FRAMES)
        check("start_frame", self.start_frame, 0, _MAX_FRAMES)

    @property
    def shape(self) -> tuple[int, int]:
        return self.n_codebooks, self.n_frames

    @property
    def frames_per_s(self) -> float:
        return self.sample_rate_hz / self.hop

    def begin_frame(self, time_s: float) -> int:
        """Frame that holds this moment of the file, counted from the material's first frame; may lie outside it."""
        return frame_at(time_s, self.sample_rate_hz, self.hop) - self.start_frame

    def end_frame(self, time_s: float) -> int:
        """One past the last frame that begins before this moment of the file, counted likewise; inf: the end."""
        if math.isinf(time_s):
            return self.n_frames
        return seconds_to_frames(time_s, self.sample_rate_hz, self.hop) - self.start_frame

    def first_frame(self, time: Time, part: str) -> int:
        """`begin_frame` of a time in any unit."""
        if time.unit == "f" and time.value != math.inf:
            return int(time.value) - self.start_frame
        if time.value == math.inf:
            return self.n_frames
        return self.begin_frame(self.moment_s(time, part))

    def stop_frame(self, time: Time, part: str) -> int:
        """`end_frame` of a time in any unit."""
        if time.unit == "f" and time.value != math.inf:
            return int(time.value) - self.start_frame
        return self.end_frame(self.moment_s(time, part))

    def moment_s(self, time: Time, part: str) -> float:
        """A moment in seconds from the start of the file; beat 0 is the first one, fractions lie between beats."""
        if time.unit != "b" or time.value == math.inf:
            return time.value / self.frames_per_s if time.unit == "f" else time.value
        beats_s = self.event_times_s("beats", part)
        if len(beats_s) < 2:
            raise PromptError(f"{part} counts in beats, but fewer than two were found; write seconds instead")
        whole = min(int(time.value), len(beats_s) - 2)
        return beats_s[whole] + (time.value - whole) * (beats_s[whole + 1] - beats_s[whole])

    def duration_s(self, time: Time, part: str) -> float:
        """A duration in seconds; a beat lasts as long as the middle one of all."""
        if time.unit != "b" or time.value == math.inf:
            return time.value / self.frames_per_s if time.unit == "f" else time.value
        beats_s = self.event_times_s("beats", part)
        gaps_s = sorted(later - earlier for earlier, later in pairwise(beats_s))
        if not gaps_s:
            raise PromptError(f"{part} counts in beats, but fewer than two were found; write seconds instead")
        return time.value * gaps_s[len(gaps_s) // 2]

    def require_generator(self, part: str) -> torch.Generator:
        """The generator; PromptError naming `part` if there is none."""
        if self.generator is None:
            raise PromptError(f"{part} draws at random, so it needs a seed; pass a generator to the prompt's context")
        return self.generator

    def event_times_s(self, kind: str, part: str) -> Sequence[float]:
        """Times of the events of a kind, seconds; PromptError naming `part` if the context cannot find any."""
        if self.find_events is None:
            raise PromptError(f"{part} needs the {kind} of the audio; resolve it with audio, not with codes alone")
        return self.find_events(kind)


class Prompt(ABC):
    """A set of kept tokens, written in Python as in `str(prompt)`. Immutable; equal if written alike."""

    @abstractmethod
    def keep(self, context: PromptContext) -> Tensor:
        """keep_CT (C, T), bool, True where the token of the input is kept."""

    def __or__(self, other: Prompt) -> Prompt:
        return Union(_parts(Union, self) + _parts(Union, other)) if isinstance(other, Prompt) else NotImplemented

    def __and__(self, other: Prompt) -> Prompt:
        if not isinstance(other, Prompt):
            return NotImplemented
        return Intersection(_parts(Intersection, self) + _parts(Intersection, other))

    def __repr__(self) -> str:
        return str(self)


def resolve(prompt: Prompt, context: PromptContext) -> Tensor:
    """The mask that a prompt stands for: mask_CT (C, T), bool, True where a token is to be regenerated.

    Raises PromptError when a part needs something that the context does not have.
    """
    keep_CT = prompt.keep(context)
    assert keep_CT.shape == context.shape and keep_CT.dtype == torch.bool, prompt
    return ~keep_CT


@dataclass(frozen=True, repr=False)
class Union(Prompt):
    """Keeps what at least one part keeps; made by `|`."""

    parts: tuple[Prompt, ...]

    def keep(self, context: PromptContext) -> Tensor:
        return torch.stack([part.keep(context) for part in self.parts]).any(0)

    def __str__(self) -> str:
        return " | ".join(str(part) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Intersection(Prompt):
    """Keeps what every part keeps; made by `&`."""

    parts: tuple[Prompt, ...]

    def keep(self, context: PromptContext) -> Tensor:
        kept_CT = torch.ones(context.shape, dtype=torch.bool)
        for part in self.parts:
            if not isinstance(part, Drop):
                kept_CT = kept_CT & part.keep(context)
        for part in self.parts:
            if isinstance(part, Drop):
                kept_CT = part.thin(kept_CT, context)
        return kept_CT

    def __str__(self) -> str:
        return " & ".join(f"({part})" if isinstance(part, Union) else str(part) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Everything(Prompt):
    """Keeps every token; with `&` it changes nothing."""

    def keep(self, context: PromptContext) -> Tensor:
        return torch.ones(context.shape, dtype=torch.bool)

    def __str__(self) -> str:
        return "everything"


@dataclass(frozen=True, repr=False)
class Nothing(Prompt):
    """Keeps no token; with `|` it changes nothing."""

    def keep(self, context: PromptContext) -> Tensor:
        return torch.zeros(context.shape, dtype=torch.bool)

    def __str__(self) -> str:
        return "nothing"


@dataclass(frozen=True, repr=False)
class Periodic(Prompt):
    """Keeps `width` frames around every `period`-th frame of the file, all codebooks (the paper's periodic prompt)."""

    period: int
    """Frames from one kept place to the next; 0 keeps nothing, 1 everything (paper: 8, 16, 32)."""
    width: int = 1
    """Frames kept at each place, 1 or more; of an even number the odd one out lies after the place."""
    offset: int | str = 0
    """Frame of the first place, taken modulo the period; "random" draws it."""

    def __post_init__(self) -> None:
        check_whole("periodic: period", self.period, 0, _MAX_FRAMES)
        check_whole("periodic: width", self.width, 1, _MAX_FRAMES)
        if self.offset != "random":
            check_whole("periodic: offset", self.offset, -_MAX_FRAMES, _MAX_FRAMES, ', or "random"')

    def keep(self, context: PromptContext) -> Tensor:
        if isinstance(self.offset, str):
            generator = context.require_generator("periodic with a random offset")
            offset = int(torch.randint(max(self.period, 1), (1,), generator=generator))
        else:
            offset = self.offset
        n_from_file_start = context.start_frame + context.n_frames
        mask_T = masks.periodic_mask(n_from_file_start, self.period, self.width, offset)
        return ~mask_T[context.start_frame :].repeat(context.n_codebooks, 1)

    def __str__(self) -> str:
        width = f", width={self.width}" if self.width != 1 else ""
        offset = f", offset={self.offset}" if self.offset else ""
        return f"periodic({self.period}{width}{offset})"


@dataclass(frozen=True, repr=False)
class Codebooks(Prompt):
    """Keeps the `n` coarsest codebooks of every frame (the paper's compression prompt)."""

    n: int
    """Codebooks kept, 0 to 64; all of them where the codes have fewer."""

    def __post_init__(self) -> None:
        check_whole("codebooks: n", self.n, 0, 64)

    def keep(self, context: PromptContext) -> Tensor:
        return ~masks.codebook_mask(context.n_codebooks, self.n).repeat(1, context.n_frames)

    def __str__(self) -> str:
        return f"codebooks({self.n})"


@dataclass(frozen=True, repr=False)
class Keep(Prompt):
    """Keeps every frame that overlaps a stretch of time, all codebooks."""

    start: Time | float | str
    """Begin of the stretch, from the start of the file: seconds, or a text such as 75ms, 4f (frames), 2b (beats)."""
    end: Time | float | str
    """End of the stretch, after `start`; `math.inf` for the end of the file."""

    def __post_init__(self) -> None:
        start, end = as_time(self.start, "keep: start"), as_time(self.end, "keep: end")
        if end.value != math.inf and end.unit == start.unit and end.value <= start.value:
            raise PromptError(f"keep: end is {end}, but must lie after start, which is {start}")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)

    def keep(self, context: PromptContext) -> Tensor:
        assert isinstance(self.start, Time) and isinstance(self.end, Time)
        start, stop = context.first_frame(self.start, "keep"), context.stop_frame(self.end, "keep")
        return ~masks.region_mask(context.n_frames, start, stop).repeat(context.n_codebooks, 1)

    def __str__(self) -> str:
        return f"keep({self.start}, {self.end})"


@dataclass(frozen=True, repr=False)
class Random(Prompt):
    """Keeps each token on its own with probability `rate`, drawn anew for every part that stands in a prompt."""

    rate: float
    """Probability of being kept, 0 to 1."""

    def __post_init__(self) -> None:
        _check_number("random: rate", self.rate, 0.0, 1.0)

    def keep(self, context: PromptContext) -> Tensor:
        return masks.random_mask(context.shape, self.rate, context.require_generator("random"))

    def __str__(self) -> str:
        return f"random({number_text(self.rate)})"


@dataclass(frozen=True, repr=False)
class Drop(Prompt):
    """Within an `&`: lets go of a share of the frames that the other parts keep, drawn without replacement.

    `Periodic(7) & Drop(0.5)` keeps every second of the periodic frames on average, and exactly half of them in all.
    """

    share: float
    """Share of the kept frames to let go, 0 to 1; their number is rounded to the nearest whole."""

    def __post_init__(self) -> None:
        _check_number("drop: share", self.share, 0.0, 1.0)

    def keep(self, context: PromptContext) -> Tensor:
        return self.thin(torch.ones(context.shape, dtype=torch.bool), context)

    def thin(self, kept_CT: Tensor, context: PromptContext) -> Tensor:
        """`kept_CT` without the drawn frames."""
        frames = kept_CT.any(0).nonzero().squeeze(1)
        order = torch.randperm(len(frames), generator=context.require_generator("drop"))
        result_CT = kept_CT.clone()
        result_CT[:, frames[order[: round(self.share * len(frames))]]] = False
        return result_CT

    def __str__(self) -> str:
        return f"drop({number_text(self.share)})"


def _parts(kind: type[Union] | type[Intersection], prompt: Prompt) -> tuple[Prompt, ...]:
    """The parts of a prompt that is already of this kind, so that `a | b | c` is one union of three."""
    return prompt.parts if isinstance(prompt, kind) else (prompt,)


def check_whole(name: str, value: object, low: int, high: int, more: str = "") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _refuse(name, value, f"a whole number from {low} to {high}{more}")


def _check_number(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        _refuse(name, value, f"a number from {low:g} to {high:g}{unit}")


def _refuse(name: str, value: object, allowed: str) -> NoReturn:
    raise PromptError(f"{name} is {value!r}, but must be {allowed}")
