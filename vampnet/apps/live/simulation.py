"""Simulation: a performance on a virtual clock, without a device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vampnet.apps.live.commands import LiveCommand
from vampnet.apps.live.performance import Performance
from vampnet.audio.samples import Samples

TICK = 512
"""Output samples between two looks at maker and commands."""


@dataclass(frozen=True)
class Cue:
    """A command at a moment of a simulation."""

    seconds: float
    command: LiveCommand


def simulate(
    performance: Performance,
    n_samples: int,
    write: Callable[[Samples], Any],
    *,
    cues: Iterable[Cue] = (),
    sound: Callable[[int, int], Samples] | None = None,
    on_tick: Callable[[], None] | None = None,
) -> None:
    """Play so many output samples as fast as it goes.

    `sound(first, n)`: what the musician plays to output samples `first` to `first + n` - 1, of the looper's channels;
    `write` takes the output. Each cue is given when its moment is heard.
    """
    looper, config = performance.looper, performance.looper.config
    waiting = sorted(cues, key=lambda cue: cue.seconds)
    end = looper.now + n_samples
    while looper.now < end:
        while waiting and waiting[0].seconds * config.sample_rate_hz <= looper.now:
            performance.do(waiting.pop(0).command, looper.now)
        performance.tend()
        if on_tick is not None:
            on_tick()
        n = min(TICK, end - looper.now)
        if waiting:
            n = min(n, max(int(np.ceil(waiting[0].seconds * config.sample_rate_hz)) - looper.now, 1))
        write(performance.render(_heard(sound, looper.now - config.delay - config.latency, n, config.channels)))


def _heard(sound: Callable[[int, int], Samples] | None, first: int, n: int, channels: int) -> Samples:
    block = np.zeros((channels, n), np.float32)
    start = max(first, 0)
    if sound is not None and start < first + n:
        block[:, start - first :] = sound(start, first + n - start)
    return block


class InputBlocks:
    """Input samples of a file, in pieces of any size; silence behind its end."""

    def __init__(self, blocks: Iterable[Samples], channels: int) -> None:
        self._blocks, self._left = iter(blocks), np.zeros((channels, 0), np.float32)

    def take(self, n: int) -> Samples:
        """The next `n` samples."""
        parts = [self._left]
        while sum(part.shape[1] for part in parts) < n:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(np.asarray(block, np.float32))
        whole = np.concatenate(parts, axis=1)
        self._left = whole[:, n:]
        return np.pad(whole[:, :n], ((0, 0), (0, max(n - whole.shape[1], 0))))
