"""LoRA adapters (Hu et al. 2021): a small file that bends a bundle's models towards some music.

A safetensors file with, for each adapted layer, `PART.LAYER.lora_A` (rank, in) and `PART.LAYER.lora_B` (out, rank),
PART being "coarse" or "c2f"; the metadata holds the scale and the id of the codec whose tokens the models read. To use
one, its product is added to the weights, W + strength * scale * B @ A, so a vamp with adapters takes no longer.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vampnet.errors import BundleError
from vampnet.models.format import Bundle
from vampnet.storage import cause, parse_json, write_whole

FORMAT = "vampnet-lora-1"
MAX_STRENGTH = 10.0
MAX_RANK = 4096
MAX_SCALE = 1e6
_FORMATS = {"F32", "F16", "BF16"}
_LAYER = re.compile(r"(coarse|c2f)(\.[A-Za-z0-9_]+)+")

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
            if metadata.get("format") != FORMAT:
                raise BundleError(
                    f"{path}: is not an adapter of vampnet (format {metadata.get('format')!r:.40}, not {FORMAT!r})"
                )
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
            kinds = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
            layers = _checked_layers(kinds, path)
            factors = {n: (file.get_tensor(f"{n}.lora_A"), file.get_tensor(f"{n}.lora_B")) for n in layers}
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: damaged, or not a safetensors file ({cause(error)})") from None
    endless = [n for n, pair in factors.items() if not all(side.isfinite().all() for side in pair)]
    if endless:
        raise BundleError(f"{path}: damaged, its {endless[0]} has values that are no numbers")
    return Adapter(factors, _scale(metadata, path), _codec_id(metadata, path), _about(metadata, path))


def _checked_layers(kinds: dict[str, tuple[str, tuple[int, ...]]], path: str | os.PathLike[str]) -> list[str]:
    """The adapted layers. BundleError unless the tensors are pairs of float matrices with one rank."""
    names = sorted({name.rpartition(".")[0] for name in kinds})
    missing = [f"{n}.{side}" for n in names for side in ("lora_A", "lora_B") if f"{n}.{side}" not in kinds]
    if missing or len(kinds) != 2 * len(names) or not names:
        raise BundleError(
            f"{path}: damaged, its tensors are not pairs ({', '.join(missing[:4])[:200] or 'unknown names'})"
        )
    for name in names:
        (a_format, a_shape), (b_format, b_shape) = kinds[f"{name}.lora_A"], kinds[f"{name}.lora_B"]
        if not _LAYER.fullmatch(name):
            raise BundleError(f"{path}: damaged, {name!r:.80} names no layer of a coarse or c2f model")
        if len(a_shape) != 2 or len(b_shape) != 2 or a_shape[0] != b_shape[1] or not 1 <= a_shape[0] <= MAX_RANK:
            raise BundleError(
                f"{path}: damaged, the factors of {name} are {a_shape} and {b_shape}, but must be (rank, in) and "
                f"(out, rank) with one rank from 1 to {MAX_RANK}"
            )
        if not {a_format, b_format} <= _FORMATS:
            raise BundleError(f"{path}: damaged, the factors of {name} are {a_format} and {b_format}, not floats")
    return names


def _scale(metadata: dict[str, str], path: str | os.PathLike[str]) -> float:
    text = metadata.get("scale", "")
    try:
        scale = float(text)
    except ValueError:
        scale = float("nan")
    if not abs(scale) <= MAX_SCALE:
        raise BundleError(
            f"{path}: its scale is {text!r:.40}, but must be a number from {-MAX_SCALE:g} to {MAX_SCALE:g}"
        )
    return scale


def _codec_id(metadata: dict[str, str], path: str | os.PathLike[str]) -> str:
    codec_id = metadata.get("codec_id", "")
    if not re.fullmatch(r"[0-9a-f]{16}", codec_id):
        raise BundleError(f"{path}: its codec_id is {codec_id!r:.40}, but must be 16 hexadecimal digits")
    return codec_id


def _about(metadata: dict[str, str], path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        about = parse_json(metadata.get("about", "{}"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: what it says about itself is not JSON ({cause(error)})") from None
    base = about.get("base", {}) if isinstance(about, dict) else None
    if not isinstance(base, dict) or not all(isinstance(digest, str) for digest in base.values()):
        raise BundleError(f"{path}: what it says about itself must hold facts by name, and base digests by file")
    return about


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
        change_OI = strength * adapter.scale * (b_OR.float() @ a_RI.float())
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
