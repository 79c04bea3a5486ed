"""Solo lines: one instrument, any register, scale and tuning, with slides, vibrato, plucks, chords and long notes."""

from __future__ import annotations

import numpy as np

from synthcorpus.compose.styles import MODES
from synthcorpus.diverse.effects import log_uniform, random_curve, sway
from synthcorpus.diverse.instruments import TunedVoice, draw_instrument
from synthcorpus.diverse.palette import Palette, PaletteSound
from synthcorpus.synth.notes import play_notes
from synthcorpus.synth.voices import saw

Note = tuple[float, float, int, int]
ROLES = ("melody", "bass", "arpeggio", "pad", "chords")
TUNINGS = (12, 12, 12, 12, 12, 17, 19, 22, 24, 31)
"""Steps to the octave, as often as they are named."""


def solo(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """A line of one instrument, or one gliding tone."""
    if rng.random() < 0.12:
        return PaletteSound(glide(n_samples, palette.rate_hz, rng), (-1,), detail="glide")
    role = ROLES[int(rng.integers(len(ROLES)))]
    voice, program = draw_instrument(palette, role, rng)
    steps = TUNINGS[int(rng.integers(len(TUNINGS)))]
    cents = float(rng.uniform(-50.0, 50.0)) if rng.random() < 0.4 or steps != 12 else 0.0
    name, notes = draw_notes(n_samples / palette.rate_hz, steps, rng)
    tuned = TunedVoice(voice, steps, cents, palette.rate_hz)
    audio = play_notes(tuned, notes, palette.rate_hz, n_samples)
    if rng.random() < 0.35:
        audio = bend(audio, palette.rate_hz, rng)
    return PaletteSound(audio, (program,), detail=f"{name}, {steps} steps")


def draw_notes(duration_s: float, steps: int, rng: np.random.Generator) -> tuple[str, list[Note]]:
    """A figure drawn over the whole duration, in steps of the tuning around 60 (middle C)."""
    makers = (melody, melody, melody, scale_run, arpeggio, chords, chords, repeat, trill, long_notes, sweep)
    maker = makers[int(rng.integers(len(makers)))]
    low, high = draw_range(steps, rng)
    return maker.__name__.replace("_", " "), maker(duration_s, steps, low, high, rng)


def draw_range(steps: int, rng: np.random.Generator) -> tuple[int, int]:
    """Lowest and highest step of a line: one to four octaves between MIDI pitches 24 and 108."""
    width = int(rng.integers(12, 49))
    low = int(rng.integers(24, 109 - width))
    return tuple(60 + round((pitch - 60) * steps / 12) for pitch in (low, low + width))  # type: ignore[return-value]


def _scale(steps: int, low: int, high: int, rng: np.random.Generator) -> np.ndarray:
    """Steps of a drawn scale within the range, rising."""
    if steps == 12 and rng.random() < 0.8:
        classes = np.array(MODES[list(MODES)[int(rng.integers(len(MODES)))]])
    else:
        classes = np.sort(rng.permutation(steps)[: int(rng.integers(3, min(steps, 13) + 1))])
    tonic = int(rng.integers(steps))
    inside = [step for step in range(low, high + 1) if (step - tonic) % steps in classes]
    return np.array(inside or [low])


def _beat_s(rng: np.random.Generator) -> float:
    return log_uniform(rng, 0.12, 0.9)


def _force(rng: np.random.Generator) -> int:
    return int(np.clip(rng.normal(85.0, 22.0), 15, 127))


def melody(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """A random walk on a scale, with rests, lengths from staccato to overlapping."""
    scale, beat_s, legato = _scale(steps, low, high, rng), _beat_s(rng), float(rng.uniform(0.2, 1.3))
    time_s, place, notes = 0.0, int(rng.integers(len(scale))), []
    while time_s < duration_s:
        length_s = beat_s * float(
            rng.choice((0.5, 0.5, 1.0, 1.0, 1.5, 2.0, 4.0), p=(0.2, 0.2, 0.2, 0.2, 0.1, 0.07, 0.03))
        )
        if rng.random() > 0.12:
            notes.append((time_s, length_s * legato, int(scale[place]), _force(rng)))
        place = int(np.clip(place + round(float(rng.normal(0.0, 2.2))), 0, len(scale) - 1))
        time_s += length_s
    return notes or [(0.0, duration_s, int(scale[place]), _force(rng))]


def scale_run(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Up and down a scale, faster and slower."""
    scale, step_s = _scale(steps, low, high, rng), float(rng.uniform(0.06, 0.4))
    up_and_down = np.concatenate([scale, scale[-2:0:-1]]) if len(scale) > 2 else scale
    count = int(duration_s / step_s)
    gaps_s = step_s * np.exp(0.5 * np.sin(np.linspace(0.0, float(rng.uniform(2.0, 20.0)), count)))
    starts_s = np.cumsum(gaps_s) - gaps_s[0]
    return [
        (float(start_s), float(gap_s) * 0.95, int(up_and_down[number % len(up_and_down)]), _force(rng))
        for number, (start_s, gap_s) in enumerate(zip(starts_s, gaps_s, strict=True))
        if start_s < duration_s
    ]


def arpeggio(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Broken chords whose notes ring over each other."""
    scale, step_s, ring = _scale(steps, low, high, rng), float(rng.uniform(0.07, 0.35)), float(rng.uniform(0.5, 6.0))
    order, notes = rng.permutation(int(rng.integers(3, 9))), []
    for number in range(int(duration_s / step_s)):
        bar = number // (4 * len(order))
        place = (int(order[number % len(order)]) * 2 + 3 * bar) % len(scale)
        notes.append((number * step_s, step_s * ring, int(scale[place]), _force(rng)))
    return notes


def chords(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Two to seven notes at once, plucked together or strummed."""
    scale, beat_s, strum_s = (
        _scale(steps, low, high, rng),
        2.0 * _beat_s(rng),
        float(rng.choice((0.0, 0.0, 0.02, 0.06))),
    )
    legato, time_s, notes = float(rng.uniform(0.3, 1.1)), 0.0, []
    while time_s < duration_s:
        size = min(int(rng.integers(2, 8)), len(scale))
        first, spacing = int(rng.integers(len(scale))), int(rng.integers(1, 4))
        force = _force(rng)
        for number in range(size):
            step = int(scale[(first + number * spacing) % len(scale)])
            notes.append((time_s + number * strum_s, beat_s * legato, step, force))
        time_s += beat_s * float(rng.choice((0.5, 1.0, 1.0, 2.0)))
    return notes


def repeat(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """The same note again and again, softer and louder, then another."""
    scale, step_s = _scale(steps, low, high, rng), float(rng.uniform(0.06, 0.5))
    length_s = step_s * float(rng.uniform(0.15, 0.95))
    forces = 70 + 50 * np.sin(np.arange(int(duration_s / step_s)) * float(rng.uniform(0.05, 0.8)))
    per_note = int(rng.integers(4, 25))
    picks = rng.integers(len(scale), size=len(forces) // per_note + 1)
    return [
        (number * step_s, length_s, int(scale[picks[number // per_note]]), int(np.clip(force, 10, 127)))
        for number, force in enumerate(forces)
    ]


def trill(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Two notes in quick turns, a held note in between."""
    scale, time_s, notes = _scale(steps, low, high, rng), 0.0, []
    while time_s < duration_s:
        place, step_s = int(rng.integers(max(1, len(scale) - 1))), float(rng.uniform(0.045, 0.12))
        pair = (int(scale[place]), int(scale[min(place + 1, len(scale) - 1)]))
        for number in range(int(rng.integers(6, 30))):
            notes.append((time_s, step_s, pair[number % 2], _force(rng)))
            time_s += step_s
        held_s = float(rng.uniform(0.2, 2.0))
        notes.append((time_s, held_s, pair[0], _force(rng)))
        time_s += held_s * 1.2
    return notes


def long_notes(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Notes of 2 to 10 s, one to three at a time."""
    scale, time_s, notes = _scale(steps, low, high, rng), 0.0, []
    while time_s < duration_s:
        held_s = float(rng.uniform(2.0, 10.0))
        for _ in range(int(rng.integers(1, 4))):
            notes.append((time_s, held_s, int(rng.choice(scale)), _force(rng)))
        time_s += held_s * float(rng.uniform(0.6, 1.2))
    return notes


def sweep(duration_s: float, steps: int, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Every step from MIDI pitch 21 to 108 or back, whatever the range, each note held evenly."""
    first, last = (60 + round((pitch - 60) * steps / 12) for pitch in (21, 108))
    order = np.arange(first, last + 1)
    if rng.random() < 0.5:
        order = order[::-1]
    step_s = duration_s / len(order)
    legato = float(rng.uniform(0.4, 1.0))
    return [(number * step_s, step_s * legato, int(step), _force(rng)) for number, step in enumerate(order)]


def bend(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Vibrato, or slow bends of up to a few semitones, of the whole line, by reading it at a swaying place."""
    count = audio.shape[1]
    if rng.random() < 0.6:
        rate, cents = float(rng.uniform(3.5, 8.0)), log_uniform(rng, 8.0, 120.0)
        depth = (2.0 ** (cents / 1200.0) - 1.0) * rate_hz / (2.0 * np.pi * rate)
        swell = np.clip(0.6 + 0.5 * random_curve(count, 0.7, rate_hz, rng), 0.0, 1.5)
        offset = depth * (1.5 + swell * np.sin(2.0 * np.pi * rate * np.arange(count) / rate_hz))
    else:
        semitones = float(rng.uniform(0.2, 2.0)) * random_curve(count, float(rng.uniform(0.5, 4.0)), rate_hz, rng)
        semitones = np.clip(semitones, -5.0, 5.0)
        offset = np.cumsum(1.0 - 2.0 ** (semitones / 12.0))
        offset -= np.linspace(0.0, offset[-1], count)
        offset -= offset.min()
    return sway(audio, offset)


def glide(n_samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """One tone that slides from note to note, as of a theremin, a siren or a monophonic synthesiser."""
    duration_s = n_samples / rate_hz
    notes = melody(duration_s, 12, *draw_range(12, rng), rng)
    curve = np.full(n_samples, float(notes[0][2]) if notes else 60.0)
    level = np.zeros(n_samples)
    for start_s, length_s, pitch, force in notes:
        curve[int(start_s * rate_hz) :] = pitch
        level[int(start_s * rate_hz) : int((start_s + length_s) * rate_hz)] = force / 127.0
    from scipy.signal import lfilter

    lag = float(np.exp(-1.0 / (log_uniform(rng, 0.005, 0.25) * rate_hz)))
    curve = np.asarray(lfilter([1.0 - lag], [1.0, -lag], curve - curve[0])) + curve[0]
    curve += float(rng.uniform(0.0, 0.5)) * np.sin(
        2.0 * np.pi * float(rng.uniform(4.0, 7.0)) * np.arange(n_samples) / rate_hz
    )
    soft = float(np.exp(-1.0 / (0.012 * rate_hz)))
    level = np.asarray(lfilter([1.0 - soft], [1.0, -soft], level))
    step = np.minimum(440.0 * 2.0 ** ((curve - 69.0) / 12.0) / rate_hz, 0.3)
    cycles = np.cumsum(step)
    kind = int(rng.integers(4))
    if kind == 0:
        wave = np.sin(2.0 * np.pi * cycles)
    elif kind == 1:
        wave = saw(cycles, step)
    elif kind == 2:
        wave = saw(cycles, step) - saw(cycles + 0.5, step)
    else:
        depth = np.clip(0.2 / step - 2.0, 0.1, float(rng.uniform(0.5, 6.0)))
        wave = np.sin(2.0 * np.pi * cycles + depth * np.sin(2.0 * np.pi * float(rng.choice((0.5, 1.0, 2.0))) * cycles))
    mono = (0.3 * wave * level).astype(np.float32)
    return np.stack([mono, mono])
