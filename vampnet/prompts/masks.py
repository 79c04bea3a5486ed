"""Pure mask builders and the mask schedule gamma, shared by training and sampling (paper, sections 3.2 to 3.4).

A mask is a bool tensor, True where a token is to be regenerated. Builders return the axes that they depend on, of
frames (T,) or of codebooks (C, 1), so that masks combine by broadcasting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vampnet.config import check

_NO_LIMIT = 2**31


def gamma(r: Tensor) -> Tensor:
    """Share of tokens masked at r in 0..1: cos(pi r / 2), never below 1e-10; float32 in, float32 out.

    The order of the operations matters to the last bit, since sampling rounds gamma * n down: gamma(2/3) is 0.49999997.
    """
    return (r * math.pi / 2).cos().clamp(1e-10, 1.0)


def periodic_mask(n_frames: int, period: int, width: int = 1, offset: int = 0) -> Tensor:
    """Keep `width` frames around every `period`-th frame, beginning at frame `offset` (taken modulo the period).

    Exactly `width` frames lie around each such frame; of an even width the odd one out lies after it. Only frames
    inside the material count as centres. Period 0 keeps nothing, period 1 everything. Returns mask_T.
    """
    check("n_frames", n_frames, 0, _NO_LIMIT)
    check("period", period, 0, _NO_LIMIT)
    check("width", width, 1, _NO_LIMIT)
    if period == 0:
        return torch.ones(n_frames, dtype=torch.bool)
    first = offset % period
    centres = torch.arange(first, max(n_frames, first), period)
    # Stretches may overlap: count how many begin and end at each frame instead of writing them one by one.
    change = torch.zeros(n_frames + 1, dtype=torch.int64)
    change.index_add_(0, (centres - (width - 1) // 2).clamp(min=0), torch.ones_like(centres))
    change.index_add_(0, (centres + width // 2 + 1).clamp(max=n_frames), -torch.ones_like(centres))
    return change.cumsum(0)[:n_frames] == 0


def region_mask(n_frames: int, start: int, stop: int) -> Tensor:
    """Keep frames `start` to `stop` - 1; parts outside 0 to `n_frames` are ignored. Returns mask_T."""
    check("n_frames", n_frames, 0, _NO_LIMIT)
    frame = torch.arange(n_frames)
    return (frame < start) | (frame >= stop)


def inpaint_mask(n_frames: int, n_prefix: int, n_suffix: int) -> Tensor:
    """Keep the first `n_prefix` and the last `n_suffix` frames. Returns mask_T."""
    check("n_prefix", n_prefix, 0, _NO_LIMIT)
    check("n_suffix", n_suffix, 0, _NO_LIMIT)
    return mask_and(region_mask(n_frames, 0, n_prefix), region_mask(n_frames, n_frames - n_suffix, n_frames))


def codebook_mask(n_codebooks: int, n_kept: int) -> Tensor:
    """Keep the first `n_kept` codebooks, all of them if there are fewer. Returns mask_C1 of shape (C, 1)."""
    check("n_codebooks", n_codebooks, 0, _NO_LIMIT)
    check("n_kept", n_kept, 0, _NO_LIMIT)
    return (torch.arange(n_codebooks) >= n_kept).unsqueeze(1)


def random_mask(shape: Sequence[int], probability: Tensor | float, generator: torch.Generator) -> Tensor:
    """Mask every token on its own with `probability` 0..1, a number or a CPU tensor that broadcasts to `shape`.

    Drawn on the CPU, so that a seed means the same on every device.
    """
    return torch.rand(tuple(shape), generator=generator) < probability


def mask_and(mask: Tensor, other: Tensor) -> Tensor:
    """Regenerate what both masks regenerate: what either one keeps is kept."""
    return mask & other


def mask_or(mask: Tensor, other: Tensor) -> Tensor:
    """Regenerate what either mask regenerates: only what both keep is kept."""
    return mask | other


def apply_mask(codes_BCT: Tensor, mask_BCT: Tensor, mask_token: int) -> Tensor:
    """Codes with `mask_token` where the mask is True; any shapes that broadcast, a new tensor."""
    return torch.where(mask_BCT, mask_token, codes_BCT)
