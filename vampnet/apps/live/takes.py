"""Takes: recorded or generated turns of a loop, read round and round at any place and rate, and crossfaded."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampnet.audio.samples import Samples
from vampnet.generation.config import SamplingConfig

TAPS = 16
"""Samples that an interpolated one is made of."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Recipe:
    """Settings of a variation, without its source."""

    prompt: str
    sampling: SamplingConfig
    """With the seed of this variation."""


@dataclass(eq=False)
class Take:
    """One turn of a loop. Samples do not change once it is complete."""

    samples: Samples
    """float32 (channels, n)."""
    recipe: Recipe | None = None
    """Settings it was generated with; None for a recording."""
    codes: NDArray[np.int32] | None = None
    """Its tokens (channels, codebooks, frames); None where the samples are all there is."""
    kept: NDArray[np.bool_] | None = None
    """Tokens that the prompt kept, bool (codebooks, frames)."""
    is_complete: bool = True
    """False while it is still being recorded."""
    origin: int = 0
    """Position of the song at which a turn begins."""
    bars: int = 0
    """Bars of a turn; 0 where there is no tempo."""
    source: Take | None = None
    """Source of the variation."""
    seam: NDArray[np.int32] | None = None
    """Tokens whose frames around the seam all variations of this take share; None until the first one is made."""
    number: int = field(default_factory=lambda: next(_numbers))
    """Tells takes of this process apart."""

    @property
    def n_samples(self) -> int:
        """Length of a turn."""
        return self.samples.shape[1]


def read_turns(samples: Samples, start: int, n: int) -> Samples:
    """`n` samples of a loop that goes round and round, from place `start` of any turn on."""
    length = samples.shape[1]
    place = start % length
    if place + n <= length:
        return samples[:, place : place + n]
    parts, left = [], n
    while left:
        part = samples[:, place : place + left]
        parts.append(part)
        left -= part.shape[1]
        place = 0
    return np.concatenate(parts, axis=1)


def interpolate_turns(samples: Samples, places: NDArray[np.floating[Any]]) -> Samples:
    """Samples of a loop at places between its samples: a windowed sinc of 16 taps. Whole places are exact."""
    whole = np.floor(places)
    part = places - whole
    index = whole.astype(np.int64)
    sine = np.sin(math.pi * part) / math.pi
    result = np.zeros((len(samples), len(places)), np.float64)
    for tap in range(1 - TAPS // 2, TAPS // 2 + 1):
        distance = part - tap
        sign = -1.0 if tap % 2 else 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = sign * sine / distance * np.cos(math.pi * distance / TAPS) ** 2
        weight = np.where(distance == 0, 1.0, weight)
        result += weight * samples[:, (index + tap) % samples.shape[1]]
    return result.astype(np.float32)


def likeness(old: Samples, new: Samples) -> float:
    """Correlation of two signals, 0 (unlike, or opposed) to 1."""
    power = float(np.vdot(old, old)) * float(np.vdot(new, new))
    return min(max(float(np.vdot(old, new)) / math.sqrt(power), 0.0), 1.0) if power > 0 else 0.0


def crossfade_gains(first: int, n: int, n_fade: int, alike: float) -> tuple[Samples, Samples]:
    """Gains of old and new for samples `first` to `first + n` - 1 of a crossfade of `n_fade` samples.

    `alike`: correlation of the two, 0 to 1. At 0 the fade has equal power, at 1 equal amplitude; the level stays the
    same between them too. Past the fade, the new one's gain is 1.
    """
    turn = np.clip((np.arange(first, first + n) + 0.5) / n_fade, 0.0, 1.0) * (math.pi / 2)
    level = np.sqrt(1.0 + alike * np.sin(2 * turn))
    old, new = np.cos(turn) / level, np.sin(turn) / level
    past = turn >= math.pi / 2
    return np.where(past, 0.0, old).astype(np.float32), np.where(past, 1.0, new).astype(np.float32)
