"""LoRA adapters (Hu et al. 2021): a small file that bends a bundle's models towards some music.

A safetensors file with, for each adapted layer, `PART.LAYER.lora_A` (rank, in) and `PART.LAYER.lora_B` (out, rank),
PART being "coarse" or "c2f"; the metadata holds the scale and the id of the codec whose tokens the models read. To use
one, its product is added to the weights, W + strength * scale * B @ A, so a vamp with adapters takes no longer.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vampnet.errors import BundleError
from vampnet.models.adapter_header import FORMAT, read_adapter_header
from vampnet.models.format import Bundle
from vampnet.storage import cause, write_whole

log = logging.getLogger("vampnet")


@dataclass(frozen=True, eq=False)
class Adapter:
    """A loaded adapter."""

    factors: dict[str, tuple[Tensor, Tensor]]
    """"PART.LAYER" -> A (rank, in), B (out, rank)."""
    scale: float
    """Factor on B @ A; alpha / rank in training."""
    codec_id: str
    about: dict[str, Any]
    """Origin: the bundle's weight digests ("base"), settings, figures."""


def write_adapter(path: str | os.PathLike[str], adapter: Adapter) -> None:
    """Write an adapter; the file appears whole or not at all."""
    tensors = {}
    for name, (a_YI, b_OY) in adapter.factors.items():
        tensors[f"{name}.lora_A"] = a_YI.detach().float().cpu().contiguous()
        tensors[f"{name}.lora_B"] = b_OY.detach().float().cpu().contiguous()
    metadata = {
        "format": FORMAT,
        "scale": repr(adapter.scale),
        "codec_id": adapter.codec_id,
        "about": json.dumps(adapter.about, sort_keys=True),
    }
    write_whole(path, _ordered(save(tensors, metadata)), BundleError)


def _ordered(data: bytes) -> bytes:
    """The bytes of a safetensors file with its header in one order: equal adapters are equal files.

    safetensors writes the metadata in another order each time.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    packed = json.dumps(header, separators=(",", ":")).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + data[8 + length :]


def read_adapter(path: str | os.PathLike[str]) -> Adapter:
    """Read an adapter file. Raises BundleError when it is missing, damaged or something else."""
    header = read_adapter_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            factors = {n: (file.get_tensor(f"{n}.lora_A"), file.get_tensor(f"{n}.lora_B")) for n in header.shapes}
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: damaged, or not a safetensors file ({cause(error)})") from None
    endless = [n for n, pair in factors.items() if not all(side.isfinite().all() for side in pair)]
    if endless:
        raise BundleError(f"{path}: damaged, its {endless[0]} has values that are no numbers")
    return Adapter(factors, header.scale, header.codec_id, header.about)


@torch.no_grad()
def apply_adapter(bundle: Bundle, adapter: Adapter, strength: float = 1.0, name: str = "adapter") -> None:
    """Add an adapter to a bundle's weights in place; several add up. Raises BundleError when it does not fit."""
    if adapter.codec_id != bundle.codec.id:
        raise BundleError(
            f"{name}: made for tokens of codec {adapter.codec_id}, but {bundle.folder} has {bundle.codec.id}"
        )
    base = adapter.about.get("base", {})
    digests = bundle.weight_digests() if base else {}
    changed = [part for part, digest in base.items() if digests.get(part) != digest]
    if changed:
        log.warning("%s: was trained on other weights than %s has (%s)", name, bundle.folder, ", ".join(changed))
    pairs = []
    for key, (a_YI, b_OY) in adapter.factors.items():
        layer = _layer(bundle, key)
        if layer is None or layer.weight.shape != (b_OY.shape[0], a_YI.shape[1]) or a_YI.shape[0] != b_OY.shape[1]:
            raise BundleError(f"{name}: its {key} does not fit the models of {bundle.folder}")
        change_OI = strength * adapter.scale * (b_OY.float() @ a_YI.float())
        if not change_OI.isfinite().all():
            raise BundleError(
                f"{name}: the product of its {key} is no number; it is damaged, or its scale is too large"
            )
        pairs.append((layer, change_OI))
    for layer, change_OI in pairs:  # only once all of them are known to fit
        layer.weight += change_OI.to(layer.weight)


def _layer(bundle: Bundle, key: str) -> nn.Linear | None:
    part, _, path = key.partition(".")
    model = {"coarse": bundle.coarse, "c2f": bundle.c2f}.get(part)
    try:
        layer = model.get_submodule(path) if model is not None else None
    except AttributeError:
        return None
    return layer if isinstance(layer, nn.Linear) else None
