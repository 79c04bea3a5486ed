"""The authors' checkpoints: read safely, every key accounted for, converted with their licence."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tests.support.golden import GOLDEN, flat_from_ours, golden_tensor, requires_golden
from tests.support.tiny import tone
from tests.unit.codec.test_dac import BRANCHED, SMALL, original_file, small_codec
from vampnet.apps.cli.main import main
from vampnet.audio.files import read, write
from vampnet.codec.dac import DacCodec
from vampnet.errors import BundleError
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import VampRequest
from vampnet.jobs.runner import run_job
from vampnet.models.bundle import load_bundle, load_codec
from vampnet.models.choice import ModelChoice
from vampnet.models.format import Bundle
from vampnet.models.import_reference import import_reference
from vampnet.models.lora import apply_adapter, read_adapter
from vampnet.models.reference_checkpoints import FILES, LICENCE, read_network
from vampnet.tasks.model import VampNet, load
from vampnet.torch_files import read_pth

CODEC = replace(BRANCHED, codebook_size=32)
DIM, RANK = 16, 8
KWARGS = {
    "n_heads": 2, "n_layers": 2, "r_cond_dim": 0, "latent_dim": 4, "embedding_dim": DIM, "vocab_size": 32,
    "flash_attn": False, "noise_mode": "mask", "dropout": 0.1,
}  # fmt: skip
WIDTHS = {f"self_attn.{name}": (DIM, DIM) for name in ("w_qs", "w_ks", "w_vs", "fc")}
WIDTHS |= {"feed_forward.w_1": (4 * DIM, DIM), "feed_forward.w_2": (DIM, 2 * DIM)}


def network_file(n_codebooks: int, n_conditioning: int, seed: int) -> dict[str, Any]:
    """A small network in the authors' layout, random weights, LoRA pairs on all but the keys."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return 0.2 * torch.randn(shape, generator=generator)

    n_out = 32 * (n_codebooks - n_conditioning)
    state = {
        "embedding.special.MASK": draw(n_codebooks, 4),
        "embedding.out_proj.weight": draw(DIM, 4 * n_codebooks, 1),
        "embedding.out_proj.bias": draw(DIM),
        "transformer.layers.0.self_attn.relative_attention_bias.weight": draw(32, 2),
        "transformer.norm.weight": draw(DIM),
        "classifier.layers.0.bias": draw(n_out),
        "classifier.layers.0.weight_g": draw(n_out, 1, 1).abs(),
        "classifier.layers.0.weight_v": draw(n_out, DIM, 1),
    }
    for n in range(2):
        stem = f"transformer.layers.{n}"
        state |= {f"{stem}.norm_1.weight": draw(DIM), f"{stem}.norm_3.weight": draw(DIM)}
        for name, shape in WIDTHS.items():
            state[f"{stem}.{name}.weight"] = draw(*shape)
            if not name.endswith("w_ks"):
                state[f"{stem}.{name}.lora_A"] = draw(RANK, shape[1])
                state[f"{stem}.{name}.lora_B"] = draw(shape[0], RANK)
    kwargs = {**KWARGS, "n_codebooks": n_codebooks, "n_conditioning_codebooks": n_conditioning}
    return {"state_dict": state, "metadata": {"kwargs": kwargs}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The three files, small."""
    root = tmp_path / "authors"
    root.mkdir()
    original_file(root / "codec.pth", small_codec(CODEC))
    torch.save(network_file(2, 0, 1), root / "coarse.pth")
    torch.save(network_file(3, 2, 2), root / "c2f.pth")
    return root


def change(path: Path, function: Any) -> None:
    """Rewrite a checkpoint after `function(data)` changed it."""
    data = torch.load(path, weights_only=True)
    function(data)
    torch.save(data, path)


def convert(folder: Path, output: Path, *options: str) -> int:
    files = [word for part, name in FILES.items() for word in (f"--{part}", str(folder / name))]
    return main(["import-reference", *files, "-o", str(output), *options])


def same_weights(one: Bundle, other: Bundle, tolerance: float = 0.0) -> bool:
    pairs = ((one.codec, other.codec), (one.coarse, other.coarse), (one.c2f, other.c2f))
    for ours, theirs in pairs:
        assert ours is not None and theirs is not None
        state = theirs.state_dict()
        if any((t - state[name]).abs().max() > tolerance for name, t in ours.state_dict().items()):
            return False
    return True


def test_a_folder_of_their_files_loads_and_equals_its_bundle(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "b") == 0
    direct, bundle = load_bundle(folder), load_bundle(tmp_path / "b")
    assert same_weights(direct, bundle)
    assert set(direct.weight_digests()) == {"coarse.safetensors", "c2f.safetensors"}  # as adapters look them up
    assert direct.codec.id == bundle.codec.id == load_codec(folder).id == load_codec(folder / "codec.pth").id
    assert direct.coarse is not None and not direct.coarse.training and not direct.codec.training


def test_a_vamp_from_a_folder_of_their_files(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", tone(0.3, 48000, 2))
    for compat in ("", "reference"):
        request = VampRequest(
            input=str(tmp_path / "in.wav"),
            compat=compat,
            sampling=SamplingConfig(steps=2, c2f_steps=1),
            model=ModelChoice(bundle=str(folder), device="cpu"),
        )
        run_job(request, [tmp_path / f"out{compat}.wav"])
        assert read(tmp_path / f"out{compat}.wav").samples.shape == (2, 14400)
    assert main(["info", str(folder)]) == 0


def test_the_licence_goes_into_card_and_config(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "b")
    card = (tmp_path / "b" / "README.md").read_text()
    assert "CC BY-NC-SA 4.0" in card and LICENCE in card and "codec.pth, SHA-256" in card
    assert load_bundle(tmp_path / "b").config["about"]["licence"] == LICENCE
    assert load_bundle(folder).config["about"]["licence"] == LICENCE
    convert(folder, tmp_path / "c", "--licence", "Mine, all mine.")
    assert "Mine, all mine." in (tmp_path / "c" / "README.md").read_text()
    original_file(tmp_path / "dac.pth", small_codec(SMALL))
    import_reference(tmp_path / "d", tmp_path / "dac.pth")
    assert "MIT" in (tmp_path / "d" / "README.md").read_text() and load_bundle(tmp_path / "d").coarse is None


def test_lora_merged_or_kept_gives_the_same_model(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "merged") == 0 and convert(folder, tmp_path / "kept", "--keep-lora") == 0
    merged, bare = load_bundle(tmp_path / "merged"), load_bundle(tmp_path / "kept")
    assert not same_weights(merged, bare, 1e-3)
    adapter = tmp_path / "kept" / "lora.safetensors"
    apply_adapter(bare, read_adapter(adapter))
    assert same_weights(merged, bare, 1e-6)
    with safe_open(adapter, framework="pt") as file:
        assert float(file.metadata()["scale"]) == 1 / 8 and len(file.keys()) == 2 * 20


def test_a_lora_file_replaces_the_pairs_of_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    codec, other = load_codec(folder), network_file(2, 0, 9)["state_dict"]
    pairs = {name: t for name, t in other.items() if ".lora_" in name}
    torch.save(pairs, tmp_path / "lora.pth")
    model = read_network(folder / "coarse.pth", codec, lora=tmp_path / "lora.pth").model
    base = torch.load(folder / "coarse.pth", weights_only=True)["state_dict"]
    name = "transformer.layers.1.feed_forward.w_1"
    expected = base[f"{name}.weight"] + pairs[f"{name}.lora_B"] @ pairs[f"{name}.lora_A"] / 8
    assert torch.allclose(model.get_parameter("layers.1.feed_forward.up.weight"), expected, atol=1e-6)
    # A compiled model's file has another prefix; the authors' code then applies nothing, silently.
    torch.save({f"_orig_mod.{name}": t for name, t in pairs.items()}, tmp_path / "compiled.pth")
    compiled = read_network(folder / "coarse.pth", codec, lora=tmp_path / "compiled.pth").model
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), compiled.parameters(), strict=True))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "no LoRA pair"),
        ({"transformer.layers.0.self_attn.fc.lora_A": torch.zeros(8, DIM)}, "missing: .*self_attn.fc.lora_B"),
        ({"transformer.layers.0.self_attn.w_ks.lora_A": torch.zeros(8, DIM)}, "unexpected: .*w_ks.lora_A"),
        ({"transformer.layers.7.self_attn.fc.lora_A": torch.zeros(8, DIM)}, "unexpected: .*layers.7"),
        (
            {f"transformer.layers.0.self_attn.fc.lora_{s}": torch.zeros(4, DIM) for s in "AB"},
            r"lora_A is \(4, 16\), not \(8, 16\)",
        ),
    ],
)
def test_a_lora_file_that_does_not_fit(folder: Path, tmp_path: Path, tensors: dict[str, Any], words: str) -> None:
    torch.save(tensors, tmp_path / "lora.pth")
    with pytest.raises(BundleError, match=words):
        read_network(folder / "coarse.pth", load_codec(folder), lora=tmp_path / "lora.pth")


def rename_all(data: dict[str, Any]) -> None:
    data["state_dict"] = {f"x.{name}": t for name, t in data["state_dict"].items()}


def test_every_key_that_does_not_fit_is_named(folder: Path) -> None:
    """The authors' loader takes a file with every key renamed, as random weights."""
    names = list(torch.load(folder / "coarse.pth", weights_only=True)["state_dict"])
    change(folder / "coarse.pth", rename_all)
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    text = str(caught.value)
    assert "\n" not in text and "coarse.pth" in text
    assert all(f"x.{name}" in text for name in names)
    assert all(name in text.split("unexpected")[0] for name in names if ".lora_" not in name and "weight_" not in name)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        (lambda d: d["state_dict"].pop("transformer.norm.weight"), "missing: transformer.norm.weight"),
        (lambda d: d["state_dict"].update({"extra": torch.zeros(2)}), "unexpected: extra"),
        (lambda d: d["state_dict"].update({"transformer.norm.weight": torch.zeros(3)}), r"is \(3,\), not \(16,\)"),
        (lambda d: d["state_dict"].update({"transformer.norm.weight": "text"}), "no tensor of floats"),
        (lambda d: d["metadata"]["kwargs"].pop("n_heads"), "'n_heads'"),
        (lambda d: d["metadata"]["kwargs"].update(n_heads=3), "n_heads 3 must divide"),
        (lambda d: d["metadata"]["kwargs"].update(n_layers="many"), "n_layers"),
        (lambda d: d["metadata"]["kwargs"].update(n_heads=0), "n_heads"),
        (lambda d: d["metadata"]["kwargs"].update(n_layers=3), "layers.2"),
        (lambda d: d["metadata"]["kwargs"].update(n_codebooks=5), "reads 5 codebooks"),
        (lambda d: d["metadata"]["kwargs"].update(vocab_size=64), "of 64 entries"),
        (lambda d: d.pop("metadata"), "metadata"),
    ],
)
def test_a_network_that_does_not_fit(folder: Path, update: Any, words: str) -> None:
    change(folder / "coarse.pth", update)
    with pytest.raises(BundleError, match=words) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def test_arguments_that_change_nothing_are_ignored(folder: Path) -> None:
    change(folder / "coarse.pth", lambda d: d["metadata"]["kwargs"].update(ctrl_dims=None, cond_dim=0, later="x"))
    assert load_bundle(folder).coarse is not None


class Hostile:
    """Runs a command when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("how", ["zip", "legacy", "protocol 2", "protocol 4"])
def test_a_pickle_that_would_run_code_is_refused(
    folder: Path, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mark, path = tmp_path / "ran", folder / "coarse.pth"
    data = {**network_file(2, 0, 1), "extra": Hostile(mark)}
    if how.startswith("protocol"):
        path.write_bytes(pickle.dumps({"extra": Hostile(mark)}, protocol=int(how[-1])))
    else:
        torch.save(data, path, _use_new_zipfile_serialization=how == "zip")
    assert convert(folder, tmp_path / "b") == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("vampnet: error: ") and "\n" not in error and "coarse.pth: refused" in error
    assert "system" in error or how == "protocol 4"  # of which nothing at all is read
    assert not mark.exists() and not (tmp_path / "b").exists()
    with pytest.raises(BundleError, match="refused"):
        load_bundle(folder)
    assert not mark.exists()


def test_a_legacy_file_of_tensors_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_pth(tmp_path / "old.pth")["a"], torch.ones(3))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut", "cut"])
def test_a_damaged_file_is_one_line(folder: Path, content: bytes | str) -> None:
    path = folder / "coarse.pth"
    path.write_bytes(path.read_bytes()[:2000] if isinstance(content, str) else content)
    with pytest.raises(BundleError, match=r"coarse\.pth: refused; it is damaged, not a file of torch") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def test_what_is_asked_for_must_fit_together(folder: Path, tmp_path: Path) -> None:
    (folder / "c2f.pth").unlink()
    with pytest.raises(BundleError, match=r"lacks c2f\.pth"):
        load_bundle(folder)
    with pytest.raises(BundleError, match="both a coarse and a c2f"):
        import_reference(tmp_path / "b", folder / "codec.pth", folder / "coarse.pth")
    with pytest.raises(BundleError, match="belong to networks"):
        import_reference(tmp_path / "b", folder / "codec.pth", keep_lora=True)
    with pytest.raises(BundleError, match="no such file"):
        import_reference(tmp_path / "b", folder / "codec.pth", folder / "coarse.pth", folder / "c2f.pth")
    assert not (tmp_path / "b").exists()


def test_a_hub_id_of_either_layout(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    convert(folder, tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    asked = []

    def snapshot(repository: str, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        return str(folder if repository.startswith("authors") else tmp_path / "b")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert same_weights(load("authors/files", device="cpu").bundle, load("someone/bundle", device="cpu").bundle)
    assert [name for name, _ in asked] == ["authors/files", "someone/bundle"]
    assert set(FILES.values()) <= set(asked[0][1])

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network here\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    for function in (load, load_codec):
        with pytest.raises(BundleError) as caught:
            function("authors/files")
        assert "no network here" in str(caught.value) and "\n" not in str(caught.value)


@requires_golden
def test_the_golden_files_through_a_bundle(tmp_path: Path) -> None:
    """What the command writes gives the authors' logits with their LoRA file, merged and kept alike."""
    codes = golden_tensor("coarse/in_masked")
    lora = ["--lora", str(GOLDEN / "lora.pth")]
    assert convert(GOLDEN, tmp_path / "a", *lora) == 0 and convert(GOLDEN, tmp_path / "b", *lora, "--keep-lora") == 0
    for model in (
        VampNet(load_bundle(tmp_path / "a"), "cpu", compat="reference"),  # in float32, as their numbers are
        load(tmp_path / "b", device="cpu", lora=[tmp_path / "b" / "lora.safetensors"], compat="reference"),
    ):
        assert isinstance(model.codec, DacCodec)
        with torch.no_grad():
            coarse: Any = model.coarse
            flat = flat_from_ours(coarse(codes))
        assert (flat[:, :, ::3] - golden_tensor("coarse/logits_lora")).abs().max() <= 1e-4
