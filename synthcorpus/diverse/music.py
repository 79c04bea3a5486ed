"""Composed music with any instrument of the split, and dense mixes: doubled tracks, textures and voices on it."""

from __future__ import annotations

import dataclasses

import numpy as np

from synthcorpus.compose.piece import ComposeConfig, Piece, Track, compose
from synthcorpus.diverse.instruments import draw_instrument
from synthcorpus.diverse.lines import solo
from synthcorpus.diverse.palette import KITS, Palette, PaletteSound
from synthcorpus.diverse.percussion import draw_kit
from synthcorpus.diverse.song import song
from synthcorpus.diverse.textures import texture
from synthcorpus.render.effects import db
from synthcorpus.render.render import RenderConfig, mix_tracks
from synthcorpus.synth.notes import play_notes
from synthcorpus.synth.soundfont import SoundFontVoice, load

_TAIL_S = 1.5
_MAX_TRACKS = 14


class Orchestra:
    """Plays tracks with instruments of a palette and notes which programs it used."""

    def __init__(self, palette: Palette) -> None:
        self.palette = palette
        self.programs: list[int] = []

    def play(self, track: Track, length: int, settings: RenderConfig, rng: np.random.Generator) -> np.ndarray:
        """One track, float32 (2, length): by its own program, or by any instrument at all."""
        palette = self.palette
        as_written = palette.soundfont is not None and not track.is_synth and rng.random() < 0.5
        if track.is_drums:
            voice, program = draw_kit(palette, rng)
            if as_written and track.program in KITS[palette.split]:
                program = 1000 + track.program
                voice = SoundFontVoice(load(str(palette.soundfont), palette.rate_hz), track.program, True, 0.05)
        elif as_written:
            program = palette.program_like(track.program, rng)
            release_s = float(rng.uniform(0.12, 1.0))
            voice = SoundFontVoice(load(str(palette.soundfont), palette.rate_hz), program, False, release_s)
        else:
            voice, program = draw_instrument(palette, track.role, rng)
        self.programs.append(program)
        return play_notes(voice, track.notes, palette.rate_hz, length)


def draw_piece(palette: Palette, n_samples: int, rng: np.random.Generator) -> Piece:
    """A composed piece that fits into `n_samples` with its tail."""
    longest_s = max(2.0, n_samples / palette.rate_hz - _TAIL_S)
    settings = ComposeConfig(min_duration_s=max(1.0, 0.9 * longest_s), max_duration_s=longest_s)
    return compose(int(rng.integers(2**62)), settings)


def music(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """A composed piece, silent after its end."""
    piece = draw_piece(palette, n_samples, rng)
    return _mix(piece, palette, n_samples, rng)


def _mix(piece: Piece, palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    orchestra = Orchestra(palette)
    settings = RenderConfig(palette.rate_hz, palette.soundfont)
    audio = mix_tracks(piece, n_samples, settings, rng, orchestra.play)
    return PaletteSound(audio, tuple(orchestra.programs), detail=piece.style)


def dense(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """A piece with its tracks doubled in octaves and unison, and layers of other material on it."""
    piece = draw_piece(palette, n_samples, rng)
    pitched = [track for track in piece.tracks if not track.is_drums]
    tracks = list(piece.tracks)
    while pitched and len(tracks) < min(_MAX_TRACKS, 2 * len(piece.tracks) + 3):
        track = pitched[int(rng.integers(len(pitched)))]
        shift = int(rng.choice((-12, 0, 0, 12)))
        late_s = float(rng.uniform(0.0, 0.02))
        notes = tuple((s + late_s, n, min(max(p + shift, 0), 127), v) for s, n, p, v in track.notes)
        tracks.append(dataclasses.replace(track, notes=notes, is_synth=bool(rng.random() < 0.4)))
    sound = _mix(dataclasses.replace(piece, tracks=tuple(tracks)), palette, n_samples, rng)
    layers = [texture, solo, music, *([song] if palette.has_speech else [])]
    for number in rng.permutation(len(layers))[: int(rng.integers(1, 3))]:
        sound = over(sound, layers[number](palette, n_samples, rng), float(rng.uniform(-14.0, 2.0)))
    return sound


def over(ground: PaletteSound, top: PaletteSound, level_db: float) -> PaletteSound:
    """Mix of two sounds, the second at `level_db` relative to the first, by RMS."""
    sizes = [float(np.sqrt(np.mean(np.square(sound.audio)))) + 1e-6 for sound in (ground, top)]
    audio = ground.audio + top.audio * np.float32(sizes[0] / sizes[1] * db(level_db))
    detail = f"{ground.detail} + {top.detail}"
    return PaletteSound(audio, ground.programs + top.programs, ground.voices + top.voices, detail)
