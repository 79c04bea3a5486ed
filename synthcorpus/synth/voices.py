"""Pitched synthesiser voices. Each draws its patch from a generator once and then makes notes of it.

All oscillators are vectorised over time. A sweep of a filter is a cross-fade between a bright and a dark version of
the same oscillator, since a filter with moving coefficients would need a loop over samples.
"""

from __future__ import annotations

import numpy as np

_DECAYING = {
    "bass": 0.5,
    "chords": 0.6,
    "stabs": 0.8,
    "arpeggio": 0.8,
    "percussion": 1.0,
    "melody": 0.35,
    "counter": 0.2,
    "pad": 0.0,
    "effects": 0.1,
}
"""Probability that a voice of a role decays while held, as struck and plucked instruments do."""


def pitch_hz(pitch: float) -> float:
    """Frequency of a MIDI pitch, hertz; 69 is 440 Hz."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


class Patch:
    """Base class of pitched voices: envelope, vibrato, detuning, velocity layers."""

    one_shot_s = 0.0
    layers = (60, 100)

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        self.rate = sample_rate_hz
        self.role = role
        slow = role in ("pad", "effects")
        self.attack_s = float(rng.uniform(0.1, 0.8)) if slow else float(rng.uniform(0.002, 0.03))
        self.decays = bool(rng.random() < _DECAYING.get(role, 0.4))
        self.decay_s = float(np.exp(rng.uniform(np.log(0.15), np.log(2.5))))
        self.sustain = 0.0 if self.decays else float(rng.uniform(0.4, 1.0))
        self.release_s = float(rng.uniform(0.4, 1.6)) if slow else float(rng.uniform(0.06, 0.4))
        self.vibrato_hz = float(rng.uniform(4.0, 6.5))
        self.vibrato = float(rng.uniform(0.0, 0.006)) if role in ("melody", "counter", "pad") else 0.0
        self.detune = float(rng.uniform(0.0, 0.008)) if role != "bass" else float(rng.uniform(0.0, 0.003))
        self.width = float(rng.uniform(0.0, 0.6)) if role != "bass" else 0.0
        self.seed = int(rng.integers(2**31))
        """Seed of the noise inside notes, so that a note is a function of the patch and its arguments."""

    def envelope(self, n_samples: int) -> np.ndarray:
        """Attack, then decay towards the sustain level; float32 (n_samples,)."""
        time = np.arange(n_samples, dtype=np.float32) / self.rate
        rise = np.minimum(time / self.attack_s, 1.0)
        fall = self.sustain + (1.0 - self.sustain) * np.exp(-np.maximum(time - self.attack_s, 0.0) / self.decay_s)
        return (rise * fall).astype(np.float32)

    def phase(self, hertz: float, n_samples: int, offset: float = 0.0) -> np.ndarray:
        """Phase in cycles with delayed vibrato, float64 (n_samples,)."""
        time = np.arange(n_samples) / self.rate
        cycles = hertz * time + offset
        if self.vibrato:
            depth = self.vibrato * hertz / (2.0 * np.pi * self.vibrato_hz)
            cycles += depth * np.sin(2.0 * np.pi * self.vibrato_hz * time) * np.minimum(time / 0.4, 1.0)
        return cycles

    def spread(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Two detuned copies as a stereo pair of the patch's width, float32 (2, n)."""
        middle = 0.5 * (left + right)
        return np.stack([middle + self.width * (left - middle), middle + self.width * (right - middle)]).astype(
            np.float32
        )


def saw(cycles: np.ndarray, step: float | np.ndarray) -> np.ndarray:
    """Band-limited sawtooth (polynomial BLEP) of a phase in cycles that grows by about `step` per sample."""
    place, steps = cycles % 1.0, np.broadcast_to(step, cycles.shape)
    wave = 2.0 * place - 1.0
    early = place < steps
    ramp = place[early] / steps[early]
    wave[early] -= 2.0 * ramp - ramp * ramp - 1.0
    late = place > 1.0 - steps
    ramp = (place[late] - 1.0) / steps[late]
    wave[late] -= ramp * ramp + 2.0 * ramp + 1.0
    return wave


class SubtractiveVoice(Patch):
    """Sawtooth, square or pulse through a low-pass whose brightness falls after the attack."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        self.pulse = float(rng.choice((0.0, 0.0, 0.5, 0.5, 0.25, 0.125)))
        """Width of the pulse; 0 is a sawtooth."""
        self.dark = float(np.exp(rng.uniform(np.log(1.0), np.log(6.0))))
        """Cut-off of the dark version, multiples of the note's frequency."""
        self.bright = float(np.exp(rng.uniform(np.log(6.0), np.log(40.0))))
        self.sweep_s = float(np.exp(rng.uniform(np.log(0.05), np.log(1.5))))
        self.sub = float(rng.uniform(0.0, 0.8)) if role == "bass" else 0.0
        self.floor = float(rng.uniform(0.0, 0.4))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        hertz = pitch_hz(pitch)
        pair = [self._oscillator(hertz * (1.0 + sign * self.detune), n_samples, sign) for sign in (-0.5, 0.5)]
        time = np.arange(n_samples, dtype=np.float32) / self.rate
        opening = self.floor + (1.0 - self.floor) * np.exp(-time / self.sweep_s) * (velocity / 127.0)
        sides = [self._filter(wave, hertz, opening) for wave in pair]
        if self.sub:
            low = self.sub * np.sin(2.0 * np.pi * self.phase(hertz, n_samples))
            sides = [side + low for side in sides]
        return self.spread(*sides) * self.envelope(n_samples) * np.float32(0.3 * velocity / 127.0)

    def _oscillator(self, hertz: float, n_samples: int, offset: float) -> np.ndarray:
        cycles = self.phase(hertz, n_samples, offset * 0.37)
        wave = saw(cycles, hertz / self.rate)
        return wave - saw(cycles + self.pulse, hertz / self.rate) if self.pulse else wave

    def _filter(self, wave: np.ndarray, hertz: float, opening: np.ndarray) -> np.ndarray:
        from scipy.signal import butter, sosfilt

        versions = []
        for factor in (self.dark, self.bright):
            cutoff = min(max(hertz * factor, 120.0), 0.42 * self.rate)
            versions.append(sosfilt(butter(2, cutoff, fs=self.rate, output="sos"), wave))
        return versions[0] + opening * (versions[1] - versions[0])


class FmVoice(Patch):
    """Two or three operators: electric pianos, bells, basses."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        self.ratio = float(rng.choice((0.5, 1.0, 1.0, 2.0, 3.0, 3.5, 4.0, 7.0)))
        self.index = float(np.exp(rng.uniform(np.log(0.4), np.log(5.0))))
        self.index_decay_s = float(np.exp(rng.uniform(np.log(0.08), np.log(1.5))))
        self.feedback = float(rng.uniform(0.0, 0.8))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        hertz = pitch_hz(pitch)
        time = np.arange(n_samples) / self.rate
        # high notes need less modulation to stay below the Nyquist frequency
        limit = max(0.2, 0.4 * self.rate / (hertz * max(self.ratio, 1.0)) - 2.0)
        depth = min(self.index * velocity / 90.0, limit) * (0.15 + 0.85 * np.exp(-time / self.index_decay_s))
        sides = []
        for sign in (-0.5, 0.5):
            cycles = self.phase(hertz * (1.0 + sign * self.detune), n_samples)
            inner = 2.0 * np.pi * self.ratio * cycles
            modulator = np.sin(inner + self.feedback * np.sin(inner))
            sides.append(np.sin(2.0 * np.pi * cycles + depth * modulator))
        return self.spread(*sides) * self.envelope(n_samples) * np.float32(0.35 * velocity / 127.0)


class AdditiveVoice(Patch):
    """A wavetable of random harmonics: organs with drawbars, reeds, glassy pads."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        count = int(rng.integers(3, 24))
        slope = float(rng.uniform(0.6, 2.0))
        self.levels = rng.uniform(0.1, 1.0, size=count) * np.arange(1, count + 1) ** -slope
        if rng.random() < 0.35:  # drawbars: few strong harmonics, no decay
            self.levels = np.zeros(16)
            self.levels[[0, 1, 2, 3, 5, 7, 9, 15]] = rng.choice((0.0, 0.3, 0.6, 1.0), size=8)
            self.levels[0] = 1.0
            self.sustain, self.attack_s = 1.0, 0.008
        elif rng.random() < 0.3:
            self.levels[1::2] *= 0.1  # odd harmonics: clarinets, stopped pipes
        self.phases = rng.uniform(0.0, 1.0, size=len(self.levels))
        self.tremolo = float(rng.choice((0.0, 0.0, 0.3)))
        self.tremolo_hz = float(rng.uniform(3.0, 7.0))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        hertz = pitch_hz(pitch)
        table = self._table(int(0.45 * self.rate / hertz))
        sides = []
        for sign in (-0.5, 0.5):
            cycles = self.phase(hertz * (1.0 + sign * self.detune), n_samples) % 1.0
            sides.append(np.interp(cycles * 2048.0, np.arange(2049), table))
        time = np.arange(n_samples, dtype=np.float32) / self.rate
        swell = 1.0 - self.tremolo * (0.5 + 0.5 * np.sin(2.0 * np.pi * self.tremolo_hz * time))
        return self.spread(*sides) * (self.envelope(n_samples) * swell) * np.float32(0.35 * velocity / 127.0)

    def _table(self, highest: int) -> np.ndarray:
        """One cycle of the wave with harmonics up to `highest`, 2049 points, peak 1."""
        count = max(1, min(len(self.levels), highest))
        place = np.arange(2049) / 2048.0
        angles = 2.0 * np.pi * (np.outer(np.arange(1, count + 1), place) + self.phases[:count, None])
        wave = (self.levels[:count, None] * np.sin(angles)).sum(axis=0)
        return wave / max(np.abs(wave).max(), 1e-6)


class PluckVoice(Patch):
    """Karplus-Strong string: a burst of noise goes round a delay line and loses its treble."""

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        super().__init__(role, sample_rate_hz, rng)
        self.release_s = float(rng.uniform(0.05, 0.3))
        self.ring_s = float(rng.uniform(0.8, 5.0))
        self.damping = float(rng.uniform(0.1, 0.5))
        """Share of the neighbouring sample in each round, 0..0.5; more is duller."""
        self.softness = float(rng.uniform(0.0, 0.9))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        hertz = pitch_hz(pitch)
        period = max(8, round(self.rate / hertz))
        stretch = period * hertz / self.rate  # the delay line is a whole number of samples; reading it mends the pitch
        rounds = int(n_samples * stretch / period) + 2
        rng = np.random.default_rng((self.seed, pitch))
        line = rng.uniform(-1.0, 1.0, size=period)
        for _ in range(1 + int(3 * self.softness)):
            line = (1.0 - 0.5 * self.softness) * line + 0.5 * self.softness * np.roll(line, 1)
        line -= line.mean()
        line /= max(np.abs(line).max(), 1e-6)
        loss = 10.0 ** (-3.0 / (self.ring_s * hertz))
        string = np.empty((rounds, period))
        for index in range(rounds):
            string[index] = line
            line = loss * ((1.0 - self.damping) * line + self.damping * np.roll(line, 1))
        wave = np.interp(np.arange(n_samples) * stretch, np.arange(string.size), string.ravel())
        wave = wave.astype(np.float32) * np.float32(0.6 * velocity / 127.0)
        return np.stack([wave, wave])


class NoiseVoice(Patch):
    """Filtered noise that swells: wind, sea, risers."""

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        from scipy.signal import butter, sosfilt

        rng = np.random.default_rng((self.seed, pitch))
        noise = rng.standard_normal((2, n_samples)).astype(np.float32)
        low = float(rng.uniform(100.0, 2000.0))
        band = butter(1, [low, min(low * 6.0, 0.45 * self.rate)], btype="bandpass", fs=self.rate, output="sos")
        wave = np.asarray(sosfilt(band, noise)).astype(np.float32)
        return wave * self.envelope(n_samples) * np.float32(0.2 * velocity / 127.0)
