"""How a codec uses its codebooks: entries in use and their perplexity."""

from __future__ import annotations

import torch
from torch import Tensor


def codebook_usage(codes_BCT: Tensor, size: int) -> Tensor:
    """Share of the `size` entries of each codebook that occur at all, (C,) in 0 to 1; mask tokens do not count."""
    return (_counts_CV(codes_BCT, size) > 0).double().mean(dim=1)


def codebook_perplexity(codes_BCT: Tensor, size: int) -> Tensor:
    """exp of the entropy (nats) of each codebook's empirical distribution: (C,), 1 (one entry) to `size` (even use)."""
    counts_CV = _counts_CV(codes_BCT, size).double()
    share_CV = counts_CV / counts_CV.sum(dim=1, keepdim=True).clamp_min(1)
    return torch.special.entr(share_CV).sum(dim=1).exp()


def perplexity(codes: Tensor, size: int) -> float:
    """Perplexity of codes of one codebook, of any shape."""
    return float(codebook_perplexity(codes.reshape(1, 1, -1), size))


def _counts_CV(codes_BCT: Tensor, size: int) -> Tensor:
    """How often each entry occurs; index `size`, the mask token, is left out."""
    return torch.stack([torch.bincount(row.flatten(), minlength=size + 1)[:size] for row in codes_BCT.unbind(1)])
