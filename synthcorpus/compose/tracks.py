"""Parts of a piece with their instruments, and the events of one part in one section."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthcorpus.compose.accompaniment import arpeggio_part, bass_part, chord_part, pad_part, stab_part
from synthcorpus.compose.drums import (
    Event,
    draw_part,
    draw_percussion,
    render_part,
    render_percussion,
    tuned_percussion as tuned_percussion_events,
)
from synthcorpus.compose.form import Section
from synthcorpus.compose.harmony import Key, scale_pitches
from synthcorpus.compose.melody import counter_part, melody_part
from synthcorpus.compose.styles import FAMILIES, KIT_GROUPS, KITS, ROLE_FAMILIES, Metre, Style

ROLE_CENTRES = {
    "chords": (56, 64),
    "stabs": (60, 68),
    "arpeggio": (58, 72),
    "melody": (66, 78),
    "counter": (58, 70),
    "pad": (54, 64),
}
"""Range of the middle pitch of each role."""

_SOLO_FAMILIES = (
    "piano",
    "epiano",
    "harpsi",
    "mallet",
    "organ",
    "reed_organ",
    "acoustic_guitar",
    "electric_guitar",
    "lead_guitar",
    "electric_bass",
    "upright_bass",
    "solo_strings",
    "plucked",
    "sax",
    "woodwind",
    "whistle",
    "brass",
    "synth_lead",
    "strings",
    "choir",
)
_KEYBOARDS = (
    "piano",
    "epiano",
    "harpsi",
    "mallet",
    "organ",
    "reed_organ",
    "acoustic_guitar",
    "electric_guitar",
    "plucked",
)

_EXPLORE = 0.25
"""Probability that an instrument comes from any family fit for the role, whatever the style prefers."""


@dataclass(frozen=True)
class Part:
    """An instrument in a role, with the choices that hold for the whole piece."""

    name: str
    role: str
    program: int
    is_drums: bool
    is_synth: bool
    centre: float
    """Middle MIDI pitch of the part."""
    kinds: tuple[str, ...]
    """Names of the patterns the part may draw (bass and chords), or of grooves (drums)."""
    salt: int
    """Sets the part's patterns apart from those of another part of the same role."""


def draw_parts(style: Style, rng: np.random.Generator, synth_share: float) -> tuple[Part, ...]:
    """The band of a piece."""
    if "solo" in style.tags:
        return _solo(style, rng, synth_share)
    parts = []
    for role, chance in style.roles.items():
        if rng.random() < chance:
            families = style.families.get(role, ROLE_FAMILIES.get(role, ()))
            parts.append(_part(role, families, style, rng, synth_share, salt=len(parts)))
    if "duo" in style.tags:
        parts = parts[:2]
    if not parts:
        parts.append(_part("melody", ROLE_FAMILIES["melody"], style, rng, synth_share, salt=0))
    return tuple(parts)


def _solo(style: Style, rng: np.random.Generator, synth_share: float) -> tuple[Part, ...]:
    """One instrument; keyboards and plucked strings often accompany themselves in a second part."""
    family = str(rng.choice(_SOLO_FAMILIES))
    role = "bass" if family in ("electric_bass", "upright_bass") else "melody"
    lead = _part(role, (family,), style, rng, synth_share, salt=0, explore=0.0)
    if family not in _KEYBOARDS or rng.random() < 0.2:
        return (lead,)
    role = str(rng.choice(("chords", "bass", "arpeggio")))
    below = _part(role, (family,), style, rng, synth_share, salt=1, explore=0.0)
    kinds = style.bass if role == "bass" else style.chords
    hand = Part(f"{lead.name} left", role, lead.program, False, lead.is_synth, min(below.centre, 57.0), kinds, 1)
    if rng.random() < 0.25:
        return (hand,)
    return (lead, hand)


def _part(
    role: str,
    families: tuple[str, ...],
    style: Style,
    rng: np.random.Generator,
    synth_share: float,
    salt: int,
    explore: float = _EXPLORE,
) -> Part:
    if rng.random() < explore and role in ROLE_FAMILIES:
        families = ROLE_FAMILIES[role]
    is_synth = bool(rng.random() < (0.9 if "synth" in style.tags else synth_share))
    tuned = role == "percussion" and rng.random() < 0.4
    if role == "drums" or (role == "percussion" and not tuned):
        group = str(rng.choice(style.kits))
        kit = int(rng.choice(KITS if rng.random() < explore else KIT_GROUPS[group]))
        return Part(role, role, kit, True, is_synth, 60.0, style.grooves, salt)
    families = families or ROLE_FAMILIES[role]
    programs = FAMILIES[families[rng.integers(len(families))]]
    program = int(programs[rng.integers(len(programs))])
    centre = float(rng.uniform(*ROLE_CENTRES.get(role, (56, 66))))
    kinds = {"bass": style.bass, "chords": style.chords}.get(role, ())
    return Part(role, role, program, False, is_synth and role != "effects", centre, kinds, salt)


def section_events(part: Part, section: Section, key: Key, metre: Metre, rng: np.random.Generator) -> list[Event]:
    """A part's events in a section, in sixteenths from the section's start.

    The letter's own generator makes the material, so it returns as it was; `rng` adds what differs between returns.
    """
    varied = section.variation > 0 and rng.random() < 0.3
    source = np.random.default_rng(np.random.SeedSequence((section.seed, part.salt, int(varied))))
    events = _material(part, section, key, metre, source, rng)
    scale = 0.75 + 0.3 * section.energy
    limit = section.bars * metre.steps
    return [
        (start, length, pitch, velocity * (1.0 if part.is_drums else scale))
        for start, length, pitch, velocity in events
        if start < limit
    ]


def _material(
    part: Part, section: Section, key: Key, metre: Metre, source: np.random.Generator, rng: np.random.Generator
) -> list[Event]:
    chords, bars = section.chords, max(section.bars, 1)
    role = part.role
    if role == "drums":
        return render_part(draw_part(part.kinds, metre, source), metre, bars, section.energy, rng)
    if role == "percussion" and part.is_drums:
        return render_percussion(draw_percussion(metre, source), metre, bars, rng)
    if role == "percussion":
        low = int(part.centre) - 4
        return tuned_percussion_events(metre, bars, tuple(scale_pitches(key, low, low + 10)), source)
    if role == "bass":
        return bass_part(chords, key, str(source.choice(part.kinds or ("root_fifth",))), metre, bars, source)
    if role == "chords":
        return chord_part(chords, str(source.choice(part.kinds or ("block",))), metre, bars, part.centre, source)
    if role == "arpeggio":
        return arpeggio_part(chords, metre, bars, part.centre, source)
    if role == "pad":
        return pad_part(chords, part.centre, source)
    if role == "stabs":
        return stab_part(chords, metre, bars, part.centre, source)
    if role == "counter":
        return counter_part(chords, key, metre, bars, part.centre, source)
    if role == "effects":
        step = float(metre.steps * source.integers(0, bars))
        return [(step, metre.steps * 1.5, 60, 70.0)]
    return melody_part(chords, key, metre, bars, part.centre, source)
