"""Sounds of the far styles (data/compose_far.py): an 8-bit machine's four channels, and bowed and bell-like drones.

The 8-bit channels are naive on purpose: oscillators with aliases, 16 levels of amplitude, samples held for several
ticks, envelopes that move 60 times per second.
"""

from __future__ import annotations

import numpy as np

from synthcorpus.compose.held_out_styles import DRONE_STEPS
from synthcorpus.synth.voices import pitch_hz

TICK_HZ = 60.0
"""Rate at which an 8-bit machine changes volume and duty, hertz."""
HOLD_SAMPLES = 4
"""Samples that an 8-bit machine holds each value for."""
N_PATCHES = 3
"""Patches of each role."""
DRONE_BASE_HZ = 55.0
DRONE_BASE_STEP = 30
"""Step of the drones' tuning that sounds at DRONE_BASE_HZ."""


def drone_hz(step: int) -> float:
    """Frequency of a step of the drones' tuning, hertz."""
    return DRONE_BASE_HZ * 2.0 ** ((step - DRONE_BASE_STEP) / DRONE_STEPS)


class _Console:
    """Base class of the four console channels."""

    one_shot_s = 0.0
    release_s = 0.004
    layers = (110,)

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        self.rate, self.role = sample_rate_hz, role
        self.decay_ticks = float(np.exp(rng.uniform(np.log(6.0), np.log(40.0))))
        self.duties = rng.choice((0.125, 0.25, 0.5, 0.75), size=4)
        self.seed = int(rng.integers(2**31))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        time_s = np.arange(0, n_samples, HOLD_SAMPLES) / self.rate
        tick = np.floor(time_s * TICK_HZ)
        wave = self.wave(pitch, time_s, tick) * self.volume(tick)
        wave = np.repeat(np.round(wave * 7.5) / 7.5, HOLD_SAMPLES)[:n_samples].astype(np.float32)
        return np.stack([wave, wave]) * np.float32(0.3 * velocity / 127.0)

    def volume(self, tick: np.ndarray) -> np.ndarray:
        """Sixteen levels, falling by the tick."""
        return np.round(15.0 * np.exp(-tick / self.decay_ticks)) / 15.0

    def wave(self, pitch: int, time_s: np.ndarray, tick: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class ConsolePulse(_Console):
    """A pulse whose duty steps through four values, with vibrato in steps on longer notes."""

    def wave(self, pitch: int, time_s: np.ndarray, tick: np.ndarray) -> np.ndarray:
        """Pulse wave whose duty cycle follows the ticks, -1 or 1."""
        hertz = pitch_hz(pitch) * np.where((tick > 8) & (tick % 6 < 3), 1.012, 1.0)
        duty = self.duties[np.minimum(tick.astype(int) // 2, 3)]
        cycles = np.cumsum(hertz) * (time_s[1] if len(time_s) > 1 else 0.0)
        return np.where(cycles % 1.0 < duty, 1.0, -1.0)


class ConsoleTriangle(_Console):
    """A triangle of sixteen steps whose pitch starts an octave high for one tick, as a drum."""

    def volume(self, tick: np.ndarray) -> np.ndarray:
        """Constant volume: the triangle channel has none to set."""
        return np.ones_like(tick)

    def wave(self, pitch: int, time_s: np.ndarray, tick: np.ndarray) -> np.ndarray:
        """Triangle wave in steps of 4 bits, -1 to 1."""
        hertz = pitch_hz(pitch) * np.where(tick < 1, 2.0, 1.0)
        cycles = np.cumsum(hertz) * (time_s[1] if len(time_s) > 1 else 0.0) % 1.0
        return np.round((4.0 * np.abs(cycles - 0.5) - 1.0) * 7.5) / 7.5


class ConsoleNoise(_Console):
    """A shift register clocked at a rate that falls with the pitch; every second kit has the short, metallic loop."""

    def volume(self, tick: np.ndarray) -> np.ndarray:
        """Decaying volume per tick, in 15 steps."""
        return np.round(15.0 * np.exp(-tick / min(self.decay_ticks, 9.0))) / 15.0

    def wave(self, pitch: int, time_s: np.ndarray, tick: np.ndarray) -> np.ndarray:
        """Shift-register noise, -1 or 1, its clock falling with time."""
        bits = np.random.default_rng(self.seed).choice((-1.0, 1.0), size=93 if self.seed % 2 else 32767)
        clock_hz = 200.0 * 2.0 ** ((pitch - 24.0) / 12.0)
        fall = np.where(tick < 3, 1.0, 0.7) if pitch < 60 else 1.0
        return bits[(time_s * clock_hz * fall).astype(int) % len(bits)]


class _Drone:
    """Base class of the drones: a long swell in and out, detuned sides, a slow drift of pitch."""

    one_shot_s = 0.0
    release_s = 1.2
    layers = (90,)

    def __init__(self, role: str, sample_rate_hz: int, rng: np.random.Generator) -> None:
        self.rate, self.role = sample_rate_hz, role
        self.beat_hz = float(rng.uniform(0.15, 1.4))
        """Difference between the sides, heard as beats, hertz."""
        self.drift = float(rng.uniform(0.0, 0.012))
        self.swell_s = float(rng.uniform(1.5, 4.0))
        self.brightness = float(rng.uniform(0.7, 1.6))
        self.index = float(rng.uniform(0.8, 4.0))
        self.ratio = float(rng.choice((1.414, 2.236, 2.718, 3.359, 0.618)))
        self.grain = float(rng.uniform(0.02, 0.25))
        self.seed = int(rng.integers(2**31))

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        time_s = np.arange(n_samples) / self.rate
        drift = self.drift * np.sin(2.0 * np.pi * time_s / 11.0 + pitch)
        phases = np.random.default_rng((self.seed, pitch)).uniform(0.0, 1.0, size=2)
        sides = [
            self.wave(np.cumsum((drone_hz(pitch) + sign * self.beat_hz) * (1.0 + drift)) / self.rate + phase, time_s)
            for sign, phase in zip((-0.5, 0.5), phases, strict=True)
        ]
        rise = np.sin(0.5 * np.pi * np.minimum(time_s / self.swell_s, 1.0)) ** 2
        sway = 0.75 + 0.25 * np.sin(2.0 * np.pi * time_s * 0.37 + phases[0])
        return (np.stack(sides) * rise * sway).astype(np.float32) * np.float32(0.25 * velocity / 127.0)

    def wave(self, cycles: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class DroneBowed(_Drone):
    """Partials slightly stretched, each breathing at its own rate, and the noise of the bow."""

    def wave(self, cycles: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Sum of harmonics with the scratch of a bow."""
        rng = np.random.default_rng(self.seed)
        total = np.zeros(len(time_s))
        for partial in range(1, 17):
            rate_hz, phase = rng.uniform(0.1, 0.9), rng.uniform(0.0, 2.0 * np.pi)
            breath = 0.5 + 0.5 * np.sin(2.0 * np.pi * rate_hz * time_s + phase)
            stretched = partial * (1.0 + 0.0007 * partial**2) * cycles
            total += partial**-self.brightness * breath * np.sin(2.0 * np.pi * stretched)
        scratch = rng.standard_normal(len(time_s)) * np.abs(np.sin(np.pi * cycles))
        return 0.5 * total + self.grain * scratch


class DroneBell(_Drone):
    """Frequency modulation at an irrational ratio whose depth swells."""

    def wave(self, cycles: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Frequency-modulated bell."""
        depth = self.index * (0.3 + 0.7 * np.sin(2.0 * np.pi * time_s / 7.0) ** 2)
        inner = np.sin(2.0 * np.pi * self.ratio * cycles)
        return np.sin(2.0 * np.pi * cycles + depth * inner)


class DroneLow(_Drone):
    """The lowest tone: few partials, driven into a soft clip."""

    def wave(self, cycles: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Low tone through soft saturation."""
        wave = sum((np.sin(2.0 * np.pi * n * cycles) / n for n in (1, 2, 3, 5)), np.zeros(len(time_s)))
        return np.tanh((1.0 + 2.0 * self.brightness) * wave)


def draw_far_voice(role: str, sample_rate_hz: int, rng: np.random.Generator) -> _Console | _Drone:
    """One of the N_PATCHES patches of a role: a palette, as one maker's music has, not a new sound for every piece."""
    patch = np.random.default_rng((*role.encode(), int(rng.integers(N_PATCHES))))
    return VOICES[role](role, sample_rate_hz, patch)


VOICES: dict[str, type[_Console] | type[_Drone]] = {
    "console_arpeggio": ConsolePulse,
    "console_lead": ConsolePulse,
    "console_bass": ConsoleTriangle,
    "console_noise": ConsoleNoise,
    "drone_low": DroneLow,
    "drone_bowed": DroneBowed,
    "drone_bell": DroneBell,
}
"""Role -> its sound."""
