"""Instruments that need no sound font: subtractive, FM, additive, plucked string, organ, noise, and drums.

`render_track` draws a patch (a voice with random settings) that fits the track's role and plays the track's notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synthcorpus.synth.drums import DrumVoice
from synthcorpus.synth.held_out import VOICES as FAR_VOICES, draw_far_voice
from synthcorpus.synth.notes import Voice, play_notes
from synthcorpus.synth.voices import AdditiveVoice, FmVoice, NoiseVoice, PluckVoice, SubtractiveVoice

if TYPE_CHECKING:
    from synthcorpus.compose.piece import Track

_VOICES: dict[str, tuple[type, ...]] = {
    "bass": (SubtractiveVoice, SubtractiveVoice, FmVoice, PluckVoice, AdditiveVoice),
    "chords": (SubtractiveVoice, FmVoice, PluckVoice, AdditiveVoice),
    "stabs": (SubtractiveVoice, FmVoice, AdditiveVoice),
    "arpeggio": (SubtractiveVoice, FmVoice, PluckVoice, PluckVoice, AdditiveVoice),
    "melody": (SubtractiveVoice, SubtractiveVoice, FmVoice, PluckVoice, AdditiveVoice),
    "counter": (SubtractiveVoice, FmVoice, AdditiveVoice),
    "pad": (SubtractiveVoice, SubtractiveVoice, AdditiveVoice, FmVoice),
    "percussion": (FmVoice, PluckVoice),
    "effects": (NoiseVoice,),
}
"""Kinds of voice for each role; a kind named twice is twice as likely."""


def draw_voice(role: str, is_drums: bool, sample_rate_hz: int, rng: np.random.Generator) -> Voice:
    """A random patch for a role."""
    if is_drums:
        return DrumVoice(sample_rate_hz, rng)
    if role in FAR_VOICES:
        return draw_far_voice(role, sample_rate_hz, rng)
    kinds = _VOICES.get(role, _VOICES["melody"])
    return kinds[int(rng.integers(len(kinds)))](role, sample_rate_hz, rng)


def render_track(track: Track, sample_rate_hz: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """A track played by a random patch, float32 (2, n_samples)."""
    voice = draw_voice(track.role, track.is_drums, sample_rate_hz, rng)
    return play_notes(voice, track.notes, sample_rate_hz, n_samples)
