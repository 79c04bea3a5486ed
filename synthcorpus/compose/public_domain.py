"""Tunes in the public domain, written down from the music itself (no edition was copied), for the composer to play.

Notes are `pitch:sixteenths` (four when left out), bars are divided by `|`; chords are one per bar, or several divided
by `/` that share the bar evenly. All composers died more than 100 years ago.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOTE = re.compile(r"([A-G])([#b]?)(\d)(?::(\d+))?")
_CHORD = re.compile(r"([A-G])([#b]?)(m?)")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SIGNS = {"": 0, "#": 1, "b": -1}


@dataclass(frozen=True)
class Score:
    """A tune with its chords."""

    title: str
    composer: str
    metre: str
    tonic: int
    """Pitch class of the key, 0 is C."""
    tempo_bpm: tuple[int, int]
    melody: str
    chords: str

    def bars(self) -> list[list[tuple[float, float, int]]]:
        """Notes of each bar: start and length in sixteenths, MIDI pitch."""
        bars = []
        for text in self.melody.split("|"):
            place, bar = 0.0, []
            for letter, sign, octave, length in _NOTE.findall(text):
                steps = float(length or 4)
                bar.append((place, steps, 12 * (int(octave) + 1) + _STEPS[letter] + _SIGNS[sign]))
                place += steps
            bars.append(bar)
        return bars

    def harmony(self) -> list[list[tuple[int, bool]]]:
        """Chords of each bar: root as a pitch class, and whether it is minor."""
        return [
            [((_STEPS[n] + _SIGNS[sign]) % 12, minor == "m") for n, sign, minor in _CHORD.findall(text)]
            for text in self.chords.split("|")
        ]


SCORES: tuple[Score, ...] = (
    Score(
        "Ode to Joy", "Ludwig van Beethoven, 1824", "4/4", 2, (96, 138),
        "F#4 F#4 G4 A4|A4 G4 F#4 E4|D4 D4 E4 F#4|F#4:6 E4:2 E4:8|"
        "F#4 F#4 G4 A4|A4 G4 F#4 E4|D4 D4 E4 F#4|E4:6 D4:2 D4:8",
        "D|A|D|D/A|D|A|D|A/D",
    ),
    Score(
        "Minuet in G", "Christian Petzold, 1725", "3/4", 7, (104, 144),
        "D5 G4:2 A4:2 B4:2 C5:2|D5 G4 G4|E5 C5:2 D5:2 E5:2 F#5:2|G5 G4 G4|C5 D5:2 C5:2 B4:2 A4:2|"
        "B4 C5:2 B4:2 A4:2 G4:2|"
        "F#4 G4:2 A4:2 B4:2 G4:2|A4:12|D5 G4:2 A4:2 B4:2 C5:2|D5 G4 G4|E5 C5:2 D5:2 E5:2 F#5:2|G5 G4 G4|"
        "C5 D5:2 C5:2 B4:2 A4:2|B4 C5:2 B4:2 A4:2 G4:2|A4 B4:2 A4:2 G4:2 F#4:2|G4:12",
        "G|G|C|G|Am|G|D|D|G|G|C|G|Am|G|D|G",
    ),
    Score(
        "Ah! vous dirai-je, maman", "traditional, 1761", "4/4", 0, (88, 132),
        "C4 C4 G4 G4|A4 A4 G4:8|F4 F4 E4 E4|D4 D4 C4:8|G4 G4 F4 F4|E4 E4 D4:8|G4 G4 F4 F4|E4 E4 D4:8|"
        "C4 C4 G4 G4|A4 A4 G4:8|F4 F4 E4 E4|D4 D4 C4:8",
        "C|F/C|F/C|G/C|C/F|C/G|C/F|C/G|C|F/C|F/C|G/C",
    ),
    Score(
        "Frère Jacques", "traditional, 18th century", "4/4", 0, (92, 140),
        "C4 D4 E4 C4|C4 D4 E4 C4|E4 F4 G4:8|E4 F4 G4:8|G4:2 A4:2 G4:2 F4:2 E4 C4|G4:2 A4:2 G4:2 F4:2 E4 C4|"
        "C4 G3 C4:8|C4 G3 C4:8",
        "C/G/C/C|C/G/C/C|C|C|C|C|C/G/C/C|C/G/C/C",
    ),
    Score(
        "Largo, From the New World", "Antonín Dvořák, 1893", "4/4", 0, (60, 84),
        "E4:6 G4:2 G4:8|E4:6 D4:2 C4:8|D4 E4 G4 E4|D4:16|E4:6 G4:2 G4:8|E4:6 D4:2 C4:8|D4 E4 D4:6 C4:2|C4:16",
        "C|C|F/C|G|C|C|F/G|C",
    ),
)  # fmt: skip
"""All tunes."""
