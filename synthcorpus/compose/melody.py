"""Melodies from motifs: a short rhythm with a contour, repeated, sequenced and answered over a section's chords."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthcorpus.compose.drums import Event
from synthcorpus.compose.harmony import Chord, Key, chord_at, scale_pitches
from synthcorpus.compose.styles import Metre

_FORMS = ("aaba", "abac", "aabb", "abab", "aaab", "abcb", "a.a.", "ab..", "aab.")
"""Motif of each unit of a phrase; a full stop is a rest."""

_CELLS = (
    (4,),
    (2, 2),
    (3, 1),
    (1, 1, 2),
    (2, 1, 1),
    (6, 2),
    (8,),
    (1, 3),
    (3, 3, 2),
    (1, 1, 1, 1),
    (2, 4, 2),
    (4, 2, 2),
)
"""Rhythmic cells in sixteenths."""


@dataclass(frozen=True)
class Motif:
    """Onsets in sixteenths from the unit's start, lengths, and moves in scale steps from the first note."""

    onsets: tuple[float, ...]
    lengths: tuple[float, ...]
    moves: tuple[int, ...]


def draw_motif(steps: int, density: float, rng: np.random.Generator) -> Motif:
    """A motif that fills `steps` sixteenths. Density 0..1 prefers short cells; a leap is followed by a step back."""
    onsets: list[float] = []
    lengths: list[float] = []
    position = float(rng.choice((0, 0, 0, 2, 4))) if steps > 8 else 0.0
    while position < steps:
        cell = _CELLS[rng.integers(len(_CELLS))]
        if sum(cell) / len(cell) > 2.5 and rng.random() < density:
            continue
        for length in cell:
            if position >= steps:
                break
            if rng.random() > 0.12:
                onsets.append(position)
                lengths.append(min(float(length), steps - position))
            position += length
    if not onsets:
        onsets, lengths = [0.0], [float(steps)]
    return Motif(tuple(onsets), tuple(lengths), _contour(len(onsets), rng))


def _contour(count: int, rng: np.random.Generator) -> tuple[int, ...]:
    moves = [0]
    direction = int(rng.choice((-1, 1)))
    leap = 0
    for _ in range(count - 1):
        if abs(leap) > 2:
            step = -int(np.sign(leap))
        else:
            step = direction * int(rng.choice((0, 1, 1, 1, 1, 2, 2, 3, 4)))
        if rng.random() < 0.3:
            direction = -direction
        leap = step
        moves.append(moves[-1] + step)
    return tuple(moves)


def vary(motif: Motif, rng: np.random.Generator) -> Motif:
    """A close relative: another ending, an inversion, or fewer notes."""
    draw = rng.random()
    if draw < 0.5 and len(motif.moves) > 2:
        cut = len(motif.moves) - max(1, len(motif.moves) // 3)
        tail = [motif.moves[cut - 1] + int(rng.integers(-2, 3)) for _ in motif.moves[cut:]]
        return Motif(motif.onsets, motif.lengths, (*motif.moves[:cut], *tail))
    if draw < 0.7:
        return Motif(motif.onsets, motif.lengths, tuple(-move for move in motif.moves))
    keep = [index for index in range(len(motif.onsets)) if index == 0 or rng.random() < 0.7]
    return Motif(
        tuple(motif.onsets[index] for index in keep),
        tuple(motif.lengths[index] for index in keep),
        tuple(motif.moves[index] for index in keep),
    )


def melody_part(
    chords: tuple[Chord, ...], key: Key, metre: Metre, bars: int, centre: float, rng: np.random.Generator
) -> list[Event]:
    """A melody over a section. The register is an octave and a half around `centre`."""
    unit_bars = int(rng.choice((1, 1, 2))) if bars % 2 == 0 else 1
    unit = unit_bars * metre.steps
    density = float(rng.uniform(0.0, 1.0))
    motifs = {"a": draw_motif(unit, density, rng), "b": draw_motif(unit, density, rng)}
    motifs["c"] = vary(motifs["a"], rng)
    form = str(rng.choice(_FORMS))
    ladder = scale_pitches(key, int(centre) - 10, int(centre) + 12)
    legato = float(rng.choice((0.55, 0.9, 1.0)))
    events: list[Event] = []
    anchor = len(ladder) // 2
    for index in range(max(1, bars // unit_bars)):
        name = form[index % len(form)]
        if name == ".":
            continue
        motif = motifs[name] if index < 4 or rng.random() < 0.6 else vary(motifs[name], rng)
        anchor = int(np.clip(anchor + rng.integers(-2, 3), len(ladder) // 4, 3 * len(ladder) // 4))
        final = index % 4 == 3
        events += _place(motif, index * unit, chords, ladder, anchor, legato, final)
    return events


def _place(
    motif: Motif, offset: int, chords: tuple[Chord, ...], ladder: np.ndarray, anchor: int, legato: float, final: bool
) -> list[Event]:
    """Notes of one motif: long and strong notes are moved to the nearest chord tone, the rest stays in the scale."""
    events: list[Event] = []
    count = len(motif.onsets)
    for index, (onset, length, move) in enumerate(zip(motif.onsets, motif.lengths, motif.moves, strict=True)):
        degree = min(max(anchor + move, 0), len(ladder) - 1)
        pitch = int(ladder[degree])
        strong = onset % 4 == 0 or length >= 4 or index == count - 1
        if strong:
            classes = chord_at(chords, offset + onset).pitch_classes
            pitch = min(
                (tone for tone in range(pitch - 6, pitch + 7) if tone % 12 in classes),
                key=lambda tone, goal=pitch: (abs(tone - goal), tone),
            )
        if final and index == count - 1:
            length = max(length, 6.0)
        velocity = 84.0 + 14.0 * np.sin(np.pi * (index + 1) / (count + 1)) + (6.0 if strong else 0.0)
        events.append((offset + onset, length * legato, pitch, float(velocity)))
    return events


def counter_part(
    chords: tuple[Chord, ...], key: Key, metre: Metre, bars: int, centre: float, rng: np.random.Generator
) -> list[Event]:
    """A slow second voice: chord tones two to the bar, moving to the nearest tone, with scale notes in passing."""
    ladder = scale_pitches(key, int(centre) - 9, int(centre) + 9)
    pitch = int(ladder[len(ladder) // 2])
    events: list[Event] = []
    half = metre.steps / 2.0
    pattern = rng.random(4) < 0.75
    for index in range(bars * 2):
        at = index * half
        if not pattern[index % 4]:
            continue
        classes = chord_at(chords, at).pitch_classes
        options = [
            tone
            for tone in range(pitch - 7, pitch + 8)
            if tone % 12 in classes and abs(tone - centre) < 10 and tone != pitch
        ]
        pitch = int(min(options, key=lambda tone: abs(tone - pitch) + rng.random() * 3)) if options else pitch
        events.append((at, half * 0.95, pitch, 74.0))
    return events
