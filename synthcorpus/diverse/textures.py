"""Sounds without notes: wind, rain, crackle, applause, engines, sweeps, chirps, bells, beats, grains, beeps, feedback.

Noise whose spectrum moves is shaped in the short-time Fourier domain, where any surface of time and frequency is one
multiplication; what consists of many small events is a sparse row of impulses convolved with a few grains.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthcorpus.diverse.effects import log_uniform, random_curve
from synthcorpus.diverse.instruments import ModalVoice, draw_instrument
from synthcorpus.diverse.palette import Palette, PaletteSound
from synthcorpus.render.effects import db, filter_sections
from synthcorpus.synth.notes import play_notes

_FFT = 2048
_HOP = 512


def shaped_noise(surface_db_TF: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Stereo noise with the level of a surface, dB (frames of 512 samples, 1025 bins), by overlap-add."""
    window = np.hanning(_FFT + 1)[:-1].astype(np.float32)
    out = np.zeros((2, n_samples + _FFT + _HOP), dtype=np.float32)
    frames = min(len(surface_db_TF), n_samples // _HOP + 1)
    gain = np.power(10.0, surface_db_TF[:frames] / 20.0).astype(np.float32)
    for channel in out:
        white = rng.standard_normal((frames, _FFT), dtype=np.float32)
        noise = np.fft.irfft(np.fft.rfft(white).astype(np.complex64) * gain).astype(np.float32) * window
        for part in range(_FFT // _HOP):
            block = noise[:, part * _HOP : (part + 1) * _HOP].reshape(-1)
            channel[part * _HOP : part * _HOP + len(block)] += block
    return out[:, _FFT // 2 : _FFT // 2 + n_samples]


def _surface(n_samples: int, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Times (T, 1) in seconds and octaves above 20 Hz (1, F) of a surface."""
    frames = n_samples // _HOP + 1
    hertz = np.maximum(np.arange(_FFT // 2 + 1) * rate_hz / _FFT, 10.0)
    return np.arange(frames)[:, None] * _HOP / rate_hz, np.log2(hertz / 20.0)[None]


def _curve(n_samples: int, rate: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A random curve on the frames of a surface (T, 1)."""
    return random_curve(n_samples // _HOP + 1, rate, rate_hz // _HOP, rng)[:, None]


def wind(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Bands of noise that wander, over a tilted ground: wind, sea, jets, breath."""
    rate_hz = palette.rate_hz
    _, octaves = _surface(n_samples, rate_hz)
    speed = log_uniform(rng, 0.1, 4.0)
    surface = -float(rng.uniform(0.0, 7.0)) * octaves - 20.0 + np.zeros((n_samples // _HOP + 1, 1))
    power = np.power(10.0, surface / 10.0)
    for _ in range(int(rng.integers(1, 5))):
        center = rng.uniform(2.0, 9.0) + rng.uniform(0.1, 0.8) * _curve(n_samples, speed, rate_hz, rng)
        level_db = rng.uniform(-30.0, 0.0) + rng.uniform(2.0, 10.0) * _curve(n_samples, speed, rate_hz, rng)
        width = log_uniform(rng, 0.03, 1.5)
        power = power + np.power(10.0, (level_db - 4.3 * ((octaves - center) / width) ** 2) / 10.0)
    return PaletteSound(shaped_noise(10.0 * np.log10(power + 1e-12), n_samples, rng), detail="wind")


def colour(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Steady or pulsing noise of any colour and band: hiss, rumble, static, steam, trains."""
    rate_hz = palette.rate_hz
    time_s, octaves = _surface(n_samples, rate_hz)
    low = float(rng.uniform(-1.0, 8.0)) if rng.random() < 0.5 else -1.0
    high = low + float(rng.uniform(0.5, 6.0)) if rng.random() < 0.5 else 11.0
    surface = float(rng.uniform(-6.0, 3.0)) * octaves - 24.0 * (
        np.maximum(low - octaves, 0.0) + np.maximum(octaves - high, 0.0)
    )
    if rng.random() < 0.5:
        rate, depth_db = log_uniform(rng, 0.3, 14.0), float(rng.uniform(6.0, 50.0))
        surface = surface - depth_db * (time_s * rate % 1.0) ** float(rng.uniform(0.3, 3.0))
    else:
        surface = surface + np.zeros_like(time_s)
    return PaletteSound(shaped_noise(surface, n_samples, rng), detail="coloured noise")


def _events(
    per_s: float, n_samples: int, grains: list[np.ndarray], spread_db: float, rate_hz: int, rng: np.random.Generator
) -> np.ndarray:
    """Random impulses through grains (2, n) each, (2, n_samples)."""
    from scipy.signal import oaconvolve

    out = np.zeros((2, n_samples), dtype=np.float32)
    swell = np.exp(0.8 * random_curve(n_samples, 0.5, rate_hz, rng)[::64])
    chances = np.cumsum(swell) / swell.sum()
    for grain in grains:
        count = int(rng.poisson(per_s * n_samples / rate_hz / len(grains)))
        places = np.searchsorted(chances, rng.random(count)) * 64 + rng.integers(64, size=count)
        row = np.zeros((2, n_samples), dtype=np.float32)
        heights = np.power(10.0, -spread_db * rng.random(count) / 20.0) * rng.choice((-1.0, 1.0), size=count)
        sides = rng.uniform(0.1, 1.0, size=(2, count))
        for side in range(2):
            np.add.at(row[side], np.minimum(places, n_samples - 1), (heights * sides[side]).astype(np.float32))
        out += np.asarray(oaconvolve(row, grain.astype(np.float32), axes=-1))[:, :n_samples].astype(np.float32)
    return out


def _burst(rate_hz: int, decay_s: float, low_hz: float, octaves: float, rng: np.random.Generator) -> np.ndarray:
    """Noise in a band that dies away, (2, n)."""
    from scipy.signal import butter

    count = max(16, int(6.0 * decay_s * rate_hz))
    noise = rng.standard_normal((2, count)) * np.exp(-np.arange(count) / (decay_s * rate_hz))
    high_hz = min(low_hz * 2.0**octaves, 0.45 * rate_hz)
    return filter_sections(noise, np.asarray(butter(1, [low_hz, high_hz], "bandpass", fs=rate_hz, output="sos")))


def droplets(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Many small bursts: rain, fire, gravel, applause, typing, by their rate and colour."""
    rate_hz = palette.rate_hz
    center_hz, decay_s = log_uniform(rng, 200.0, 8000.0), log_uniform(rng, 0.0006, 0.03)
    grains = [
        _burst(rate_hz, decay_s * log_uniform(rng, 0.5, 2.0), center_hz * log_uniform(rng, 0.5, 1.8), 2.0, rng)
        for _ in range(8)
    ]
    audio = _events(log_uniform(rng, 3.0, 2500.0), n_samples, grains, float(rng.uniform(6.0, 40.0)), rate_hz, rng)
    ground = colour(palette, n_samples, rng).audio if rng.random() < 0.4 else None
    if ground is not None:
        level = float(np.sqrt(np.mean(audio**2)) + 1e-6) / float(np.sqrt(np.mean(ground**2)) + 1e-6)
        audio = audio + ground * np.float32(level * db(float(rng.uniform(-30.0, -3.0))))
    return PaletteSound(audio, detail="droplets")


def bubbles(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Short sines that rise as they fade, as bubbles and birds do."""
    rate_hz = palette.rate_hz
    grains = []
    for _ in range(12):
        decay_s, hertz = log_uniform(rng, 0.005, 0.15), log_uniform(rng, 250.0, 6000.0)
        time = np.arange(int(6.0 * decay_s * rate_hz)) / rate_hz
        rise, trill = float(rng.uniform(-0.6, 1.5)), float(rng.choice((0.0, 0.0, 1.0)))
        cycles = hertz * (time + rise * time**2 / (12.0 * decay_s))
        cycles += trill * hertz * 0.002 * np.sin(2.0 * np.pi * float(rng.uniform(15.0, 40.0)) * time)
        wave = np.sin(2.0 * np.pi * cycles) * np.exp(-time / decay_s) * np.minimum(time / 0.001, 1.0)
        grains.append(np.stack([wave, wave]))
    return PaletteSound(_events(log_uniform(rng, 2.0, 120.0), n_samples, grains, 25.0, rate_hz, rng), detail="bubbles")


def sweeps(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Sines, or harmonic tones, that sweep over octaves again and again, each side on its own course."""
    rate_hz = palette.rate_hz
    time = np.arange(n_samples) / rate_hz
    out = np.zeros((2, n_samples))
    for _ in range(int(rng.integers(1, 4))):
        period_s, low_hz = log_uniform(rng, 0.15, 12.0), log_uniform(rng, 25.0, 1000.0)
        octaves = float(rng.uniform(1.0, np.log2(0.45 * rate_hz / low_hz)))
        place = time / period_s % 1.0
        shape = int(rng.integers(3))
        if shape == 1:
            place = 1.0 - np.abs(2.0 * place - 1.0)
        elif shape == 2:
            place = 1.0 - place
        edge = np.clip(np.minimum(time / period_s % 1.0, 1.0 - time / period_s % 1.0) * period_s / 0.004, 0.0, 1.0)
        hertz = low_hz * 2.0 ** (octaves * place)
        cycles = np.cumsum(hertz) / rate_hz
        for harmonic in range(1, 1 + int(rng.choice((1, 1, 1, 3, 6)))):
            heard = (hertz * harmonic < 0.45 * rate_hz) * edge / harmonic
            out += heard * np.sin(2.0 * np.pi * (harmonic * cycles + np.array([[0.0], [0.1]])))
    return PaletteSound((0.2 * out).astype(np.float32), detail="sweeps")


def bells(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Struck bodies with partials at any ratio, near and far in time."""
    voice = ModalVoice("melody", palette.rate_hz, rng)
    voice.ring_s, voice.release_s = log_uniform(rng, 0.1, 6.0), 1.5
    duration_s, step_s, time_s, notes = n_samples / palette.rate_hz, log_uniform(rng, 0.08, 2.0), 0.0, []
    pitches = rng.integers(30, 100, size=12)
    while time_s < duration_s:
        notes.append((time_s, 4.0, int(rng.choice(pitches)), int(rng.integers(30, 127))))
        time_s += step_s * log_uniform(rng, 0.4, 2.5)
    return PaletteSound(play_notes(voice, notes, palette.rate_hz, n_samples), detail="bells")


def cluster(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Many sines that swell and fade each at its own rate: drones, beating, hum, feedback."""
    rate_hz = palette.rate_hz
    time = np.arange(n_samples) / rate_hz
    base_hz, out = log_uniform(rng, 30.0, 600.0), np.zeros((2, n_samples), dtype=np.float32)
    harmonic, count = rng.random() < 0.5, int(rng.integers(2, 24))
    drift = np.cumsum(1.0 + 0.004 * rng.uniform() * random_curve(n_samples, 0.3, rate_hz, rng)) / rate_hz
    for number in range(1, count + 1):
        ratio = number * (1.0 + rng.normal(0.0, 0.003)) if harmonic else log_uniform(rng, 1.0, 30.0)
        if base_hz * ratio > 0.45 * rate_hz:
            continue
        swell = 0.5 + 0.5 * np.sin(2.0 * np.pi * (log_uniform(rng, 0.05, 6.0) * time + rng.uniform()))
        wave = swell * np.sin(2.0 * np.pi * (base_hz * ratio * drift + rng.uniform())) / ratio ** rng.uniform(0.2, 1.0)
        out += (wave * rng.uniform(0.1, 1.0, size=(2, 1))).astype(np.float32)
    return PaletteSound(np.tanh(out * np.float32(rng.uniform(0.2, 2.0))), detail="cluster")


def engine(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Pulses at 4 to 200 Hz whose rate wanders, through resonances: motors, propellers, purring, clicking."""
    from scipy.signal import oaconvolve

    rate_hz = palette.rate_hz
    pace = log_uniform(rng, 4.0, 200.0) * np.exp(
        float(rng.uniform(0.02, 0.5)) * random_curve(n_samples, 0.4, rate_hz, rng)
    )
    place = np.cumsum(pace) / rate_hz
    ticks = np.flatnonzero(np.diff(np.floor(place)) > 0)
    row = np.zeros(n_samples, dtype=np.float32)
    row[ticks] = 1.0 + 0.3 * rng.standard_normal(len(ticks))
    body = np.zeros((2, int(0.2 * rate_hz)), dtype=np.float32)
    for _ in range(4):
        burst = _burst(rate_hz, log_uniform(rng, 0.002, 0.03), log_uniform(rng, 40.0, 4000.0), 0.7, rng)
        body[:, : burst.shape[1]] += burst[:, : body.shape[1]]
    return PaletteSound(
        np.asarray(oaconvolve(row[None], body, axes=-1))[:, :n_samples].astype(np.float32), detail="engine"
    )


def beeps(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Tones of one to three sines or squares with hard or soft edges, and silence: signals, alarms, dialling, Morse."""
    rate_hz = palette.rate_hz
    unit = int(log_uniform(rng, 0.03, 0.6) * rate_hz)
    tones_hz = np.exp(rng.uniform(np.log(200.0), np.log(5000.0), size=int(rng.integers(1, 8))))
    square, edge = rng.random() < 0.3, int(log_uniform(rng, 0.0002, 0.02) * rate_hz)
    out, start = np.zeros(n_samples), 0
    while start < n_samples:
        length = min(unit * int(rng.integers(1, 4)), n_samples - start)
        if rng.random() < 0.65:
            time = np.arange(length) / rate_hz
            wave = sum(
                np.sin(2.0 * np.pi * hertz * time) for hertz in rng.choice(tones_hz, size=int(rng.integers(1, 4)))
            )
            ramp = np.minimum(1.0, np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / max(edge, 1))
            out[start : start + length] = (np.sign(wave) if square else wave) * ramp
        start += length
    mono = (0.2 * out).astype(np.float32)
    return PaletteSound(np.stack([mono, mono]), detail="beeps")


def grains(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """Windows of an instrument's notes at random places, transposed: clouds, stutters, freezes."""
    rate_hz = palette.rate_hz
    voice, program = draw_instrument(palette, "melody", rng)
    source = np.concatenate([voice.note(int(rng.integers(36, 90)), 100, rate_hz // 2) for _ in range(6)], axis=1)
    length = int(log_uniform(rng, 0.03, 0.3) * rate_hz)
    window = np.hanning(length).astype(np.float32)
    out = np.zeros((2, n_samples + length), dtype=np.float32)
    focus = (0.5 + 0.5 * np.sin(np.cumsum(rng.normal(0.0, 0.2, size=4096)))) * (source.shape[1] - 2 * length - 1)
    count = int(n_samples / length * log_uniform(rng, 1.0, 4.0))
    for number, start in enumerate(np.sort(rng.integers(n_samples, size=count))):
        ratio = 2.0 ** (float(rng.choice((-12, -5, 0, 0, 0, 7, 12))) / 12.0)
        first = int(focus[number % 4096])
        place = np.minimum(first + np.arange(length) * ratio, source.shape[1] - 1).astype(int)
        out[:, start : start + length] += source[:, place] * window * np.float32(rng.uniform(0.2, 1.0))
    return PaletteSound(out[:, :n_samples], (program,), detail="grains")


TEXTURES: tuple[Callable[[Palette, int, np.random.Generator], PaletteSound], ...] = (
    *(wind, colour, droplets, bubbles, sweeps, bells, cluster, engine, beeps, grains),
)


def texture(palette: Palette, n_samples: int, rng: np.random.Generator) -> PaletteSound:
    """One texture, or two at once."""
    first = TEXTURES[int(rng.integers(len(TEXTURES)))](palette, n_samples, rng)
    if rng.random() < 0.65:
        return first
    second = TEXTURES[int(rng.integers(len(TEXTURES)))](palette, n_samples, rng)
    sizes = [float(np.sqrt(np.mean(sound.audio**2))) + 1e-6 for sound in (first, second)]
    audio = first.audio + second.audio * np.float32(sizes[0] / sizes[1] * db(float(rng.uniform(-18.0, 6.0))))
    return PaletteSound(audio, first.programs + second.programs, detail=f"{first.detail} + {second.detail}")
