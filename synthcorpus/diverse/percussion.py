"""Drums alone: grooves of the composer, solos and rolls, and single strokes in silence."""

from __future__ import annotations

import dataclasses

import numpy as np

from synthcorpus.compose.piece import ComposeConfig, compose
from synthcorpus.diverse.effects import log_uniform
from synthcorpus.diverse.instruments import ModalVoice
from synthcorpus.diverse.palette import Palette, PaletteSound
from synthcorpus.synth.drums import DrumVoice
from synthcorpus.synth.notes import Voice, play_notes
from synthcorpus.synth.soundfont import SoundFontVoice, load
from synthcorpus.synth.voices import pitch_hz

Note = tuple[float, float, int, int]
PITCHES = tuple(range(35, 82))
"""Drums of General MIDI; kits of a sound font have some more below and above."""


class ModalDrums:
    """Synthetic percussion, each pitch its own struck body with a noise burst and a falling pitch."""

    release_s, one_shot_s, layers = 0.05, 1.5, (45, 75, 105)

    def __init__(self, rate_hz: int, rng: np.random.Generator) -> None:
        self.rate = rate_hz
        self.seed = int(rng.integers(2**31))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """One stroke, float32 (2, n_samples)."""
        from scipy.signal import butter, sosfilt

        rng = np.random.default_rng((self.seed, pitch))
        body = ModalVoice("percussion", self.rate, rng)
        body.ring_s = min(body.ring_s, 0.6)
        tone = body.note(int(rng.integers(24, 90)), 127, n_samples)
        time = np.arange(n_samples) / self.rate
        low_hz = log_uniform(rng, 100.0, 9000.0)
        band = butter(1, [low_hz, min(6.0 * low_hz, 0.45 * self.rate)], "bandpass", fs=self.rate, output="sos")
        decay_s = log_uniform(rng, 0.004, 0.5)
        noise = np.asarray(sosfilt(band, rng.standard_normal((2, n_samples)))) * np.exp(-time / decay_s)
        start_hz, end_hz = pitch_hz(float(rng.uniform(60.0, 100.0))), pitch_hz(float(rng.uniform(24.0, 60.0)))
        fall_s = log_uniform(rng, 0.005, 0.1)
        cycles = end_hz * time + (start_hz - end_hz) * fall_s * (1.0 - np.exp(-time / fall_s))
        thump = np.sin(2.0 * np.pi * cycles) * np.exp(-time / float(rng.uniform(0.03, 0.5)))
        shares = rng.dirichlet((1.0, 1.0, 1.0))
        wave = 2.0 * shares[0] * tone + shares[1] * noise + shares[2] * thump
        return (wave * np.float32(velocity / 127.0)).astype(np.float32)


def draw_kit(palette: Palette, rng: np.random.Generator) -> tuple[Voice, int]:
    """A kit and its number: 1000 and the sound font's, or -1 for a synthetic one."""
    if palette.soundfont is not None and rng.random() < 0.55:
        kit = palette.kit(rng)
        return SoundFontVoice(load(palette.soundfont, palette.rate_hz), kit, True, 0.05), 1000 + kit
    if rng.random() < 0.5:
        return DrumVoice(palette.rate_hz, rng), -1
    return ModalDrums(palette.rate_hz, rng), -1


def drums(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """A groove, a solo, or strokes in silence."""
    voice, kit = draw_kit(palette, rng)
    duration_s = n_samples / palette.rate_hz
    kind = ("groove", "solo", "strokes")[int(rng.choice(3, p=(0.4, 0.3, 0.3)))]
    if kind == "groove":
        notes = groove(duration_s, rng)
    elif kind == "solo":
        notes = solo(duration_s, rng)
    else:
        notes = strokes(duration_s, rng)
    return PaletteSound(play_notes(voice, notes, palette.rate_hz, n_samples), (kit,), detail=kind)


def groove(duration_s: float, rng: np.random.Generator) -> list[Note]:
    """The drum tracks of a composed piece; a solo where it has none."""
    settings = dataclasses.replace(ComposeConfig(), min_duration_s=0.5 * duration_s, max_duration_s=duration_s)
    piece = compose(int(rng.integers(2**62)), settings)
    notes = [note for track in piece.tracks if track.is_drums for note in track.notes]
    return notes or solo(duration_s, rng)


def solo(duration_s: float, rng: np.random.Generator) -> list[Note]:
    """Bursts on a few drums at changing speeds, from single strokes to rolls."""
    drums_used = rng.permutation(PITCHES)[: int(rng.integers(2, 10))]
    time_s, notes = 0.0, []
    while time_s < duration_s:
        step_s = log_uniform(rng, 0.03, 0.4)
        pace = float(rng.choice((1.0, 1.0, 0.96, 1.04)))
        forces = np.linspace(rng.uniform(20, 127), rng.uniform(20, 127), int(rng.integers(3, 33)))
        for force in forces:
            notes.append((time_s, 0.1, int(rng.choice(drums_used)), int(np.clip(force + rng.normal(0.0, 8.0), 5, 127))))
            step_s = float(np.clip(step_s * pace, 0.02, 0.6))
            time_s += step_s * float(rng.choice((1.0, 1.0, 1.0, 2.0)))
        time_s += float(rng.choice((0.0, 0.1, 0.5)))
    return notes


def strokes(duration_s: float, rng: np.random.Generator) -> list[Note]:
    """Single strokes with silence between them."""
    time_s, notes = float(rng.uniform(0.1, 0.6)), []
    while time_s < duration_s:
        notes.append((time_s, 0.1, int(rng.choice(PITCHES)), int(rng.integers(20, 128))))
        time_s += float(rng.uniform(0.35, 2.2))
    return notes
