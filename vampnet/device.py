"""Choice of device and number format for a network. Nothing here runs at import."""

from __future__ import annotations

import os

import torch

from vampnet.errors import SettingsError

DEVICE_NAMES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Number formats that all of a network can be run in."""


def select_device(name: str = "auto") -> torch.device:
    """The device called `name`: "auto" (the first of cuda, mps, cpu that exists), "cuda", "cuda:1", "mps" or "cpu".

    Raises SettingsError for an unknown name and for a device that this machine does not have.
    """
    if os.environ.get("OMP_DYNAMIC", "").strip().lower() in ("true", "1"):
        # With two threads or more, products of matrices in bfloat16 are then wrong, and nothing says so.
        raise SettingsError(
            "the environment has OMP_DYNAMIC=true, with which PyTorch multiplies wrongly; unset it, or set it to false"
        )
    kind, _, index = name.partition(":")
    if kind not in DEVICE_NAMES or (index and not (kind == "cuda" and index.isdecimal())):
        raise SettingsError(f"device is {name!r}, but must be one of {', '.join(DEVICE_NAMES)} or cuda:NUMBER")
    if kind == "auto":
        return torch.device("cuda" if _has_cuda() else "mps" if _has_mps() else "cpu")
    if kind == "cuda" and not _has_cuda():
        raise SettingsError("device is 'cuda', but PyTorch finds no CUDA device here; use 'auto' or 'cpu'")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise SettingsError(f"device is {name!r}, but there are {torch.cuda.device_count()} CUDA devices (from cuda:0)")
    if kind == "mps" and not _has_mps():
        raise SettingsError("device is 'mps', but PyTorch finds no Apple GPU here; use 'auto' or 'cpu'")
    return torch.device(name)


def inference_dtype(device: torch.device) -> torch.dtype:
    """The fastest number format that `device` computes natively: bfloat16 where there is hardware for it, else float32.

    PyTorch accepts bfloat16 on any CPU, but a CPU without the instructions is some hundred times slower in it.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and _cpu_has_bf16():
        return torch.bfloat16
    return torch.float32


def select_precision(name: str, device: torch.device) -> torch.dtype:
    """The number format called `name`: "float32", "bfloat16", or "auto", the fastest that `device` computes natively.

    "int8" is of the layers' matrices alone (`vampnet.models.integer`), on a CPU; all else is then as with "auto".

    Raises SettingsError for an unknown name, and for "int8" on another device.
    """
    if name == "int8" and device.type != "cpu":
        raise SettingsError(f"precision 'int8' runs on the CPU, not on {device}; choose precision 'auto'")
    if name in ("auto", "int8"):
        return inference_dtype(device)
    if name not in PRECISIONS:
        raise SettingsError(f"precision is {name!r}, but must be auto, float32, bfloat16 or int8")
    return PRECISIONS[name]


def _has_cuda() -> bool:
    return torch.cuda.is_available()


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _cpu_has_bf16() -> bool:
    """True if the CPU multiplies bfloat16 in hardware; False where this PyTorch cannot tell."""
    capability = getattr(torch.cpu, "get_capabilities", None)
    if capability is not None:
        found = capability()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("arm_bf16"))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
