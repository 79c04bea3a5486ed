"""Bundles: round trip, strictness, damage, ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.tiny import tiny_codec, tiny_models, write_tiny_bundle
from vampnet.audio.files import read
from vampnet.errors import BundleError
from vampnet.models.bundle import find_bundle, load_bundle, load_codec, save_bundle
from vampnet.models.weights import STORAGES, pack, unpacked


@pytest.mark.parametrize(("storage", "tolerance"), [("float32", 0.0), ("bfloat16", 4e-3), ("int8", 4e-3)])
def test_round_trip(tmp_path: Path, storage: str, tolerance: float) -> None:
    codec = tiny_codec()
    coarse, c2f = tiny_models(codec)
    save_bundle(tmp_path / "b", codec, coarse, c2f, storage, card="card", about={"steps": 3})
    bundle = load_bundle(tmp_path / "b")
    assert bundle.codec.id == codec.id and bundle.config["about"] == {"steps": 3}
    assert (tmp_path / "b" / "README.md").read_text() == "card"
    assert bundle.coarse is not None and bundle.c2f is not None
    for ours, loaded in ((codec, bundle.codec), (coarse, bundle.coarse), (c2f, bundle.c2f)):
        assert not loaded.training
        state = loaded.state_dict()
        for name, tensor in ours.state_dict().items():
            assert (state[name] - tensor).abs().max() <= tolerance * max(1.0, float(tensor.abs().max())), name
    assert torch.equal(bundle.c2f.codebooks_CVK, codec.codebooks())


def test_int8_is_exact_where_it_matters_and_small() -> None:
    state = {"codebooks_CVK": torch.randn(4, 64, 8), "bias": torch.randn(64), "weight": torch.randn(64, 64)}
    packed = pack(state, "int8")
    again = {name: unpacked(packed[name], packed.get(name + "::scale")) for name in state}
    assert torch.equal(again["codebooks_CVK"], state["codebooks_CVK"]) and torch.equal(again["bias"], state["bias"])
    assert packed["weight"].dtype == torch.int8
    error = (again["weight"] - state["weight"]).abs() / state["weight"].abs().amax(1, keepdim=True)
    assert error.max() <= 0.5 / 127 + 1e-6
    assert set(STORAGES) == {"float32", "bfloat16", "int8"}


@pytest.mark.parametrize("storage", STORAGES)
def test_loaded_codec_makes_the_tokens_of_its_stored_weights(tmp_path: Path, storage: str) -> None:
    codec = tiny_codec()
    save_bundle(tmp_path / "b", codec, storage=storage)
    packed = pack(codec.state_dict(), storage)
    stored = {name: unpacked(packed[name], packed.get(name + "::scale")).float() for name in codec.state_dict()}
    audio = 0.1 * torch.randn(1, 100 * 768, generator=torch.Generator().manual_seed(1))
    as_trained = codec.encode(audio)
    codec.load_state_dict(stored)
    codes = load_codec(tmp_path / "b").encode(audio)
    assert torch.equal(codes, codec.encode(audio))
    assert (codes != as_trained).float().mean() < 0.2


def test_storing_the_embedded_codec_again_keeps_its_tokens(tmp_path: Path) -> None:
    codec = load_codec("default")
    save_bundle(tmp_path / "b", codec)
    again = load_codec(tmp_path / "b")
    audio = read(Path(__file__).parents[3] / "examples" / "loop.wav").samples[:1, : 4 * 44100]
    assert again.id == codec.id
    assert torch.equal(again.encode(torch.from_numpy(audio)), codec.encode(torch.from_numpy(audio)))


def test_codec_alone_is_a_bundle(tmp_path: Path) -> None:
    save_bundle(tmp_path / "b", tiny_codec())
    assert load_bundle(tmp_path / "b").coarse is None
    assert load_codec(tmp_path / "b").id == tiny_codec().id


def test_existing_folder_is_not_overwritten_unasked(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="exists"):
        save_bundle(tmp_path / "b", tiny_codec())
    assert load_bundle(tmp_path / "b").coarse is not None
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def damage(folder: Path, how: str) -> None:
    weights, config = folder / "coarse.safetensors", folder / "config.json"
    settings = json.loads(config.read_text())
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "flipped":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(bytes(data))
    elif how == "missing":
        weights.unlink()
    elif how == "not json":
        config.write_text(config.read_text()[:-20])
    elif how == "version":
        config.write_text(json.dumps({**settings, "format_version": 99}))
    elif how == "unknown setting":
        settings["coarse"]["flavour"] = 1
        config.write_text(json.dumps(settings))
    elif how == "other codec":
        settings["coarse"]["codec_id"] = "0" * 16
        config.write_text(json.dumps(settings))
    elif how == "keys":
        import hashlib

        state = load_file(weights)
        state["surplus"] = state.pop("norm.weight")
        save_file(state, weights)
        settings["sha256"][weights.name] = hashlib.sha256(weights.read_bytes()).hexdigest()
        config.write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "SHA-256"),
        ("flipped", "SHA-256"),
        ("missing", "coarse.safetensors is missing"),
        ("not json", "not valid JSON"),
        ("version", "format 99"),
        ("unknown setting", "flavour"),
        ("other codec", "trained on codec 0000"),
        ("keys", "missing norm.weight; unexpected surplus"),
    ],
)
def test_damage_is_named(tmp_path: Path, how: str, message: str) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    damage(folder, how)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["nowhere", "./nowhere/at", "/no/such"])
def test_missing_bundle(name: str) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        load_bundle(name)


def test_default_names_the_embedded_folder() -> None:
    assert find_bundle("default").parts[-2:] == ("bundles", "default")


def test_hub_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network here\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(BundleError) as caught:
        load_bundle("someone/model")
    assert "no network here" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("storage", STORAGES)
def test_networks_load_in_the_format_they_run_in(tmp_path: Path, storage: str) -> None:
    folder = write_tiny_bundle(tmp_path / "b", storage)
    plain, reduced = load_bundle(folder).coarse, load_bundle(folder, torch.bfloat16).coarse
    assert plain is not None and reduced is not None
    assert (plain.dtype, reduced.dtype) == (torch.float32, torch.bfloat16)
    assert {t.dtype for t in plain.state_dict().values()} == {torch.float32}
    converted = plain.in_format(torch.bfloat16).state_dict()
    for name, tensor in reduced.state_dict().items():
        assert tensor.dtype == converted[name].dtype and torch.equal(tensor, converted[name]), name
    assert reduced.in_format(torch.bfloat16) is reduced
    assert reduced.position_bias.table_NH.dtype == reduced.mask_vectors_CK.dtype == torch.float32


def test_float32_weights_are_mapped_and_not_copied(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b", "float32")
    model = load_bundle(folder).coarse
    assert model is not None
    mapped = Path("/proc/self/maps")
    if not mapped.exists():
        pytest.skip("what is mapped can be seen on Linux only")
    lines = [line for line in mapped.read_text().splitlines() if line.endswith(f"{folder}/coarse.safetensors")]
    spans = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in lines]
    for name, tensor in model.layers.named_parameters():
        assert any(start <= tensor.data_ptr() < stop for start, stop in spans), name


def test_large_files_are_hashed_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    damage(folder, "flipped")
    monkeypatch.setattr("vampnet.models.bundle.HASHED_AT_LOAD_MIB", 0)
    load_bundle(folder)
    with pytest.raises(BundleError, match=r"coarse\.safetensors.*SHA-256"):
        load_bundle(folder, verify=True)
