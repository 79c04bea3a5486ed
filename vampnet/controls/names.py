"""Names of keys, metres and chords as musicians write them, read and printed in one normal form.

Pitch classes are 0 to 11, 0 is C. Chord qualities are those of pychord ("m7b5", "7sus4", "maj7" ...); signs of lead
sheets (a triangle, a circle, a dash for minor) are understood too.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from vampnet.errors import SettingsError

TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
"""Names of the twelve pitch classes as they are printed."""
MODES = ("major", "minor", "dorian", "mixolydian", "lydian", "phrygian", "harmonic minor", "blues")
METRES = ("4/4", "3/4", "6/8", "5/4", "7/8")
"""Time signatures that words may ask for."""
NO_CHORD = "N"
"""Label of a stretch without a chord."""

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_KEY = re.compile(r"\s*([A-Ga-g])\s*(#|b(?!lues)|sharp|flat)?\s*[- ]?\s*(.*?)\s*$")
_MODE_NAMES = {"": "major", "maj": "major", "m": "minor", "min": "minor", "aeolian": "minor", "ionian": "major"}
_GERMAN_KEY = re.compile(r"\s*([a-h](?:is|es|s)?)\s*[- ]?\s*(dur|moll)\s*$", re.IGNORECASE)
_GERMAN = {
    "c": 0, "cis": 1, "des": 1, "d": 2, "dis": 3, "es": 3, "e": 4, "f": 5, "fis": 6, "ges": 6, "g": 7, "gis": 8,
    "as": 8, "a": 9, "ais": 10, "b": 10, "h": 11, "ces": 11,
}  # fmt: skip
"""Tonics as German names them, where B is B flat and H is B."""
_CHORD = re.compile(r"([A-G](?:##|bb|#|b)?)(.*?)(?:/([A-G](?:##|bb|#|b)?))?$")
_SHEET_SIGNS = (
    ("♭", "b"), ("♯", "#"), ("△", "Δ"), ("^", "Δ"), ("Δ9", "maj9"), ("Δ11", "maj11"), ("Δ13", "maj13"), ("Δ7", "maj7"),
    ("Δ", "maj7"), ("ø7", "m7b5"), ("ø", "m7b5"), ("°7", "dim7"), ("°", "dim"), ("o7", "dim7"),
)  # fmt: skip
_QUALITIES = {
    "6/9": "69", "m6/9": "m69", "+": "aug", "+7": "7#5", "7+": "7#5", "aug7": "7#5", "o": "dim", "j7": "maj7",
    "7M": "maj7", "m/maj7": "mM7", "mMaj7": "mM7", "m/M7": "mM7", "add2": "add9", "madd2": "madd9", "no3": "5",
    "omit3": "5", "h7": "m7b5", "h": "m7b5", "7alt": "7b9#5", "alt": "7b9#5",
}  # fmt: skip
"""Qualities that lead sheets have, as pychord spells them."""
_HARTE = {
    (0, 4, 7): "maj", (0, 3, 7): "min", (0, 3, 6): "dim", (0, 4, 8): "aug", (0, 4, 7, 10): "7", (0, 4, 7, 11): "maj7",
    (0, 3, 7, 10): "min7", (0, 3, 6, 10): "hdim7", (0, 3, 6, 9): "dim7", (0, 3, 7, 11): "minmaj7", (0, 2, 7): "sus2",
    (0, 5, 7): "sus4", (0, 4, 7, 9): "maj6", (0, 3, 7, 9): "min6", (0, 7): "5",
}  # fmt: skip
"""Chords that Harte's syntax (mir_eval) has a short name for."""
_PRINTED = {
    (0, 4, 7): "", (0, 3, 7): "m", (0, 3, 6): "dim", (0, 4, 8): "aug", (0, 4, 7, 10): "7", (0, 4, 7, 11): "maj7",
    (0, 3, 7, 10): "m7", (0, 3, 6, 10): "m7b5", (0, 3, 6, 9): "dim7", (0, 3, 7, 11): "mM7", (0, 2, 7): "sus2",
    (0, 5, 7): "sus4", (0, 4, 7, 9): "6", (0, 3, 7, 9): "m6", (0, 7): "5", (0, 5, 7, 10): "7sus4",
    (0, 4, 7, 14): "add9", (0, 3, 7, 14): "madd9", (0, 4, 7, 10, 14): "9", (0, 4, 7, 11, 14): "maj9",
    (0, 3, 7, 10, 14): "m9",
}  # fmt: skip


@dataclass(frozen=True)
class ChordName:
    """A chord: root, tones and, for slash chords, the bass."""

    root: int
    """Pitch class of the root, 0 to 11."""
    intervals: tuple[int, ...]
    """Semitones above the root, 0 included."""
    quality: str = ""
    """Name of the tones as printed after the root."""
    bass: int | None = None
    """Pitch class of the bass where it is not the root."""

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Pitch classes of all tones, root first."""
        return tuple((self.root + interval) % 12 for interval in self.intervals)

    @property
    def harte(self) -> str:
        """Label in Harte's syntax, for mir_eval; tones it has no name for are reduced to the nearest that it has."""
        if self.intervals in _HARTE:
            return f"{TONICS[self.root]}:{_HARTE[self.intervals]}"
        within = {interval % 12 for interval in self.intervals}
        for tones in sorted(_HARTE, key=len, reverse=True):
            if set(tones) <= within:
                return f"{TONICS[self.root]}:{_HARTE[tones]}"
        return f"{TONICS[self.root]}:maj" if 4 in within else f"{TONICS[self.root]}:min"

    def transpose(self, semitones: int) -> ChordName:
        """The chord moved by semitones, any whole number."""
        bass = None if self.bass is None else (self.bass + semitones) % 12
        return ChordName((self.root + semitones) % 12, self.intervals, self.quality, bass)

    def __str__(self) -> str:
        slash = "" if self.bass is None else f"/{TONICS[self.bass]}"
        return f"{TONICS[self.root]}{self.quality}{slash}"


def suggest(name: str, known: Iterable[str], shown: int = 8) -> str:
    """The end of an error message: the nearest known name, or some of them where none is near."""
    names = list(known)
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], 1, 0.5)
    if close:
        return f"did you mean {next(n for n in names if n.lower() == close[0])}?"
    more = ", ..." if len(names) > shown else ""
    return f"known are {', '.join(names[:shown])}{more}"


def chord_of_tones(root: int, intervals: tuple[int, ...], bass: int | None = None) -> ChordName:
    """A chord from its tones; the name is the nearest that is known, so that text and tones may differ in the tones
    above the seventh."""
    if intervals in _PRINTED:
        return ChordName(root % 12, intervals, _PRINTED[intervals], bass)
    within = {interval % 12 for interval in intervals}
    best = max(_PRINTED, key=lambda tones: (len(within & {t % 12 for t in tones}) * 2 - len(tones), -len(tones)))
    return ChordName(root % 12, intervals, _PRINTED[best], bass)


@functools.lru_cache(maxsize=4096)
def parse_chord(text: str) -> ChordName:
    """The chord that a name such as "F#m7b5" or "C/E" spells.

    Raises SettingsError that names the nearest known chord.
    """
    import pychord

    plain = text.strip()
    for sign, spelled in _SHEET_SIGNS:
        plain = plain.replace(sign, spelled)
    found = _CHORD.match(plain)
    if plain[:1] in ("H", "h"):
        raise SettingsError(f"chord {text!r}: H is the German name of B; write B{plain[1:]}")
    if found is None:
        raise SettingsError(f"chord {text!r} has no root; {_nearest_chord(plain)}")
    root, quality, bass = found.groups()
    quality = _plain_quality(quality)
    try:
        if quality not in _known_qualities():  # pychord would take a leading # for the root's, and a slash for a bass
            raise ValueError
        tones = tuple(int(t) for t in pychord.Chord(f"C{quality}").quality.components)
    except (ValueError, AttributeError):
        raise SettingsError(f"chord {text!r} is unknown; {_nearest_chord(plain)}") from None
    quality = _PRINTED.get(tones, quality)
    number = pitch_class(root)
    slash = None if bass is None or pitch_class(bass) == number else pitch_class(bass)
    return ChordName(number, tones, quality, slash)


def _plain_quality(quality: str) -> str:
    """A quality as pychord spells it."""
    quality = re.sub(r"^(?:minor|min|mi|-)(?!or)", "m", quality)
    quality = re.sub(r"^(?:major|Maj|ma)(?![j])", "maj", quality)
    if quality.startswith(("m(maj", "mmaj")):
        return "mM7"
    quality = "" if quality == "maj" else quality
    bare = quality.replace("(", "").replace(")", "").replace(",", "")
    if quality not in _known_qualities() and (bare in _known_qualities() or bare in _QUALITIES):
        quality = bare
    return _QUALITIES.get(quality, quality)


@functools.cache
def _known_qualities() -> frozenset[str]:
    from pychord.constants.qualities import DEFAULT_QUALITIES

    return frozenset(name for name, _ in DEFAULT_QUALITIES)


def _nearest_chord(plain: str) -> str:
    from pychord.constants.qualities import DEFAULT_QUALITIES

    root = plain[:1].upper() if plain[:1].upper() in _LETTERS else "C"
    root += plain[1:2] if plain[1:2] in ("#", "b") else ""
    names = [f"{root}{quality[0]}" for quality in DEFAULT_QUALITIES if quality[0] != "-"]
    close = difflib.get_close_matches(plain, names, 1, 0.4)
    return f"did you mean {close[0]}?" if close else "write for instance Dm7, G7, Cmaj7, F#m7b5 or C/E"


def pitch_class(name: str) -> int:
    """Pitch class 0 to 11 of a note name such as "Eb" or "F#". Raises SettingsError."""
    letter, sign = name[:1].upper(), name[1:]
    if letter not in _LETTERS or sign not in ("", "#", "b", "##", "bb"):
        raise SettingsError(f"note {name!r} is unknown; write a letter A to G with # or b, such as F# or Bb")
    return (_LETTERS[letter] + {"": 0, "#": 1, "b": -1, "##": 2, "bb": -2}[sign]) % 12


def parse_key(text: str) -> tuple[int, str]:
    """Tonic (0 to 11) and mode of a key such as "D minor", "F# dorian", "Bbm" or, in German, "h-moll".

    Raises SettingsError that names the nearest known mode.
    """
    german = _GERMAN_KEY.match(text)
    if german is not None and german[1].lower() in _GERMAN:
        return _GERMAN[german[1].lower()], "minor" if german[2].lower() == "moll" else "major"
    if text.strip()[:1] in ("H", "h"):
        raise SettingsError(f"key {text!r}: H is the German name of B; write 'B minor', 'B major' or 'h-moll'")
    found = _KEY.match(text.replace("♭", "b").replace("♯", "#").replace("_", " "))
    if found is None:
        raise SettingsError(f"key {text!r} has no tonic; write a letter A to G and a mode, such as 'D minor'")
    letter, sign, mode = found.groups()
    if not mode and letter.islower():
        name = f"{letter.upper()}{sign or ''}"
        raise SettingsError(f"key {text!r} may mean {name} major or {name} minor; write '{name} major' or '{name}m'")
    mode = mode if mode == "M" else mode.lower()
    mode = "major" if mode == "M" else _MODE_NAMES.get(mode.rstrip("."), mode)
    if mode not in MODES:
        raise SettingsError(f"key {text!r}: mode {mode!r} is unknown; {suggest(mode, MODES)}")
    return pitch_class(letter + {None: "", "sharp": "#", "flat": "b"}.get(sign, sign or "")), mode


def key_text(tonic: int, mode: str) -> str:
    """Normal form of a key: "D minor"."""
    return f"{TONICS[tonic % 12]} {mode}"


def third_of_mode(mode: str) -> str:
    """ "major" or "minor": the family of a mode by its third, as key measures count it."""
    return "minor" if mode.replace("_", " ") in ("minor", "dorian", "phrygian", "harmonic minor", "pelog") else "major"
