"""Codebook perplexity: how evenly a codec uses the entries of its codebooks."""

from __future__ import annotations

import torch
from torch import Tensor


def codebook_perplexity(codes_BCT: Tensor, size: int) -> Tensor:
    """exp of the entropy (nats) of each codebook's empirical distribution: (C,), 1 (one entry) to `size` (even use)."""
    counts_CV = _counts_CV(codes_BCT, size).double()
    share_CV = counts_CV / counts_CV.sum(dim=1, keepdim=True).clamp_min(1)
    return torch.special.entr(share_CV).sum(dim=1).exp()


def perplexity(codes: Tensor, size: int) -> float:
    """Perplexity of codes of one codebook, of any shape."""
    return float(codebook_perplexity(codes.reshape(1, 1, -1), size))


def _counts_CV(codes_BCT: Tensor, size: int) -> Tensor:
    """Count of each entry per codebook; index `size`, the mask token, is left out."""
    return torch.stack([torch.bincount(row.flatten(), minlength=size + 1)[:size] for row in codes_BCT.unbind(1)])
