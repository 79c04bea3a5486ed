"""Chord charts: bars of chords as text, `Dm7 | G7 | Cmaj7 A7`, and files of them.

    chart = bar { "|" bar }
    bar   = chord { chord }       chords share their bar evenly; % repeats the bar before, N or N.C. is no chord

Files: such a text over any number of lines (`#` begins a comment), or an annotation (.lab) with lines of START END
LABEL in seconds and Harte's syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vampnet.controls.names import NO_CHORD, ChordName, chord_of_tones, parse_chord, pitch_class
from vampnet.errors import AudioError, SettingsError
from vampnet.storage import read_text

MAX_BARS, MAX_CHORDS_PER_BAR = 1000, 16
_SILENT = ("n", "n.c.", "nc")
_HARTE_TONES = {
    "maj": "", "min": "m", "dim": "dim", "aug": "aug", "maj7": "maj7", "min7": "m7", "7": "7", "hdim7": "m7b5",
    "dim7": "dim7", "minmaj7": "mM7", "maj6": "6", "min6": "m6", "9": "9", "maj9": "maj9", "min9": "m9",
    "sus2": "sus2", "sus4": "sus4", "11": "11", "min11": "m11", "13": "13", "min13": "m9", "maj13": "maj13", "5": "5",
    "1": "5", "": "",
}  # fmt: skip
_DEGREES = {"2": 2, "b3": 3, "3": 4, "4": 5, "b5": 6, "5": 7, "#5": 8, "6": 9, "b7": 10, "7": 11, "9": 2}


@dataclass(frozen=True)
class ChordSpan:
    """A chord, or none, over a stretch of time."""

    start_s: float
    end_s: float
    chord: ChordName | None
    """None: no chord sounds."""

    @property
    def label(self) -> str:
        """Printed name, "N" for none."""
        return NO_CHORD if self.chord is None else str(self.chord)


@dataclass(frozen=True)
class ChordChart:
    """Chords bar by bar."""

    bars: tuple[tuple[ChordName | None, ...], ...]
    """Per bar its chords, which share it evenly; None is a stretch without a chord."""

    def __str__(self) -> str:
        return " | ".join(" ".join(NO_CHORD if c is None else str(c) for c in bar) for bar in self.bars)

    def spans(self, bar_s: float, n_bars: int) -> tuple[ChordSpan, ...]:
        """The chords over `n_bars` bars of `bar_s` seconds; the chart is repeated, or cut, to fill them."""
        spans: list[ChordSpan] = []
        for number in range(n_bars):
            bar = self.bars[number % len(self.bars)]
            share = bar_s / len(bar)
            for place, chord in enumerate(bar):
                start_s = number * bar_s + place * share
                spans.append(ChordSpan(start_s, start_s + share, chord))
        return merge_spans(spans)


def merge_spans(spans: list[ChordSpan]) -> tuple[ChordSpan, ...]:
    """Spans in which equal neighbours are one."""
    merged: list[ChordSpan] = []
    for span in spans:
        if merged and merged[-1].chord == span.chord and abs(merged[-1].end_s - span.start_s) < 1e-6:
            merged[-1] = ChordSpan(merged[-1].start_s, span.end_s, span.chord)
        else:
            merged.append(span)
    return tuple(merged)


def parse_chart(text: str) -> ChordChart:
    """The chords that a text spells. Raises SettingsError naming the bar and the nearest known chord."""
    plain = text.strip().strip("|").replace("||", "|").replace("\n", " ")
    if not plain.strip():
        raise SettingsError("the chord chart is empty; write bars of chords, such as 'Dm7 | G7 | Cmaj7 A7'")
    bars: list[tuple[ChordName | None, ...]] = []
    for number, part in enumerate(plain.split("|"), 1):
        names = part.replace(",", " ").split()
        if not names:
            raise SettingsError(f"chords {text!r}: bar {number} is empty; write % to repeat the bar before it")
        if names == ["%"]:
            if not bars:
                raise SettingsError(f"chords {text!r}: % repeats the bar before it, but the first bar has none")
            bars.append(bars[-1])
            continue
        if len(names) > MAX_CHORDS_PER_BAR:
            raise SettingsError(f"chords: bar {number} has {len(names)} chords, but at most {MAX_CHORDS_PER_BAR} fit")
        try:
            bars.append(tuple(None if name.lower() in _SILENT else parse_chord(name) for name in names))
        except SettingsError as error:
            raise SettingsError(f"chords, bar {number}: {error}") from None
    if len(bars) > MAX_BARS:
        raise SettingsError(f"the chord chart has {len(bars)} bars, but at most {MAX_BARS} are allowed")
    return ChordChart(tuple(bars))


def read_chart(path: str | Path) -> ChordChart:
    """A chord chart from a text file. Raises AudioError naming the file and the fault."""
    try:
        text = read_text(path, SettingsError)
        lines = [line.split("# ")[0].strip() for line in text.splitlines() if not line.lstrip().startswith("# ")]
        return parse_chart(" | ".join(line.strip("| ") for line in lines if line.strip("| ")))
    except SettingsError as error:
        raise AudioError(f"cannot read the chords in '{path}': {error}") from None


def read_chord_spans(path: str | Path) -> tuple[ChordSpan, ...]:
    """Timed chords from an annotation (.lab): START END LABEL per line. Raises AudioError naming the line."""
    spans: list[ChordSpan] = []
    lines = read_text(path, AudioError).splitlines()
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or line.lstrip().startswith("#"):
            continue
        try:
            start_s, end_s = float(fields[0]), float(fields[1])
            chord = parse_harte(fields[2])
        except (ValueError, IndexError):
            raise AudioError(f"'{path}', line {number} is {line.strip()!r}; write START END LABEL") from None
        except SettingsError as error:
            raise AudioError(f"'{path}', line {number}: {error}") from None
        if not 0 <= start_s < end_s < 1e7:
            raise AudioError(f"'{path}', line {number}: {start_s:g} to {end_s:g} s is not a stretch of time")
        spans.append(ChordSpan(start_s, end_s, chord))
    if not spans:
        raise AudioError(f"cannot read the chords in '{path}': it has none")
    return merge_spans(spans)


def parse_harte(label: str) -> ChordName | None:
    """The chord of a label in Harte's syntax, such as "D:min7/b3"; None for "N" and "X"."""
    if label.upper() in ("N", "X"):
        return None
    found = re.fullmatch(r"([A-G][#b]?)(?::([a-z0-9]*)(?:\([^)]*\))?)?(?:/([#b]?\d+))?", label)
    if found is None or (found[2] or "") not in _HARTE_TONES:
        return parse_chord(label)
    chord = parse_chord(found[1] + _HARTE_TONES[found[2] or ""])
    if found[3] is None or found[3] not in _DEGREES:
        return chord
    return chord_of_tones(chord.root, chord.intervals, (pitch_class(found[1]) + _DEGREES[found[3]]) % 12)
