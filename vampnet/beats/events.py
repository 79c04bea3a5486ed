"""Beats, downbeats and onsets of a recording, in seconds: given, counted or read from a file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression

from vampnet.audio.clock import parse_clock
from vampnet.config import check
from vampnet.errors import AudioError, SettingsError, StorageError
from vampnet.storage import parse_json, read_bytes

TRACKERS = ("learned", "librosa")
"""Names of beat trackers, the default first."""


_COMMENT = re.compile(r"(#|%|//).*")
_DIGIT = re.compile(r"\d")
_COMMA = re.compile(r"\d,\d")
MAX_TIME_S = 1e7
"""Times in files lie below this; more is a mistake of units."""
MIN_STEADY_BEATS = 6
MAX_SWAY_S = 0.02
"""Beats of a steady recording lie within this of a straight line: a frame of the learned tracker."""


@dataclass(frozen=True)
class Events:
    """Moments of a recording, seconds from its start, ascending."""

    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    onsets_s: tuple[float, ...] = ()

    def events(self, kind: str) -> Sequence[float]:
        """The moments called "beats", "downbeats" or "onsets"."""
        return {"beats": self.beats_s, "downbeats": self.downbeats_s, "onsets": self.onsets_s}[kind]

    def check_fits(self, duration_s: float) -> None:
        """Raise AudioError where most of the moments lie behind the end of a recording of this length."""
        for name in ("beats", "downbeats", "onsets"):
            times_s = self.events(name)
            n_behind = sum(time_s > duration_s for time_s in times_s)
            if 2 * n_behind > len(times_s):
                hint = "; are they milliseconds? Times are in seconds" if times_s[-1] > 100 * duration_s else ""
                raise AudioError(
                    f"{n_behind} of {len(times_s)} {name} lie behind the end of the recording, {duration_s:.2f} s{hint}"
                )


@dataclass(frozen=True)
class TrackerConfig:
    """Choice of the beat tracker."""

    tracker: str = TRACKERS[0]
    """"learned", "librosa", or the path of a checkpoint of Beat This (a file that ends in .ckpt)."""

    def __post_init__(self) -> None:
        if self.tracker not in TRACKERS and not self.tracker.endswith(".ckpt"):
            names = ", ".join(TRACKERS)
            raise SettingsError(
                f"beat tracker is {self.tracker!r}, but must be one of {names}, or the path of a checkpoint of Beat "
                "This, which ends in .ckpt"
            )


def steady_events(bpm: float, duration_s: float, downbeat_s: float = 0.0, beats_per_bar: int = 4) -> Events:
    """Even beats over a recording. Raises SettingsError for values out of range."""
    check("bpm", bpm, 10.0, 1000.0)
    check("downbeat", downbeat_s, -3600.0, 1e6)
    check("beats per bar", beats_per_bar, 1, 64)
    gap_s = 60.0 / bpm
    first = math.ceil(-downbeat_s / gap_s - 1e-9)
    last = math.ceil((duration_s - downbeat_s) / gap_s - 1e-9)
    beats = range(first, max(last, first))
    times = {beat: downbeat_s + beat * gap_s for beat in beats}
    return Events(tuple(times.values()), tuple(t for beat, t in times.items() if beat % beats_per_bar == 0))


def read_events(path: str | Path) -> Events:
    """Beat times from a file.

    JSON (a list of seconds, or {"beats": [...], "downbeats": [...]}), or lines of a time and, if known, the beat's
    number in its bar (1 is a downbeat), as beat trackers and annotations write them. Times are seconds (0.5, 0,5) or
    clock times (1:05.2). Spaces, tabs, semicolons or commas stand between fields; `#`, `%` and `//` begin a comment, a
    first line of words is a heading. UTF-8 and UTF-16, with or without a byte order mark. Where the file says nothing
    of bars, the result has no downbeats.

    Raises AudioError naming the file and the line or entry.
    """
    try:
        text = _decode(read_bytes(path))
        beats, downbeats = _json(text) if text.lstrip().startswith(("[", "{")) else _lines(text)
    except StorageError as error:
        raise AudioError(f"cannot read the beats in '{path}': {str(error).rpartition(': ')[2]}") from None
    except (ValueError, RecursionError) as error:
        raise AudioError(f"cannot read the beats in '{path}': {error}") from None
    if not beats:
        raise AudioError(f"cannot read the beats in '{path}': it has none")
    return Events(tuple(sorted(set(beats))), tuple(sorted(set(downbeats))))


def _json(text: str) -> tuple[list[float], list[float]]:
    data = parse_json(text)
    entries = data if isinstance(data, dict) else {"beats": data}
    unknown = sorted(set(entries) - {"beats", "downbeats"})
    if unknown or "beats" not in entries:
        raise ValueError(f'write {{"beats": [...], "downbeats": [...]}}, not {unknown or list(entries)}')
    lists = []
    for name in ("beats", "downbeats"):
        times = entries.get(name, [])
        if not isinstance(times, list):
            raise ValueError(f"{name} is {times!r}, not a list of seconds")
        for number, time_s in enumerate(times):
            if isinstance(time_s, bool) or not isinstance(time_s, (int, float)) or not 0 <= time_s < MAX_TIME_S:
                raise ValueError(f"{name}[{number}] is {json.dumps(time_s)}, not a time from 0 s")
        lists.append([float(t) for t in times])
    return lists[0], lists[1]


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _lines(text: str) -> tuple[list[float], list[float]]:
    stripped = (_COMMENT.sub("", line).strip() for line in text.splitlines())
    rows = [(number, row) for number, row in enumerate(stripped, 1) if row]
    if len(rows) > 1 and not _DIGIT.search(rows[0][1]) and _DIGIT.search(rows[1][1]):
        rows = rows[1:]  # a heading
    split = _split_decimals if _has_decimal_commas([row for _, row in rows]) else _split_fields
    beats, downbeats = [], []
    for number, row in rows:
        fields = split(row)
        time_s = parse_clock(fields[0]) if fields else None
        place = parse_clock(fields[1]) if len(fields) > 1 else math.nan
        if time_s is None and fields and fields[0].lower().lstrip("+-").startswith((*"0123456789", "inf", "nan")):
            raise ValueError(f"line {number}: {fields[0]} is not a time from 0 s")
        if time_s is None or place is None:
            raise ValueError(f"line {number} is {row!r}; write TIME_IN_SECONDS [NUMBER_IN_THE_BAR]")
        if not 0 <= time_s < MAX_TIME_S:
            raise ValueError(f"line {number}: {fields[0]} is not a time from 0 s")
        beats.append(time_s)
        if place == 1:
            downbeats.append(time_s)
    return beats, downbeats


def tempo_of(events: Events) -> float | None:
    """Beats per minute: of steady beats by the line through them, else by the middle gap; None without two beats."""
    if (steady_s := steady_gap(events.beats_s)) is not None:
        return 60.0 / steady_s
    gaps_s = sorted(later - earlier for earlier, later in pairwise(events.beats_s))
    return 60.0 / gaps_s[len(gaps_s) // 2] if gaps_s and gaps_s[len(gaps_s) // 2] > 0 else None


def steady_gap(beats_s: Sequence[float]) -> float | None:
    """Seconds between steady beats, by a straight line through them; None where they sway, pause or are too few.

    Trackers place a beat within a few milliseconds. So a whole number of beats per minute is taken where it lies within
    the error of the line, as the tempo of most loops does.
    """
    if len(beats_s) < MIN_STEADY_BEATS or beats_s[-1] <= beats_s[0]:
        return None
    gap_s, first_s = linear_regression(range(len(beats_s)), beats_s)
    worst_s = max(abs(time_s - first_s - gap_s * number) for number, time_s in enumerate(beats_s))
    if gap_s <= 0 or worst_s > MAX_SWAY_S:
        return None
    bpm = 60.0 / gap_s
    error_bpm = bpm * 2 * worst_s / (beats_s[-1] - beats_s[0])
    return 60.0 / round(bpm) if abs(bpm - round(bpm)) <= error_bpm else gap_s


def _split_fields(row: str) -> list[str]:
    return row.replace(",", " ").replace(";", " ").split()


def _split_decimals(row: str) -> list[str]:
    """Fields of a row whose commas are decimal ones unless a space follows them."""
    return row.replace(", ", " ").replace(";", " ").split()


def _has_decimal_commas(rows: list[str]) -> bool:
    """True if commas between digits are decimal ones in these rows, and not between a time and a place in the bar.

    Raises ValueError where both could be meant.
    """
    if not any(_COMMA.search(row) for row in rows) or any("." in row for row in rows):
        return False
    if any(len(_split_decimals(row)) > 1 for row in rows):  # something else stands between the fields
        return True
    pairs = [row.split(",") for row in rows]
    places = [pair[1] for pair in pairs if len(pair) == 2]
    ascending = all(later > earlier for earlier, later in pairwise([parse_clock(row) or 0.0 for row in rows]))
    if len(places) < len(pairs) or not all(place.isdigit() and 1 <= int(place) <= 64 for place in places):
        return ascending
    counting = all(int(later) in (int(earlier) + 1, 1) for earlier, later in pairwise(places))
    if counting and ascending:
        raise ValueError(
            f"line 1 is {rows[0]!r}, whose comma may be a decimal one or stand between time and place in the bar;"
            " write a decimal point, or a space between the two"
        )
    return ascending and not counting
