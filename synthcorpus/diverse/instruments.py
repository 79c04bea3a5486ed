"""More synthesised voices, and how an instrument is drawn: a program of the sound font, or one of all synthesisers.

Wavetables that morph, seven detuned saws, resonant sweeps, vowels, breath and modal resonators (bars, bells, glass),
beside those of data/synth_voices.py.
"""

from __future__ import annotations

import numpy as np
import soxr

from synthcorpus.diverse.effects import log_uniform
from synthcorpus.diverse.palette import Palette
from synthcorpus.render.effects import peaking
from synthcorpus.synth.notes import Voice
from synthcorpus.synth.soundfont import SoundFontVoice, load
from synthcorpus.synth.voices import AdditiveVoice, FmVoice, Patch, PluckVoice, SubtractiveVoice, pitch_hz, saw

VOWELS = (
    (800, 1150, 2900),
    (400, 1700, 2600),
    (270, 2140, 2950),
    (450, 800, 2830),
    (325, 700, 2530),
    (500, 1500, 2500),
)
"""First three formants of a, e, i, o, u and schwa, hertz (after Peterson and Barney, 1952, rounded)."""


_HEARD_DECAYS = 9.2
"""Times a decay constant, after which a partial is 80 dB down and left out."""


class WavetableVoice(Patch):
    """Wavetable synthesis: four tables of random harmonics, cross-faded over the note."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        count = int(rng.integers(4, 64))
        slopes = rng.uniform(0.3, 2.0, size=(4, 1))
        self.levels = rng.standard_normal((4, count)) * np.arange(1, count + 1) ** -slopes
        self.levels *= rng.random((4, count)) < rng.uniform(0.4, 1.0)
        self.levels[:, 0] += 0.2
        self.phases = rng.uniform(size=count)
        self.tables_per_s = log_uniform(rng, 0.3, 12.0)

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        hertz = pitch_hz(pitch)
        count = max(1, min(self.levels.shape[1], int(0.45 * self.rate / hertz)))
        angles = np.outer(np.arange(1, count + 1), np.arange(2049) / 2048.0) + self.phases[:count, None]
        tables = self.levels[:, :count] @ np.sin(2.0 * np.pi * angles)
        tables /= np.maximum(np.abs(tables).max(axis=1, keepdims=True), 1e-6)
        place = np.arange(n_samples) * (self.tables_per_s / self.rate)
        row, part = place.astype(int) % 4, place % 1.0
        sides = []
        for sign in (-0.5, 0.5):
            column = (self.phase(hertz * (1.0 + sign * self.detune), n_samples) % 1.0 * 2048.0).astype(int)
            sides.append(tables[row, column] * (1.0 - part) + tables[(row + 1) % 4, column] * part)
        return self.spread(*sides) * self.envelope(n_samples) * np.float32(0.35 * velocity / 127.0)


class SuperSawVoice(Patch):
    """Seven saws of random phase, spread over the sides."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        self.cents = np.sort(rng.uniform(-1.0, 1.0, size=7)) * float(rng.uniform(4.0, 45.0))
        self.bright = log_uniform(rng, 3.0, 60.0)

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        from scipy.signal import butter, sosfilt

        rng, hertz = np.random.default_rng((self.seed, pitch)), pitch_hz(pitch)
        sides = np.zeros((2, n_samples))
        for number, cents in enumerate(self.cents):
            tuned = hertz * 2.0 ** (cents / 1200.0)
            wave = saw(self.phase(tuned, n_samples, float(rng.uniform())), tuned / self.rate)
            sides += np.array([[number], [6 - number]]) / 6.0 * wave
        cutoff_hz = min(max(hertz * self.bright, 300.0), 0.45 * self.rate)
        sides = np.asarray(sosfilt(butter(2, cutoff_hz, fs=self.rate, output="sos"), sides))
        return (sides * (0.1 * velocity / 127.0)).astype(np.float32) * self.envelope(n_samples)


class ResonantVoice(Patch):
    """Subtractive synthesis: saw or pulse through a resonant low-pass whose corner moves."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        self.pulse = float(rng.choice((0.0, 0.5, 0.3)))
        self.q = log_uniform(rng, 1.5, 14.0)
        self.corners_hz = np.exp(np.linspace(np.log(rng.uniform(150, 500)), np.log(rng.uniform(2000, 12000)), 5))
        self.sweep_s = log_uniform(rng, 0.05, 2.0)
        self.wobble_hz = float(rng.choice((0.0, 0.0, rng.uniform(1.0, 9.0))))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        from scipy.signal import butter, sosfilt

        hertz = pitch_hz(pitch)
        cycles = self.phase(hertz, n_samples)
        wave = saw(cycles, hertz / self.rate)
        if self.pulse:
            wave = wave - saw(cycles + self.pulse, hertz / self.rate)
        time = np.arange(n_samples) / self.rate
        place = np.exp(-time / self.sweep_s) * (velocity / 127.0)
        if self.wobble_hz:
            place = 0.5 - 0.5 * np.cos(2.0 * np.pi * self.wobble_hz * time)
        place, out = place * 4.0, np.zeros(n_samples)
        for number, corner_hz in enumerate(self.corners_hz):
            weight = np.maximum(1.0 - np.abs(place - number), 0.0)
            if weight.any():
                peak = peaking(corner_hz, 20.0 * np.log10(self.q), 2.0, self.rate)
                slope = np.asarray(butter(2, min(corner_hz * 1.2, 0.45 * self.rate), fs=self.rate, output="sos"))
                out += weight * np.asarray(sosfilt(np.concatenate([slope, peak]), wave))
        scaled = (out * (0.25 * velocity / 127.0 / np.sqrt(self.q))).astype(np.float32) * self.envelope(n_samples)
        return np.stack([scaled, scaled])


class VowelVoice(Patch):
    """Formant synthesis: pulses through formant filters that move from one vowel to another."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        self.vowels = rng.permutation(len(VOWELS))[:2]
        self.size = float(rng.uniform(0.8, 1.3))
        self.breath = float(rng.uniform(0.0, 0.15))
        self.turn_s = float(rng.uniform(0.2, 3.0))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        from scipy.signal import lfilter

        hertz, rng = pitch_hz(pitch), np.random.default_rng((self.seed, pitch))
        pulses = saw(self.phase(hertz, n_samples), hertz / self.rate)
        source = np.asarray(lfilter([1.0], [1.0, -0.9], pulses + self.breath * rng.standard_normal(n_samples)))
        versions = [self._formants(source, VOWELS[vowel]) for vowel in self.vowels]
        turn = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_samples) / (self.turn_s * self.rate))
        wave = versions[0] + turn * (versions[1] - versions[0])
        scaled = (wave * (0.5 * velocity / 127.0)).astype(np.float32) * self.envelope(n_samples)
        return np.stack([scaled, scaled])

    def _formants(self, source: np.ndarray, formants_hz: tuple[int, ...]) -> np.ndarray:
        from scipy.signal import iirpeak, lfilter

        out = 0.02 * source
        for formant_hz, level in zip(formants_hz, (1.0, 0.5, 0.25), strict=True):
            center_hz = min(formant_hz * self.size, 0.45 * self.rate)
            out = out + level * np.asarray(lfilter(*iirpeak(center_hz, center_hz / 110.0, fs=self.rate), source))
        return out


class BreathVoice(Patch):
    """A blown pipe: a few soft harmonics and noise around them."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        self.levels = rng.uniform(0.0, 1.0, size=6) * np.arange(1, 7) ** -1.5
        self.breath = log_uniform(rng, 0.03, 1.0)
        self.q = float(rng.uniform(2.0, 40.0))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        from scipy.signal import iirpeak, lfilter

        hertz = min(pitch_hz(pitch), 0.4 * self.rate)
        noise = np.random.default_rng((self.seed, pitch)).standard_normal((2, n_samples))
        blown = np.asarray(lfilter(*iirpeak(hertz, self.q, fs=self.rate), noise)) * np.sqrt(self.q)
        cycles = self.phase(hertz, n_samples)
        tone = sum(
            level * np.sin(2.0 * np.pi * n * cycles)
            for n, level in enumerate(self.levels, 1)
            if n * hertz < 0.45 * self.rate
        )
        wave = tone + self.breath * (blown + 0.05 * noise)
        return (wave * (0.3 * velocity / 127.0)).astype(np.float32) * self.envelope(n_samples)


class ModalVoice(Patch):
    """Modal synthesis: decaying partials at the ratios of a bar, bell, membrane or glass, or at random ones."""

    RATIOS = (
        (1.0, 2.756, 5.404, 8.933, 13.344),
        (0.5, 1.0, 1.183, 1.506, 2.0, 2.514, 2.662, 3.011, 4.166, 5.433),
        (1.0, 1.593, 2.135, 2.295, 2.653, 2.917, 3.155, 3.5, 3.6, 4.06),
        (1.0, 2.32, 4.25, 6.63, 9.38, 12.22),
    )
    """A free bar, a church bell, a membrane, a wine glass."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        kind = int(rng.integers(len(self.RATIOS) + 1))
        drawn = np.sort(np.concatenate([[1.0], rng.uniform(1.0, 14.0, size=int(rng.integers(4, 30)))]))
        self.ratios = np.array(self.RATIOS[kind]) if kind < len(self.RATIOS) else drawn
        self.levels = rng.uniform(0.1, 1.0, size=len(self.ratios)) * self.ratios ** -float(rng.uniform(0.0, 1.5))
        self.ring_s = log_uniform(rng, 0.05, 4.0)
        self.damping = float(rng.uniform(0.2, 1.2))
        self.strike = float(rng.uniform(0.0, 0.4))
        self.release_s = float(rng.uniform(0.1, 1.5))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        hertz = pitch_hz(pitch)
        rng = np.random.default_rng((self.seed, pitch))
        time = np.arange(n_samples) / self.rate
        out = np.zeros((2, n_samples))
        for ratio, level in zip(self.ratios, self.levels, strict=True):
            if hertz * ratio >= 0.45 * self.rate:
                continue
            decay_s = self.ring_s * ratio**-self.damping
            heard = time[: int(_HEARD_DECAYS * decay_s * self.rate) + 1]
            beat = hertz * ratio * (1.0 + rng.normal(0.0, 0.0006, size=(2, 1)))
            wave = np.sin(2.0 * np.pi * (beat * heard + rng.uniform()))
            out[:, : len(heard)] += level * np.exp(-heard / decay_s) * wave
        out += self.strike * np.exp(-time / 0.004) * rng.standard_normal(n_samples)
        return (out * np.minimum(time / 0.0008, 1.0) * (0.25 * velocity / 127.0)).astype(np.float32)


SYNTHESISERS: tuple[type, ...] = (
    *(SubtractiveVoice, FmVoice, AdditiveVoice, PluckVoice, WavetableVoice, SuperSawVoice, ResonantVoice),
    *(VowelVoice, BreathVoice, ModalVoice, ModalVoice),
)


class TunedVoice:
    """A voice in another tuning: its "pitches" are steps of `steps` to the octave, `cents` off concert pitch."""

    def __init__(self, voice: Voice, steps: int, cents: float, rate_hz: int) -> None:
        self._voice, self._steps, self._cents, self._rate = voice, steps, cents, rate_hz
        self.release_s, self.one_shot_s, self.layers = voice.release_s, voice.one_shot_s, voice.layers

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """The nearest note of the voice, resampled to the pitch."""
        exact = 60.0 + 12.0 * (pitch - 60) / self._steps + self._cents / 100.0
        near = int(np.clip(round(exact), 0, 127))
        factor = 2.0 ** ((exact - near) / 12.0)
        if abs(exact - near) < 0.005:
            return self._voice.note(near, velocity, n_samples)
        source = self._voice.note(near, velocity, int(n_samples * factor) + 64)
        tuned = soxr.resample(np.ascontiguousarray(source.T), self._rate * factor, self._rate, "HQ").T
        return np.ascontiguousarray(np.pad(tuned, ((0, 0), (0, max(0, n_samples - tuned.shape[1]))))[:, :n_samples])


def draw_instrument(palette: Palette, role: str, rng: np.random.Generator) -> tuple[Voice, int]:
    """An instrument and its program; -1 for a synthesiser. Half are programs where there is a sound font."""
    if palette.soundfont is not None and rng.random() < 0.55:
        program = palette.program(rng)
        release_s = log_uniform(rng, 0.08, 1.2)
        return SoundFontVoice(load(palette.soundfont, palette.rate_hz), program, False, release_s), program
    kind = SYNTHESISERS[int(rng.integers(len(SYNTHESISERS)))]
    return kind(role, palette.rate_hz, rng), -1
