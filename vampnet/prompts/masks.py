"""Keep masks and the mask schedule gamma, shared by prompts, sampling and training (paper, sections 3.2 to 3.4).

A keep mask is a bool tensor, True where a token is kept and False where it is regenerated. Builders return only the
axes that they depend on, frames (T,) or codebooks (C, 1), so that masks combine with | and & by broadcasting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vampnet.config import check
from vampnet.prompts.time import MAX_FRAMES


def gamma(r: Tensor) -> Tensor:
    """Share of tokens masked at r in 0..1: cos(pi r / 2), never below 1e-10; float32 in, float32 out.

    The order of the operations matters to the last bit, since sampling rounds gamma * n down: gamma(2/3) is 0.49999997.
    """
    return (r * math.pi / 2).cos().clamp(1e-10, 1.0)


def periodic_keep(n_frames: int, period: int, width: int = 1, offset: int = 0) -> Tensor:
    """Keep `width` frames around every `period`-th frame, beginning at frame `offset` (taken modulo the period).

    Exactly `width` frames lie around each such frame; of an even width the odd one out lies after it. Only frames
    inside the material count as centres. Period 0 keeps nothing, period 1 everything. Returns keep_T.
    """
    check("n_frames", n_frames, 0, MAX_FRAMES)
    check("period", period, 0, MAX_FRAMES)
    check("width", width, 1, MAX_FRAMES)
    if period == 0:
        return torch.zeros(n_frames, dtype=torch.bool)
    first = offset % period
    centres = torch.arange(first, max(n_frames, first), period)
    # Stretches may overlap: count how many begin and end at each frame instead of writing them one by one.
    change = torch.zeros(n_frames + 1, dtype=torch.int64)
    change.index_add_(0, (centres - (width - 1) // 2).clamp(min=0), torch.ones_like(centres))
    change.index_add_(0, (centres + width // 2 + 1).clamp(max=n_frames), -torch.ones_like(centres))
    return change.cumsum(0)[:n_frames] > 0


def regions_keep(n_frames: int, regions: Iterable[tuple[int, int]]) -> Tensor:
    """Keep frames `start` to `stop` - 1 of each region (start, stop); parts outside 0 to `n_frames` are ignored.

    Returns keep_T.
    """
    check("n_frames", n_frames, 0, MAX_FRAMES)
    keep_T = torch.zeros(n_frames, dtype=torch.bool)
    for start, stop in regions:
        keep_T[max(start, 0) : max(stop, 0)] = True  # a negative index would count from the end
    return keep_T


def codebooks_keep(n_codebooks: int, n_kept: int) -> Tensor:
    """Keep the first `n_kept` codebooks, all of them if there are fewer. Returns keep_C1 of shape (C, 1)."""
    check("n_codebooks", n_codebooks, 0, MAX_FRAMES)
    check("n_kept", n_kept, 0, MAX_FRAMES)
    return (torch.arange(n_codebooks) < n_kept).unsqueeze(1)


def random_keep(shape: Sequence[int], probability: float, generator: torch.Generator) -> Tensor:
    """Keep each token independently with `probability` 0..1. Returns a mask of `shape`.

    Drawn on the CPU, so that a seed means the same on every device.
    """
    return torch.rand(tuple(shape), generator=generator) < probability


def drop_frames(keep_CT: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Drop a share of the frames of which anything is kept, drawn without replacement; returns a new keep_CT.

    share: 0..1 of those frames; their number is rounded to the nearest whole.
    """
    frames = keep_CT.any(0).nonzero().squeeze(1)
    order = torch.randperm(len(frames), generator=generator)
    result_CT = keep_CT.clone()
    result_CT[:, frames[order[: round(share * len(frames))]]] = False
    return result_CT


def mask_codes(codes_BCT: Tensor, keep_BCT: Tensor, mask_token: int) -> Tensor:
    """Codes with `mask_token` where `keep_BCT` is False; any shapes that broadcast, a new tensor."""
    return torch.where(keep_BCT, codes_BCT, mask_token)


def kept_runs(keep_CT: Tensor) -> list[tuple[int, int]]:
    """Runs of frames of which every token is kept, as (first frame, frame after the last)."""
    whole_T = F.pad(keep_CT.all(dim=0).to(torch.int8), (1, 1))
    edges = torch.diff(whole_T).nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
