"""Painted prompt parts: single tokens that are kept or given up, by codebook and time.

`paint(1-2@0.5:1.5, 4@40f:52f)` keeps codebooks 1 and 2 from 0.5 to 1.5 s and codebook 4 in frames 40 to 51;
`erase(all@2:3)` keeps all tokens but those from 2 to 3 s. So `(periodic(7) | paint(...)) & erase(...)` is a pattern to
which tokens are added, and from which they are taken away, by hand.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vampnet.errors import PromptError
from vampnet.prompts.parts import Prompt
from vampnet.prompts.time import Time, as_time, check_region

if TYPE_CHECKING:
    from torch import Tensor

    from vampnet.prompts.context import PromptContext

MAX_CODEBOOK = 64
"""Greatest number of a codebook."""
MAX_STROKES = 20_000
"""Most strokes of a part."""
_STROKE = re.compile(r"\s*(?:(\d{1,4})(?:-(\d{1,4}))?|all)@([^:@\s]+):([^:@\s]+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Stroke:
    """A rectangle of tokens: neighbouring codebooks during a stretch of time."""

    first: int
    """First codebook, counted from 1, the coarsest."""
    last: int
    """Last codebook, `first` or more; MAX_CODEBOOK takes in all up to the finest."""
    start: Time
    """Start of the stretch, from the start of the file."""
    end: Time
    """End of the stretch, after its start; inf for the end of the file. Frames that overlap the stretch count."""

    def __post_init__(self) -> None:
        """Check codebooks and times."""
        if not 1 <= self.first <= self.last <= MAX_CODEBOOK:
            raise PromptError(
                f"codebooks of a stroke are {self.first}-{self.last}, but must lie in 1 to {MAX_CODEBOOK}, the smaller "
                "one first"
            )
        if self.end.value != math.inf and self.end.unit == self.start.unit and self.end.value <= self.start.value:
            raise PromptError(f"the stroke {self} must end after it begins")

    def __str__(self) -> str:
        """Text that `parse_stroke` reads as the same stroke."""
        if (self.first, self.last) == (1, MAX_CODEBOOK):
            rows = "all"
        else:
            rows = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{rows}@{self.start}:{self.end}"


def parse_stroke(text: str) -> Stroke:
    """The stroke of a text CODEBOOKS@START:END, such as 1-2@0.5:1.5, 3@40f:52f or all@2b:inf. Raises PromptError."""
    found = _STROKE.fullmatch(text)
    if found is None:
        raise PromptError(
            f"the stroke {text!r} must be CODEBOOKS@START:END, such as 1-2@0.5:1.5, 4@40f:52f or all@2:inf"
        )
    first, last, start, end = found.groups()
    rows = (1, MAX_CODEBOOK) if first is None else (int(first), int(last or first))
    return Stroke(*rows, as_time(start, "start of a stroke"), as_time(end, "end of a stroke"))


class _Painted(Prompt):
    """Base class of `Paint` and `Erase`: strokes, their text and the tokens that they cover."""

    strokes: tuple[Stroke, ...]

    def __init__(self, *strokes: Stroke | str) -> None:
        """`strokes`: one or more, as `Stroke` or as text. Raises PromptError."""
        if not 1 <= len(strokes) <= MAX_STROKES:
            name = type(self).__name__.lower()
            raise PromptError(f"{name} needs 1 to {MAX_STROKES} strokes, such as {name}(1-2@0.5:1.5, 4@40f:52f)")
        parsed = (one if isinstance(one, Stroke) else parse_stroke(one) for one in strokes)
        object.__setattr__(self, "strokes", tuple(parsed))

    def check_fits(self, duration_s: float) -> None:
        """Raise PromptError for a stroke, in seconds, that reaches beyond a recording of this length."""
        for stroke in self.strokes:
            start_s = stroke.start.value if stroke.start.unit == "s" else 0.0
            check_region(start_s, stroke.end.value if stroke.end.unit == "s" else math.inf, duration_s, str(stroke))

    def covered(self, context: PromptContext) -> Tensor:
        """Tokens (C, T), bool, that a stroke covers."""
        covered_CT = context.none()
        for stroke in self.strokes:
            name = type(self).__name__.lower()
            start, stop = context.first_frame(stroke.start, name), context.stop_frame(stroke.end, name)
            covered_CT[stroke.first - 1 : stroke.last, max(start, 0) : max(stop, 0)] = True
        return covered_CT

    def __str__(self) -> str:
        """Text that `parse_prompt` reads as the same prompt."""
        return f"{type(self).__name__.lower()}({', '.join(map(str, self.strokes))})"


@dataclass(frozen=True, repr=False, init=False)
class Paint(_Painted):
    """Keeps the tokens under strokes of codebooks and time, painted by hand: paint(1-2@0.5:1.5, 4@40f:52f)."""

    strokes: tuple[Stroke, ...]
    """Strokes CODEBOOKS@START:END; codebooks from 1 or `all`, times in seconds, frames (40f) or beats (2b)."""

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the tokens that a stroke covers."""
        return self.covered(context)


@dataclass(frozen=True, repr=False, init=False)
class Erase(_Painted):
    """Keeps all tokens but those under strokes; with `&` it takes tokens away: periodic(7) & erase(all@2:3)."""

    strokes: tuple[Stroke, ...]
    """Strokes CODEBOOKS@START:END; codebooks from 1 or `all`, times in seconds, frames (40f) or beats (2b)."""

    def keep(self, context: PromptContext) -> Tensor:
        """Keep mask of the tokens that no stroke covers."""
        return ~self.covered(context)
