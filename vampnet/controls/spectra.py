"""Semitone spectra: how strongly each semitone from E1 to G7 sounds, the ground of chroma, chords and melody.

A signal at 22050 Hz gives a spectrum every 70 ms (hop 1536). Semitones from E3 on are read from windows of 372 ms;
those below from a signal at a quarter of the rate and windows of 743 ms, since a semitone there is narrower than the
shorter window can tell. Strengths are the fourth root of energy, each semitone against its neighbours within an octave,
and drums, which sound for a moment over all semitones, are taken out by a median over time.

Axis letters: N semitone, U spectrum, F bin, P pitch class.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter1d

from vampnet.audio.compiled import librosa

RATE_HZ, HOP = 22050, 1536
SPECTRA_PER_S = RATE_HZ / HOP
LOWEST, HIGHEST = 28, 103
"""MIDI numbers of the first and last semitone."""
SPLIT = 52
"""First semitone that the short windows tell apart."""
FFT, LOW_DIVISOR, LOW_FFT = 8192, 4, 4096
MEDIAN_SPECTRA = 7
"""Length of the median filter that separates drums, spectra: shorter sounds than half of it are removed."""
CHROMA_RANGE, BASS_RANGE = (45, HIGHEST + 1), (LOWEST, 60)
"""First and last-but-one semitone of the chroma and of the bass chroma."""
CHUNK = 512
"""Spectra that are made at a time, which bounds the memory."""

Spectra = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SemitoneSpectra:
    """Strength of semitones over time."""

    strength_NU: Spectra
    """Semitones LOWEST to HIGHEST, against their neighbours, without drums; 0 and up."""
    level_db_U: Spectra
    """Level of the whole spectrum, dB."""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Centres of the spectra, seconds."""
        return np.arange(self.strength_NU.shape[1]) / SPECTRA_PER_S

    def sum_classes(self, low: int, high: int) -> Spectra:
        """Sum of the semitones from `low` to `high` - 1 by pitch class, (12, U)."""
        chroma_PU = np.zeros((12, self.strength_NU.shape[1]), np.float32)
        for semitone in range(max(low, LOWEST), min(high, HIGHEST + 1)):
            chroma_PU[semitone % 12] += self.strength_NU[semitone - LOWEST]
        return chroma_PU

    def fold(self, low: int, high: int) -> Spectra:
        """Chroma (12, U) of those semitones, the strongest class of each spectrum at 1."""
        chroma_PU = self.sum_classes(low, high)
        return chroma_PU / np.maximum(chroma_PU.max(axis=0, keepdims=True), 1e-6)


def semitone_spectra(mono: NDArray[np.float32]) -> SemitoneSpectra:
    """Spectra of a mono signal (samples,) at RATE_HZ."""
    n_spectra = len(mono) // HOP + 1
    tuning = _tuning(mono)
    energy_NU = np.concatenate([
        _filter_spectra(soxr.resample(mono, LOW_DIVISOR, 1), LOW_FFT, HOP // LOW_DIVISOR, n_spectra, tuning, True),
        _filter_spectra(mono, FFT, HOP, n_spectra, tuning, False),
    ])  # fmt: skip
    level_db_U = 10.0 * np.log10(energy_NU.sum(axis=0) + 1e-10)
    root_NU = np.power(energy_NU, 0.25)
    floor_NU = uniform_filter1d(root_NU, 13, axis=0, mode="nearest")
    strength_NU = np.maximum(root_NU - floor_NU, 0.0)
    strength_NU = np.minimum(strength_NU, median_filter(strength_NU, (1, MEDIAN_SPECTRA), mode="nearest"))
    return SemitoneSpectra(strength_NU.astype(np.float32), level_db_U.astype(np.float32))


def _tuning(mono: NDArray[np.float32]) -> float:
    """Tuning relative to A = 440 Hz, semitones, -0.5 to 0.5; 0 for music without pitch."""
    middle = mono[max(len(mono) // 2 - 15 * RATE_HZ, 0) : len(mono) // 2 + 15 * RATE_HZ]
    spectrum = np.abs(librosa.stft(np.ascontiguousarray(middle), n_fft=4096, hop_length=4096))
    pitches, sizes = librosa.piptrack(S=spectrum, sr=RATE_HZ, n_fft=4096, fmin=110.0, fmax=2000.0)
    strong = sizes > max(float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 0.0, 1e-6)
    return float(librosa.pitch_tuning(pitches[strong])) if strong.sum() > 20 else 0.0


def _filter_spectra(
    signal: NDArray[np.float32], fft: int, hop: int, n_spectra: int, tuning: float, is_low: bool
) -> NDArray[np.float64]:
    """Energy of the semitones (N, U) below or from SPLIT on."""
    rate_hz = RATE_HZ // LOW_DIVISOR if is_low else RATE_HZ
    semitones = tuple(range(LOWEST, SPLIT)) if is_low else tuple(range(SPLIT, HIGHEST + 1))
    weight_NF = _semitone_filters(semitones, fft, rate_hz, round(tuning, 2))
    needed = (n_spectra - 1) * hop + fft
    padded = np.zeros(needed, np.float32)
    taken = signal[: needed - fft // 2]
    padded[fft // 2 : fft // 2 + len(taken)] = taken
    parts = []
    for start in range(0, n_spectra, CHUNK):
        stop = min(start + CHUNK, n_spectra)
        chunk = padded[start * hop : (stop - 1) * hop + fft]
        spectrum_FU = np.abs(librosa.stft(chunk, n_fft=fft, hop_length=hop, center=False))
        parts.append(weight_NF @ np.square(spectrum_FU, dtype=np.float64) / fft**2)
    return np.concatenate(parts, axis=1)


@functools.lru_cache(maxsize=32)
def _semitone_filters(semitones: tuple[int, ...], fft: int, rate_hz: int, tuning: float) -> NDArray[np.float64]:
    """Weights (N, F): a bin counts for the semitone it lies in, by cos^2 of its distance."""
    bins_hz = np.arange(fft // 2 + 1) * rate_hz / fft
    pitch_F = 69.0 + 12.0 * np.log2(np.maximum(bins_hz, 1.0) / 440.0) - tuning
    distance_NF = np.clip(pitch_F - np.array(semitones)[:, None], -0.5, 0.5)
    return np.cos(np.pi * distance_NF) ** 2
