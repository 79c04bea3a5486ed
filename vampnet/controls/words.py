"""Controls as words: what a musician says about the music that is wanted, as one object and as text.

    text = part { "," part }
    part = name "(" value ")"

    bpm(96), key(D minor), metre(4/4), chords(Dm7 | G7 | Cmaj7 A7), bars(8), style(funk), instruments(piano)

`str(words)` is text that parses to the same words. Every part may be left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from synthcorpus.instruments import INSTRUMENTS, STYLE_NAMES as STYLES
from vampnet.config import check, setting
from vampnet.controls.charts import ChordChart, parse_chart
from vampnet.controls.names import METRES, key_text, parse_key, suggest
from vampnet.errors import SettingsError

MIN_BPM, MAX_BPM = 30.0, 300.0
MAX_WORDED_BARS = 256
_MAX_CHARACTERS = 20_000


@dataclass(frozen=True)
class ControlWords:
    """Tempo, key, chords, metre, length, style and instruments that are asked for; None or empty: not said."""

    bpm: float | None = setting(None, low=MIN_BPM, high=MAX_BPM)
    """Beats per minute, 30 to 300; a beat is a quarter, in 6/8 a dotted quarter."""
    key: str | None = None
    """Tonic and mode, such as "D minor" or "F# dorian"; kept in this form."""
    chords: str | None = None
    """Chord chart, such as "Dm7 | G7 | Cmaj7 A7"; repeated, or cut, to fill the bars."""
    metre: str | None = setting(None, choices=METRES)
    """Time signature: 4/4, 3/4, 6/8, 5/4 or 7/8."""
    bars: int | None = setting(None, low=1, high=MAX_WORDED_BARS)
    """Length in bars, 1 to 256."""
    style: str | None = None
    """One of the composer's styles, such as "funk"."""
    instruments: tuple[str, ...] = ()
    """Instruments that must play; "no drums" keeps one out. The style chooses the others."""

    def __post_init__(self) -> None:
        if self.bpm is not None:
            check("bpm", _number("bpm", self.bpm), MIN_BPM, MAX_BPM)
            object.__setattr__(self, "bpm", float(self.bpm))
        if self.key is not None:
            object.__setattr__(self, "key", key_text(*parse_key(_text("key", self.key))))
        if self.chords is not None:
            object.__setattr__(self, "chords", str(parse_chart(_text("chords", self.chords))))
        if self.metre is not None:
            object.__setattr__(self, "metre", _choice("metre", self.metre, METRES))
        if self.bars is not None:
            if isinstance(self.bars, bool) or not isinstance(self.bars, int):
                raise SettingsError(f"bars is {self.bars!r}, but must be a whole number from 1 to {MAX_WORDED_BARS}")
            check("bars", self.bars, 1, MAX_WORDED_BARS)
        if self.style is not None:
            object.__setattr__(self, "style", _choice("style", self.style, STYLES))
        object.__setattr__(self, "instruments", _instruments(self.instruments))

    @property
    def chart(self) -> ChordChart | None:
        """The chords, parsed."""
        return None if self.chords is None else parse_chart(self.chords)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return self == ControlWords()

    def __str__(self) -> str:
        parts = []
        for name in _NAMES:
            value = getattr(self, name)
            if value in (None, ()):
                continue
            text = f"{value:g}" if name == "bpm" and float(f"{value:g}") == value else str(value)
            parts.append(f"{name}({', '.join(value) if name == 'instruments' else text})")
        return ", ".join(parts)


_NAMES = tuple(field.name for field in dataclasses.fields(ControlWords))


def parse_words(text: str) -> ControlWords:
    """The controls that a text spells.

    Raises SettingsError that shows the text with a caret under the place, and the nearest known name.
    """
    if len(text) > _MAX_CHARACTERS:
        raise SettingsError(f"the controls have {len(text)} characters, but at most {_MAX_CHARACTERS} are allowed")
    values: dict[str, Any] = {}
    place = 0
    while text[place:].strip(" ,\n\t"):
        place += len(text[place:]) - len(text[place:].lstrip(" ,\n\t"))
        opening = text.find("(", place)
        name = text[place : opening if opening >= 0 else len(text)].strip().lower()
        if name not in _NAMES:
            _fail(text, place, f"unknown control {name!r}; {suggest(name, _NAMES)}")
        if opening < 0:
            _fail(text, place, f"{name} needs a value: {name}(...)")
        if name in values:
            _fail(text, place, f"{name} is given twice")
        closing = _closing(text, opening)
        try:
            values[name] = _read_value(name, text[opening + 1 : closing].strip())
            ControlWords(**{name: values[name]})
        except SettingsError as error:
            _fail(text, opening + 1, str(error))
        place = closing + 1
    return ControlWords(**values)


def _read_value(name: str, text: str) -> Any:
    if name == "instruments":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if name not in ("bpm", "bars"):
        return text
    try:
        return int(text) if name == "bars" else float(text)
    except ValueError:
        kind = "whole number" if name == "bars" else "number"
        raise SettingsError(f"{name} is {text!r}, but must be a {kind}") from None


def _closing(text: str, opening: int) -> int:
    """Place of the bracket that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            break
    else:
        _fail(text, opening, "a bracket is not closed")
    return place


def _fail(text: str, place: int, message: str) -> NoReturn:
    line = text.replace("\n", " ").replace("\t", " ")
    raise SettingsError(f"controls: {message}\n  {line}\n  {' ' * place}^")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SettingsError(f"{name} is {value!r}, but must be a number from {MIN_BPM:g} to {MAX_BPM:g}")
    return float(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{name} is {value!r}, but must be text")
    return value


def _choice(name: str, value: Any, known: Sequence[str]) -> str:
    """The normal form of one of some names; spaces, dashes and underscores count alike."""
    plain = _text(name, value).strip().lower().replace("-", "_").replace(" ", "_")
    if plain not in known:
        raise SettingsError(f"{name} {value!r} is unknown; {suggest(plain, known, 40)}")
    return plain


def _instruments(names: Any) -> tuple[str, ...]:
    """Checked names of instruments, "no X" for those kept out."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise SettingsError(
            f"instruments is {names!r}, but must be a list of names, such as ['electric bass', 'drums']"
        )
    checked: list[str] = []
    parts = [part for name in names for part in _text("instrument", name).split(",") if part.strip()]
    for name in parts:
        plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
        out, bare = plain.startswith("no "), plain.removeprefix("no ").removeprefix("without ")
        out = out or plain.startswith("without ")
        if bare not in INSTRUMENTS:
            raise SettingsError(f"instrument {name.strip()!r} is unknown; {suggest(bare, INSTRUMENTS, 60)}")
        checked.append(f"no {bare}" if out else bare)
    both = [name for name in checked if f"no {name}" in checked]
    if both:
        raise SettingsError(f"instruments ask for {both[0]} and for no {both[0]}; leave one out")
    return tuple(dict.fromkeys(checked))
