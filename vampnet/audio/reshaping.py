"""Transposition and speed of a recording, by librosa's phase vocoder; lengths are exact.

Hits get softer, as a phase vocoder makes them; a model that varies the result makes most of them anew.
"""

from __future__ import annotations

import math

import numpy as np
import soxr

from vampnet.audio.compiled import librosa
from vampnet.audio.inputs import AudioLike, as_audio
from vampnet.audio.samples import Audio, Samples
from vampnet.config import check

MAX_SEMITONES, MIN_SPEED, MAX_SPEED = 24, 0.25, 4.0
_FFT, _AROUND_S, _FADE_S = 2048, 0.5, 0.02


def reshape(audio: AudioLike, *, transpose: float = 0.0, speed: float = 1.0, loops: bool = False) -> Audio:
    """A recording at another pitch and speed.

    >>> model.vamp(vampnet.reshape("song.wav", transpose=-2, speed=96 / 120))

    Args:
        audio: a path, Audio or a pair (samples, rate).
        transpose: semitones, -24 to 24.
        speed: new tempo over old, 0.25 to 4; the length becomes 1 / speed of what it was.
        loops: whether the end leads into the beginning, and is to go on doing so.

    Raises:
        SettingsError: values out of range.
    """
    check("transpose", transpose, -MAX_SEMITONES, MAX_SEMITONES)
    check("speed", speed, MIN_SPEED, MAX_SPEED)
    sound = as_audio(audio)
    if transpose == 0 and speed == 1:
        return sound
    n_samples = max(round(sound.n_samples / speed), 1)
    if not loops:
        return Audio(_stretch(sound.samples, n_samples, transpose), sound.sample_rate_hz)
    # With whole turns before and after, the vocoder does not hear an end.
    turns = max(math.ceil(_AROUND_S * sound.sample_rate_hz / sound.n_samples), 1)
    tiled = np.tile(sound.samples, (1, 2 * turns + 1))
    made = _stretch(tiled, (2 * turns + 1) * n_samples, transpose)
    start, fade = turns * n_samples, min(round(_FADE_S * sound.sample_rate_hz), n_samples // 2)
    turn = made[:, start : start + n_samples].copy()
    # A tone need not fit a turn any more: the end fades into what stands before the turn, so it leads into its start.
    weight = (np.arange(fade, dtype=np.float32) + 1) / (fade + 1)
    turn[:, n_samples - fade :] += weight * (made[:, start - fade : start] - turn[:, n_samples - fade :])
    return Audio(turn, sound.sample_rate_hz)


def _stretch(samples: Samples, n_samples: int, semitones: float) -> Samples:
    """Samples (channels, n) as `n_samples`, some semitones higher: stretched, then read faster."""
    pitch = 2.0 ** (semitones / 12.0)
    rate = samples.shape[1] / n_samples / pitch
    padded = np.pad(samples, ((0, 0), (0, max(_FFT - samples.shape[1], 0))))
    stretched = librosa.effects.time_stretch(padded, rate=rate, n_fft=_FFT) if abs(rate - 1) > 1e-9 else padded
    read = soxr.resample(stretched.T, pitch, 1.0, quality="VHQ").T if semitones else stretched
    result = np.zeros((len(samples), n_samples), np.float32)
    result[:, : min(n_samples, read.shape[1])] = read[:, :n_samples]
    return result
