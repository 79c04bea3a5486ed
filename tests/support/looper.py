"""A looper at 8 kHz, smooth noise, and what plays them."""

from __future__ import annotations

import numpy as np

from vampnet.apps.live.commands import parse_command
from vampnet.apps.live.looper import Looper, LooperConfig, MadeVariation

RATE = 8000
FADE = RATE // 125


def looper(**changes) -> Looper:
    return Looper(LooperConfig(**{"sample_rate_hz": RATE, "channels": 1, "delay": 256, **changes}))


def noise(n: int, seed: int = 0, channels: int = 1) -> np.ndarray:
    """Smooth noise that goes round without a jump."""
    rng = np.random.default_rng(seed)
    spectrum = np.zeros((channels, n // 2 + 1), complex)
    top = min(n // 16, n // 2)
    spectrum[:, 1:top] = rng.standard_normal((channels, top - 1)) + 1j * rng.standard_normal((channels, top - 1))
    sound = np.fft.irfft(spectrum, n, axis=1)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def play(core: Looper, n: int, sound: np.ndarray | None = None, block: int = 100) -> np.ndarray:
    """Output of `n` samples; `sound` is heard by the microphone from output sample 0 on."""
    config, parts, end = core.config, [], core.now + n
    while core.now < end:
        k = min(block, end - core.now)
        heard = np.arange(core.now, core.now + k) - config.delay - config.latency
        given = np.zeros((config.channels, k), np.float32)
        if sound is not None:
            known = (heard >= 0) & (heard < sound.shape[1])
            given[:, known] = sound[:, heard[known]]
        parts.append(core.render(given))
    return np.concatenate(parts, axis=1)


def do(core: Looper, *texts: str) -> None:
    for text in texts:
        core.do(parse_command(text))


def answer(core: Looper, samples: np.ndarray) -> bool:
    asked = core.ask()
    assert asked is not None
    codes = np.full((1, 2, 3), asked.number, np.int32)
    return core.offer(MadeVariation(asked.number, samples, codes, None))
