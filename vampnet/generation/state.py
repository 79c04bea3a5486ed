"""State of an unfinished run, and the digest of the weights that it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class State:
    """Where a job stands between two windows."""

    n_done: tuple[int, int]
    """Windows filled by the coarse and by the coarse-to-fine model."""
    n_samples: int
    """Decoded samples per channel, at the codec's rate."""
    first: int
    """Frame with which the codes begin."""
    codes_BCT: Tensor
    """int32."""


def weights_digest(modules: Iterable[nn.Module]) -> str:
    """SHA-256 of all weights, adapters that were added included."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in module.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
