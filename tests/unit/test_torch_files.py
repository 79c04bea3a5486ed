"""Files of torch.save from strangers: nothing runs, no memory is taken that the file has not, damage is found."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from vampnet.errors import BundleError
from vampnet.torch_files import read_pth


def stored(path: Path, n: int = 1000) -> Path:
    torch.save({"a": torch.arange(n, dtype=torch.float32), "b": {"kwargs": [1, 2.5, "x", None]}}, path)
    return path


def repacked(path: Path, target: Path, how: int = zipfile.ZIP_STORED, pickled: bytes | None = None) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", how) as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member.filename, pickled if pickled and member.filename.endswith("data.pkl") else data)
    return target


def refused(path: Path) -> str:
    with pytest.raises(BundleError, match=r"refused|cannot read") as caught:
        read_pth(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_healthy_file_is_read(tmp_path: Path) -> None:
    data = read_pth(stored(tmp_path / "a.pth"))
    assert torch.equal(data["a"], torch.arange(1000.0)) and data["b"] == {"kwargs": [1, 2.5, "x", None]}


def test_every_flipped_bit_of_the_weights_is_found(tmp_path: Path) -> None:
    data = stored(tmp_path / "a.pth").read_bytes()
    begin = data.index(struct.pack("<4f", 0, 1, 2, 3))
    for offset in range(begin, begin + 4000, 97):
        (tmp_path / "b.pth").write_bytes(data[:offset] + bytes([data[offset] ^ 4]) + data[offset + 1 :])
        assert "Bad CRC" in refused(tmp_path / "b.pth")


def test_packed_members_are_refused(tmp_path: Path) -> None:
    path = repacked(stored(tmp_path / "a.pth"), tmp_path / "b.pth", zipfile.ZIP_DEFLATED)
    assert "is packed" in refused(path)


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/data.pkl", b"")
    assert "one name" in refused(path)


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R.", "builtins.bytearray"),
        (b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R.", "__builtin__.bytearray"),
        (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "STACK_GLOBAL"),
        (b"\x80\x02", "damaged"),
        (b"\x80\x02ctorch\nFloatStorage\n\x8a\x05\x00\x00\x00\x00\x10\x85R.", "damaged"),
        (b"\x80\x02ctorch.storage\nUntypedStorage\n\x8a\x05\x00\x00\x00\x00\x10\x85R.", "damaged"),
    ],
)
def test_pickles_may_name_tensors_alone(tmp_path: Path, pickled: bytes, said: str) -> None:
    """A bytearray of 64 GiB takes 30 bytes of pickle, and PyTorch would make it."""
    assert said in refused(repacked(stored(tmp_path / "a.pth"), tmp_path / "b.pth", pickled=pickled))


@pytest.mark.parametrize("stride", [0, 1])
def test_tensors_longer_than_the_file_are_refused(tmp_path: Path, stride: int) -> None:
    """As `stored` writes them, with sizes and strides of another tensor."""
    path = stored(tmp_path / "a.pth")
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("a/data.pkl")
    # (1000,), (1,): BININT2 TUPLE1 memo BININT1 TUPLE1.
    old = pickled[pickled.index(b"M\xe8\x03\x85") :][:4]
    at = pickled.index(old)
    after = pickled.index(b"K\x01\x85", at)
    changed = (
        pickled[:at] + b"J\x00\x00\x00\x70\x85" + pickled[at + 4 : after] + bytes([75, stride]) + pickled[after + 2 :]
    )
    refused(repacked(path, tmp_path / "b.pth", pickled=changed))


def test_legacy_files_are_looked_through_too(tmp_path: Path) -> None:
    torch.save({"a": bytearray(3)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert "bytearray" in refused(tmp_path / "a.pth")
    torch.save({"a": torch.ones(3)}, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "b.pth").read_bytes()
    (tmp_path / "c.pth").write_bytes(data[:-4])
    refused(tmp_path / "c.pth")


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    assert "not a regular file" in refused(tmp_path / "pipe.pth")
