"""Training masks that keep a whole prompt, as sampling does: a beginning, two ends, frames at intervals, beats.

Masks drawn token by token (`masked_objective.draw_keep`) leave hints all over a crop. Prompts do not: a continuation
begins with seconds without any, and a beat prompt keeps attacks only, so a network that takes them for a fair sample
makes up attacks between them too. The paper trains on masks drawn token by token alone; these are our addition.

A prompt is keep_T, a bool tensor over frames, True where the tokens of all codebooks are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

BEAT_SHARE = 0.4
"""Share of the prompts that keep beats, among crops whose beats are known."""
BEAT_STEPS = (1, 1, 1, 2, 4)
"""Every beat, every second or every fourth is kept, drawn from these with equal chance."""
LONGEST_BEAT = 8
"""Frames kept from a beat on, at most: 140 ms of the default codec."""
LONGEST_PERIOD = 96
"""Frames, about 1.7 s of the default codec: a beat at 35 to the minute."""


def draw_prompt_keep(
    shape: torch.Size, share: float, generator: torch.Generator, beats: Sequence[np.ndarray] = ()
) -> Tensor:
    """Draw prompts for a batch: keep_B1T, True in the frames that a prompt keeps.

    share: probability that an item has a prompt at all, 0 to 1.
    beats: frames of each item's beats, some perhaps outside of it; an empty array where they are not known.
    """
    n_items, _, n_frames = shape
    keep_B1T = torch.zeros(n_items, 1, n_frames, dtype=torch.bool)
    for item in range(n_items):
        if _uniform(generator) < share:
            if beats and len(beats[item]) and _uniform(generator) < BEAT_SHARE:
                keep_B1T[item, 0] = on_beats(n_frames, beats[item], generator)
            else:
                keep_B1T[item, 0] = _one_of(PROMPTS, generator)(n_frames, generator)
    return keep_B1T


def on_beats(n_frames: int, beats: np.ndarray, generator: torch.Generator) -> Tensor:
    """Up to `LONGEST_BEAT` frames from each beat on, or from every second or fourth."""
    step = _one_of(BEAT_STEPS, generator)
    first = int(_uniform(generator) * step)
    start_N1 = torch.from_numpy(np.floor(beats[first::step])).long()[:, None]
    width = 1 + int(_uniform(generator) * LONGEST_BEAT)
    frame_T = torch.arange(n_frames)
    return ((frame_T >= start_N1) & (frame_T < start_N1 + width)).any(0)


def beginning(n_frames: int, generator: torch.Generator) -> Tensor:
    """A beginning of any length, to be continued; half of the time an end."""
    keep_T = torch.arange(n_frames) < _uniform(generator) * n_frames
    return keep_T if _uniform(generator) < 0.5 else keep_T.flip(0)


def ends(n_frames: int, generator: torch.Generator) -> Tensor:
    """All but one stretch of any length."""
    first, stop = sorted(_uniform(generator) * (n_frames + 1) for _ in range(2))
    frame_T = torch.arange(n_frames)
    return (frame_T < first) | (frame_T >= stop)


def intervals(n_frames: int, generator: torch.Generator) -> Tensor:
    """Stretches at a steady distance of up to `LONGEST_PERIOD` frames, each up to a third of it.

    Half of the time they are single frames, as periodic prompts are.
    """
    period = math.exp(_uniform(generator) * math.log(LONGEST_PERIOD / 2)) * 2
    width = 1.0 if _uniform(generator) < 0.5 else max(1.0, _uniform(generator) * period / 3)
    return (torch.arange(n_frames) + _uniform(generator) * period) % period < width


PROMPTS: tuple[Callable[[int, torch.Generator], Tensor], ...] = (beginning, ends, intervals)
"""Drawn from with equal chance."""


def _one_of(choices: Sequence[T], generator: torch.Generator) -> T:
    return choices[int(_uniform(generator) * len(choices))]


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
