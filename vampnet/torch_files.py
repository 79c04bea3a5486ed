"""Weight files of other programs: read without running code, and every key accounted for."""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vampnet.errors import BundleError

Shape = tuple[int, ...]


def read_pth(path: str | os.PathLike[str]) -> Any:
    """What a file of `torch.save` holds: tensors and plain data only, mapped into memory where the format allows.

    Raises BundleError of one line for a file that is missing, damaged, or whose pickle asks to run anything.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleError(f"{path}: no such file")
    unusable = f"{path}: refused; it is damaged, not a file of torch.save, or holds more than tensors and plain data"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles, which end in an error of ours
            # Only the zip format of PyTorch 1.6 and later can be mapped.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted is None:
            raise BundleError(unusable) from None
        raise BundleError(
            f"{path}: refused; loading it would run code or make objects ({wanted[1]}), but only tensors and plain "
            "data are read"
        ) from None
    except Exception as error:  # the unpickler lets through whatever bad bytes make it stumble over
        raise BundleError(f"{unusable} ({first_line(error)})") from None


def checkpoint_of(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """State dict and constructor arguments of {"state_dict": ..., "metadata": {"kwargs": ...}}, read by `read_pth`."""
    data = read_pth(path)
    state = data.get("state_dict") if isinstance(data, dict) else None
    metadata = data.get("metadata") if isinstance(data, dict) else None
    kwargs = metadata.get("kwargs") if isinstance(metadata, dict) else None
    if not isinstance(state, dict) or not isinstance(kwargs, dict):
        raise BundleError(f"{path}: is no such checkpoint, it lacks 'state_dict' or 'metadata' with 'kwargs'")
    return state, kwargs


def argument(kwargs: dict[str, Any], name: str, path: str | os.PathLike[str], default: Any = None) -> Any:
    """A constructor argument; BundleError naming it where it is missing and has no default."""
    value = kwargs.get(name, default)
    if value is None:
        raise BundleError(f"{path}: its metadata lacks the argument {name!r}")
    return value


class StateDictReader:
    """Named tensors of a file, taken one by one; `finish` tells what was missing, misshapen or left over."""

    def __init__(self, tensors: dict[str, Any], path: str | os.PathLike[str]) -> None:
        self._path = path
        # A compiled model saves its names with this prefix; without it they are the usual ones.
        self._left = {str(name).removeprefix("_orig_mod."): value for name, value in tensors.items()}
        self._missing: list[str] = []
        self._misshapen: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, shape: Shape) -> Tensor:
        """The tensor of this name as float32; zeros of the shape, and a note, where it is missing or misshapen."""
        value = self._left.pop(name, None)
        if value is None:
            self._missing.append(name)
        elif not isinstance(value, Tensor) or not value.is_floating_point():
            self._misshapen.append(f"{name} is no tensor of floats")
        elif value.shape != shape:
            self._misshapen.append(f"{name} is {tuple(value.shape)}, not {shape}")
        else:
            return value.detach().float()
        return torch.zeros(()).expand(shape)

    def take_weight(self, name: str, shape: Shape) -> Tensor:
        """The weight of module `name`, weight normalisation folded: g * v / ||v||, the norm over all but axis 0.

        Known forms: `weight`; `weight_g` and `weight_v`; `parametrizations.weight.original0` and `original1`.
        """
        gain_shape = (shape[0], *[1] * (len(shape) - 1))
        for gain, direction in (("weight_g", "weight_v"), (f"{_PARAMETRIZED}0", f"{_PARAMETRIZED}1")):
            if f"{name}.{gain}" in self or f"{name}.{direction}" in self:
                g, v = self.take(f"{name}.{gain}", gain_shape), self.take(f"{name}.{direction}", shape)
                return g * v / v.flatten(1).norm(dim=1).view(gain_shape)
        return self.take(f"{name}.weight", shape)

    def finish(self) -> None:
        """Raise BundleError naming every missing, misshapen and unexpected key, if there are any."""
        problems = []
        for title, names in (
            ("missing", self._missing),
            ("misshapen", self._misshapen),
            ("unexpected", sorted(self._left)),
        ):
            if names:
                problems.append(f"{title}: {', '.join(names)}")
        if problems:
            raise BundleError(f"{self._path}: does not fit; {'; '.join(problems)}")


_PARAMETRIZED = "parametrizations.weight.original"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its class where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
