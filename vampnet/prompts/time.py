"""Times in prompts: seconds (1.5, 75ms), codec frames (4f) or beats (2b)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vampnet.errors import PromptError

UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "f": 1.0, "b": 1.0}
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf)\s*([a-z]*)\s*", re.IGNORECASE)
_MOST = 1e9
MAX_FRAMES = 2**31 - 1
"""Greatest number of codec frames, and greatest period or width in frames."""


@dataclass(frozen=True)
class Time:
    """A moment or a duration."""

    value: float
    """Number of units, 0 or more; `math.inf` for the end of the material."""
    unit: str = "s"
    """"s" seconds, "f" codec frames (whole ones), "b" beats."""

    def __str__(self) -> str:
        """Text that `as_time` reads as the same time."""
        return number_text(self.value) + ("" if self.unit == "s" else self.unit)


def as_time(value: Time | float | str, name: str) -> Time:
    """Convert what a user wrote to a Time: a number is seconds, a text may end in s, ms, f or b.

    Raises PromptError naming `name` for anything that is not a time of 0 or more.
    """
    if isinstance(value, Time):
        time = value
    elif isinstance(value, str):
        found = _TEXT.fullmatch(value)
        if found is None or found[2].lower() not in UNITS:
            raise PromptError(f"{name} is {value!r}, but must be a time such as 1.5, 75ms, 4f (frames) or 2b (beats)")
        unit = found[2].lower()
        time = Time(float(found[1]) / 1000 if unit == "ms" else float(found[1]), unit if unit in "fb" and unit else "s")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        time = Time(float(value))
    else:
        raise PromptError(f"{name} is {value!r}, but must be a time such as 1.5, 75ms, 4f (frames) or 2b (beats)")
    if math.isnan(time.value) or not (0 <= time.value <= _MOST or time.value == math.inf):
        raise PromptError(f"{name} is {time}, but must lie in 0 to {_MOST:g}, or be inf")
    if time.unit == "f" and time.value != math.inf and time.value != int(time.value):
        raise PromptError(f"{name} is {time}, but frames are whole")
    return time


def number_text(value: float) -> str:
    """Shortest text that reads back as the same number."""
    short = f"{value:.9g}"
    return short if float(short) == value else repr(float(value))
