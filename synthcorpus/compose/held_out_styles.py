"""Two styles far from all others in composition and in sound, held out of every corpus: to fine-tune on.

"console": music of an 8-bit machine. Two pulse waves, a stepped triangle and shift-register noise; chords as
arpeggios of about 30 notes per second, no humanising. "drone": slow swells of bowed and bell-like partials on a scale
of 17 equal steps per octave, without beat or chords. data/synth_far.py makes the sounds.

Each function takes a piece's form and gives its tracks; notes are on the grid exactly, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synthcorpus.compose.form import Section
from synthcorpus.compose.harmony import Key, chord_at, scale_pitches, voicing
from synthcorpus.compose.styles import Metre

FarNote = tuple[float, float, int, int]
"""(start_s, duration_s, pitch or number of a step of the tuning, velocity 1..127)."""

NOISE_PATTERNS = (
    "k..hs..kh.k.s..h",
    "k.h.s.hkk.h.s.hs",
    "khhksh.k.hkhshss",
    "k...s..k..k.s...",
    "kkh.s.khk.hks.sh",
)
"""A bar of noise drums in sixteenths: k low, s middle, h high."""
NOISE_PITCHES = {"k": 40, "s": 62, "h": 90}
DRONE_SCALES = ((0, 3, 7, 10, 14), (0, 2, 7, 9, 12), (0, 4, 5, 10, 13), (0, 1, 6, 10, 11, 16))
"""Steps of seventeen to the octave."""
DRONE_STEPS = 17
"""Equal steps of an octave in drones."""


@dataclass(frozen=True)
class FarTrack:
    """Role (a key of data/synth_far.py's voices) and notes."""

    role: str
    notes: tuple[FarNote, ...]


def console(
    sections: tuple[Section, ...], key: Key, metre: Metre, step_s: float, rng: np.random.Generator
) -> tuple[FarTrack, ...]:
    """Arpeggio, lead, bass and noise of an 8-bit piece."""
    parts: dict[str, list[FarNote]] = {"console_arpeggio": [], "console_lead": [], "console_bass": [],
                                       "console_noise": []}  # fmt: skip
    rate = float(rng.choice((0.25, 1.0 / 3.0, 0.5)))
    for section in sections:
        source = np.random.default_rng(np.random.SeedSequence((section.seed, 77)))
        offset, steps = section.start_bar * metre.steps, section.bars * metre.steps
        drawn = {
            "console_arpeggio": _arpeggio(section, steps, rate, source),
            "console_lead": _lead(section, key, steps, source),
            "console_bass": _bass(section, steps, source),
            "console_noise": _noise(section, metre, source),
        }
        silent = {"console_lead"} if section.letter == "A" and section.variation == 0 else set()
        for role, events in drawn.items():
            if role not in silent:
                parts[role] += [((offset + at) * step_s, n * step_s, pitch, v) for at, n, pitch, v in events]
    return tuple(FarTrack(role, tuple(notes)) for role, notes in parts.items() if notes)


def _arpeggio(section: Section, steps: int, rate: float, rng: np.random.Generator) -> list[FarNote]:
    """Every chord as a fast cycle of its tones, gated in a rhythm of sixteenths."""
    gate = rng.random(16) < rng.uniform(0.6, 1.0)
    centre, octave = float(rng.uniform(62, 74)), int(rng.integers(0, 2))
    events: list[FarNote] = []
    for index in range(int(steps / rate)):
        at = index * rate
        if gate[int(at) % 16]:
            tones = voicing(chord_at(section.chords, at), centre, 3)
            tones = (*tones, tones[0] + 12) if octave else tones
            events.append((at, rate, tones[index % len(tones)], 90 if int(at) % 4 else 110))
    return events


def _lead(section: Section, key: Key, steps: int, rng: np.random.Generator) -> list[FarNote]:
    """A restless line in sixteenths: leaps of octaves, echoes of each note one eighth later and softer."""
    ladder = scale_pitches(key, 67, 96)
    place, events, at = len(ladder) // 2, [], 0.0
    phrase = [(int(rng.integers(-3, 4)), float(rng.choice((1.0, 1.0, 2.0, 3.0)))) for _ in range(12)]
    index = 0
    while at < steps:
        move, length = phrase[index % len(phrase)]
        place = int(np.clip(place + move, 0, len(ladder) - 1))
        pitch = int(ladder[place]) + (12 if rng.random() < 0.12 else 0)
        events.append((at, 0.8 * length, pitch, 110))
        if length >= 2.0:
            events.append((at + 2.0, 0.5, pitch, 44))
        at, index = at + length, index + 1
    return [event for event in events if event[0] < steps]


def _bass(section: Section, steps: int, rng: np.random.Generator) -> list[FarNote]:
    """Octaves in sixteenths or gallops on the chord's root, now and then falling as a drum would."""
    pattern = str(rng.choice(("r.o.r.o.r.o.r.o.", "r.rrr.rrr.rrr.ro", "rorororororororo", "r..r..o.r..r..o.")))
    events: list[FarNote] = []
    for step in range(steps):
        mark = pattern[step % 16]
        if mark != ".":
            root = 36 + chord_at(section.chords, step).root % 12
            events.append((float(step), 0.7, root + (12 if mark == "o" else 0), 100))
    return events


def _noise(section: Section, metre: Metre, rng: np.random.Generator) -> list[FarNote]:
    """One pattern per section; the last bar of four is shuffled."""
    pattern = str(rng.choice(NOISE_PATTERNS))
    fill = "".join(rng.permutation(list(pattern)))
    events: list[FarNote] = []
    for bar in range(section.bars):
        line = fill if bar % 4 == 3 else pattern
        for step in range(metre.steps):
            mark = line[step % 16]
            if mark in NOISE_PITCHES:
                events.append((float(bar * metre.steps + step), 0.9, NOISE_PITCHES[mark], 80 if mark == "h" else 110))
    return events


def drone(
    sections: tuple[Section, ...], key: Key, metre: Metre, step_s: float, rng: np.random.Generator
) -> tuple[FarTrack, ...]:
    """Layers of long tones that swell and overlap; chords, beats and sections play no part."""
    end_s = sum(section.bars for section in sections) * metre.steps * step_s
    scale = DRONE_SCALES[int(rng.integers(len(DRONE_SCALES)))]
    root = int(rng.integers(14, 31)) + key.tonic % 3
    layers = (
        [("drone_low", 0, 9.0)]
        + [
            ("drone_bowed", int(rng.integers(1, 4)), float(rng.uniform(4.0, 9.0)))
            for _ in range(int(rng.integers(1, 4)))
        ]
        + [
            ("drone_bell", int(rng.integers(2, 5)), float(rng.uniform(3.0, 7.0)))
            for _ in range(int(rng.integers(1, 3)))
        ]
    )
    return tuple(FarTrack(role, _layer(octave, length_s, root, scale, end_s, rng)) for role, octave, length_s in layers)


def _layer(
    octave: int, length_s: float, root: int, scale: tuple[int, ...], end_s: float, rng: np.random.Generator
) -> tuple[FarNote, ...]:
    """Tones one after the other, each overlapping the next by about a third, now and then a rest."""
    notes: list[FarNote] = []
    at_s = float(rng.uniform(0.0, 0.5 * length_s))
    while at_s < end_s:
        long_s = min(float(rng.uniform(0.8, 1.3)) * length_s, 9.5)
        step = root + DRONE_STEPS * octave + (int(rng.choice(scale)) if octave else 0)
        if rng.random() < 0.9:
            notes.append((at_s, min(long_s, end_s - at_s), step, int(rng.integers(60, 115))))
        at_s += 0.65 * long_s
    return tuple(notes)


Composer = Callable[[tuple[Section, ...], Key, Metre, float, np.random.Generator], tuple[FarTrack, ...]]
COMPOSERS: dict[str, Composer] = {"console": console, "drone": drone}
"""Style -> its composer; styles not named here are composed of parts (compose_tracks.py)."""
