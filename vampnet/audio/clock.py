"""Times as people write them: seconds with a decimal point or comma, minutes and seconds, hours."""

from __future__ import annotations

import re

_NUMBER = r"(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?"
_SECONDS = re.compile(rf"\s*({_NUMBER})\s*(s|sec|ms|)\s*", re.IGNORECASE)
_CLOCK = re.compile(r"\s*(?:(\d+):)?(\d+):([0-5]\d(?:[.,]\d*)?)\s*")


def parse_clock(text: str) -> float | None:
    """Seconds that a text names (1.5, 1,5, 75ms, 2s, 1:05, 1:05,5, 1:02:03); None if it is no such time.

    Minutes are below 60 where hours stand before them, seconds where minutes do and have two digits then.
    """
    found = _CLOCK.fullmatch(text)
    if found is not None:
        hours, minutes, seconds = found[1], int(found[2]), float(found[3].replace(",", "."))
        if hours is not None and minutes > 59:
            return None
        return int(hours or 0) * 3600.0 + minutes * 60.0 + seconds
    found = _SECONDS.fullmatch(text)
    if found is None:
        return None
    value = float(found[1].replace(",", "."))
    return value / 1000 if found[2].lower() == "ms" else value
