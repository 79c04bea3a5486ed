"""The header of an adapter file, and the text that names one: read and checked without torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vampnet.errors import BundleError
from vampnet.storage import cause, parse_json

FORMAT = "vampnet-lora-1"
MAX_STRENGTH = 10.0
MAX_RANK = 4096
MAX_SCALE = 1e6
_FORMATS = {"F32", "F16", "BF16"}
_LAYER = re.compile(r"(coarse|c2f)(\.[A-Za-z0-9_]+)+")


@dataclass(frozen=True)
class AdapterHeader:
    """Header of an adapter file: layers, ranks, scale, codec id; no tensors."""

    shapes: dict[str, tuple[int, int, int]]
    """"PART.LAYER" -> rank, inputs, outputs."""
    scale: float
    """Factor on B @ A."""
    codec_id: str
    about: dict[str, Any]
    """Origin: weight digests, settings, figures."""


def read_adapter_header(path: str | os.PathLike[str]) -> AdapterHeader:
    """Read the header of an adapter file. Raises BundleError when it is missing, damaged or something else."""
    if not Path(path).is_file():
        raise BundleError(f"{path}: no such adapter file")
    if Path(path).suffix in (".pth", ".pt", ".ckpt"):
        raise BundleError(
            f"{path}: a PyTorch file; LoRA of the authors' code becomes an adapter with "
            "`vampnet import-reference ... --lora FILE --keep-lora`"
        )
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise BundleError(
                    f"{path}: is not an adapter of vampnet (format {metadata.get('format')!r:.40}, not {FORMAT!r})"
                )
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
            kinds = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: damaged, or not a safetensors file ({cause(error)})") from None
    shapes = {
        name: (*kinds[f"{name}.lora_A"][1], kinds[f"{name}.lora_B"][1][0]) for name in _checked_layers(kinds, path)
    }
    return AdapterHeader(shapes, _scale(metadata, path), _codec_id(metadata, path), _about(metadata, path))


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
