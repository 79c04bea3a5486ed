"""Beats, downbeats and onsets of a recording, in seconds: given, counted or read from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vampnet.config import check
from vampnet.errors import AudioError, SettingsError

TRACKERS = ("learned", "librosa")
"""Names of beat trackers, the default first."""


MAX_TIME_S = 1e7
"""Times in files lie below this; more is a mistake of units."""


@dataclass(frozen=True)
class Events:
    """Moments of a recording, seconds from its start, ascending."""

    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    onsets_s: tuple[float, ...] = ()

    def events(self, kind: str) -> Sequence[float]:
        """The moments called "beats", "downbeats" or "onsets"."""
        return {"beats": self.beats_s, "downbeats": self.downbeats_s, "onsets": self.onsets_s}[kind]


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

    JSON (a list of seconds, or {"beats": [...], "downbeats": [...]}), or lines of a time in seconds and, if known, the
    beat's number in its bar (1 is a downbeat), as beat trackers and annotations write them; `#` begins a comment.
    Where the file says nothing of bars, the result has no downbeats.

    Raises AudioError naming the file and the line or entry.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        beats, downbeats = _json(text) if text.lstrip().startswith(("[", "{")) else _lines(text)
    except (OSError, ValueError, RecursionError) as error:
        raise AudioError(f"cannot read the beats in '{path}': {error}") from None
    if not beats:
        raise AudioError(f"cannot read the beats in '{path}': it has none")
    return Events(tuple(sorted(set(beats))), tuple(sorted(set(downbeats))))


def _json(text: str) -> tuple[list[float], list[float]]:
    data = json.loads(text)
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


def _lines(text: str) -> tuple[list[float], list[float]]:
    beats, downbeats = [], []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not fields:
            continue
        try:
            time_s, place = float(fields[0]), float(fields[1]) if len(fields) > 1 else math.nan
        except ValueError:
            raise ValueError(f"line {number} is {line.strip()!r}; write TIME_IN_SECONDS [NUMBER_IN_THE_BAR]") from None
        if not 0 <= time_s < MAX_TIME_S:
            raise ValueError(f"line {number}: {fields[0]} is not a time from 0 s")
        beats.append(time_s)
        if place == 1:
            downbeats.append(time_s)
    return beats, downbeats


def tempo_of(events: Events) -> float | None:
    """Beats per minute by the middle gap between beats; None for fewer than two beats."""
    gaps_s = sorted(later - earlier for earlier, later in pairwise(events.beats_s))
    return 60.0 / gaps_s[len(gaps_s) // 2] if gaps_s and gaps_s[len(gaps_s) // 2] > 0 else None
