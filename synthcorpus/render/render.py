"""Renders composed pieces to audio: instruments, effects, mix, loudness. float32 (2, samples), peak below 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthcorpus.compose.piece import Piece, Track
from synthcorpus.files import whole_file
from synthcorpus.render import effects
from synthcorpus.render.loudness import measure
from synthcorpus.synth import patches as synth
from synthcorpus.synth.notes import play_notes
from synthcorpus.synth.soundfont import SoundFontVoice, load

_LEVELS_DB = {
    "drums": -17.0,
    "bass": -18.0,
    "chords": -22.0,
    "stabs": -22.0,
    "arpeggio": -24.0,
    "melody": -18.5,
    "counter": -23.0,
    "pad": -25.0,
    "percussion": -25.0,
    "effects": -29.0,
}
"""Level of each role in the mix: RMS of the track where it plays, dB."""

_WET = {"drums": 0.5, "bass": 0.15, "pad": 1.2, "melody": 1.1}
"""Share of the piece's reverb that a role gets; 1 for roles not named."""

_CEILING = 0.985

Player = Callable[[Track, int, "RenderConfig", np.random.Generator], np.ndarray]
"""(track, length, settings, rng) -> the track's audio, float32 (2, length)."""


@dataclass(frozen=True)
class RenderConfig:
    """Settings of rendering and mixing."""

    sample_rate_hz: int = 44100
    """Sample rate, Hz."""
    soundfont: str | None = None
    """Path of a General MIDI sound font (SF2 or SF3); None plays everything with data/synth.py."""
    min_loudness_lufs: float = -30.0
    """Quietest integrated loudness (BS.1770), LUFS."""
    max_loudness_lufs: float = -10.0
    """Loudest integrated loudness, LUFS; each piece draws its own in between."""
    tail_s: float = 1.5
    """Time after the last bar line for reverb and releases, seconds; faded out."""
    effects: float = 1.0
    """Scale of the probabilities of all effects, 0..1; 0 gives a dry mix with levels and pan only."""


@dataclass(frozen=True)
class Rendered:
    """A rendered piece."""

    audio: np.ndarray
    """float32 (2, samples)."""
    loudness_lufs: float
    """Integrated loudness of `audio`."""


def n_samples(piece: Piece, settings: RenderConfig) -> int:
    """Length of the rendered piece, known without rendering."""
    return round((piece.duration_s + settings.tail_s) * settings.sample_rate_hz)


def render(piece: Piece, settings: RenderConfig, rng: np.random.Generator) -> Rendered:
    """The audio of a piece. All randomness comes from `rng`.

    Raises:
        CompositionError: the sound font or tinysoundfont is missing.
    """
    length = n_samples(piece, settings)
    mix = mix_tracks(piece, length, settings, rng)
    mix = _bus(mix, settings, rng)
    fade = min(length, int(0.5 * min(settings.tail_s, 1.0) * settings.sample_rate_hz))
    if fade:
        mix[:, -fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    target = float(rng.uniform(settings.min_loudness_lufs, settings.max_loudness_lufs))
    return to_loudness(mix, target, settings.sample_rate_hz)


def mix_tracks(
    piece: Piece, length: int, settings: RenderConfig, rng: np.random.Generator, player: Player | None = None
) -> np.ndarray:
    """All tracks with their effects, levels and the common reverb, float32 (2, length); None plays them by `play`."""
    player = player or play
    rate = settings.sample_rate_hz
    buses = np.zeros((3, length), dtype=np.float32)
    """Left, right, and what goes to the reverb."""
    beat_s = 60.0 / piece.tempo_bpm
    for track in piece.tracks:
        audio = player(track, length, settings, rng)
        audio = _track_effects(audio, track.role, beat_s, settings, rng)
        buses += _mixing_matrix(track.role, len(piece.tracks), _level(audio, track.role, rng), rng) @ audio
    dry = buses[:2]
    if rng.random() < 0.85 * settings.effects:
        decay_s = float(np.exp(rng.uniform(np.log(0.25), np.log(2.5))))
        response = effects.reverb_response(decay_s, float(rng.uniform(1500.0, 9000.0)), rate, rng)
        wet = effects.db(float(rng.uniform(-20.0, -7.0)))
        dry = dry + effects.reverb(buses[2], response * np.float32(wet))
    return dry


def _mixing_matrix(role: str, n_tracks: int, gain: float, rng: np.random.Generator) -> np.ndarray:
    """Gain, pan, width and reverb send of a track as one float32 (3, 2) matrix."""
    narrow = role in ("bass", "drums") or n_tracks < 3
    position = float(np.clip(rng.normal(0.0, 0.05 if narrow else 0.35), -0.8, 0.8))
    stereo = effects.pan_matrix(position, float(rng.uniform(0.6, 1.2)))
    send = stereo.sum(axis=0) * _WET.get(role, 1.0) * float(rng.uniform(0.2, 0.7))
    return (gain * np.vstack([stereo, send])).astype(np.float32)


def play(track: Track, length: int, settings: RenderConfig, rng: np.random.Generator) -> np.ndarray:
    """One track without effects, by the sound font or by the synthesiser."""
    rate = settings.sample_rate_hz
    if track.is_synth or settings.soundfont is None:
        return synth.render_track(track, rate, length, rng)
    font = load(settings.soundfont, rate)
    slow = track.role in ("pad", "effects")
    release_s = float(rng.uniform(0.6, 1.5)) if slow else float(rng.uniform(0.12, 0.5))
    return play_notes(SoundFontVoice(font, track.program, track.is_drums, release_s), track.notes, rate, length)


def _level(audio: np.ndarray, role: str, rng: np.random.Generator) -> float:
    """Factor to the role's level, give or take 2 dB, measured where the track sounds."""
    target = effects.db(_LEVELS_DB.get(role, -22.0) + float(np.clip(rng.normal(0.0, 2.0), -5.0, 4.0)))
    block = 4096
    count = audio.shape[1] // block
    if count == 0:
        return 1.0
    energy = np.square(audio[:, : count * block]).reshape(2, count, block).mean(axis=(0, 2))
    loud = energy[energy >= 0.003 * energy.max()]
    return target / max(float(np.sqrt(loud.mean())), 1e-5)


def _track_effects(
    audio: np.ndarray, role: str, beat_s: float, settings: RenderConfig, rng: np.random.Generator
) -> np.ndarray:
    """Each track draws a few effects; how likely an effect is depends on the role."""
    rate, scale = settings.sample_rate_hz, settings.effects
    draws = rng.random(6)
    if draws[0] < 0.45 * scale:
        audio = effects.random_eq(audio, rate, rng)
    if draws[1] < (0.25 if role in ("bass", "drums", "chords", "melody") else 0.08) * scale:
        audio = effects.drive(audio, float(rng.uniform(0.0, 12.0)))
    if draws[2] < 0.25 * scale:
        audio = effects.compress(audio, float(rng.uniform(-24.0, -8.0)), float(rng.uniform(2.0, 6.0)), rate)
    if role not in ("bass", "drums") and draws[3] < 0.5 * scale:
        audio = effects.high_pass(audio, float(rng.uniform(60.0, 250.0)), rate)
    if role in ("melody", "arpeggio", "stabs", "counter") and draws[4] < 0.3 * scale:
        time_s = beat_s * float(rng.choice((0.5, 0.75, 1.0)))
        audio = audio + effects.delay(audio, time_s, float(rng.uniform(0.2, 0.55)), rate) * np.float32(0.6)
    if role in ("chords", "pad", "melody", "arpeggio") and draws[5] < 0.06 * scale:
        audio = effects.tape_wow(audio, float(rng.uniform(0.3, 2.0)), float(rng.uniform(0.5, 5.0)), rate)
    return audio


def _bus(audio: np.ndarray, settings: RenderConfig, rng: np.random.Generator) -> np.ndarray:
    """Effects of the whole mix: tone, glue, and now and then the wear of old media."""
    rate, scale = settings.sample_rate_hz, settings.effects
    draws = rng.random(8)
    if draws[0] < 0.3 * scale:
        audio = effects.random_eq(audio, rate, rng)
    if draws[1] < 0.4 * scale:
        audio = effects.compress(audio, float(rng.uniform(-15.0, -6.0)), float(rng.uniform(1.5, 4.0)), rate)
    if draws[2] < 0.12 * scale:
        audio = effects.drive(audio, float(rng.uniform(0.0, 8.0)))
    if draws[3] < 0.05 * scale:
        audio = effects.tape_wow(audio, float(rng.uniform(0.2, 1.5)), float(rng.uniform(0.4, 1.5)), rate)
    if draws[4] < 0.03 * scale:
        audio = effects.crush(audio, int(rng.integers(6, 12)), int(rng.integers(1, 4)))
    if draws[5] < 0.18 * scale:
        audio = effects.low_pass(audio, float(np.exp(rng.uniform(np.log(5000.0), np.log(17000.0)))), rate)
    if draws[6] < 0.1 * scale:
        audio = effects.vinyl(audio, float(rng.uniform(-55.0, -30.0)), float(rng.uniform(0.0, 12.0)), rate, rng)
    if draws[7] < 0.06 * scale:
        audio = effects.pan_matrix(0.0, 0.0) @ audio
    return audio


def to_loudness(audio: np.ndarray, target_lufs: float, rate_hz: int) -> Rendered:
    """Gain to a loudness; peaks above the ceiling are limited, and the gain is then mended once."""
    loudness = measure(audio, rate_hz)
    if not np.isfinite(loudness):  # silence
        return Rendered(audio, loudness)
    gain = effects.db(target_lufs - loudness)
    if float(np.abs(audio).max()) * gain <= _CEILING:
        return Rendered(audio * np.float32(gain), target_lufs)
    limited = effects.limit(audio * np.float32(gain), _CEILING)
    makeup_db = min(target_lufs - measure(limited, rate_hz), 3.0)
    limited = effects.limit(limited * np.float32(effects.db(makeup_db)), _CEILING)
    return Rendered(limited, measure(limited, rate_hz))


def make_example_loop(path: str | Path, soundfont: str | None) -> None:
    """Write examples/loop.wav: eight bars of 4/4 at 120 bpm, 16 s exactly; what rings on at the end is added to the
    start, so the loop has no seam. WAV, stereo, 44.1 kHz, 16 bit.

    Raises:
        CompositionError: the sound font or tinysoundfont is missing.
    """
    import soundfile

    from synthcorpus.compose.example_loop import example_piece

    piece = example_piece()
    settings = RenderConfig(soundfont=soundfont, tail_s=4.0, effects=0.0)
    rng = np.random.default_rng(7)
    mix = mix_tracks(piece, n_samples(piece, settings), settings, rng)
    response = effects.reverb_response(1.4, 5000.0, settings.sample_rate_hz, rng)
    mix = mix + effects.reverb(mix.mean(axis=0), response * np.float32(effects.db(-13.0)))
    length = round(piece.duration_s * settings.sample_rate_hz)
    loop = mix[:, :length].copy()
    loop[:, : mix.shape[1] - length] += mix[:, length:]
    gain = effects.db(-16.0 - measure(loop, settings.sample_rate_hz))
    loop *= np.float32(min(gain, 0.95 / float(np.abs(loop).max())))
    with whole_file(Path(path)) as temporary:
        soundfile.write(temporary, loop.T, settings.sample_rate_hz, format="WAV", subtype="PCM_16")
