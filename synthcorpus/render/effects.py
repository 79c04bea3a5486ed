"""Audio effects as pure functions: float32 (2, samples) in, float32 (2, samples) out, parameters with units.

Each `random_*` chain draws which effects to use from a generator. Filters are second-order sections of scipy.
"""

from __future__ import annotations

from typing import cast

import numpy as np


def db(gain_db: float) -> float:
    """Amplitude factor of a level in decibels."""
    return float(10.0 ** (gain_db / 20.0))


def filter_sections(audio: np.ndarray, sections: np.ndarray) -> np.ndarray:
    """Audio through second-order sections (n, 6)."""
    from scipy.signal import sosfilt

    return np.asarray(sosfilt(sections.astype(np.float32), audio)).astype(np.float32, copy=False)


def peaking(center_hz: float, gain_db: float, q: float, rate_hz: int) -> np.ndarray:
    """Second-order section of a bell equaliser (Audio EQ Cookbook), shape (1, 6)."""
    angle = 2.0 * np.pi * center_hz / rate_hz
    alpha = np.sin(angle) / (2.0 * q)
    gain = 10.0 ** (gain_db / 40.0)
    rows = np.array(
        [1 + alpha * gain, -2 * np.cos(angle), 1 - alpha * gain, 1 + alpha / gain, -2 * np.cos(angle), 1 - alpha / gain]
    )
    return (rows / rows[3])[None]


def shelf(center_hz: float, gain_db: float, high: bool, rate_hz: int) -> np.ndarray:
    """Second-order section of a shelf (Audio EQ Cookbook, slope 1), shape (1, 6)."""
    gain = 10.0 ** (gain_db / 40.0)
    angle = 2.0 * np.pi * center_hz / rate_hz
    cosine = np.cos(angle) * (-1.0 if high else 1.0)
    sign = -1.0 if high else 1.0
    alpha = np.sin(angle) / np.sqrt(2.0) * 2.0 * np.sqrt(gain)
    rows = np.array(
        [
            gain * ((gain + 1) - (gain - 1) * cosine + alpha),
            sign * 2 * gain * ((gain - 1) - (gain + 1) * cosine),
            gain * ((gain + 1) - (gain - 1) * cosine - alpha),
            (gain + 1) + (gain - 1) * cosine + alpha,
            sign * -2 * ((gain - 1) + (gain + 1) * cosine),
            (gain + 1) + (gain - 1) * cosine - alpha,
        ]
    )
    return (rows / rows[3])[None]


def random_eq(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """One or more of a low shelf, a bell and a high shelf, each of at most 8 dB."""
    center_hz = float(np.exp(rng.uniform(np.log(200.0), np.log(6000.0))))
    sections = (
        shelf(float(rng.uniform(80, 300)), float(rng.uniform(-8, 4)), False, rate_hz),
        peaking(center_hz, float(rng.uniform(-6, 6)), float(rng.uniform(0.5, 2.0)), rate_hz),
        shelf(float(rng.uniform(3000, 9000)), float(rng.uniform(-6, 6)), True, rate_hz),
    )
    used = rng.permutation(3)[: int(rng.integers(1, 4))]
    return filter_sections(audio, np.concatenate([sections[index] for index in used]))


def drive(audio: np.ndarray, gain_db: float) -> np.ndarray:
    """Soft clipping by tanh after a gain; the level of the peak is kept."""
    peak = max(float(np.abs(audio).max(initial=0.0)), 1e-6)
    factor = np.float32(db(gain_db))
    return np.tanh(audio * (factor / peak)) * np.float32(peak / np.tanh(factor))


def compress(audio: np.ndarray, threshold_db: float, ratio: float, rate_hz: int) -> np.ndarray:
    """Compression of both channels together; threshold relative to the peak, gain in blocks of 64 samples."""
    block = 64
    count = audio.shape[1] // block
    if count < 2:
        return audio
    levels = np.abs(audio[:, : count * block]).reshape(2, count, block).max(axis=(0, 2))
    from scipy.signal import lfilter

    smooth = float(np.exp(-block / (0.08 * rate_hz)))
    held = np.maximum(levels, lfilter([1.0 - smooth], [1.0, -smooth], levels))
    level_db = 20.0 * np.log10(np.maximum(held / max(float(levels.max()), 1e-6), 1e-4))
    gains = 10.0 ** (np.minimum(0.0, (threshold_db - level_db) * (1.0 - 1.0 / ratio)) / 20.0)
    curve = np.interp(np.arange(audio.shape[1]), (np.arange(count) + 0.5) * block, gains).astype(np.float32)
    return audio * curve


def reverb_response(decay_s: float, brightness_hz: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a room: early echoes, then noise that falls by 60 dB in `decay_s`; (2, n), energy 1."""
    from scipy.signal import butter

    count = int(decay_s * rate_hz)
    time = np.arange(count, dtype=np.float32) / rate_hz
    tail = rng.standard_normal((2, count), dtype=np.float32) * np.power(np.float32(10.0), -3.0 * time / decay_s)
    tail *= np.minimum(time / 0.02, 1.0)
    dull = filter_sections(tail, np.asarray(butter(1, min(brightness_hz, 0.45 * rate_hz), fs=rate_hz, output="sos")))
    for _ in range(6):
        dull[rng.integers(2), rng.integers(1, max(2, min(count, int(0.05 * rate_hz))))] += rng.uniform(0.5, 3.0)
    return dull / max(float(np.sqrt((dull**2).sum(axis=1).mean())), 1e-6)


def reverb(send: np.ndarray, response: np.ndarray) -> np.ndarray:
    """A mono signal (samples,) in a stereo room (2, n): the wet signal alone, (2, samples). Overlap-add."""
    from scipy.fft import irfft, next_fast_len, rfft

    taps, count = response.shape[1], len(send)
    size = cast(int, next_fast_len(max(1 << 16, 4 * taps), real=True))
    step = size - taps + 1
    spectrum = np.asarray(rfft(response, size))
    out = np.zeros((2, count + size), dtype=np.float32)
    for start in range(0, count, step):
        product = spectrum * np.asarray(rfft(send[start : start + step], size))
        out[:, start : start + size] += np.asarray(irfft(product, size))
    return out[:, :count]


def delay(audio: np.ndarray, time_s: float, feedback: float, rate_hz: int) -> np.ndarray:
    """Echoes that swap sides; the wet signal alone."""
    step = int(time_s * rate_hz)
    wet = np.zeros_like(audio)
    gain, source = np.float32(1.0), audio
    for echo in range(1, 7):
        source = source[::-1]
        gain = gain * np.float32(feedback)
        if step * echo >= audio.shape[1] or gain < 0.02:
            break
        wet[:, step * echo :] += source[:, : audio.shape[1] - step * echo] * gain
    return wet


def tape_wow(audio: np.ndarray, depth_ms: float, rate_wow_hz: float, rate_hz: int) -> np.ndarray:
    """Slow changes of speed: the read position sways by `depth_ms`."""
    count = audio.shape[1]
    place = np.arange(count)
    sway = depth_ms * rate_hz / 1000.0 * (1.0 + np.sin(2.0 * np.pi * rate_wow_hz * place / rate_hz))
    whole = place - sway
    return np.stack([np.interp(whole, place, channel) for channel in audio]).astype(np.float32)


def vinyl(
    audio: np.ndarray, level_db: float, clicks_per_s: float, rate_hz: int, rng: np.random.Generator
) -> np.ndarray:
    """Adds hiss and crackle at `level_db` below the signal's RMS."""
    count = audio.shape[1]
    rms = float(np.sqrt(np.mean(audio**2))) + 1e-9
    noise = rng.standard_normal(audio.shape, dtype=np.float32) * np.float32(rms * db(level_db))
    n_clicks = int(clicks_per_s * count / rate_hz)
    places = rng.integers(0, max(count - 8, 1), size=n_clicks)
    heights = (rng.standard_normal(n_clicks) * rms * db(level_db + 20.0)).astype(np.float32)
    for offset, factor in enumerate((1.0, -0.7, 0.4, -0.2)):
        for channel in noise:
            np.add.at(channel, places + offset, heights * np.float32(factor))
    return audio + noise


def crush(audio: np.ndarray, bits: int, hold: int) -> np.ndarray:
    """Bit crusher: fewer bits (relative to the peak) and, with hold > 1, each sample held `hold` times."""
    peak = np.float32(max(float(np.abs(audio).max(initial=0.0)), 1e-6))
    steps = np.float32(2 ** (bits - 1))
    coarse = np.round(audio / peak * steps) / steps * peak
    if hold > 1:
        coarse = np.repeat(coarse[:, ::hold], hold, axis=1)[:, : audio.shape[1]]
    return coarse


def low_pass(audio: np.ndarray, cutoff_hz: float, rate_hz: int, order: int = 6) -> np.ndarray:
    """Band limit as of a coded or old recording."""
    from scipy.signal import butter

    return filter_sections(audio, np.asarray(butter(order, min(cutoff_hz, 0.45 * rate_hz), fs=rate_hz, output="sos")))


def high_pass(audio: np.ndarray, cutoff_hz: float, rate_hz: int) -> np.ndarray:
    """Takes away what lies below `cutoff_hz`."""
    from scipy.signal import butter

    return filter_sections(audio, np.asarray(butter(2, cutoff_hz, btype="highpass", fs=rate_hz, output="sos")))


def pan_matrix(position: float, width: float) -> np.ndarray:
    """Constant-power pan to -1 (left) .. 1 (right) as a float32 (2, 2) matrix; width 0 is mono, above 1 is wider."""
    angle = (position + 1.0) * np.pi / 4.0
    sides = np.sqrt(2.0) * np.array([[np.cos(angle)], [np.sin(angle)]])
    same, other = 0.5 * (1.0 + width), 0.5 * (1.0 - width)
    return (sides * np.array([[same, other], [other, same]])).astype(np.float32)


def limit(audio: np.ndarray, ceiling: float) -> np.ndarray:
    """Peaks brought below `ceiling` by a gain that moves over about 10 ms and looks ahead as far."""
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    block = 32
    count = -(-audio.shape[1] // block)
    padded = np.zeros((2, count * block), dtype=np.float32)
    padded[:, : audio.shape[1]] = audio
    peaks = np.abs(padded).reshape(2, count, block).max(axis=(0, 2))
    gains = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    # each mean below spans no block that the minimum of its neighbours does not cover, so no peak slips through
    gains = uniform_filter1d(minimum_filter1d(gains, size=19, mode="nearest"), size=15, mode="nearest")
    curve = np.interp(np.arange(audio.shape[1]), (np.arange(count) + 0.5) * block, gains).astype(np.float32)
    return audio * curve
