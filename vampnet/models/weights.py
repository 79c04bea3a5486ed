"""Weights as they are stored: float32, bfloat16 or int8 with one scale per row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from vampnet.errors import BundleError
from vampnet.models.bundle_config import STORAGES
from vampnet.models.transformer import in_format
from vampnet.storage import sha256_of_file

__all__ = ["SCALE", "SMALL", "STORAGES", "pack", "sha256_of", "stored_shapes", "stored_tensors", "unpacked"]

SCALE = "::scale"
"""Suffix of the key that holds an int8 tensor's row scales."""


SMALL = 2048
"""Tensors with fewer elements stay float32: they cost nothing and matter most."""


_DTYPES = {"float32": {"F32"}, "bfloat16": {"F32", "BF16"}, "int8": {"F32", "I8"}}
"""Storage -> number formats, as safetensors calls them, that its files may hold."""


def stored_shapes(path: Path, storage: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a weight file, read from its header alone.

    Raises BundleError for a number format that is not of this storage, and for int8 without fitting scales.
    """
    with safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        formats = {name: part.get_dtype() for name, part in slices.items()}
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
    for name, number in formats.items():
        if number not in _DTYPES[storage]:
            raise BundleError(f"{path}: {name} is of number format {number}, which storage {storage!r} has not")
        scale = shapes.get(name + SCALE)
        if (number == "I8") != (scale is not None) or (scale is not None and not _scales(shapes[name], scale)):
            raise BundleError(f"{path}: {name} has no row scales, or not those of its shape")
    return {name: shape for name, shape in shapes.items() if not name.endswith(SCALE)}


def _scales(shape: tuple[int, ...], scale: tuple[int, ...]) -> bool:
    """Whether scales of a shape belong to the rows of a tensor: each axis as long as the tensor's, or 1."""
    return len(scale) == len(shape) and all(own in (1, length) for own, length in zip(scale, shape, strict=True))


def stored_tensors(path: Path, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of everything in a weight file, ready for use; mapped where the file holds it that way."""
    file = safe_open(path, framework="pt")
    for name in [name for name in file.keys() if not name.endswith(SCALE)]:  # noqa: SIM118  (not a dict)
        stored = file.get_tensor(name)
        scale = file.get_tensor(name + SCALE) if stored.dtype == torch.int8 else None
        tensor = in_format(name, unpacked(stored, scale), dtype)
        if tensor is not stored:  # the pages of what was converted go before the next ones come
            del stored
            file = safe_open(path, framework="pt")
        yield name, tensor


def pack(state: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """Tensors as they are stored."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if storage == "float32" or tensor.ndim < 2 or tensor.numel() < SMALL or name.endswith("codebooks_CVK"):
            packed[name] = tensor.float()
        elif storage == "bfloat16":
            packed[name] = tensor.bfloat16()
        else:
            packed[name], packed[name + SCALE] = _to_int8(tensor.float())
    return packed


def unpacked(stored: Tensor, scale: Tensor | None) -> Tensor:
    """A tensor from its stored form: int8 with its scale as float32, all others as they are."""
    return stored if scale is None else stored.float() * scale.float()


def _to_int8(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values and a float32 scale per row; a row is all but the last axis, or a whole filter of a convolution."""
    axes = tuple(range(1, tensor.ndim)) if tensor.ndim == 3 and tensor.shape[1] == 1 else (-1,)
    scale = tensor.abs().amax(dim=axes, keepdim=True).clamp_min(1e-12) / 127
    return (tensor / scale).round().to(torch.int8), scale


def sha256_of(path: Path) -> str:
    """SHA-256 of a regular file, hexadecimal. Raises BundleError where it cannot be read."""
    return sha256_of_file(path, BundleError)
