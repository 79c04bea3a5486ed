"""Further effects, in the manner of data/effects.py: float32 (2, samples) in and out, parameters with units.

What moves (chorus, flutter) reads the signal at a swaying place; filters are second-order sections of scipy.
"""

from __future__ import annotations

import numpy as np
import soxr

from synthcorpus.render.effects import db, filter_sections, high_pass, low_pass


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two positive ones, its logarithm drawn evenly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def early_reflections(
    audio: np.ndarray, size_m: float, absorption: float, rate_hz: int, rng: np.random.Generator
) -> np.ndarray:
    """A box-shaped room: the direct sound and its images up to third order (Allen and Berkley, 1979), 44 ms at most.

    Walls of about `size_m` metres that swallow the share `absorption` (0..1); source and microphones are placed
    anywhere, so the two sides differ in time and level.
    """
    from scipy.signal import oaconvolve

    box_m = size_m * rng.uniform(0.6, 1.6, size=3)
    source_m, ears_m = box_m * rng.uniform(0.1, 0.9, size=3), box_m * rng.uniform(0.1, 0.9, size=3)
    taps = int(0.044 * rate_hz)
    response = np.zeros((2, taps), dtype=np.float32)
    orders = np.arange(-3, 4)
    cells = np.stack(np.meshgrid(orders, orders, orders, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = cells[np.abs(cells).sum(axis=1) <= 3]
    images_m = np.where(cells % 2 == 0, cells * box_m + source_m, (cells + 1) * box_m - source_m)
    loss = (1.0 - absorption) ** np.abs(cells).sum(axis=1)
    for side, offset_m in enumerate((-0.1, 0.1)):
        distance_m = np.linalg.norm(images_m - ears_m - [offset_m, 0.0, 0.0], axis=1)
        nearest_m = float(distance_m.min())
        places = np.round((distance_m - nearest_m) / 343.0 * rate_hz).astype(int)
        inside = places < taps
        np.add.at(response[side], places[inside], (loss * nearest_m / distance_m)[inside].astype(np.float32))
    return np.asarray(oaconvolve(audio, response, axes=-1))[:, : audio.shape[1]].astype(np.float32)


def hard_clip(audio: np.ndarray, gain_db: float) -> np.ndarray:
    """Hard clipping: a gain, then a limit at the original peak."""
    peak = np.float32(max(float(np.abs(audio).max(initial=0.0)), 1e-6))
    return np.clip(audio * np.float32(db(gain_db)), -peak, peak)


def fold(audio: np.ndarray, turns: float) -> np.ndarray:
    """Wave folding by a sine: the peak goes `turns` quarter turns round, 1 and more; no direct current arises."""
    peak = np.float32(max(float(np.abs(audio).max(initial=0.0)), 1e-6))
    return np.sin(audio * np.float32(0.5 * np.pi * turns / peak)) * peak


def shaped_drive(audio: np.ndarray, gain_db: float, bias: float, rate_hz: int) -> np.ndarray:
    """Tube-like drive: tanh about a bias (-0.5..0.5), which makes even harmonics; direct current is filtered out."""
    peak = np.float32(max(float(np.abs(audio).max(initial=0.0)), 1e-6))
    factor, shift = np.float32(db(gain_db)), np.float32(bias)
    bent = np.tanh(audio / peak * factor + shift) - np.tanh(shift)
    return high_pass(bent * (peak / np.float32(max(float(np.abs(bent).max(initial=0.0)), 1e-6))), 20.0, rate_hz)


def sway(audio: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Time-varying delay of `offset` (samples,) samples; linear interpolation, ends held."""
    place = np.clip(np.arange(audio.shape[1]) - offset, 0.0, audio.shape[1] - 1.001)
    whole = place.astype(np.int64)
    part = (place - whole).astype(np.float32)
    return audio[:, whole] * (1.0 - part) + audio[:, whole + 1] * part


def oscillation(rate: float, n_samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Low-frequency oscillator: a sine of `rate` hertz between 0 and 1 with a random phase, float32 (n_samples,)."""
    angle = 2.0 * np.pi * (rate * np.arange(n_samples) / rate_hz + rng.uniform())
    return (0.5 + 0.5 * np.sin(angle)).astype(np.float32)


def random_curve(n_samples: int, rate: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random curve with about `rate` free values a second, each normal with deviation 1, (n_samples,)."""
    count = max(4, int(rate * n_samples / rate_hz) + 4)
    knots = rng.standard_normal(count)
    place = np.arange(n_samples) * (rate / rate_hz)
    whole = np.minimum(place.astype(np.int64), count - 2)
    ease = 0.5 - 0.5 * np.cos(np.pi * np.minimum(place - whole, 1.0))
    return knots[whole] * (1.0 - ease) + knots[whole + 1] * ease


def wow_and_flutter(
    audio: np.ndarray, wow_ms: float, flutter_ms: float, rate_hz: int, rng: np.random.Generator
) -> np.ndarray:
    """A tape's speed: slow random sway of `wow_ms` and a fast one of `flutter_ms` (about 9 Hz), standard deviations."""
    count = audio.shape[1]
    offset = wow_ms * random_curve(count, float(rng.uniform(0.5, 2.0)), rate_hz, rng)
    offset += flutter_ms * random_curve(count, float(rng.uniform(6.0, 14.0)), rate_hz, rng)
    return sway(audio, (offset - offset.min()) * (rate_hz / 1000.0))


def chorus(audio: np.ndarray, depth_ms: float, voices: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Chorus: copies with a modulated delay of 10 to 30 ms, different on each side."""
    out = audio.copy()
    for voice in range(voices):
        lag_ms = rng.uniform(8.0, 28.0)
        moving = oscillation(float(rng.uniform(0.1, 2.0)), audio.shape[1], rate_hz, rng)
        wet = sway(audio, (lag_ms + depth_ms * moving) * (rate_hz / 1000.0))
        out += (wet[::-1] if voice % 2 else wet) * np.float32(0.7)
    return out


def flanger(audio: np.ndarray, depth_ms: float, rate: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Flanger: a copy delayed by up to `depth_ms`, added or subtracted; the comb sweeps `rate` times a second."""
    moving = oscillation(rate, audio.shape[1], rate_hz, rng)
    wet = sway(audio, (0.3 + depth_ms * moving) * (rate_hz / 1000.0))
    return audio + wet * np.float32(rng.choice((-0.8, 0.8)))


def phaser(audio: np.ndarray, rate: float, stages: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Phaser: all-pass chains with low and high corners, cross-faded `rate` times a second; notches move."""
    paths = []
    for corner_hz in (float(rng.uniform(200.0, 600.0)), float(rng.uniform(1200.0, 4000.0))):
        tangent = np.tan(np.pi * corner_hz / rate_hz)
        a = (tangent - 1.0) / (tangent + 1.0)
        paths.append(filter_sections(audio, np.tile([a, 1.0, 0.0, 1.0, a, 0.0], (stages, 1))))
    moving = oscillation(rate, audio.shape[1], rate_hz, rng)
    return audio + paths[0] + moving * (paths[1] - paths[0])


def tremolo(audio: np.ndarray, rate: float, depth: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Tremolo of the share `depth` (0..1); half of the time auto-pan."""
    moving = oscillation(rate, audio.shape[1], rate_hz, rng)
    other = 1.0 - moving if rng.random() < 0.5 else moving
    return audio * (1.0 - np.float32(depth) * np.stack([moving, other]))


def ring(audio: np.ndarray, hertz: float, share: float, rate_hz: int) -> np.ndarray:
    """Ring modulation by a sine of `hertz`; `share` (0..1) is the wet share."""
    carrier = np.sin(2.0 * np.pi * hertz * np.arange(audio.shape[1]) / rate_hz).astype(np.float32)
    return audio * (1.0 - np.float32(share) + np.float32(share) * carrier)


def telephone(audio: np.ndarray, low_hz: float, high_hz: float, rate_hz: int) -> np.ndarray:
    """Telephone effect: band-pass of a small loudspeaker or a line, with soft clipping between its two filters."""
    narrow = low_pass(high_pass(high_pass(audio, low_hz, rate_hz), low_hz, rate_hz), high_hz, rate_hz)
    peak = np.float32(max(float(np.abs(narrow).max(initial=0.0)), 1e-6))
    return low_pass(np.tanh(narrow * (np.float32(3.0) / peak)) * peak, high_hz, rate_hz)


def lower_rate(audio: np.ndarray, to_hz: int, rate_hz: int) -> np.ndarray:
    """Band limit: resample to a lower rate and back, as in recordings of 16 to 32 kHz."""
    low = soxr.resample(np.ascontiguousarray(audio.T), rate_hz, to_hz, "HQ")
    back = soxr.resample(low, to_hz, rate_hz, "HQ").T
    out = np.zeros_like(audio)
    count = min(back.shape[1], audio.shape[1])
    out[:, :count] = back[:, :count]
    return out


def pumping(audio: np.ndarray, period_s: float, depth_db: float, rate_hz: int) -> np.ndarray:
    """Sidechain compression: duck by `depth_db` at every beat of `period_s`, as a bass drum would trigger."""
    place = np.arange(audio.shape[1]) / (period_s * rate_hz) % 1.0
    dip = np.exp(-4.0 * place) * np.minimum(place * period_s / 0.004, 1.0)
    return audio * np.power(10.0, -depth_db / 20.0 * dip).astype(np.float32)


def multiband_compress(audio: np.ndarray, amount: float, rate_hz: int) -> np.ndarray:
    """Multiband compressor: three bands levelled in blocks of 23 ms; `amount` 0..1 scales it."""
    from scipy.ndimage import gaussian_filter1d

    low = low_pass(audio, 180.0, rate_hz, 2)
    rest = audio - low
    middle = low_pass(rest, 2500.0, rate_hz, 2)
    out = np.zeros_like(audio)
    for band in (low, middle, rest - middle):
        block = 1024
        count = max(1, -(-audio.shape[1] // block))
        power = np.zeros(count * block, dtype=np.float32)
        power[: audio.shape[1]] = np.square(band).sum(axis=0)
        level = np.sqrt(gaussian_filter1d(power.reshape(count, block).mean(axis=1), 2.0)) + 1e-6
        goal = float(np.sqrt(np.mean(level**2))) + 1e-6
        gain = np.clip((goal / level) ** amount, 0.1, 6.0)
        curve = np.interp(np.arange(audio.shape[1]), (np.arange(count) + 0.5) * block, gain)
        out += band * curve.astype(np.float32)
    return out


def noise_floor(
    audio: np.ndarray, level_db: float, hum_hz: float, rate_hz: int, rng: np.random.Generator
) -> np.ndarray:
    """Hiss (darker or brighter) and, with `hum_hz` above 0, mains hum, at `level_db` against the signal's RMS."""
    count = audio.shape[1]
    hiss = rng.standard_normal(audio.shape, dtype=np.float32)
    hiss = low_pass(hiss, log_uniform(rng, 1500.0, 18000.0), rate_hz, 2)
    if hum_hz > 0.0:
        time = np.arange(count) / rate_hz
        partials = ((n, rng.uniform() / n) for n in range(1, 9))
        hiss += sum((g * np.sin(2.0 * np.pi * hum_hz * n * time) for n, g in partials), np.zeros(count)).astype("f4")
    rms = float(np.sqrt(np.mean(np.square(audio)))) + 1e-6
    return audio + hiss * np.float32(rms * db(level_db) / (float(np.sqrt(np.mean(np.square(hiss)))) + 1e-9))
