"""Synthesised drums: every General MIDI drum pitch maps to a kick, snare, hat, tom, cymbal or small percussion."""

from __future__ import annotations

import numpy as np

_KICKS = (35, 36)
_SNARES = (38, 40)
_TOMS = {50: 1.5, 48: 1.3, 47: 1.1, 45: 0.95, 43: 0.8, 41: 0.65, 60: 2.2, 61: 1.7, 62: 1.9, 63: 1.6, 64: 1.2}
"""Toms, bongos and congas with their pitch relative to a middle tom."""
_CYMBALS = {49: 1.4, 57: 1.2, 51: 0.7, 59: 0.7, 53: 0.6, 46: 0.35, 42: 0.05, 44: 0.04, 55: 0.5, 52: 1.0}
"""Metal with its decay in seconds."""
_SHAKERS = {70: 0.05, 69: 0.06, 82: 0.05, 54: 0.09, 73: 0.12, 58: 0.3}
"""Noise bursts with their decay in seconds."""


class DrumVoice:
    """A kit with random tunings and decays."""

    release_s = 0.03
    one_shot_s = 1.0
    layers = (45, 75, 105)

    def __init__(self, sample_rate_hz: int, rng: np.random.Generator) -> None:
        self.rate = sample_rate_hz
        self.kick_hz = float(rng.uniform(42.0, 62.0))
        self.kick_sweep_hz = float(rng.uniform(60.0, 260.0))
        self.kick_decay_s = float(np.exp(rng.uniform(np.log(0.08), np.log(0.4))))
        self.snare_hz = float(rng.uniform(150.0, 240.0))
        self.snare_decay_s = float(rng.uniform(0.06, 0.25))
        self.snare_noise = float(rng.uniform(0.4, 0.9))
        self.tom_hz = float(rng.uniform(100.0, 170.0))
        self.metal_hz = float(rng.uniform(250.0, 520.0))
        self.metal_noise = float(rng.uniform(0.3, 0.9))
        self.metal_stretch = float(rng.uniform(0.6, 1.5))
        self.seed = int(rng.integers(2**31))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """Audio of a note, float32 (2, n_samples); velocity 1 to 127."""
        rng = np.random.default_rng((self.seed, pitch))
        time = np.arange(n_samples) / self.rate
        if pitch in _KICKS:
            wave = self._kick(time, rng)
        elif pitch in _SNARES:
            wave = self._snare(time, rng)
        elif pitch == 39:
            wave = self._clap(time, rng)
        elif pitch in _TOMS:
            wave = self._drop(time, self.tom_hz * _TOMS[pitch], 0.3, 0.18) * 0.8
        elif pitch in _CYMBALS:
            wave = self._metal(time, _CYMBALS[pitch] * self.metal_stretch, rng)
        elif pitch in _SHAKERS:
            wave = self._noise(time, _SHAKERS[pitch], 5000.0, rng) * 0.4
        else:
            wave = self._block(time, pitch)
        wave = (wave * (0.7 * velocity / 127.0)).astype(np.float32)
        return np.stack([wave, wave])

    def _drop(self, time: np.ndarray, hertz: float, sweep: float, decay_s: float) -> np.ndarray:
        """A sine whose pitch falls to `hertz` from (1 + sweep) times it."""
        cycles = hertz * (time + sweep * 0.03 * (1.0 - np.exp(-time / 0.03)))
        return np.sin(2.0 * np.pi * cycles) * np.exp(-time / decay_s)

    def _kick(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        body = self._drop(time, self.kick_hz, self.kick_sweep_hz / self.kick_hz, self.kick_decay_s)
        click = self._noise(time, 0.004, 1500.0, rng) * 0.3
        return np.tanh(1.6 * body) + click

    def _snare(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        body = self._drop(time, self.snare_hz, 0.5, 0.08)
        return (1.0 - self.snare_noise) * body + self.snare_noise * self._noise(time, self.snare_decay_s, 1200.0, rng)

    def _clap(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        wave = np.zeros(len(time))
        for delay_s in (0.0, 0.011, 0.023):
            shift = int(delay_s * self.rate)
            wave[shift:] += self._noise(time, 0.008 if delay_s < 0.02 else 0.12, 1000.0, rng)[: len(time) - shift]
        return 0.7 * wave

    def _metal(self, time: np.ndarray, decay_s: float, rng: np.random.Generator) -> np.ndarray:
        ratios = (1.0, 1.48, 1.8, 2.55, 2.64, 3.9, 5.1, 7.3)
        tones = sum((np.sign(np.sin(2.0 * np.pi * self.metal_hz * r * time)) for r in ratios), np.zeros(len(time)))
        hiss = self._noise(time, 10.0, 6000.0, rng)
        wave = (1.0 - self.metal_noise) * self._high(tones / len(ratios), 6000.0) + self.metal_noise * 0.5 * hiss
        return 0.6 * wave * np.exp(-time / decay_s)

    def _block(self, time: np.ndarray, pitch: int) -> np.ndarray:
        """Claves, wood blocks, cowbell, agogo, rim: two short sines."""
        hertz = 500.0 + 37.0 * (pitch * 7 % 53)
        return (
            (np.sin(2.0 * np.pi * hertz * time) + 0.5 * np.sin(2.0 * np.pi * hertz * 1.51 * time))
            * np.exp(-time / 0.05)
            * 0.5
        )

    def _noise(self, time: np.ndarray, decay_s: float, low_hz: float, rng: np.random.Generator) -> np.ndarray:
        noise = rng.uniform(-1.0, 1.0, size=len(time)) * np.exp(-time / decay_s)
        return self._high(noise, low_hz)

    def _high(self, wave: np.ndarray, low_hz: float) -> np.ndarray:
        from scipy.signal import butter, sosfilt

        return np.asarray(sosfilt(butter(2, low_hz, btype="highpass", fs=self.rate, output="sos"), wave))
