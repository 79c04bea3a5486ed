"""Weight files of other programs: read without running code, and every key accounted for."""

from __future__ import annotations

import os
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from vampnet.errors import BundleError
from vampnet.storage import open_regular

Shape = tuple[int, ...]


_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    "torch Size",
    "torch.nn.parameter Parameter",
    "torch.storage UntypedStorage",
    *(f"torch {name}Storage" for name in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char")),
    *(f"torch {name}Storage" for name in ("Byte", "Bool")),
    "torch.serialization _get_layout",
    "torch device",
    *(f"torch {name}" for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")),
}
"""All that a pickle may name. PyTorch's own list has more, bytearray among it: of any length, in a few bytes."""
MAX_PICKLE_BYTES = 1 << 26
_CHUNK = 1 << 20


def read_pth(path: str | os.PathLike[str]) -> Any:
    """Contents of a `torch.save` file: tensors and plain data only, memory-mapped where the format allows.

    A zip's checksums are compared once, before it is mapped. Raises BundleError of one line for a file that is missing,
    damaged, packed, not a regular file, whose pickle asks to run or make anything, or whose tensors are longer than
    what the file holds.
    """
    path = Path(path)
    if not path.exists():
        raise BundleError(f"{path}: no such file")
    unusable = f"{path}: refused; it is damaged, not a file of torch.save, or holds more than tensors and plain data"
    with open_regular(path, BundleError) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            is_zip = file.read(4) == b"PK\x03\x04"
            for pickled in [_checked_pickle(file)] if is_zip else _legacy_pickles(file):
                _check_globals(pickled)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of unusual pickles, which end in an error of ours
                # Only the zip format of PyTorch 1.6 and later can be mapped.
                data = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
            _check_tensors(data, size)
        except _UnsafePickleError as error:
            raise BundleError(
                f"{path}: refused; loading it would run code or make objects ({error}), but only tensors and plain "
                "data are read"
            ) from None
        except Exception as error:  # the unpickler lets through whatever bad bytes make it stumble over
            raise BundleError(f"{unusable} ({first_line(error)})") from None
    return data


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A checkpoint of a training run, read by `read_pth`. Raises BundleError that says how to go on."""
    try:
        data = read_pth(path)
    except BundleError as error:
        raise BundleError(
            f"{error}; a run cannot go on from it: put a copy of it in its place, or delete it to begin again"
        ) from None
    if not isinstance(data, dict):
        raise BundleError(f"{path}: holds no checkpoint; delete it to begin again")
    return data


class _UnsafePickleError(Exception):
    """A pickle that names something other than tensors and plain data."""


def _checked_pickle(file: BinaryIO) -> bytes:
    """The pickle of a zip of torch.save, after all of its checksums were compared. Raises ValueError."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("two of its members have one name")
        end = 0
        for member in sorted(members, key=lambda member: member.header_offset):
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(f"{member.filename} in it is packed; files of torch.save are stored as they are")
            if member.header_offset < end:
                raise ValueError("its members overlap")
            end = member.header_offset + 30 + member.file_size
            with archive.open(member) as content:
                while content.read(_CHUNK):  # which compares the checksum at its end
                    pass
        pickles = [member for member in members if member.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
            raise ValueError("it has no pickle, several, or a very long one")
        return archive.read(pickles[0])


def _legacy_pickles(file: BinaryIO) -> Iterator[bytes]:
    """The five pickles at the beginning of a file from before PyTorch 1.6."""
    file.seek(0)
    for _ in range(5):
        start = file.tell()
        for _ in pickletools.genops(file):
            if file.tell() - start > MAX_PICKLE_BYTES:
                raise ValueError("its pickle is very long")
        end = file.tell()
        file.seek(start)
        yield file.read(end - start)


def _check_globals(pickled: bytes) -> None:
    """Raise _UnsafePickleError for a pickle that names anything but the parts of tensors."""
    for opcode, value, _ in pickletools.genops(pickled):
        if opcode.name in ("GLOBAL", "INST") and value not in _GLOBALS:
            raise _UnsafePickleError(str(value).replace(" ", "."))
        if opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "OBJ", "NEWOBJ", "NEWOBJ_EX"):
            raise _UnsafePickleError(f"by {opcode.name}")


def _check_tensors(data: Any, n_bytes: int) -> None:
    """Raise ValueError where tensors, however nested, take more memory than the file has bytes."""
    storages: dict[int, int] = {}
    waiting, seen = [data], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            stored = value.untyped_storage()
            storages[stored.data_ptr()] = stored.nbytes()
            if value.layout != torch.strided or value.numel() * value.element_size() > stored.nbytes():
                raise ValueError("a tensor in it is longer than what is stored of it")
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting += [*value.keys(), *value.values()] if isinstance(value, dict) else value
    if sum(storages.values()) > n_bytes:
        raise ValueError("its tensors are longer than the file")


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
