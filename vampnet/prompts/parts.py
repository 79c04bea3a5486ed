"""Prompt parts: which tokens of the input are kept; all others are regenerated (paper, section 3.4).

A prompt is a set of kept tokens. `|` unites (kept if either keeps it), `&` intersects (kept if both keep it):
`Periodic(7) & Codebooks(3)` keeps the three coarsest tokens of every seventh frame. A prompt is applied once, over
the whole material and not window by window, so its pattern does not depend on how long material is cut.

A new part is a frozen dataclass with a method `keep`; its text follows from its fields. Its keep masks come from the
methods of `PromptContext`, so prompts can be written, parsed and checked without importing torch.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from vampnet.errors import PromptError
from vampnet.prompts.time import MAX_FRAMES, Time, as_time, check_region, number_text

if TYPE_CHECKING:
    from torch import Tensor

    from vampnet.prompts.context import PromptContext


class Prompt(ABC):
    """Set of kept tokens; immutable, and equal if written alike. `str(prompt)` is its text."""

    @abstractmethod
    def keep(self, context: PromptContext) -> Tensor:
        """Return the keep mask keep_CT (C, T), bool, True where the token of the input is kept.

        Raises PromptError when a part needs something that the context does not have.
        """

    def check_fits(self, duration_s: float) -> None:  # noqa: B027 -- most parts fit any recording
        """Raise PromptError for a stretch outside a recording of this length, or a duration longer than all of it."""

    def __or__(self, other: Prompt) -> Prompt:
        """Keep what either prompt keeps."""
        return Union(_parts(Union, self) + _parts(Union, other)) if isinstance(other, Prompt) else NotImplemented

    def __and__(self, other: Prompt) -> Prompt:
        """Keep what both prompts keep."""
        if not isinstance(other, Prompt):
            return NotImplemented
        return Intersection(_parts(Intersection, self) + _parts(Intersection, other))

    def __str__(self) -> str:
        """Text that `parse_prompt` reads as the same prompt: the required fields, then those unlike their defaults."""
        arguments = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value, default = getattr(self, field.name), field.default
            if default is dataclasses.MISSING:
                arguments.append(_value_text(value))
            elif value != (as_time(default, field.name) if isinstance(value, Time) else default):
                arguments.append(f"{field.name}={_value_text(value)}")
        name = type(self).__name__.lower()
        return f"{name}({', '.join(arguments)})" if arguments else name

    def __repr__(self) -> str:
        """The same text as `str(prompt)`."""
        return str(self)


@dataclass(frozen=True, repr=False)
class Union(Prompt):
    """Keeps what at least one part keeps; made by `|`."""

    parts: tuple[Prompt, ...]
    """Two parts or more."""

    def check_fits(self, duration_s: float) -> None:
        """Check every part."""
        for part in self.parts:
            part.check_fits(duration_s)

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of all parts together, which draw from left to right."""
        return functools.reduce(operator.or_, [part.keep(context) for part in self.parts])

    def __str__(self) -> str:
        """The texts of the parts, joined by |."""
        return " | ".join(str(part) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Intersection(Prompt):
    """Keeps what every part keeps; made by `&`."""

    parts: tuple[Prompt, ...]
    """Two parts or more."""

    def check_fits(self, duration_s: float) -> None:
        """Check every part."""
        for part in self.parts:
            part.check_fits(duration_s)

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of what all parts keep; `drop` parts come last, whatever their place."""
        keep_CT = context.all()
        for part in self.parts:
            if not isinstance(part, Drop):
                keep_CT = keep_CT & part.keep(context)
        for part in self.parts:
            if isinstance(part, Drop):
                keep_CT = part.thin(keep_CT, context)
        return keep_CT

    def __str__(self) -> str:
        """The texts of the parts, joined by &; a union stands in brackets."""
        return " & ".join(f"({part})" if isinstance(part, Union) else str(part) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Everything(Prompt):
    """Keeps every token; with `&` it changes nothing."""

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask that is True everywhere."""
        return context.all()


@dataclass(frozen=True, repr=False)
class Nothing(Prompt):
    """Keeps no token; with `|` it changes nothing."""

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask that is False everywhere."""
        return context.none()


@dataclass(frozen=True, repr=False)
class Periodic(Prompt):
    """Keeps `width` frames around every `period`-th frame of the file, all codebooks (the paper's periodic prompt)."""

    period: int
    """Frames from one kept place to the next, 0 or more; 0 keeps nothing, 1 everything (paper: 8, 16, 32)."""
    width: int = 1
    """Frames kept around each place, 1 or more; with an even width the extra frame lies after the place."""
    offset: int | str = 0
    """Frame of the first place, taken modulo the period; "random" draws it."""

    def __post_init__(self) -> None:
        """Check period, width and offset."""
        check_whole("periodic: period", self.period, 0, MAX_FRAMES)
        check_whole("periodic: width", self.width, 1, MAX_FRAMES)
        if self.offset != "random":
            check_whole("periodic: offset", self.offset, -MAX_FRAMES, MAX_FRAMES, ', or "random"')

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the frames around the periodic places, counted from the start of the file."""
        offset = self.offset
        if isinstance(offset, str):
            offset = context.random_offset(self.period, "periodic with a random offset")
        return context.periodic(self.period, self.width, offset)


@dataclass(frozen=True, repr=False)
class Codebooks(Prompt):
    """Keeps the `n` coarsest codebooks of every frame (the paper's compression prompt)."""

    n: int
    """Codebooks kept, 0 to 64; all of them where the codes have fewer."""

    def __post_init__(self) -> None:
        """Check the number of codebooks."""
        check_whole("codebooks: n", self.n, 0, 64)

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the `n` coarsest codebooks."""
        return context.codebooks(self.n)


@dataclass(frozen=True, repr=False)
class Keep(Prompt):
    """Keeps every frame that overlaps a stretch of time, all codebooks."""

    start: Time | float | str
    """Start of the stretch, from the start of the file: seconds, or a text such as 75ms, 4f (frames), 2b (beats)."""
    end: Time | float | str
    """End of the stretch, after `start`; `math.inf` for the end of the file."""

    def __post_init__(self) -> None:
        """Check the times and that the end lies after the start."""
        start, end = as_time(self.start, "keep: start"), as_time(self.end, "keep: end")
        if end.value != math.inf and end.unit == start.unit and end.value <= start.value:
            raise PromptError(f"keep: end is {end}, but must lie after start, which is {start}")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)

    def check_fits(self, duration_s: float) -> None:
        """Raise PromptError where the stretch, in seconds, reaches beyond a recording of this length."""
        assert isinstance(self.start, Time) and isinstance(self.end, Time)
        start_s = self.start.value if self.start.unit == "s" else 0.0
        end_s = self.end.value if self.end.unit == "s" else math.inf
        try:
            check_region(start_s, end_s, duration_s, str(self))
        except PromptError:
            raise PromptError(
                f"{self} reaches beyond the end of the recording at {duration_s:.2f} s; write"
                f" keep({self.start}, inf) for all up to the end"
                if start_s < duration_s
                else f"{self} lies outside the recording, which ends at {duration_s:.2f} s"
            ) from None

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the frames that overlap the stretch."""
        assert isinstance(self.start, Time) and isinstance(self.end, Time)
        return context.region(context.first_frame(self.start, "keep"), context.stop_frame(self.end, "keep"))


@dataclass(frozen=True, repr=False)
class Random(Prompt):
    """Keeps each token independently with probability `rate`; each `random` in a prompt draws its own tokens."""

    rate: float
    """Probability of being kept, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the rate."""
        _check_number("random: rate", self.rate, 0.0, 1.0)

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask drawn token by token."""
        return context.random(self.rate, "random")


@dataclass(frozen=True, repr=False)
class Drop(Prompt):
    """Drops a share of the frames that the other parts of an `&` keep, drawn without replacement.

    `Periodic(7) & Drop(0.5)` keeps exactly half of the periodic frames (rounded).
    """

    share: float
    """Share of the kept frames to drop, 0 to 1; their number is rounded to the nearest whole."""

    def __post_init__(self) -> None:
        """Check the share."""
        _check_number("drop: share", self.share, 0.0, 1.0)

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask without the drawn frames of all frames."""
        return self.thin(context.all(), context)

    def thin(self, keep_CT: Tensor, context: PromptContext) -> Tensor:
        """`keep_CT` without the drawn frames."""
        return context.drop(keep_CT, self.share, "drop")


def _value_text(value: object) -> str:
    return number_text(value) if isinstance(value, float) else str(value)


def _parts(kind: type[Union] | type[Intersection], prompt: Prompt) -> tuple[Prompt, ...]:
    """Parts of a prompt that is already of this kind, so that `a | b | c` is one union of three."""
    return prompt.parts if isinstance(prompt, kind) else (prompt,)


def check_whole(name: str, value: object, low: int, high: int, more: str = "") -> None:
    """Raise PromptError unless `value` is a whole number from `low` to `high`; `more` says what else is allowed."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _refuse(name, value, f"a whole number from {low} to {high}{more}")


def _check_number(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        _refuse(name, value, f"a number from {low:g} to {high:g}{unit}")


def _refuse(name: str, value: object, allowed: str) -> NoReturn:
    raise PromptError(f"{name} is {value!r}, but must be {allowed}")
