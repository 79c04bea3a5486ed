"""Digest of loaded weights: says whether two models are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import nn


def digest_weights(modules: Iterable[nn.Module]) -> str:
    """SHA-256 of all weights, adapters that were added included, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in module.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
