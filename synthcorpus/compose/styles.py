"""Styles as data: what each style of music sounds like, in tables that `compose` reads.

A style names its tempo range, metres, modes, swing, drum grooves, chord loops and, per role, how likely the role
is and which instrument families play it. Nothing here computes; the General MIDI families stand in `FAMILIES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "harmonic_minor": (0, 2, 3, 5, 7, 8, 11),
    "blues": (0, 2, 4, 5, 7, 9, 10),
    "pelog": (0, 1, 3, 6, 7, 8, 10),
}
"""Semitones above the tonic of each mode's seven degrees; "blues" melodies add the blue third and fifth."""


@dataclass(frozen=True)
class Metre:
    """A time signature on a grid of sixteenth notes."""

    name: str
    beats: tuple[int, ...]
    """Length of each beat of the bar in sixteenths; their sum is the bar's length."""

    @property
    def steps(self) -> int:
        """Sixteenths in one bar."""
        return sum(self.beats)

    @property
    def tempo_steps(self) -> int:
        """Sixteenths in the beat that `tempo_bpm` counts: the bar's first beat."""
        return self.beats[0]


METRES: dict[str, Metre] = {
    metre.name: metre
    for metre in (
        Metre("4/4", (4, 4, 4, 4)),
        Metre("3/4", (4, 4, 4)),
        Metre("6/8", (6, 6)),
        Metre("5/4", (4, 4, 4, 4, 4)),
        Metre("7/8", (4, 4, 6)),
    )
}

FAMILIES: dict[str, tuple[int, ...]] = {
    "piano": (0, 1, 2, 3),
    "epiano": (4, 5),
    "harpsi": (6, 7),
    "mallet": (8, 9, 10, 11, 12, 13, 14, 15),
    "organ": (16, 17, 18, 19, 20),
    "reed_organ": (20, 21, 22, 23),
    "acoustic_guitar": (24, 25),
    "electric_guitar": (26, 27, 28),
    "lead_guitar": (29, 30, 31),
    "upright_bass": (32, 43),
    "electric_bass": (33, 34, 35, 36, 37),
    "synth_bass": (38, 39, 87),
    "low_winds": (58, 70, 57, 67, 66),
    "solo_strings": (40, 41, 42, 110),
    "plucked": (45, 46, 104, 105, 106, 107, 108, 15),
    "strings": (48, 49, 44, 51, 50),
    "choir": (52, 53, 54),
    "brass": (56, 57, 58, 59, 60, 61, 62, 63),
    "sax": (64, 65, 66, 67),
    "woodwind": (68, 69, 70, 71, 72, 73, 74, 75),
    "whistle": (75, 76, 77, 78, 79, 109, 111),
    "synth_lead": (80, 81, 82, 83, 84, 85, 86, 87),
    "synth_pad": (88, 89, 90, 91, 92, 93, 94, 95),
    "synth_fx": (96, 97, 98, 99, 100, 101, 102, 103),
    "hits": (47, 55, 61, 62, 63),
    "bells": (8, 9, 10, 11, 14, 112),
    "tuned_percussion": (112, 113, 114, 115, 116, 117, 118, 47),
    "sound_effects": (119, 120, 121, 122, 123, 124, 125, 126, 127),
}
"""General MIDI programs (0 to 127) of each family."""

ROLE_FAMILIES: dict[str, tuple[str, ...]] = {
    "bass": ("upright_bass", "electric_bass", "synth_bass", "low_winds"),
    "chords": (
        "piano",
        "epiano",
        "harpsi",
        "organ",
        "acoustic_guitar",
        "electric_guitar",
        "reed_organ",
        "mallet",
        "lead_guitar",
        "strings",
        "synth_lead",
    ),
    "stabs": ("hits", "brass", "strings", "organ", "electric_guitar", "synth_lead"),
    "arpeggio": ("mallet", "plucked", "acoustic_guitar", "synth_lead", "synth_fx", "epiano", "harpsi", "bells"),
    "melody": (
        "piano",
        "mallet",
        "lead_guitar",
        "solo_strings",
        "brass",
        "sax",
        "woodwind",
        "whistle",
        "synth_lead",
        "reed_organ",
        "plucked",
        "choir",
        "epiano",
    ),
    "counter": ("solo_strings", "woodwind", "sax", "brass", "mallet", "synth_lead", "whistle", "choir"),
    "pad": ("strings", "choir", "synth_pad", "synth_fx", "organ"),
    "percussion": ("tuned_percussion",),
    "effects": ("sound_effects",),
}
"""Every family that may play a role, whatever the style; together they hold all 128 programs."""

KITS: tuple[int, ...] = (*range(20), 24, 25, 32, 33, 34, 35, 36, 40, 41, 42, 48)
"""Drum kits (bank 128) of the FluidR3 sound font: standard, room, power, electronic, jazz, brush, orchestra."""

KIT_GROUPS: dict[str, tuple[int, ...]] = {
    "standard": tuple(range(8)),
    "room": tuple(range(8, 16)),
    "power": tuple(range(16, 20)),
    "electronic": (24, 25),
    "jazz": (32, 33, 34, 35, 36),
    "brush": (40, 41, 42),
    "orchestra": (48,),
}


@dataclass(frozen=True)
class Style:
    """One style. Tempos in bpm, swing as the share of the long half (0.5 straight, 0.67 triplet)."""

    name: str
    tempo_bpm: tuple[int, int]
    roles: dict[str, float]
    """Role -> probability that a piece in this style has it."""
    families: dict[str, tuple[str, ...]]
    """Role -> families preferred in this style; roles not named fall back on ROLE_FAMILIES."""
    grooves: tuple[str, ...] = ("rock",)
    kits: tuple[str, ...] = ("standard", "room")
    modes: tuple[str, ...] = ("major", "minor")
    metres: tuple[str, ...] = ("4/4",)
    swing: tuple[float, float] = (0.5, 0.5)
    swing_steps: int = 2
    """Note value that is delayed: 2 swings eighths, 1 swings sixteenths."""
    loops: tuple[str, ...] = ("pop",)
    """Names of progression pools in compose_harmony."""
    sevenths: float = 0.2
    """Probability that a piece's chords carry sevenths."""
    bass: tuple[str, ...] = ("root_fifth", "riff", "eighths")
    chords: tuple[str, ...] = ("block", "strum")
    weight: float = 1.0
    """Relative frequency in a corpus."""
    sections: tuple[int, int] = (4, 8)
    """Section lengths in bars to choose from."""
    held_out: bool = False
    """Left out of a corpus unless `styles_only` names it: music that no shipped model was trained on."""
    tags: tuple[str, ...] = field(default=())
