"""Adapters: a file there and back, their sum in the weights, what does not fit, and fine-tuning end to end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.support.tiny import write_tiny_bundle
from vampnet.audio.files import Audio, read, write
from vampnet.errors import BundleError, CorpusError, SettingsError
from vampnet.models.adapter_header import parse_adapter
from vampnet.models.bundle import load_bundle
from vampnet.models.format import Bundle
from vampnet.models.lora import Adapter, apply_adapter, read_adapter, write_adapter
from vampnet.tasks.model import VampNet, load
from vampnet.training import finetune as finetune_module
from vampnet.training.data.token_dataset import open_tokens
from vampnet.training.finetune import finetune
from vampnet.training.finetune_config import FinetuneConfig
from vampnet.training.validation import split

QUERY = "coarse.layers.0.attention.query"


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("adapters") / "bundle", storage="float32")


def an_adapter(bundle: Bundle, seed: int = 0, key: str = QUERY) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    factors = {key: (torch.randn(2, 32, generator=generator), torch.randn(32, 2, generator=generator))}
    return Adapter(factors, 0.5, bundle.codec.id, {})


def query(bundle: Bundle) -> torch.Tensor:
    assert bundle.coarse is not None
    return bundle.coarse.get_submodule(QUERY.removeprefix("coarse.")).weight.detach().clone()  # type: ignore[operator]


def test_file_comes_back_equal(bundle_folder: Path, tmp_path: Path) -> None:
    adapter = an_adapter(load_bundle(bundle_folder))
    write_adapter(tmp_path / "a.safetensors", adapter)
    again = read_adapter(tmp_path / "a.safetensors")
    assert again.scale == 0.5 and again.codec_id == adapter.codec_id
    assert all(torch.equal(x, y) for x, y in zip(again.factors[QUERY], adapter.factors[QUERY], strict=True))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_strengths_add_up(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder)
    before, one, two = query(bundle), an_adapter(bundle, 1), an_adapter(bundle, 2)
    apply_adapter(bundle, one, 1.0)
    apply_adapter(bundle, two, -0.5)
    products = [a.factors[QUERY][1] @ a.factors[QUERY][0] for a in (one, two)]
    assert torch.allclose(query(bundle), before + 0.5 * products[0] - 0.25 * products[1], atol=1e-5)
    apply_adapter(bundle, one, -1.0)
    apply_adapter(bundle, two, 0.5)
    assert torch.allclose(query(bundle), before, atol=1e-5)


@pytest.mark.parametrize(
    "key", ["coarse.layers.9.attention.query", "fine.layers.0.attention.query", "coarse.layers.0.feed_forward.up"]
)
def test_adapter_of_another_shape_changes_nothing(bundle_folder: Path, key: str) -> None:
    bundle = load_bundle(bundle_folder)
    before, good, bad = query(bundle), an_adapter(bundle), an_adapter(bundle, key=key)
    with pytest.raises(BundleError, match=key):
        apply_adapter(bundle, Adapter({**good.factors, **bad.factors}, 1.0, bundle.codec.id, {}))
    assert torch.equal(query(bundle), before)


def test_adapter_of_another_codec_is_refused(bundle_folder: Path) -> None:
    bundle = load_bundle(bundle_folder)
    with pytest.raises(BundleError, match="codec abc"):
        apply_adapter(bundle, Adapter(an_adapter(bundle).factors, 1.0, "abc", {}))


def test_files_that_are_no_adapters_are_named(bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such adapter"):
        read_adapter(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(BundleError, match="damaged"):
        read_adapter(tmp_path / "text.safetensors")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BundleError, match="not an adapter"):
        read_adapter(tmp_path / "other.safetensors")
    for lora in ([tmp_path / "none.safetensors"], tmp_path / "none.safetensors", str(tmp_path / "none.safetensors")):
        with pytest.raises(BundleError, match=r"none\.safetensors: no such adapter"):
            load(bundle_folder, device="cpu", lora=lora)


def test_equal_adapters_are_equal_files(bundle_folder: Path, tmp_path: Path) -> None:
    adapter = dataclasses.replace(an_adapter(load_bundle(bundle_folder)), about={"b": 1, "a": {"d": 2, "c": 3}})
    again = dataclasses.replace(adapter, about={"a": {"c": 3, "d": 2}, "b": 1})
    files = [tmp_path / f"{n}.safetensors" for n in range(6)]
    for n, path in enumerate(files):
        write_adapter(path, (adapter, again)[n % 2])
    assert len({path.read_bytes() for path in files}) == 1 and read_adapter(files[0]).about == adapter.about


A, B = torch.ones(2, 32), torch.ones(32, 2)
GOOD = {"format": "vampnet-lora-1", "scale": "0.5", "codec_id": "0" * 16, "about": "{}"}


@pytest.mark.parametrize(
    ("a", "b", "metadata", "said"),
    [
        (torch.ones(64), B, {}, "must be (rank, in) and (out, rank) with one rank"),
        (torch.ones(3, 32), B, {}, "with one rank"),
        (torch.ones(0, 32), torch.ones(32, 0), {}, "with one rank"),
        (A.long(), B, {}, "not floats"),
        (A * float("nan"), B, {}, "no numbers"),
        (A, B, {"scale": None}, "its scale is ''"),
        (A, B, {"scale": "x"}, "its scale is 'x'"),
        (A, B, {"scale": "inf"}, "its scale is 'inf'"),
        (A, B, {"codec_id": None}, "its codec_id is ''"),
        (A, B, {"about": "["}, "is not JSON"),
        (A, B, {"about": "[" * 10**5}, "is not JSON"),
        (A, B, {"about": '{"base": 3}'}, "base digests by file"),
        (A, B, {"about": '{"a": 1, "a": 2}'}, "a key comes twice"),
        (A, B, {"format": None}, "not an adapter of vampnet"),
    ],
)
def test_damaged_adapters_are_one_line(
    tmp_path: Path, a: torch.Tensor, b: torch.Tensor, metadata: dict[str, str | None], said: str
) -> None:
    facts = {name: text for name, text in {**GOOD, **metadata}.items() if text is not None}
    save_file({f"{QUERY}.lora_A": a, f"{QUERY}.lora_B": b}, tmp_path / "a.safetensors", facts)
    with pytest.raises(BundleError) as caught:
        read_adapter(tmp_path / "a.safetensors")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_layer_of_another_name_and_an_endless_product_are_refused(bundle_folder: Path, tmp_path: Path) -> None:
    save_file({"coarse./x.lora_A": A, "coarse./x.lora_B": B}, tmp_path / "a.safetensors", GOOD)
    with pytest.raises(BundleError, match="names no layer"):
        read_adapter(tmp_path / "a.safetensors")
    bundle = load_bundle(bundle_folder)
    before = query(bundle)
    with pytest.raises(BundleError, match="the product of its"):
        apply_adapter(bundle, Adapter({QUERY: (A * 1e30, B * 1e30)}, 1.0, bundle.codec.id, {}))
    assert torch.equal(query(bundle), before)


def test_strength_is_read_from_the_text(tmp_path: Path) -> None:
    assert parse_adapter("a.safetensors") == ("a.safetensors", 1.0)
    assert parse_adapter("a.safetensors:0.5") == ("a.safetensors", 0.5)
    assert parse_adapter("C:/a.safetensors") == ("C:/a.safetensors", 1.0)
    odd = tmp_path / "a:2"
    odd.write_text("")
    assert parse_adapter(str(odd)) == (str(odd), 1.0)
    with pytest.raises(BundleError, match="-10 to 10"):
        parse_adapter("a.safetensors:11")


def tones(folder: Path, n_files: int) -> Path:
    """Files of a few seconds, each an arpeggio of its own."""
    folder.mkdir()
    for k in range(n_files):
        hz = 220 * 2 ** (np.arange(8) * (k + 1) % 12 / 12)
        time = np.arange(16538) / 44100
        samples = np.concatenate([np.sin(2 * np.pi * f * time) * np.exp(-4 * time) for f in hz])
        write(folder / f"{k}.wav", Audio(0.2 * samples[None].astype(np.float32), 44100))
    return folder


SMALL = FinetuneConfig(
    rank=2, steps=12, batch_size=2, validate_every=6, learning_rate=1e-2, held_out=0.3, encodings=2,
    targets="query,value,out,up,down,project,classifier",
)  # fmt: skip


def test_fine_tuning_end_to_end(bundle_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")  # pinned for Python 3.11 and later
    audio, output = tones(tmp_path / "audio", 4), tmp_path / "lora.safetensors"
    report = finetune(
        audio,
        output,
        bundle_folder,
        SMALL,
        device="cpu",
        vamp=lambda bundle, heard: VampNet(bundle, "cpu").vamp(heard).audio,
    )
    assert set(report.train_files).isdisjoint(report.held_out_files)
    assert len(report.train_files) + len(report.held_out_files) == 4 and report.held_out_files
    assert set(report.changes) == {"coarse", "c2f"}
    assert all(c.mean <= 0.01 and c.names == report.held_out_files for c in report.changes.values())
    assert json.loads((tmp_path / "lora.safetensors.run" / "report.json").read_text())["steps"] == report.steps
    samples = [
        read(tmp_path / "lora.safetensors.run" / "samples" / f"{n}.wav") for n in ("original", "before", "after")
    ]
    assert len({s.samples.shape for s in samples}) == 1

    plain, bent = load(bundle_folder, device="cpu"), load(bundle_folder, device="cpu", lora=[f"{output}:1.0"])
    assert report.steps["coarse"] > 0 and not torch.equal(query(plain.bundle), query(bent.bundle))
    about = read_adapter(output).about
    assert about["rank"] == SMALL.rank and "classifier" in about["targets"] and "licence" in about["licence"]
    assert about["base"]["coarse.safetensors"] == plain.bundle.config["sha256"]["coarse.safetensors"]
    resumed = finetune(audio, output, bundle_folder, SMALL, device="cpu")  # all of it is done: nothing is trained again
    assert resumed == report
    with pytest.raises(SettingsError, match="other settings"):
        finetune(audio, output, bundle_folder, dataclasses.replace(SMALL, rank=3), device="cpu")


def test_unchanged_before_the_first_step(bundle_folder: Path, tmp_path: Path) -> None:
    """LoRA starts from zero: the first held-out figure is the plain model's."""
    from vampnet.training.finetune import adapt, extract

    pytest.importorskip("peft")
    model = load_bundle(bundle_folder).coarse
    assert model is not None
    codes = torch.randint(64, (1, 2, 20))
    with torch.no_grad():
        plain = model(codes)
        adapt(model, SMALL)
        assert torch.equal(model(codes), plain)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trainable and all(".lora_" in name for name in trainable)
    assert len(extract(model)) == 2 * 5 + 2


def test_split_keeps_files_whole(bundle_folder: Path, tmp_path: Path) -> None:
    from vampnet.training.data.token_shards import tokenize_folder

    codec = load_bundle(bundle_folder).codec
    tokenize_folder(tones(tmp_path / "many", 5), tmp_path / "tokens", codec)
    tokens = open_tokens(tmp_path / "tokens")
    train, held_out = split(tokens, 0.2, seed=0)
    assert held_out is not None and set(train.names) | set(held_out.names) == set(tokens.names)
    assert set(train.names).isdisjoint(held_out.names)
    assert split(tokens, 0.9, seed=0)[0].n_frames > 0
    tokenize_folder(tones(tmp_path / "one", 1), tmp_path / "tokens1", codec)
    assert split(open_tokens(tmp_path / "tokens1"), 0.2, seed=0)[1] is None


def test_bad_settings_and_folders(bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="targets"):
        FinetuneConfig(targets="query,nose")
    with pytest.raises(SettingsError, match="rank"):
        FinetuneConfig(rank=0)
    with pytest.raises(CorpusError, match="no audio files"):
        finetune(tmp_path, tmp_path / "l.safetensors", bundle_folder, SMALL, tmp_path.with_suffix(".run"), device="cpu")


def test_fine_tuning_writes_over_nothing_of_the_users(bundle_folder: Path, tmp_path: Path) -> None:
    audio = tones(tmp_path / "audio", 1)
    music = (audio / "0.wav").read_bytes()
    weights = bundle_folder / "coarse.safetensors"
    before = weights.read_bytes()
    for output, said in (
        (audio / "0.wav", "must end in \\.safetensors"),
        (weights, "is no adapter"),
        (audio / "mine.safetensors", "inside the folder of audio"),
    ):
        with pytest.raises(SettingsError, match=said):
            finetune(audio, output, bundle_folder, SMALL, device="cpu")
    assert (audio / "0.wav").read_bytes() == music and weights.read_bytes() == before
    assert [path.name for path in audio.iterdir()] == ["0.wav"]


def test_reports_count_files_and_runs_know_their_music(bundle_folder: Path, tmp_path: Path) -> None:
    audio, work = tones(tmp_path / "audio", 1), tmp_path / "run"
    data = finetune_module._prepare(audio, work, load_bundle(bundle_folder), SMALL, None)
    assert data.held_out is None and data.plain.names == ("0.wav",) and data.train.names == ("0.wav", "0.wav")
    described = {"music": finetune_module._digests(audio)}
    finetune_module._claim(work, described)
    finetune_module._claim(work, described)
    write(audio / "0.wav", Audio(np.zeros((1, 44100), np.float32), 44100))
    with pytest.raises(SettingsError, match="other settings, another model or other music"):
        finetune_module._claim(work, {"music": finetune_module._digests(audio)})
    (work / "settings.json").write_text("{")
    with pytest.raises(SettingsError, match=r"settings\.json: damaged"):
        finetune_module._claim(work, described)
