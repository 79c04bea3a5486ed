"""config.json of a bundle: every field bounded, before memory is taken and in one line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.tiny import CODEC, LINEAR, tiny_codec, write_tiny_bundle
from vampnet.codec.magnitude import n_weights
from vampnet.errors import BundleError
from vampnet.models.bundle import load_bundle, load_codec
from vampnet.models.config import ModelConfig

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b")


def copy_of(bundle: Path, target: Path, *, text: str | None = None) -> Path:
    target.mkdir()
    for path in bundle.glob("*.safetensors"):
        (target / path.name).symlink_to(path)
    (target / "config.json").write_text((bundle / "config.json").read_text() if text is None else text)
    return target


@pytest.mark.parametrize("part", ["codec", "coarse", "c2f"])
def test_no_value_of_any_setting_takes_memory_or_passes_unseen(bundle: Path, tmp_path: Path, part: str) -> None:
    """Values out of range, of the wrong type, and in range but not those of the weights; each field, one by one."""
    good = json.loads((bundle / "config.json").read_text())
    folder, n_refused = copy_of(bundle, tmp_path / "b"), 0
    for name, value in good[part].items():
        for bad in (10**9, 10**400, -1, True, None, "many", [1], {}, 65536, str(value), 1e-320):
            if type(bad) is type(value) and bad == value:
                continue
            (folder / "config.json").write_text(json.dumps({**good, part: {**good[part], name: bad}}))
            try:
                load_bundle(folder)
            except BundleError as error:
                n_refused += 1
                assert "\n" not in str(error), (name, bad)
            else:
                harmless = {"dropout", "max_distance", "crossover_hz", "crossover_width_hz"}
                assert name in harmless or (name.endswith("_rounds") and bad == 65536), (name, bad)
    assert n_refused > 7 * len(good[part])


CHANGES: dict[str, tuple[Change, str]] = {
    "depth": (
        lambda c: c["codec"].update(encoder_depth=10**9),
        "encoder_depth is 1000000000, but must lie in 0 to 256",
    ),
    "width": (lambda c: c["codec"].update(width=60000), "asks for .* weights; the file has"),
    "layers": (lambda c: c["coarse"].update(n_layers=200), "missing layers"),
    "digest null": (lambda c: c["sha256"].update({"codec.safetensors": None}), "is None, but must be 64 hexadecimal"),
    "digests null": (lambda c: c.update(sha256=None), "must have a digest of each of"),
    "digest missing": (lambda c: c["sha256"].pop("c2f.safetensors"), "must have a digest of each of"),
    "storage": (lambda c: c.update(storage="int4"), "storage is 'int4'; known: float32"),
    "storage of another kind": (lambda c: c.update(storage=["int8"]), r"storage is \['int8'\]"),
    "stored otherwise": (lambda c: c.update(storage="float32"), "number format I8, which storage 'float32' has not"),
    "unknown field": (lambda c: c.update(flavour=1), "unknown field flavour"),
    "codec a list": (lambda c: c.update(codec=[]), "codec kind None is unknown"),
    "kind a dict": (lambda c: c["codec"].update(kind={}), "codec kind {} is unknown"),
    "model a text": (lambda c: c.update(coarse="x"), "coarse: codec_id is ''"),
    "about a list": (lambda c: c.update(about=[1]), "about must hold facts"),
    "limit a text": (lambda c: c["about"].update(surprise_limit="3"), "surprise_limit is '3'"),
    "licence a number": (lambda c: c["about"].update(licence=3), "licence must be a text"),
    "id": (lambda c: c.update(codec_id="../x"), "codec_id is '../x'"),
    "version true": (lambda c: c.update(format_version=True), "bundle format True is not 1"),
    "buckets": (lambda c: c["coarse"].update(n_buckets=2), "n_buckets is 2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_config_is_refused_by_the_name_of_the_field(bundle: Path, tmp_path: Path, name: str) -> None:
    config = json.loads((bundle / "config.json").read_text())
    CHANGES[name][0](config)
    folder = copy_of(bundle, tmp_path / "b", text=json.dumps(config))
    with pytest.raises(BundleError, match=CHANGES[name][1]) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", "[" * 10**5, "\0", '{"format_version": 1, "format_version": 1}'])
def test_what_is_no_config_is_refused(bundle: Path, tmp_path: Path, text: str) -> None:
    folder = copy_of(bundle, tmp_path / "b", text=text)
    for load in (load_bundle, load_codec):
        with pytest.raises(BundleError, match=r"config\.json"):
            load(folder)


@pytest.mark.parametrize("name", ["config.json", "codec.safetensors"])
def test_a_pipe_in_the_place_of_a_file_is_refused_without_waiting(bundle: Path, tmp_path: Path, name: str) -> None:
    folder = copy_of(bundle, tmp_path / "b")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    for load in (load_bundle, load_codec):
        with pytest.raises(BundleError, match=r"not a regular file|is missing"):
            load(folder)


def test_tensors_of_other_number_formats_are_refused(bundle: Path, tmp_path: Path) -> None:
    folder = copy_of(bundle, tmp_path / "b")
    config, path = json.loads((folder / "config.json").read_text()), folder / "c2f.safetensors"
    state = load_file(path)
    path.unlink()
    for name, bad in (("norm.weight", state["norm.weight"].double()), ("classifier.weight::scale", torch.ones(3, 1))):
        save_file({**state, name: bad}, path)
        config["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(BundleError, match=r"number format F64|has no row scales"):
            load_bundle(folder)


@pytest.mark.parametrize("config", [CODEC, LINEAR])
def test_weights_are_counted_before_they_are_made(config: Any) -> None:
    n_all = sum(tensor.numel() for tensor in tiny_codec(config=config).state_dict().values())
    assert 0.9 * n_all < n_weights(config) <= n_all


def test_distances_of_the_position_bias_are_bounded() -> None:
    for wrong in ({"n_buckets": 3}, {"max_distance": 8}, {"max_distance": 10**7}):
        with pytest.raises(Exception, match=r"model\.(n_buckets|max_distance) is"):
            ModelConfig(**wrong)  # type: ignore[arg-type]
