"""Time spent per stage, and the signature of progress callbacks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); stage is "encode", "coarse", "c2f" or "decode". The stages take turns."""


@dataclass(frozen=True)
class Timings:
    """Seconds spent."""

    encode_s: float
    coarse_s: float
    c2f_s: float
    decode_s: float
    audio_s: float
    """Audio that was made, all variations together."""

    @property
    def total_s(self) -> float:
        return self.encode_s + self.coarse_s + self.c2f_s + self.decode_s

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio made per second of work; above 1 is faster than real time."""
        return self.audio_s / max(self.total_s, 1e-9)


class Clock:
    """Adds up the seconds of named stages."""

    def __init__(self) -> None:
        self.seconds = {"encode": 0.0, "coarse": 0.0, "c2f": 0.0, "decode": 0.0}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def timings(self, audio_s: float) -> Timings:
        s = self.seconds
        return Timings(s["encode"], s["coarse"], s["c2f"], s["decode"], audio_s)
