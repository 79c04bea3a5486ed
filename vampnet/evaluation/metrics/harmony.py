"""Harmony metrics: chroma similarity and key agreement of an output with its input.

Chroma: the energy of the twelve pitch classes (C first) in short frames, from an STFT at 22050 Hz (FFT 8192, hop 2048:
93 ms steps, 372 ms windows), equal temperament at A = 440 Hz, the five octaves from E2 (82 Hz) to Eb7 (2489 Hz). A bin
belongs to the nearest semitone, weighted by cos^2 of its distance (1 in tune, 0 a quarter tone off); each semitone's
weights sum to 1, so that white noise is flat. Below 200 Hz neighbours leak into each other.

Axis letters: Q pitch class, U spectrum, F bin, N semitone.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vampnet.audio.compiled import librosa
from vampnet.audio.files import Samples, resample
from vampnet.errors import AudioError, require

RATE_HZ, FFT, HOP = 22050, 8192, 2048
LOWEST_PITCH, OCTAVES = 40, 5
"""MIDI number of the lowest semitone, and octaves from there."""
SILENCE_DB, SILENCE_BELOW_PEAK_DB = -70.0, -50.0
"""A frame is silent below this level (dBFS), or so far below the recording's loudest frame."""
MIN_SOUNDING_FRAMES = 4
CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""Probe-tone profiles of Krumhansl and Kessler (1982), tonic first."""
MIN_KEY_STRENGTH = 0.4
"""A key whose profile correlates less than this with the music is no key."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Chroma:
    """Pitch classes of a recording over time."""

    energy_QU: Floats
    """Energy per pitch class and frame."""
    level_db_U: Floats
    """RMS level of each frame, dBFS."""

    @property
    def sounding_U(self) -> NDArray[np.bool_]:
        """Frames that are not silent."""
        return self.level_db_U > max(SILENCE_DB, float(self.level_db_U.max()) + SILENCE_BELOW_PEAK_DB)


@dataclass(frozen=True)
class KeyEstimate:
    """The best fitting of the 24 major and minor keys."""

    name: str
    """Such as "Eb minor", or "none"."""
    strength: float
    """Correlation of the music's pitch classes with the key's profile, -1 to 1; NaN for silence."""


def chroma_of(samples: Samples, sample_rate_hz: int) -> Chroma:
    """Chroma of a signal (channels, samples), channels averaged."""
    mono = resample(samples.mean(axis=0, keepdims=True), sample_rate_hz, RATE_HZ)[0]
    magnitude_FU = np.abs(librosa.stft(mono, n_fft=FFT, hop_length=HOP))
    power_FU = np.square(magnitude_FU, dtype=np.float64)
    energy_QU = _filters_QF() @ power_FU
    # Parseval: the power of a Hann-windowed one-sided spectrum is FFT^2 * 3 / 16 times the signal's mean square.
    mean_square_U = power_FU.sum(axis=0) / (FFT**2 * 3 / 16)
    return Chroma(energy_QU, 10 * np.log10(mean_square_U + 1e-12))


def chroma_similarity(output: Chroma, reference: Chroma) -> float:
    """Mean over frames of the correlation of the two frames' twelve energies' square roots, -1 to 1.

    Means are taken out, so unrelated harmony and noise score about 0 (a plain cosine would give them 0.6 and more).
    Only frames in which the reference sounds count; one in which the output is silent scores 0. NaN where the reference
    sounds in fewer than MIN_SOUNDING_FRAMES frames. Raises AudioError for lengths that differ by more than a frame.
    """
    n = min(output.energy_QU.shape[1], reference.energy_QU.shape[1])
    if abs(output.energy_QU.shape[1] - reference.energy_QU.shape[1]) > 1:
        lengths = [chroma.energy_QU.shape[1] * HOP / RATE_HZ for chroma in (output, reference)]
        raise AudioError(f"chroma of {lengths[0]:.1f} s and {lengths[1]:.1f} s cannot be compared; cut the longer one")
    counted_U = reference.sounding_U[:n]
    if counted_U.sum() < MIN_SOUNDING_FRAMES:
        return math.nan
    one_QU, other_QU = (_unit(np.sqrt(c.energy_QU[:, :n])) for c in (output, reference))
    match_U = np.where(output.sounding_U[:n], (one_QU * other_QU).sum(axis=0), 0.0)
    return float(match_U[counted_U].mean())


def key_of(chroma: Chroma) -> KeyEstimate:
    """Key by the profile that correlates best with the mean chroma of sounding frames (Krumhansl 1990)."""
    if chroma.sounding_U.sum() < MIN_SOUNDING_FRAMES:
        return KeyEstimate("none", math.nan)
    share_QU = np.sqrt(chroma.energy_QU[:, chroma.sounding_U])
    mean_Q = (share_QU / (share_QU.sum(axis=0, keepdims=True) + 1e-12)).mean(axis=1)
    scores = {
        f"{CLASSES[tonic]} {mode}": float(np.corrcoef(mean_Q, np.roll(profile, tonic))[0, 1])
        for mode, profile in (("major", MAJOR), ("minor", MINOR))
        for tonic in range(12)
    }
    best = max(scores, key=lambda name: scores[name])
    return KeyEstimate(best if scores[best] >= MIN_KEY_STRENGTH else "none", scores[best])


def key_agreement(output: KeyEstimate, reference: KeyEstimate) -> float:
    """MIREX key score, by mir_eval: 1 same key, 0.5 a fifth apart, 0.3 relative, 0.2 parallel, 0 any other.

    NaN where the reference has no key, 0 where only the output has none. Raises DependencyError without mir_eval.
    """
    require("mir_eval", "key measures")
    from mir_eval.key import weighted_score

    if reference.name == "none":
        return math.nan
    return 0.0 if output.name == "none" else float(weighted_score(reference.name, output.name))


@functools.lru_cache(maxsize=1)
def _filters_QF() -> Floats:
    """Weight of each frequency bin for each pitch class."""
    bins_hz = np.arange(FFT // 2 + 1) * RATE_HZ / FFT
    pitch_F = 69 + 12 * np.log2(np.maximum(bins_hz, 1.0) / 440)
    semitones = LOWEST_PITCH + np.arange(12 * OCTAVES)
    distance_NF = np.clip(pitch_F - semitones[:, None], -0.5, 0.5)
    weight_NF = np.cos(np.pi * distance_NF) ** 2
    weight_NF /= weight_NF.sum(axis=1, keepdims=True)
    return np.stack([weight_NF[semitones % 12 == p].sum(axis=0) for p in range(12)])


def _unit(chroma_QU: Floats) -> Floats:
    """Each frame without its mean and of length 1; a flat frame becomes 0."""
    centred_QU = chroma_QU - chroma_QU.mean(axis=0, keepdims=True)
    length_U = np.linalg.norm(centred_QU, axis=0, keepdims=True)
    return centred_QU / np.where(length_U > 1e-9, length_U, np.inf)
