"""Orders in which masked tokens are committed, beside the paper's (`vampnet.generation.sampling`).

An order (`vampnet.generation.config.ORDERS`) gives every place a priority; each step commits the masked places of the
highest.

- "confidence": log probability of the drawn token and annealed Gumbel noise (MaskGIT, Chang et al. 2022; the paper).
- "levels": codebook by codebook, the coarsest first, by that confidence within each (SoundStorm, Borsos et al. 2023).
  Since the schedule commits few tokens at first, the first codebook gets nearly half of the steps.
- "halton": places spread evenly over frames and codebooks, whatever is drawn there (Besnier et al. 2025): tokens that
  are committed together are far apart, so that they depend less on each other.
- "random": uniformly, the order in which the network was trained.

Axis letters: B item, P codebook predicted, T frame.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVEL_STEP = 1e4
"""Between the priorities of two codebooks; confidences are far smaller."""
POINTS_PER_PLACE = 16
"""Of the Halton sequence; places that none of them falls into come last."""


def priority(order: str, confidence_BPT: Tensor, noise_BPT: Tensor, halton_BPT: Tensor | None) -> Tensor:
    """Priority (B, P, T) of each place; the highest are committed first.

    confidence_BPT: log probability of the token drawn there and what noise was added to it. noise_BPT: uniform numbers,
    new in every step. halton_BPT: ranks by `halton_ranks`, for that order.
    """
    if order == "random":
        return noise_BPT
    if order == "halton":
        assert halton_BPT is not None
        return -halton_BPT.to(confidence_BPT.dtype)
    if order == "levels":
        level_P1 = torch.arange(confidence_BPT.shape[1], device=confidence_BPT.device).unsqueeze(1)
        return confidence_BPT.clamp(-LEVEL_STEP / 4, LEVEL_STEP / 4) - LEVEL_STEP * level_P1
    return confidence_BPT


def halton_ranks(n_codebooks: int, n_frames: int, shift: tuple[float, float]) -> Tensor:
    """When each place's turn comes, 0 first: int64 (P, T), each rank once.

    Place k of the sequence lies at frame and codebook of the two van der Corput sequences of bases 2 and 3, turned
    round by `shift` (two numbers in 0 to 1), which makes one seed's order unlike another's.
    """
    n_places = n_codebooks * n_frames
    index = torch.arange(1, POINTS_PER_PLACE * n_places + 1)
    frame, codebook = (
        (((van_der_corput(index, base) + offset) % 1.0) * size).long().clamp(max=size - 1)
        for base, offset, size in ((2, shift[0], n_frames), (3, shift[1], n_codebooks))
    )
    place = codebook * n_frames + frame
    first = torch.full((n_places,), len(index)).scatter_reduce(0, place, torch.arange(len(index)), "amin")
    return first.argsort(stable=True).argsort().view(n_codebooks, n_frames)


def van_der_corput(index: Tensor, base: int) -> Tensor:
    """Digits of each number in `base`, mirrored at the point: float64 in 0 to 1."""
    value, share, left = torch.zeros(len(index), dtype=torch.float64), 1.0, index.clone()
    for _ in range(math.ceil(math.log(int(index.max()) + 1, base)) + 1):
        share /= base
        value += share * (left % base)
        left //= base
    return value
