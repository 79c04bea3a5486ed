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
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vampnet.errors import BundleError
from vampnet.models.format import Bundle

FORMAT = "vampnet-lora-1"
MAX_STRENGTH = 10.0

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
    """What it was made from: the bundle's weight digests ("base"), settings, figures."""


def write_adapter(path: str | os.PathLike[str], adapter: Adapter) -> None:
    """Write an adapter; the file appears whole or not at all."""
    tensors = {}
    for name, (a_RI, b_OR) in adapter.factors.items():
        tensors[f"{name}.lora_A"] = a_RI.detach().float().cpu().contiguous()
        tensors[f"{name}.lora_B"] = b_OR.detach().float().cpu().contiguous()
    metadata = {
        "format": FORMAT,
        "scale": repr(adapter.scale),
        "codec_id": adapter.codec_id,
        "about": json.dumps(adapter.about),
    }
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp")
    save_file(tensors, temporary, metadata)
    temporary.chmod(0o644)  # safetensors writes for the owner alone
    os.replace(temporary, target)


def read_adapter(path: str | os.PathLike[str]) -> Adapter:
    """Read an adapter file. Raises BundleError when it is missing, damaged or something else."""
    if not Path(path).is_file():
        raise BundleError(f"{path}: no such adapter file")
    if Path(path).suffix in (".pth", ".pt", ".ckpt"):
        raise BundleError(
            f"{path}: a PyTorch file; LoRA of the authors' code becomes an adapter with "
            "`vampnet import-reference ... --lora FILE --keep-lora`"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: damaged, or not a safetensors file ({error})") from None
    if metadata.get("format") != FORMAT:
        raise BundleError(f"{path}: is not an adapter of vampnet (format {metadata.get('format')!r}, not {FORMAT!r})")
    names = sorted({name.rsplit(".", 1)[0] for name in tensors})
    missing = [f"{n}.{side}" for n in names for side in ("lora_A", "lora_B") if f"{n}.{side}" not in tensors]
    if missing or len(tensors) != 2 * len(names):
        raise BundleError(f"{path}: damaged, its tensors are not pairs ({', '.join(missing[:4]) or 'unknown names'})")
    factors = {n: (tensors[f"{n}.lora_A"], tensors[f"{n}.lora_B"]) for n in names}
    return Adapter(factors, float(metadata["scale"]), metadata["codec_id"], json.loads(metadata.get("about", "{}")))


def parse_adapter(text: str) -> tuple[str, float]:
    """ "file.safetensors:0.5" -> (file, 0.5); without a number the strength is 1. Raises BundleError."""
    path, colon, number = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, 1.0
    try:
        strength = float(number)
    except ValueError:
        return text, 1.0  # a colon of the path itself
    if not -MAX_STRENGTH <= strength <= MAX_STRENGTH:
        raise BundleError(f"{text}: strength is {number}, but must lie in {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}")
    return path, strength


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
    for key, (a_RI, b_OR) in adapter.factors.items():
        layer = _layer(bundle, key)
        if layer is None or layer.weight.shape != (b_OR.shape[0], a_RI.shape[1]) or a_RI.shape[0] != b_OR.shape[1]:
            raise BundleError(f"{name}: its {key} does not fit the models of {bundle.folder}")
        pairs.append((layer, strength * adapter.scale * (b_OR @ a_RI)))
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
