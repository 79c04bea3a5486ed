"""Song forms: which sections follow each other, with which chords, how loud, and who is silent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthcorpus.compose.harmony import Chord, Key, progression
from synthcorpus.compose.styles import Metre, Style

_FORMS = ("AABA", "ABAB", "AAB", "AABB", "ABAC", "iABAB", "iAABA", "iAB", "ABCB", "AAAA", "ABA", "iABACB", "iAABBo")
"""i intro, o outro, A verse, B chorus, C bridge; intro and outro use the verse's material."""


@dataclass(frozen=True)
class Section:
    """A stretch of bars with one material. `letter` names the material: equal letters sound alike."""

    name: str
    letter: str
    start_bar: int
    bars: int
    chords: tuple[Chord, ...]
    energy: float
    """0..1: how hard and how densely the band plays."""
    roles_out: tuple[str, ...]
    """Roles that are silent here."""
    seed: int
    """Seed of the letter's patterns."""
    variation: int
    """0 at the letter's first appearance, then counting up."""


def draw_form(style: Style, key: Key, metre: Metre, bars: int, rng: np.random.Generator) -> tuple[Section, ...]:
    """Sections that fill exactly `bars` bars; the last one may be cut."""
    form = str(rng.choice(_FORMS))
    length = int(rng.choice(style.sections))
    sevenths = bool(rng.random() < style.sevenths)
    seeds = {letter: int(rng.integers(2**31)) for letter in "ABC"}
    chords = {letter: progression(key, style.loops, length, metre.steps, sevenths, rng) for letter in "ABC"}
    if rng.random() < 0.3:
        chords["B"] = chords["A"]
    energy = {
        "i": 0.45,
        "o": 0.5,
        "A": float(rng.uniform(0.6, 0.85)),
        "B": float(rng.uniform(0.8, 1.0)),
        "C": float(rng.uniform(0.35, 0.9)),
    }
    names = {"i": "intro", "o": "outro", "A": "A", "B": "B", "C": "bridge"}
    sections: list[Section] = []
    seen: dict[str, int] = {}
    start, place = 0, 0
    while start < bars:
        mark = form[place % len(form)]
        place += 1
        if place > len(form) and mark == "i":
            continue
        letter = mark if mark in "ABC" else "A"
        count = min(length if mark in "ABC" else max(2, length // 2), bars - start)
        out = _silent(mark, seen.get(letter, 0), style, rng)
        sections.append(
            Section(
                names[mark], letter, start, count, chords[letter], energy[mark], out, seeds[letter], seen.get(letter, 0)
            )
        )
        seen[letter] = seen.get(letter, 0) + 1
        start += count
    return tuple(sections)


def _silent(mark: str, seen: int, style: Style, rng: np.random.Generator) -> tuple[str, ...]:
    """Silent parts: the lead in intros, one or two accompanists in first verses, seldom any in a chorus."""
    band = sum(chance > 0.5 for chance in style.roles.values())
    if band < 3:
        return ()
    out = [role for role in ("pad", "counter", "arpeggio", "stabs", "percussion", "effects") if rng.random() < 0.3]
    if mark in "io":
        out += ["melody", "counter"]
        out += [role for role in ("drums", "bass", "chords") if rng.random() < 0.3]
    elif mark == "A" and seen == 0:
        out += [role for role in ("drums", "counter", "pad") if rng.random() < 0.15]
    elif mark == "C" and rng.random() < 0.4:
        out.append(str(rng.choice(("drums", "bass", "chords", "melody"))))
    if {"bass", "chords", "drums", "melody"} <= set(out):
        out.remove("chords")
    return tuple(sorted(set(out)))
