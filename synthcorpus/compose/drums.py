"""Drum parts: grooves fitted to a metre, with ghosts, fills, crashes and variation. Events are in sixteenths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthcorpus.compose.grooves import CRASH, FILLS, GROOVES, HAT, KICK, OPEN, PERCUSSION, RIDE, SNARE, TOMS, Groove
from synthcorpus.compose.styles import Metre

Event = tuple[float, float, int, float]
"""(start, length) in sixteenths from the section's start, pitch, velocity 1..127."""

_VELOCITY = {"X": 112.0, "x": 88.0, "o": 84.0, "g": 44.0}


@dataclass(frozen=True)
class DrumPart:
    """The drummer's material for one section."""

    groove: Groove
    fill: str
    fill_every: int
    """Bars between fills; 0 for none."""
    crash: bool
    """A cymbal on the section's first beat."""


def fit(pattern: str, steps: int) -> str:
    """A bar's pattern cut, or extended by its second half, to `steps` characters."""
    while len(pattern) < steps:
        pattern += pattern[len(pattern) // 2 :] or "."
    return pattern[:steps]


def draw_part(names: tuple[str, ...], metre: Metre, rng: np.random.Generator) -> DrumPart:
    """Choose a groove among the style's, then alter it a little so that no two pieces share one exactly."""
    if metre.name == "6/8":
        names = ("six_eight",)
    elif metre.name == "3/4" and rng.random() < 0.5:
        names = ("waltz",)
    variants = GROOVES[names[rng.integers(len(names))]]
    groove = {pitch: fit(line, metre.steps) for pitch, line in variants[rng.integers(len(variants))].items()}
    if rng.random() < 0.4 and HAT in groove and RIDE not in groove:
        groove[RIDE if rng.random() < 0.5 else HAT] = groove.pop(HAT)
    if rng.random() < 0.35:
        groove[KICK] = _sprinkle(groove.get(KICK, "." * metre.steps), "x", rng)
    if rng.random() < 0.35 and SNARE in groove:
        groove[SNARE] = _sprinkle(groove[SNARE], "g", rng)
    if rng.random() < 0.15:
        groove[SNARE if rng.random() < 0.5 else 54] = groove.get(SNARE, fit("....X.......X...", metre.steps))
    fill = fit(FILLS[rng.integers(len(FILLS))][::-1], metre.steps)[::-1]
    return DrumPart(groove, fill, int(rng.choice((0, 2, 4, 4, 8))), bool(rng.random() < 0.6))


def _sprinkle(line: str, mark: str, rng: np.random.Generator) -> str:
    """Put one to two more notes on rests of a line."""
    marks = list(line)
    for position in rng.integers(0, len(marks), size=rng.integers(1, 3)):
        if marks[position] == ".":
            marks[position] = mark
    return "".join(marks)


def render_part(part: DrumPart, metre: Metre, bars: int, energy: float, rng: np.random.Generator) -> list[Event]:
    """All drum events of a section. Below half energy the groove thins out to cymbals and kick."""
    events: list[Event] = []
    for bar in range(bars):
        last = bar == bars - 1
        fill = (part.fill_every and (bar + 1) % part.fill_every == 0) or (last and rng.random() < 0.5)
        start_fill = metre.steps
        if fill:
            start_fill = metre.steps - int(rng.choice((metre.steps, metre.steps // 2, 4, 4)))
            events += _fill(part.fill, bar * metre.steps, start_fill)
        events += _bar(part.groove, bar * metre.steps, start_fill, energy, rng)
    if part.crash and energy > 0.5:
        events.append((0.0, 4.0, CRASH if rng.random() < 0.7 else 57, 104.0))
    return events


def _bar(groove: Groove, offset: int, end: int, energy: float, rng: np.random.Generator) -> list[Event]:
    events: list[Event] = []
    for pitch, line in groove.items():
        if energy < 0.4 and pitch not in (KICK, HAT, RIDE, OPEN) and len(groove) > 1:
            continue
        for step, mark in enumerate(line[:end]):
            if mark == "." or (mark == "o" and rng.random() < 0.5):
                continue
            if pitch == HAT and OPEN in groove and step < len(groove[OPEN]) and groove[OPEN][step] != ".":
                continue
            events.append((float(offset + step), 0.9, pitch, _VELOCITY[mark] * (0.7 + 0.35 * energy)))
    return events


def _fill(fill: str, offset: int, begin: int) -> list[Event]:
    pitches = {"s": SNARE, "k": KICK, "t": TOMS[1], "T": TOMS[2], "L": TOMS[5]}
    return [
        (float(offset + step), 0.9, pitches[mark], 80.0 + 24.0 * (step / len(fill)))
        for step, mark in enumerate(fill)
        if step >= begin and mark in pitches
    ]


def draw_percussion(metre: Metre, rng: np.random.Generator) -> Groove:
    """One or two hand percussion patterns together."""
    groove: Groove = {}
    for index in rng.integers(0, len(PERCUSSION), size=rng.integers(1, 3)):
        groove.update({pitch: fit(line, metre.steps) for pitch, line in PERCUSSION[index].items()})
    return groove


def render_percussion(groove: Groove, metre: Metre, bars: int, rng: np.random.Generator) -> list[Event]:
    """Hand percussion over a whole section."""
    return [event for bar in range(bars) for event in _bar(groove, bar * metre.steps, metre.steps, 0.8, rng)]


def tuned_percussion(metre: Metre, bars: int, pitches: tuple[int, ...], rng: np.random.Generator) -> list[Event]:
    """A pitched percussion instrument on a rhythm of the hand percussion table, on a few pitches of the key."""
    rhythm = draw_percussion(metre, rng)
    line = next(iter(rhythm.values()))
    tones = rng.integers(0, len(pitches), size=metre.steps)
    return [
        (float(bar * metre.steps + step), 1.5, int(pitches[tones[step]]), _VELOCITY[mark] * 0.9)
        for bar in range(bars)
        for step, mark in enumerate(line)
        if mark in "Xxg"
    ]
