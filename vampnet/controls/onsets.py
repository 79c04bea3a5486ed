"""Hits of a tapped or beatboxed rhythm: when, how hard, and which drum each is most like.

A hit is a peak of the spectral rise; its drum follows from the spectrum of its first 50 ms relative to the other hits:
most energy below 200 Hz, or nearly all below 600 Hz as of a spoken "b", is a kick, a bright one a hat, the rest snares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from scipy.ndimage import median_filter
from scipy.signal import find_peaks

from vampnet.audio.compiled import librosa
from vampnet.audio.files import Audio
from vampnet.controls.spectra import RATE_HZ

FFT, HOP, MELS = 512, 128, 40
RANGE_DB = 50.0
RISE_DB = 3.0
"""A hit rises this far above the median of the quarter second around it, dB, mean over bands."""
LEAD_S = 0.01
"""Decibels rise most this long before the attack, while the window begins to hold it; measured on clicks."""
MIN_GAP_S = 0.08
"""Hits lie this far apart at least: a spoken consonant swells again where its vowel begins, 50 to 80 ms later."""
QUIET_DB = 60.0
"""Hits this far below the loudest are none."""
LOOK_S = 0.05
LOW_HZ, BODY_HZ, BRIGHT_HZ = 200.0, 600.0, 5000.0
LOW_SHARE, BODY_SHARE, BRIGHT_SHARE = 0.5, 0.8, 0.4
"""Shares of energy below LOW_HZ or BODY_HZ of a kick, and above BRIGHT_HZ of a hat."""


@dataclass(frozen=True)
class Hit:
    """One stroke."""

    time_s: float
    drum: str
    """"kick", "snare" or "hat"."""
    velocity: int
    """1 to 127."""


def find_hits(audio: Audio, *, rise: float = RISE_DB) -> tuple[Hit, ...]:
    """The hits of a recording in order; `rise`: dB that a hit must stand out by."""
    mono = soxr.resample(audio.samples.mean(axis=0), audio.sample_rate_hz, RATE_HZ).astype(np.float32)
    if float(np.abs(mono).max(initial=0.0)) < 1e-5:
        return ()
    mono = np.pad(mono, (FFT, FFT))  # what begins at the very first sample rises from silence too
    mel_MU = librosa.feature.melspectrogram(y=mono, sr=RATE_HZ, n_fft=FFT, hop_length=HOP, n_mels=MELS, fmin=60.0)
    mel_db = librosa.power_to_db(mel_MU, ref=np.max, top_db=RANGE_DB)
    flux = np.maximum(mel_db[:, 2:] - mel_db[:, :-2], 0.0).mean(axis=0)
    around = round(0.25 * RATE_HZ / HOP) | 1
    height = flux - median_filter(flux, around, mode="nearest")
    peaks, _ = find_peaks(height, height=rise, distance=max(round(MIN_GAP_S * RATE_HZ / HOP), 1))
    times_s = np.clip((peaks + 1) * HOP / RATE_HZ - FFT / RATE_HZ + LEAD_S, 0.0, audio.duration_s)
    return _describe_hits(mono, times_s)


def _describe_hits(mono: np.ndarray, times_s: np.ndarray) -> tuple[Hit, ...]:
    levels, shares = [], []
    window = np.hanning(round(LOOK_S * RATE_HZ))
    frequencies = np.fft.rfftfreq(4096, 1.0 / RATE_HZ)
    for time_s in times_s:
        first = round(time_s * RATE_HZ) + FFT
        piece = mono[first : first + len(window)]
        power = np.abs(np.fft.rfft(piece * window[: len(piece)], 4096)) ** 2
        total = max(float(power.sum()), 1e-12)
        low, body = (float(power[frequencies < hz].sum()) / total for hz in (LOW_HZ, BODY_HZ))
        shares.append((low > LOW_SHARE or body > BODY_SHARE, float(power[frequencies > BRIGHT_HZ].sum()) / total))
        levels.append(10.0 * np.log10(total))
    drums = ["kick" if is_low else "hat" if bright > BRIGHT_SHARE else "snare" for is_low, bright in shares]
    hits = []
    for time_s, level, drum in zip(times_s, levels, drums, strict=True):
        if level < max(levels) - QUIET_DB:
            continue
        # Mouths make hats far quieter than kits do, so a hit is as hard as it is among its own kind.
        loudest = max(other for other, kind in zip(levels, drums, strict=True) if kind == drum)
        hits.append(Hit(float(time_s), drum, int(np.clip(round(112.0 + 2.2 * (level - loudest)), 30, 112))))
    return tuple(hits)
