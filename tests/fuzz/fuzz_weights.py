"""Damaged bundles, adapters and files of torch.save: one line, or what was written; never more memory than the file."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import shutil
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save

from tests.fuzz.mutate import mutated_bytes, mutated_json, mutated_json_text
from tests.support.tiny import write_tiny_bundle
from vampnet.errors import BundleError
from vampnet.models.bundle import load_bundle
from vampnet.models.lora import apply_adapter, read_adapter
from vampnet.torch_files import read_pth

PARTS = ("codec", "coarse", "c2f")


@functools.cache
def _bundle() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vampnet-fuzz-"))
    return write_tiny_bundle(folder / "bundle")


def _copy(folder: Path) -> Path:
    target = folder / "bundle"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for part in PARTS:
        (target / f"{part}.safetensors").symlink_to(_bundle() / f"{part}.safetensors")
    return target


def _load(folder: Path) -> bool:
    """Whether a bundle loads; otherwise it has to be one line of BundleError."""
    try:
        load_bundle(folder)
    except BundleError as error:
        assert "\n" not in str(error), str(error)
        return False
    return True


def bundle_config(rng: random.Random, folder: Path) -> None:
    """A config.json with hostile values, or damaged as text."""
    target = _copy(folder)
    config = json.loads((_bundle() / "config.json").read_text())
    (target / "config.json").write_bytes(mutated_json_text(config, rng))
    _load(target)


def bundle_weights(rng: random.Random, folder: Path) -> None:
    """A damaged weight file is found by its SHA-256; one whose digest fits is refused, or has the shapes wanted."""
    target, part = _copy(folder), rng.choice(PARTS)
    config, path = json.loads((_bundle() / "config.json").read_text()), target / f"{part}.safetensors"
    good = path.read_bytes()
    bad = _with_header(good, rng) if rng.random() < 0.5 else mutated_bytes(good, rng)
    path.unlink()
    path.write_bytes(bad)
    fits = rng.random() < 0.5
    if fits:
        config["sha256"][path.name] = hashlib.sha256(bad).hexdigest()
    (target / "config.json").write_text(json.dumps(config))
    loaded = _load(target)
    assert fits or not loaded or bad == good, "a damaged weight file was loaded"


def adapter(rng: random.Random, folder: Path) -> None:
    """An adapter with damage in its header, metadata or bytes."""
    layer = "coarse.layers.0.attention.query"
    metadata = {"format": "vampnet-lora-1", "scale": "0.5", "codec_id": "0" * 16, "about": '{"base": {}}'}
    if rng.random() < 0.5:
        changed = mutated_json(metadata, rng)
        facts = changed if isinstance(changed, dict) else {}
        metadata = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    tensors = {f"{layer}.lora_A": torch.ones(2, 32), f"{layer}.lora_B": torch.ones(32, 2)}
    data = save(tensors, metadata)
    how = rng.randrange(3)
    data = _with_header(data, rng) if how == 0 else mutated_bytes(data, rng) if how == 1 else data
    (folder / "a.safetensors").write_bytes(data)
    try:
        bundle = load_bundle(_bundle())
        apply_adapter(bundle, read_adapter(folder / "a.safetensors"))
    except BundleError as error:
        assert "\n" not in str(error), str(error)


def torch_file(rng: random.Random, folder: Path) -> None:
    """A zip of torch.save with damage: refused, or the tensors that were written."""
    wanted, path = torch.arange(500, dtype=torch.float32), folder / "a.pth"
    zipped = rng.random() < 0.8
    data = {"state_dict": {"a": wanted}, "metadata": {"kwargs": {"dim": 3}}}
    torch.save(data, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(mutated_bytes(path.read_bytes(), rng))
    found = _read(path)
    if zipped and found is not None:
        assert torch.equal(found["state_dict"]["a"], wanted) and found["metadata"] == data["metadata"], "silently wrong"


def torch_pickle(rng: random.Random, folder: Path) -> None:
    """A zip of torch.save whose pickle is another one, its checksums right."""
    old, path = folder / "a.pth", folder / "b.pth"
    torch.save({"a": torch.arange(500.0), "b": [1, "x", {"c": torch.ones(3, 4)}]}, old)
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.infolist():
            content = source.read(member)
            if member.filename.endswith("data.pkl"):
                content = mutated_bytes(content, rng)
            target.writestr(member.filename, content)
    _read(path)


def _read(path: Path) -> dict | None:
    try:
        return read_pth(path)
    except BundleError as error:
        assert "\n" not in str(error), str(error)
        return None


def _with_header(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose JSON header has hostile values, its length right."""
    length = int.from_bytes(data[:8], "little")
    header = mutated_json_text(json.loads(data[8 : 8 + length]), rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


TARGETS = {
    "bundle config": bundle_config,
    "bundle weights": bundle_weights,
    "adapter": adapter,
    "torch file": torch_file,
    "torch pickle": torch_pickle,
}
