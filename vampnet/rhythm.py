"""Beats, downbeats and onsets of audio, in seconds: tracked, read from a file, or counted.

Trackers: "learned", a small network that was trained on this package's composer (beats/network.py) with a search for
the best path and bars (beats/decode.py); "librosa", Ellis's tracker of 2007 with an estimate of the bar
(beats/ellis.py); or the network of Beat This, where the user has its checkpoint (beats/beat_this.py).
benchmarks/beats.py measures them; docs/beats.md has its figures.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vampnet.audio import Samples, resample_blocks
from vampnet.beats import beat_this, ellis, learned, spectra
from vampnet.config import check
from vampnet.errors import AudioError, SettingsError
from vampnet.frames import resampled_length

TRACKERS = ("learned", "librosa")
"""What finds beats, the default first."""
MAX_TIME_S = 1e7
"""Times in files lie below this; more is a mistake of units."""


@dataclass(frozen=True)
class Rhythm:
    """Moments of a recording, seconds from its start, ascending."""

    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    onsets_s: tuple[float, ...] = ()

    def events(self, kind: str) -> Sequence[float]:
        """The moments called "beats", "downbeats" or "onsets"."""
        return {"beats": self.beats_s, "downbeats": self.downbeats_s, "onsets": self.onsets_s}[kind]


@dataclass(frozen=True)
class Tracking:
    """How beats are found where nobody says where they are."""

    tracker: str = TRACKERS[0]
    """"learned", "librosa", or the path of a checkpoint of Beat This (a file that ends in .ckpt)."""

    def __post_init__(self) -> None:
        if self.tracker not in TRACKERS and not self.tracker.endswith(".ckpt"):
            names = ", ".join(TRACKERS)
            raise SettingsError(
                f"beat tracker is {self.tracker!r}, but must be one of {names}, or the path of a checkpoint of Beat "
                "This, which ends in .ckpt"
            )


@dataclass(frozen=True)
class _Network:
    """A tracker that is a network."""

    ear: spectra.Collector
    track: Callable[[np.ndarray], tuple[tuple[float, ...], tuple[float, ...]]]
    """Beats and downbeats in seconds, from the spectra of `ear`."""


def find_rhythm(
    blocks: Iterable[Samples],
    sample_rate_hz: int,
    n_samples: int,
    tracking: Tracking = Tracking(),
) -> Rhythm:
    """Track a recording given as blocks (channels, samples). Memory: 50 kB per second. Silence has no events.

    Raises BundleError for a checkpoint of Beat This that cannot be used.
    """
    powers = spectra.Collector(ellis.FFT, ellis.HOP, ellis.mel_powers)
    network = _network(tracking.tracker)
    for samples in _mono(blocks, sample_rate_hz, n_samples):
        powers.push(samples)
        if network is not None:
            network.ear.push(samples)
    mel_db = ellis.decibels(powers.finish())
    strength = ellis.onset_strength(mel_db)
    if len(strength) < 4 or strength.max() <= 1e-6:
        return Rhythm((), (), ())
    if network is None:
        beats_s, downbeats_s = ellis.track(mel_db, strength)
    else:
        beats_s, downbeats_s = network.track(network.ear.finish())
    return Rhythm(beats_s, downbeats_s, ellis.onset_times(strength))


def _network(tracker: str) -> _Network | None:
    """What a tracker that is a network listens with, and how it goes on; None for librosa's, which needs onsets."""
    if tracker == "librosa":
        return None
    if tracker == "learned":
        return _Network(spectra.Collector(spectra.FFT, spectra.HOP, spectra.band_magnitudes), learned.track)
    network = beat_this.load_beat_this(tracker)
    ear = spectra.Collector(spectra.FFT, spectra.HOP, beat_this.band_magnitudes)
    return _Network(ear, functools.partial(beat_this.track, network))


def find_bars(blocks: Iterable[Samples], sample_rate_hz: int, n_samples: int, beats_s: Sequence[float]) -> Rhythm:
    """The downbeats among beats that are known, seconds: the learned network hears how likely each is one, and bars of
    2 to 7 beats that mostly keep their length are laid over them (beats/decode.py)."""
    magnitudes = spectra.Collector(spectra.FFT, spectra.HOP, spectra.band_magnitudes)
    for samples in _mono(blocks, sample_rate_hz, n_samples):
        magnitudes.push(samples)
    return Rhythm(tuple(beats_s), learned.downbeats_among(beats_s, magnitudes.finish()))


def _mono(blocks: Iterable[Samples], sample_rate_hz: int, n_samples: int) -> Iterator[np.ndarray]:
    """The mean of the channels in blocks (n,) at the rate of beats/spectra.py."""
    mono = (block.mean(axis=0, keepdims=True) for block in blocks)
    length = resampled_length(n_samples, sample_rate_hz, spectra.RATE_HZ)
    for block in resample_blocks(mono, sample_rate_hz, spectra.RATE_HZ, length):
        yield block[0]


def steady_rhythm(bpm: float, duration_s: float, downbeat_s: float = 0.0, beats_per_bar: int = 4) -> Rhythm:
    """Even beats over a recording. Raises SettingsError for values out of range."""
    check("bpm", bpm, 10.0, 1000.0)
    check("downbeat", downbeat_s, -3600.0, 1e6)
    check("beats per bar", beats_per_bar, 1, 64)
    gap_s = 60.0 / bpm
    first = math.ceil(-downbeat_s / gap_s - 1e-9)
    last = math.ceil((duration_s - downbeat_s) / gap_s - 1e-9)
    beats = range(first, max(last, first))
    times = {beat: downbeat_s + beat * gap_s for beat in beats}
    return Rhythm(tuple(times.values()), tuple(t for beat, t in times.items() if beat % beats_per_bar == 0))


def read_rhythm(path: str | Path) -> Rhythm:
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
    return Rhythm(tuple(sorted(set(beats))), tuple(sorted(set(downbeats))))


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
