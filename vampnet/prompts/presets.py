"""Presets: named prompts, each with one sentence for musicians on its effect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A named prompt."""

    name: str
    """Name as it is written in a prompt."""
    prompt: str
    """Prompt text that the name stands for."""
    sentence: str
    """Effect on the music, in a musician's words."""


PRESETS: tuple[Preset, ...] = (
    Preset("subtle", "periodic(3)", "Another take of the same playing: notes and rhythm stay, details change."),
    Preset("vary", "periodic(7)", "A variation: groove and harmony stay close to the original."),
    Preset(
        "reimagine",
        "periodic(13) | beats(after=75ms)",
        "A free variation: beat and outline stay, much of the playing is new.",
    ),
    Preset(
        "loosely",
        "periodic(32) | beats(after=75ms)",
        "New music on the same beat that touches the original about twice a second.",
    ),
    Preset("new-sound", "codebooks(1)", "The same notes, other details of sound: only the coarsest layer is kept."),
    Preset("keep-the-beat", "beats(after=75ms)", "The hits on the beat stay, what happens between them is new."),
    Preset(
        "keep-the-downbeats", "beats(after=1b, which=downbeats)", "The first beat of each bar stays, all else changes."
    ),
    Preset("keep-the-attacks", "onsets(after=50ms)", "Every note begins as it did and goes on differently."),
    Preset("keep-the-opening", "prefix(2)", "The first two seconds stay and the music goes its own way from there."),
    Preset("keep-the-ends", "prefix(1) | suffix(1)", "The first and last second stay, the middle is new."),
    Preset("from-scratch", "nothing", "Nothing is kept: new music of the same length."),
)
"""All presets, from the closest to the original to the freest."""
