"""Settings of taps and hummed lines, checked without importing numpy."""

from __future__ import annotations

from dataclasses import dataclass

from synthcorpus.instruments import INSTRUMENTS
from vampnet.config import check_settings, setting
from vampnet.controls.names import key_text, parse_key, suggest
from vampnet.errors import SettingsError

DEFAULT_LEAD = "synth lead"


@dataclass(frozen=True)
class TapConfig:
    """Settings of drums from a tapped rhythm."""

    bpm: float | None = setting(None, low=30.0, high=300.0)
    """Tempo of the grid that hits are moved to, counted from the first hit, 30 to 300."""
    tightness: float = setting(0.0, low=0.0, high=1.0)
    """Strength of quantisation to the grid of sixteenths, 0 (as played) to 1; needs a tempo."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.tightness > 0.0 and self.bpm is None:
            raise SettingsError(
                f"tightness is {self.tightness:g}, but hits can only be moved to the grid of a tempo; give `bpm`"
            )


@dataclass(frozen=True)
class HumConfig:
    """Settings of a lead from a hummed line."""

    instrument: str = DEFAULT_LEAD
    """Instrument that plays the line, such as flute or violin."""
    transpose: int = setting(0, low=-36, high=36)
    """Semitones that the line is moved by, -36 to 36."""
    key: str = ""
    """Tonic and mode; notes outside of its scale move to the nearest tone of it. By default as hummed."""

    def __post_init__(self) -> None:
        check_settings(self)
        pitched = [name for name, chosen in INSTRUMENTS.items() if chosen.voice]
        if self.instrument not in pitched:
            hint = suggest(self.instrument, pitched, 60)
            raise SettingsError(f"instrument {self.instrument!r} cannot play a line; {hint}")
        if self.key:
            object.__setattr__(self, "key", key_text(*parse_key(self.key)))


@dataclass(frozen=True)
class ReshapeConfig:
    """Another pitch and tempo of the input, before anything is generated."""

    transpose: int = setting(0, low=-24, high=24)
    """Semitones that the input is moved by first, -24 to 24."""
    tempo: float | None = setting(None, low=20.0, high=400.0)
    """Tempo that the input is brought to first, 20 to 400 beats per minute; its own is tracked, or given as bpm."""
    key: str = ""
    """Key that the input is transposed to first, by 6 semitones at most, such as "D minor"; its own is listened for."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.key:
            object.__setattr__(self, "key", key_text(*parse_key(self.key)))
            if self.transpose:
                raise SettingsError(
                    f"transpose is {self.transpose} and `key` is {self.key!r}, but only one of them can be given"
                )


FOLLOWED: dict[str, tuple[str, ...]] = {
    "beats": ("beat_phase", "bar_phase", "tempo_bpm", "metre"),
    "rhythm": ("onset_low", "onset_high"),
    "chords": ("chords", "chroma", "bass_chroma", "key"),
    "melody": ("melody",),
    "loudness": ("loudness_db",),
}
"""Controls behind each word of `follow`."""
NOTHING = "nothing"
"""Word of `follow` for tasks that follow something where nothing is said."""
CARRIED, CARRIED_GUIDANCE = "beats", "beats=1"
"""Followed by default in new music beside a recording whose looped bars it keeps tokens of."""
DEFAULT_FOLLOW, DEFAULT_BEST_OF = "beats,chords", 4
"""Defaults: what is followed where only best_of is given, and the number of candidates where only follow is."""


GROUPS: dict[str, tuple[str, ...]] = {
    **{name: tuple(control for control in controls if control != "chords") for name, controls in FOLLOWED.items()},
    "style": ("style",),
    "instruments": ("instruments",),
}
"""Controls of each group that guidance weighs, and that training of the conditioning leaves out as one."""
MAX_GUIDANCE = 10.0


def parse_guidance(text: str) -> tuple[tuple[str, float], ...]:
    """Group and weight of each part of a text: "2" is for all groups, "chords=2,beats=1.5" for some; empty: none.

    Raises SettingsError naming the groups and the range.
    """
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, has_name, number = part.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not 0.0 <= weight <= MAX_GUIDANCE or (has_name and name.strip().lower() not in GROUPS):
            raise SettingsError(
                f"guidance is {text!r}, but must be a number from 0 to {MAX_GUIDANCE:g}, or numbers for some of "
                f"{', '.join(GROUPS)}, such as 'chords=2,beats=1.5'"
            )
        weights |= dict.fromkeys([name.strip().lower()] if has_name else GROUPS, weight)
    return tuple(weights.items())


@dataclass(frozen=True)
class SteeringConfig:
    """Controls that variations follow; the prompt still says which tokens are kept.

    A model that hears controls follows by itself; of any other candidates are made, and those kept that follow best.
    """

    follow: str = ""
    """Follow beats, rhythm, chords, melody or loudness (with commas) of the input, or of a file: FILE:beats,chords.
    New music beside a recording carries its beats on where a model hears them; 'nothing' leaves that out."""
    best_of: int = setting(0, low=0, high=100)
    """Make so many candidates and keep those that follow best; by default 1 of a model that hears controls, 4 of any
    other where something is followed."""
    guidance: str = ""
    """Guidance by controls: a number from 0 to 10, or per group 'chords=2,beats=1.5'; by default as the bundle says."""

    def __post_init__(self) -> None:
        check_settings(self)
        parse_guidance(self.guidance)
        if self.follows_nothing and (self.best_of > 1 or self.guidance):
            raise SettingsError("follow is 'nothing', so there is nothing to choose by or to weigh; name some controls")
        _, names = self.split()
        unknown = [name for name in names if name not in FOLLOWED]
        if unknown or (self.follow and not names and not self.follows_nothing):
            raise SettingsError(
                f"follow is {self.follow!r}, but must be some of {', '.join(FOLLOWED)}, with commas between; "
                "FILE:beats follows another file than the input"
            )
        if self.guidance and not self.follow:
            raise SettingsError(f"guidance is {self.guidance!r}, but nothing is followed; say what in `follow`")

    @property
    def follows_nothing(self) -> bool:
        """True if what a task follows by default is left out."""
        return self.follow.strip().lower() == NOTHING

    @property
    def follows(self) -> bool:
        """True if something is followed that was asked for."""
        return bool(self.follow) and not self.follows_nothing

    @property
    def is_on(self) -> bool:
        """True if something is followed, or candidates are compared."""
        return self.follows or self.best_of > 1

    def n_candidates(self, hears: bool) -> int:
        """Number of candidates; 0: none are compared. `hears`: the model itself follows all that is to be followed."""
        return self.best_of or (DEFAULT_BEST_OF if self.follows and not hears else 0)

    def split(self) -> tuple[str, tuple[str, ...]]:
        """The file that is followed (empty: the input), and what of it."""
        if self.follows_nothing:
            return "", ()
        file, _, text = (self.follow or (DEFAULT_FOLLOW if self.best_of > 1 else "")).rpartition(":")
        return file, tuple(name.strip().lower() for name in text.split(",") if name.strip())
