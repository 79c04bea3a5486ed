"""Prompt parts: which tokens of the input are kept; all others are regenerated (paper, section 3.4).

A prompt is a set of kept tokens. `|` unites (kept if either keeps it), `&` intersects (kept if both keep it):
`Periodic(7) & Codebooks(3)` keeps the three coarsest tokens of every seventh frame. A prompt is applied once, over
the whole material and not window by window, so its pattern does not depend on how long material is cut.

A new part is a frozen dataclass with `keep` and `__str__`. Its keep masks come from the methods of `PromptContext`, so
prompts can be written, parsed and checked without importing torch.
"""

from __future__ import annotations

import functools
import math
import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from vampnet.errors import PromptError
from vampnet.prompts.time import MAX_FRAMES, Time, as_time, number_text

if TYPE_CHECKING:
    from torch import Tensor

    from vampnet.prompts.context import PromptContext


class Prompt(ABC):
    """A set of kept tokens, written in Python as in `str(prompt)`. Immutable; equal if written alike."""

    @abstractmethod
    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask keep_CT (C, T), bool, True where the token of the input is kept.

        Raises PromptError when a part needs something that the context does not have.
        """

    def __or__(self, other: Prompt) -> Prompt:
        return Union(_parts(Union, self) + _parts(Union, other)) if isinstance(other, Prompt) else NotImplemented

    def __and__(self, other: Prompt) -> Prompt:
        if not isinstance(other, Prompt):
            return NotImplemented
        return Intersection(_parts(Intersection, self) + _parts(Intersection, other))

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, repr=False)
class Union(Prompt):
    """Keeps what at least one part keeps; made by `|`."""

    parts: tuple[Prompt, ...]

    def keep(self, context: PromptContext) -> Tensor:
        return functools.reduce(operator.or_, [part.keep(context) for part in self.parts])

    def __str__(self) -> str:
        return " | ".join(str(part) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Intersection(Prompt):
    """Keeps what every part keeps; made by `&`."""

    parts: tuple[Prompt, ...]

    def keep(self, context: PromptContext) -> Tensor:
        keep_CT = context.all()
        for part in self.parts:
            if not isinstance(part, Drop):
                keep_CT = keep_CT & part.keep(context)
        for part in self.parts:
            if isinstance(part, Drop):
                keep_CT = part.thin(keep_CT, context)
        return keep_CT

    def __str__(self) -> str:
        return " & ".join(f"({part})" if isinstance(part, Union) else str(part) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Everything(Prompt):
    """Keeps every token; with `&` it changes nothing."""

    def keep(self, context: PromptContext) -> Tensor:
        return context.all()

    def __str__(self) -> str:
        return "everything"


@dataclass(frozen=True, repr=False)
class Nothing(Prompt):
    """Keeps no token; with `|` it changes nothing."""

    def keep(self, context: PromptContext) -> Tensor:
        return context.none()

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
        check_whole("periodic: period", self.period, 0, MAX_FRAMES)
        check_whole("periodic: width", self.width, 1, MAX_FRAMES)
        if self.offset != "random":
            check_whole("periodic: offset", self.offset, -MAX_FRAMES, MAX_FRAMES, ', or "random"')

    def keep(self, context: PromptContext) -> Tensor:
        offset = self.offset
        if isinstance(offset, str):
            offset = context.random_offset(self.period, "periodic with a random offset")
        return context.periodic(self.period, self.width, offset)

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
        return context.codebooks(self.n)

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
        return context.region(context.first_frame(self.start, "keep"), context.stop_frame(self.end, "keep"))

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
        return context.random(self.rate, "random")

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
        return self.thin(context.all(), context)

    def thin(self, keep_CT: Tensor, context: PromptContext) -> Tensor:
        """`keep_CT` without the drawn frames."""
        return context.drop(keep_CT, self.share, "drop")

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
