"""Librosa's beat tracker (Ellis 2007), and the bars that it does not give; onsets, which every tracker takes from here.

The first beats of bars are estimated from the beats: a bar of three or four beats, beginning where bass onsets and
changes of the spectrum together are strongest.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from vampnet.audio.compiled import librosa
from vampnet.beats.features import RATE_HZ

FFT, HOP, N_MELS = 2048, 512, 128
"""Frame rate that librosa's tracker is tuned to: 43 spectra per second."""
BASS_MELS = 8
"""Lowest mel bands (below about 200 Hz), whose onsets mark the bar."""
BAR_LENGTHS = (4, 3)
"""Beats per bar that are considered."""
FOUR_BIAS = 1.15
"""Factor by which a bar of three must be marked more strongly than one of four: most music counts four."""


def mel_powers(chunk: np.ndarray) -> np.ndarray:
    """Mel spectra (frames, N_MELS) of a chunk of whole frames; frame k is centred FFT / 2 after sample k * HOP."""
    mel = librosa.feature.melspectrogram(y=chunk, sr=RATE_HZ, n_fft=FFT, hop_length=HOP, n_mels=N_MELS, center=False)
    return mel.T


def decibels(mel: np.ndarray) -> np.ndarray:
    """Mel spectra (frames, bands) in dB (bands, frames), at most 80 dB below the loudest."""
    return librosa.power_to_db(mel.T, ref=np.max)


def onset_strength(mel_db: np.ndarray) -> np.ndarray:
    """Onset strength per frame (frames,), from spectra (bands, frames)."""
    return librosa.onset.onset_strength(S=mel_db, sr=RATE_HZ, hop_length=HOP)


def onset_times(strength: np.ndarray) -> tuple[float, ...]:
    """Moments in seconds at which notes begin, moved back to where the sound starts to rise."""
    frames = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE_HZ, hop_length=HOP, backtrack=True)
    return _seconds(frames)


def track(mel_db: np.ndarray, strength: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Beats and downbeats in seconds, from spectra (bands, frames) and their onset strength (frames,)."""
    _, beats = librosa.beat.beat_track(onset_envelope=strength, sr=RATE_HZ, hop_length=HOP, trim=False)
    length, first = bar_of(np.asarray(beats), mel_db)
    beats_s = _seconds(beats)
    return beats_s, beats_s[first::length]


def bar_of(beats: np.ndarray, mel_db: np.ndarray) -> tuple[int, int]:
    """Beats per bar (3 or 4) and the number of the first downbeat, from the spectra (mels, frames) around beats."""
    if len(beats) < 2 * max(BAR_LENGTHS):
        return BAR_LENGTHS[0], 0
    # Bass counts by its amplitude (in dB, the low end of a snare would weigh as much as a kick), colour in dB.
    loudness = 10 ** (mel_db[:BASS_MELS] / 20)
    bass = np.maximum(np.diff(loudness, axis=1, prepend=loudness[:, :1]), 0).mean(axis=0)
    bass_at = np.array([bass[max(b - 1, 0) : b + 3].max() for b in beats])
    bounds = [*beats, mel_db.shape[1]]
    means = np.stack([mel_db[:, a : max(b, a + 1)].mean(axis=1) for a, b in pairwise(bounds)])
    change = np.concatenate([[0.0], np.abs(np.diff(means, axis=0)).mean(axis=1)])
    accent = bass_at / (bass_at.std() + 1e-9) + change / (change.std() + 1e-9)
    best, chosen = -math.inf, (BAR_LENGTHS[0], 0)
    for length in BAR_LENGTHS:
        for first in range(length):
            marked = np.zeros(len(accent), dtype=bool)
            marked[first::length] = True
            score = (accent[marked].mean() - accent[~marked].mean()) * (FOUR_BIAS if length == 4 else 1.0)
            if score > best:
                best, chosen = score, (length, first)
    return chosen


def _seconds(frames: np.ndarray) -> tuple[float, ...]:
    return tuple(float(t) for t in librosa.frames_to_time(frames, sr=RATE_HZ, hop_length=HOP))
