"""Song: words spoken by espeak-ng, their filter taken by linear prediction and driven by a new source at sung pitches.

Each note takes a stretch of the words: its beginning at the spoken speed, then its loudest moment held for the length
of the note, then its end. The source is a band-limited saw with vibrato and slides, noise where the speech is unvoiced,
or an instrument's chord, which gives a talking instrument.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthcorpus.diverse.effects import random_curve
from synthcorpus.diverse.instruments import draw_instrument
from synthcorpus.diverse.lines import chords, long_notes, melody
from synthcorpus.diverse.palette import Palette, PaletteSound
from synthcorpus.diverse.speech import draw_text, speak, to_rate
from synthcorpus.render.effects import pan_matrix
from synthcorpus.synth.notes import play_notes
from synthcorpus.synth.voices import saw

_ORDER = 22
_HOP_S = 0.008
_EMPHASIS = 0.95
_SYLLABLE_FRAMES = 28

Note = tuple[float, float, int, int]


@dataclass(frozen=True)
class Mouth:
    """Speech as filters of 8 ms each."""

    filters_TN: np.ndarray
    """Prediction polynomials, float64 (frames, order + 1), the first coefficient 1."""
    level_T: np.ndarray
    """Gain of the source in each frame."""
    voiced_T: np.ndarray
    """Voicing of each frame, 0 to 1."""


def analyse(samples: np.ndarray, rate_hz: int) -> Mouth:
    """Linear prediction of order 22 by the autocorrelation method, frames without sound left out."""
    from scipy.linalg import solve_toeplitz

    hop = int(_HOP_S * rate_hz)
    width = 4 * hop
    bright = np.append(samples[:1], samples[1:] - _EMPHASIS * samples[:-1]).astype(np.float64)
    starts = np.arange(0, max(1, len(bright) - width), hop)
    frames = np.stack([np.pad(bright[s : s + width], (0, max(0, s + width - len(bright)))) for s in starts])
    frames *= np.hanning(width)
    power = np.abs(np.fft.rfft(frames, 2 * width)) ** 2
    similar = np.fft.irfft(power)[:, :width]
    loud = similar[:, 0] >= 1e-4 * similar[:, 0].max()
    similar = similar[loud]
    shortest, longest = rate_hz // 400, min(rate_hz // 65, width - 1)
    ratio = similar[:, shortest:longest].max(axis=1) / np.maximum(similar[:, 0], 1e-12)
    filters, levels = [], []
    for row in similar:
        taps = row[: _ORDER + 1].copy()
        taps[0] = max(1.0001 * taps[0], 1e-12)  # silence, too, has a filter: none
        prediction = solve_toeplitz(taps[:-1], taps[1:])
        filters.append(np.concatenate([[1.0], -prediction]))
        levels.append(np.sqrt(max(taps[0] - prediction @ taps[1:], 1e-12) / width))
    return Mouth(np.array(filters), np.array(levels), np.clip((ratio - 0.2) / 0.25, 0.0, 1.0))


def frame_path(mouth: Mouth, notes: list[Note], n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame of the speech that sounds in each frame of the song, and its level (0 between notes)."""
    path, level = np.zeros(n_frames, dtype=int), np.zeros(n_frames)
    total = len(mouth.level_T)
    for number, (start_s, length_s, _, force) in enumerate(notes):
        first = number * _SYLLABLE_FRAMES % max(1, total - _SYLLABLE_FRAMES)
        syllable = np.arange(first, min(first + _SYLLABLE_FRAMES, total))
        peak = int(np.argmax((mouth.level_T * (0.02 + mouth.voiced_T**2))[syllable]))
        begin, count = int(start_s / _HOP_S), max(3, int(length_s / _HOP_S))
        stop = min(begin + count, n_frames)
        held = np.full(max(0, count - len(syllable)), peak)
        order = np.concatenate([np.arange(peak), held, np.arange(peak, len(syllable))])
        places = order[np.linspace(0, len(order) - 1, count).astype(int)]
        path[begin:stop] = syllable[places][: stop - begin]
        ends = np.minimum(1.0, np.minimum(np.arange(1, count + 1), np.arange(count, 0, -1)) / 3.0)
        level[begin:stop] = (ends * force / 100.0)[: stop - begin]
    return path, level


def pitch_curve(notes: list[Note], n_samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """MIDI pitch at each sample: slides between notes, vibrato that swells, small errors."""
    from scipy.signal import lfilter

    curve = np.full(n_samples, float(notes[0][2]))
    for start_s, _, pitch, _ in notes:
        curve[int(start_s * rate_hz) :] = pitch
    lag = float(np.exp(-1.0 / (float(rng.uniform(0.01, 0.06)) * rate_hz)))
    curve = np.asarray(lfilter([1.0 - lag], [1.0, -lag], curve - curve[0])) + curve[0]
    swell = np.clip(0.5 + 0.5 * random_curve(n_samples, 1.0, rate_hz, rng), 0.0, 1.0)
    depth, rate = float(rng.uniform(0.0, 0.6)), float(rng.uniform(4.5, 6.5))
    curve += depth * swell * np.sin(2.0 * np.pi * rate * np.arange(n_samples) / rate_hz)
    return curve + float(rng.uniform(0.02, 0.15)) * random_curve(n_samples, 3.0, rate_hz, rng)


def drive_mouth(mouth: Mouth, source: np.ndarray, path: np.ndarray, level: np.ndarray, rate_hz: int) -> np.ndarray:
    """A source (samples,) of unit variance through the filters of a path, mono float32."""
    from scipy.signal import lfilter

    hop, out = int(_HOP_S * rate_hz), np.zeros(len(source))
    state = np.zeros(_ORDER)
    gains = mouth.level_T[path] * level
    for number, frame in enumerate(path):
        block = source[number * hop : (number + 1) * hop]
        if gains[number] == 0.0 and not state.any():
            continue
        out[number * hop : number * hop + len(block)], state = lfilter(
            [1.0], mouth.filters_TN[frame], block * gains[number], zi=state
        )
        state[np.abs(state) < 1e-9] = 0.0
    return np.asarray(lfilter([1.0], [1.0, -_EMPHASIS], out)).astype(np.float32)


def sing(palette: Palette, notes: list[Note], n_samples: int, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Notes sung by one voice, mono (n_samples,), and the voice's name."""
    voice = palette.voice(rng)
    spoken, from_hz = speak(voice, draw_text(16, rng), int(rng.integers(20, 80)), int(rng.integers(110, 200)))
    mouth = analyse(spoken, from_hz)
    count = int(n_samples / palette.rate_hz * from_hz) + 1
    hop = int(_HOP_S * from_hz)
    path, level = frame_path(mouth, notes, count // hop)
    step = 440.0 * 2.0 ** ((pitch_curve(notes, count, from_hz, rng) - 69.0) / 12.0) / from_hz
    cycles = np.cumsum(step)
    # the slope of a saw is a row of pulses with a flat spectrum, as linear prediction supposes
    pulses = np.diff(saw(cycles, step), prepend=0.0) / (2.0 * np.sqrt(step))
    held = np.diff(path, prepend=-1) == 0
    voiced = np.repeat(np.where(held, np.maximum(mouth.voiced_T[path], 0.8), mouth.voiced_T[path]), hop)
    voiced = np.pad(voiced, (0, count - len(voiced))) * float(rng.uniform(0.85, 1.0))
    source = voiced * pulses + (1.0 - voiced) * rng.standard_normal(count)
    sung = drive_mouth(mouth, source, path, level, from_hz)
    return _fit(to_rate(sung, from_hz, palette.rate_hz, rng), n_samples), voice


def talking_instrument(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Chords of an instrument as the source, speech as the filter: a vocoder."""
    voice = palette.voice(rng)
    spoken, from_hz = speak(voice, draw_text(30, rng), 50, int(rng.integers(100, 180)))
    mouth = analyse(spoken, from_hz)
    count = int(n_samples / palette.rate_hz * from_hz) + 1
    instrument, program = draw_instrument(palette, "pad", rng)
    notes = chords(n_samples / palette.rate_hz, 12, 48, 76, rng)
    carrier = play_notes(instrument, notes, palette.rate_hz, n_samples).mean(axis=0)
    carrier = np.interp(np.arange(count) * palette.rate_hz / from_hz, np.arange(n_samples), carrier)
    carrier = np.diff(carrier, prepend=0.0)
    carrier = carrier / (float(np.sqrt(np.mean(carrier**2))) + 1e-6) + 0.15 * rng.standard_normal(count)
    path = np.arange(count // int(_HOP_S * from_hz)) % len(mouth.level_T)
    mono = drive_mouth(mouth, carrier, path, np.ones(len(path)), from_hz)
    mono = _fit(to_rate(mono, from_hz, palette.rate_hz, rng), n_samples)
    return PaletteSound(np.stack([mono, mono]), (program,), (voice,), "talking instrument")


def _fit(mono: np.ndarray, n_samples: int) -> np.ndarray:
    return np.pad(mono, (0, max(0, n_samples - len(mono))))[:n_samples]


def song(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """A singer, a choir in unison or in chords, or an instrument that talks."""
    kind = ("solo", "choir", "talking")[int(rng.choice(3, p=(0.55, 0.3, 0.15)))]
    if kind == "talking":
        return talking_instrument(palette, n_samples, rng)
    low = int(rng.integers(36, 66))
    maker = long_notes if rng.random() < 0.25 else melody
    notes = maker(n_samples / palette.rate_hz, 12, low, low + int(rng.integers(7, 20)), rng)
    if maker is long_notes:  # one note at a time
        notes = [note for place, note in enumerate(notes) if not place or note[0] > notes[place - 1][0]]
    out, voices = np.zeros((2, n_samples), dtype=np.float32), []
    for number in range(1 if kind == "solo" else int(rng.integers(3, 6))):
        shift = 0 if number == 0 else int(rng.choice((0, 0, 3, 4, 7, 12, -5, -12)))
        late_s = float(rng.uniform(0.0, 0.04)) if number else 0.0
        moved = [(start_s + late_s, length_s, pitch + shift, force) for start_s, length_s, pitch, force in notes]
        mono, voice = sing(palette, moved, n_samples, rng)
        out += pan_matrix(0.0 if kind == "solo" else float(rng.uniform(-0.9, 0.9)), 1.0) @ np.stack([mono, mono])
        voices.append(voice)
    return PaletteSound(out, voices=tuple(voices), detail=kind)
