"""Instruments by the names that musicians use: General MIDI program, roles in a band, and kind of synthesis."""

from __future__ import annotations

from dataclasses import dataclass

from synthcorpus.compose.style_table import STYLES

STYLE_NAMES: tuple[str, ...] = tuple(style.name for style in STYLES if style.name not in ("console", "drone"))
"""Styles that can be asked for: those whose bands are made of named instruments."""


@dataclass(frozen=True)
class Instrument:
    """An instrument of a sketch."""

    program: int
    """General MIDI program, or drum kit, 0 to 127."""
    roles: tuple[str, ...]
    """Roles of the composer that it can play, the usual one first."""
    voice: str = ""
    """Kind of synthesis that stands for it: pluck, fm, additive or subtractive; empty for drums."""


_CHORDS, _LEAD, _BASS = ("chords", "melody"), ("melody", "counter"), ("bass",)
_PLUCK, _FM, _ADD, _SUB = "pluck", "fm", "additive", "subtractive"

INSTRUMENTS: dict[str, Instrument] = {
    "drums": Instrument(0, ("drums",)),
    "electronic drums": Instrument(24, ("drums",)),
    "jazz drums": Instrument(32, ("drums",)),
    "percussion": Instrument(0, ("percussion",)),
    "bass": Instrument(33, _BASS, _SUB),
    "electric bass": Instrument(33, _BASS, _PLUCK),
    "fretless bass": Instrument(35, _BASS, _FM),
    "slap bass": Instrument(36, _BASS, _PLUCK),
    "synth bass": Instrument(38, _BASS, _SUB),
    "upright bass": Instrument(32, _BASS, _PLUCK),
    "tuba": Instrument(58, _BASS, _SUB),
    "piano": Instrument(0, _CHORDS, _FM),
    "electric piano": Instrument(4, _CHORDS, _FM),
    "harpsichord": Instrument(6, _CHORDS, _PLUCK),
    "clavinet": Instrument(7, _CHORDS, _PLUCK),
    "organ": Instrument(16, ("chords", "pad", "melody"), _ADD),
    "accordion": Instrument(21, _CHORDS, _ADD),
    "acoustic guitar": Instrument(25, ("chords", "arpeggio", "melody"), _PLUCK),
    "electric guitar": Instrument(27, _CHORDS, _PLUCK),
    "distorted guitar": Instrument(30, _CHORDS, _SUB),
    "lead guitar": Instrument(29, _LEAD, _SUB),
    "banjo": Instrument(105, ("arpeggio", "chords"), _PLUCK),
    "harp": Instrument(46, ("arpeggio", "chords"), _PLUCK),
    "marimba": Instrument(12, ("arpeggio", "melody"), _FM),
    "vibraphone": Instrument(11, ("melody", "chords"), _FM),
    "music box": Instrument(10, ("arpeggio", "melody"), _FM),
    "bells": Instrument(14, ("arpeggio", "melody"), _FM),
    "strings": Instrument(48, ("pad", "melody"), _SUB),
    "violin": Instrument(40, _LEAD, _SUB),
    "cello": Instrument(42, ("counter", "melody"), _SUB),
    "choir": Instrument(52, ("pad", "melody"), _ADD),
    "brass": Instrument(61, ("stabs", "melody"), _SUB),
    "trumpet": Instrument(56, _LEAD, _SUB),
    "trombone": Instrument(57, _LEAD, _SUB),
    "horn": Instrument(60, ("counter", "melody"), _SUB),
    "saxophone": Instrument(66, _LEAD, _SUB),
    "clarinet": Instrument(71, _LEAD, _ADD),
    "oboe": Instrument(68, _LEAD, _ADD),
    "flute": Instrument(73, _LEAD, _ADD),
    "whistle": Instrument(78, _LEAD, _ADD),
    "harmonica": Instrument(22, _LEAD, _ADD),
    "synth lead": Instrument(81, _LEAD, _SUB),
    "synth pad": Instrument(89, ("pad",), _SUB),
    "synth arpeggio": Instrument(81, ("arpeggio",), _SUB),
}
"""Every instrument that words may name. A bare family name stands for its usual member."""

INSTRUMENTS |= {
    "double bass": INSTRUMENTS["upright bass"],
    "guitar": INSTRUMENTS["electric guitar"],
    "keys": INSTRUMENTS["electric piano"],
    "rhodes": INSTRUMENTS["electric piano"],
    "sax": INSTRUMENTS["saxophone"],
    "vibes": INSTRUMENTS["vibraphone"],
    "pad": INSTRUMENTS["synth pad"],
    "synth": INSTRUMENTS["synth lead"],
    "violins": INSTRUMENTS["strings"],
    "voice": INSTRUMENTS["choir"],
    "kit": INSTRUMENTS["drums"],
}
