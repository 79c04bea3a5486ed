"""Sounds of each split: programs and kits of a sound font, languages and voices of espeak-ng, all disjoint.

Test and validation material thus consists of instruments and voices that training never had. Programs are held out one
per General MIDI family of eight for each, so every family stays in all splits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_FAMILY = 8

_HELD_OUT_PROGRAMS = {
    "validation": (2, 14, 20, 28, 36, 44, 49, 60, 67, 74, 85, 91, 98, 105, 115, 123),
    "test": (5, 11, 19, 26, 34, 41, 54, 57, 65, 77, 81, 94, 100, 108, 117, 125),
}
"""General MIDI programs 0..127 of the splits that training must not use."""

KITS = {
    "train": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 32, 33, 34, 35, 36, 48),
    "validation": (16, 17, 18, 19),
    "test": (25, 40, 41, 42),
}
"""Kits (bank 128) of the FluidR3 font: standard, room, electronic, jazz, orchestra; power; TR-808 and brush."""

_LANGUAGES = {
    "train": (
        "af an ar as az be bg bn bs ca cmn cs da de el en-gb en-gb-scotland en-us eo es-419 et eu fa fr-fr ga gu he hi "
        "hr hu hy id io it ja ka kn ko ku la lfn lt mk ml mr ms nb ne nl or pa pl pt-br ro ru sd sk sl sq sr ta te th "
        "tr ur vi yue"
    ),
    "validation": "en-gb-x-gbcwmd cy es fi gd ht kk lb mt sv tt",
    "test": "en-029 fr-be gn haw is lv my pt sw uk uz",
}
_VARIANTS = {
    "train": (
        "m1 m2 m3 m4 m5 f1 f2 f3 whisper croak klatt klatt3 klatt5 Andy Annie adam Alicia belinda boris caleb ed "
        "gustave iven linda max Mario michel norbert quincy rob shelby steph zac grandma robosoft4 UniRobot"
    ),
    "validation": "m6 f4 klatt2 iven2 anika david steph2 grandpa robosoft2",
    "test": "m7 m8 f5 klatt4 whisperf Denis Jacky antonio travis robosoft7",
}

LANGUAGES = {split: tuple(names.split()) for split, names in _LANGUAGES.items()}
"""Languages of espeak-ng; those that are not installed are left out."""

VARIANTS = {split: tuple(names.split()) for split, names in _VARIANTS.items()}
"""Variants (voice timbres) of espeak-ng."""


def _programs() -> dict[str, tuple[int, ...]]:
    held_out = {program for programs in _HELD_OUT_PROGRAMS.values() for program in programs}
    return {"train": tuple(sorted(set(range(128)) - held_out)), **_HELD_OUT_PROGRAMS}


PROGRAMS = _programs()
"""General MIDI programs of each split."""


@dataclass(frozen=True)
class Palette:
    """Sounds that a piece of one split may use."""

    split: str
    """train, validation or test."""
    rate_hz: int = 44100
    """Sample rate, Hz."""
    soundfont: str | None = None
    """Path of a General MIDI sound font; None for synthesis alone."""
    voices: tuple[tuple[str, ...], tuple[str, ...]] = field(default=((), ()))
    """Languages and variants of espeak-ng that are installed and of this split; empty without espeak-ng."""

    @property
    def has_speech(self) -> bool:
        """True if there is a voice."""
        return bool(self.voices[0] and self.voices[1])

    def program(self, rng: np.random.Generator) -> int:
        """Any program of the split."""
        return int(rng.choice(PROGRAMS[self.split]))

    def program_like(self, program: int, rng: np.random.Generator) -> int:
        """The program itself where the split has it, else one of its family."""
        programs = PROGRAMS[self.split]
        if program in programs:
            return program
        return int(rng.choice([other for other in programs if other // _FAMILY == program // _FAMILY]))

    def kit(self, rng: np.random.Generator) -> int:
        """Any drum kit of the split."""
        return int(rng.choice(KITS[self.split]))

    def voice(self, rng: np.random.Generator) -> str:
        """A voice of espeak-ng, such as `de+f2`."""
        languages, variants = self.voices
        return f"{languages[int(rng.integers(len(languages)))]}+{variants[int(rng.integers(len(variants)))]}"


@dataclass(frozen=True)
class PaletteSound:
    """Rendered audio with the programs and voices that made it."""

    audio: np.ndarray
    """float32 (2, samples)."""
    programs: tuple[int, ...] = ()
    """General MIDI programs; kits are numbered from 1000, a synthesiser is -1."""
    voices: tuple[str, ...] = ()
    """Voices of espeak-ng."""
    detail: str = ""
    """Kind of sound in detail."""
