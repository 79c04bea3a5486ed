"""Progress of a job, and the seconds that its stages take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

STAGES = ("encode", "coarse", "c2f", "decode")
"""Stages whose seconds are counted."""


@dataclass(frozen=True)
class Progress:
    """Progress of a job: stage, steps done, share of the whole."""

    stage: str
    """Stage at work: load, encode, coarse, c2f, decode, write, code, files. The stages take turns."""
    done: int
    """Steps, frames or samples of this stage that are done."""
    total: int
    """All steps, frames or samples of this stage."""
    share: float
    """Share of the whole job that is done, 0 to 1; it never falls."""


Report = Callable[[Progress], None]
"""Gets every Progress. What it raises ends the job: a job stops within one decoding step."""


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
        """Sum of all stages, seconds."""
        return self.encode_s + self.coarse_s + self.c2f_s + self.decode_s

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio made per second of work; above 1 is faster than real time."""
        return self.audio_s / max(self.total_s, 1e-9)


class Clock:
    """Adds up the seconds of named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is done in the `with` block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def timings(self, audio_s: float) -> Timings:
        """The seconds so far; `audio_s`: seconds of audio made in them."""
        s = self.seconds
        return Timings(s["encode"], s["coarse"], s["c2f"], s["decode"], audio_s)
