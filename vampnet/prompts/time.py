"""Times in prompts: seconds (1.5, 75ms, 1:05), codec frames (4f) or beats (2b). Regions as text: 0:02-0:03, 1.5:4."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vampnet.audio.clock import parse_clock
from vampnet.errors import PromptError

UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "f": 1.0, "b": 1.0}
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf)\s*([a-z]*)\s*", re.IGNORECASE)
_CLOCK = re.compile(r"\s*\d+:[0-5]\d(?::[0-5]\d)?(?:\.\d*)?\s*")
_LIKE_CLOCK = re.compile(r"\s*\d+\s*:\s*0\d\s*")
_DASH = re.compile(r"\s*[-\u2013\u2014]\s*")
_OPEN_ENDS = ("", "end", "inf")
_EXAMPLES = "1.5, 75ms, 1:05, 4f (frames) or 2b (beats)"
_MOST = 1e9
_SLACK_S = 0.05
"""Times this little beyond the end of a recording are its end: people round."""
LONGEST_BARE_S = 10.0
"""Greatest duration around an event without a unit, seconds; more looks like milliseconds whose unit was forgotten."""
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
        needs_unit = self.unit != "s" or LONGEST_BARE_S < self.value < math.inf
        return number_text(self.value) + (self.unit if needs_unit else "")


def as_time(value: Time | float | str, name: str) -> Time:
    """Convert what a user wrote to a Time: a number is seconds, a text may end in s, ms, f or b.

    Raises PromptError naming `name` for anything that is not a time of 0 or more.
    """
    if isinstance(value, Time):
        time = value
    elif isinstance(value, str):
        found = _TEXT.fullmatch(_without_clock(value))
        if found is None or found[2].lower() not in UNITS:
            raise PromptError(f"{name} is {value!r}, but must be a time such as {_EXAMPLES}")
        unit = found[2].lower()
        time = Time(float(found[1]) / 1000 if unit == "ms" else float(found[1]), unit if unit in "fb" and unit else "s")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        time = Time(float(value))
    else:
        raise PromptError(f"{name} is {value!r}, but must be a time such as {_EXAMPLES}")
    if math.isnan(time.value) or not (0 <= time.value <= _MOST or time.value == math.inf):
        raise PromptError(f"{name} is {time}, but must lie in 0 to {_MOST:g}, or be inf")
    if time.unit == "f" and time.value != math.inf and time.value != int(time.value):
        raise PromptError(f"{name} is {time}, but frames are whole")
    return time


def as_reach(value: Time | float | str, name: str) -> Time:
    """Convert a duration around an event, as `as_time`; a number of more than 10 needs a unit: 75ms, or 75s."""
    time = as_time(value, name)
    bare = isinstance(value, (int, float)) or (isinstance(value, str) and value.strip()[-1:].isdigit())
    if bare and time.unit == "s" and LONGEST_BARE_S < time.value < math.inf:
        number = number_text(time.value)
        raise PromptError(f"{name} is {number} seconds; write {number}ms for milliseconds, or {number}s if it is meant")
    return time


def parse_region(text: str, name: str = "region") -> tuple[float, float]:
    """Start and end in seconds of a stretch written START-END or START:END; the end is inf where it is open.

    With a dash each side is seconds (1.5, 1,5, 75ms) or a clock time (1:05, 1:02:03): 0:02-0:03. With a colon each
    side is seconds (0:2, 3.5:, :2), and four numbers are two clock times (1:05:2:10). A text that can be read in two
    ways, such as 1:05, is refused. Raises PromptError naming `name`.
    """
    sides = _region_sides(text, name)
    start_text, end_text = (side.strip().lower() for side in sides)
    start = parse_clock(start_text) if start_text else 0.0
    end = math.inf if end_text in _OPEN_ENDS else parse_clock(end_text)
    if start is None or end is None:
        raise PromptError(f"{name} is {text!r}, but must be START-END, such as 0:02-0:03, 1.5-4, or 3.5- (to the end)")
    if end <= start:
        raise PromptError(f"{name} is {text!r}, but its end must lie after its start")
    return start, end


def _region_sides(text: str, name: str) -> tuple[str, str]:
    dashes = _DASH.split(text)
    if len(dashes) == 2 and dashes[0]:
        return dashes[0], dashes[1]
    fields = text.split(":")
    if len(fields) == 4:
        return ":".join(fields[:2]), ":".join(fields[2:])
    if len(fields) != 2 or len(dashes) > 1:
        raise PromptError(f"{name} is {text!r}, but must be START-END, such as 0:02-0:03, 1.5-4, or 3.5- (to the end)")
    if _LIKE_CLOCK.fullmatch(text):
        start, end = (field.strip() for field in fields)
        raise PromptError(
            f"{name} is {text!r}, which may be a time or a stretch; write {start}-{int(end)} for seconds {start}"
            f" to {int(end)}, or {text.strip()}- for {text.strip()} to the end"
        )
    return fields[0], fields[1]


def check_region(start_s: float, end_s: float, duration_s: float, name: str = "region") -> tuple[float, float]:
    """Bounds of a stretch, an open end replaced by that of the recording; PromptError where it reaches beyond it."""
    stretch = f"{number_text(start_s)} to {number_text(end_s)} s"
    if start_s >= duration_s:
        raise PromptError(f"{name} is {stretch}, but the recording ends at {duration_s:.2f} s")
    if duration_s + _SLACK_S < end_s < math.inf:
        raise PromptError(
            f"{name} is {stretch}, but the recording ends at {duration_s:.2f} s; leave the end open ({name} START-) for"
            " all that is left"
        )
    return start_s, min(end_s, duration_s)


def check_length(time: Time, duration_s: float, name: str) -> None:
    """Raise PromptError for a duration in seconds that is longer than the recording."""
    if time.unit == "s" and duration_s + _SLACK_S < time.value < math.inf:
        number = number_text(time.value)
        hint = f"did you mean {number}ms? " if time.value >= 1 and time.value < 1000 * duration_s else ""
        raise PromptError(
            f"{name} is {number} s, longer than the recording ({duration_s:.2f} s); {hint}inf is all of it"
        )


def _without_clock(text: str) -> str:
    """A clock time (1:05) as seconds, any other text as it is."""
    return number_text(parse_clock(text) or 0.0) if _CLOCK.fullmatch(text) else text


def number_text(value: float) -> str:
    """Shortest text that reads back as the same number."""
    short = f"{value:.9g}"
    return short if float(short) == value else repr(float(value))
