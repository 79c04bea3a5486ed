"""The convolutional codecs: agreement with DacModel of transformers and the authors, blocks, silence, bad files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.golden import GOLDEN, golden_tensor, requires_golden
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.codec.config import DacConfig
from vampnet.codec.dac import DacCodec, Snake, silence_gate
from vampnet.codec.dac_weights import load_dac
from vampnet.config import from_dict, to_dict
from vampnet.errors import BundleError, SettingsError
from vampnet.models.bundle import load_bundle, load_codec, save_bundle

SMALL = DacConfig(
    encoder_dim=4, encoder_rates=(2, 4, 5), decoder_dim=32, decoder_rates=(5, 4, 2), latent_dim=32, n_codebooks=3,
    codebook_size=16, codebook_dim=4,
)  # fmt: skip
BRANCHED = replace(SMALL, encoder_rates=(2, 4, 4), decoder_rates=(4, 4, 2), decoder_kernels=(3, 7, 11))
BOTH = pytest.mark.parametrize("config", [SMALL, BRANCHED], ids=["plain", "branched"])


def small_codec(config: DacConfig = SMALL, seed: int = 0) -> DacCodec:
    """Random weights large enough that everything matters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        codec = DacCodec(config).eval()
        for module in codec.modules():
            if isinstance(module, Snake):
                torch.nn.init.uniform_(module.alpha, 0.5, 2)
    return codec


def noise(n_samples: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rates", [(2, 4, 5), (2, 2, 4)], ids=["odd stride", "even strides"])
@pytest.mark.parametrize("weight_norm", [False, True])
def test_plain_dac_equals_transformers(tmp_path: Path, rates: tuple[int, ...], weight_norm: bool) -> None:
    transformers = pytest.importorskip("transformers", reason="the judge of the plain DAC is not installed")
    torch.manual_seed(0)
    settings = transformers.DacConfig(
        encoder_hidden_size=4, downsampling_ratios=list(rates), decoder_hidden_size=32, n_codebooks=3,
        codebook_size=16, codebook_dim=4, sampling_rate=24000,
    )  # fmt: skip
    judge = transformers.DacModel(settings).eval()
    for name, parameter in judge.named_parameters():
        spread = 0.3 if name.endswith(("weight", "bias")) else 0.5
        torch.nn.init.normal_(parameter, mean=1.0 if "alpha" in name else 0.0, std=spread / 3)
    if weight_norm:
        judge.apply_weight_norm()
    judge.save_pretrained(tmp_path)
    ours = load_codec(tmp_path)
    assert isinstance(ours, DacCodec) and ours.sample_rate_hz == 24000
    audio = noise(ours.hop * 50)
    with torch.no_grad():
        theirs = judge.encode(audio[:, None])
        assert (ours.encoder(audio).mT - judge.encoder(audio[:, None])).abs().max() <= 1e-5
        assert torch.equal(ours.encode(audio), theirs.audio_codes)
        decoded = judge.decode(audio_codes=theirs.audio_codes).audio_values
    mine = ours.decode(theirs.audio_codes)
    assert mine.shape == (1, 50 * ours.hop)
    n = decoded.shape[-1]  # fewer where a stride is odd: there ours ends in silence
    assert 0 <= mine.shape[1] - n < ours.hop and (mine[:, n:] == 0).all()
    assert (mine[:, :n] - decoded).abs().max() <= 1e-5 and decoded.std() > 0.01


def original_file(path: Path, codec: DacCodec, **kwargs: object) -> Path:
    """The codec's weights under the names that the authors and Descript use, with weight normalisation."""
    from vampnet.codec.dac_weights import original_names

    state, own = {}, codec.state_dict()
    for ours, theirs in original_names(codec.config):
        if f"{ours}.alpha" in own:
            state[f"{theirs}.alpha"] = own[f"{ours}.alpha"]
            continue
        weight = own[f"{ours}.weight"]
        weight = weight[..., None] if weight.ndim == 2 else weight
        norm = weight.flatten(1).norm(dim=1).view(-1, 1, 1)
        state |= {f"{theirs}.weight_g": norm, f"{theirs}.weight_v": 3 * weight, f"{theirs}.bias": own[f"{ours}.bias"]}
    for c, book in enumerate(codec.codebooks()):
        state[f"quantizer.quantizers.{c}.codebook.weight"] = book
    c = codec.config
    arguments = {
        "encoder_dim": c.encoder_dim, "encoder_rates": list(c.encoder_rates), "decoder_dim": c.decoder_dim,
        "decoder_rates": list(c.decoder_rates), "n_codebooks": c.n_codebooks, "codebook_size": c.codebook_size,
        "codebook_dim": c.codebook_dim, "quantizer_dropout": False, "sample_rate": c.sample_rate_hz, "latent_dim": None,
    }  # fmt: skip
    torch.save({"state_dict": state, "metadata": {"kwargs": {**arguments, **kwargs}, "logs": {}}}, path)
    return path


@BOTH
@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_original_files_load_with_weight_norm_folded(tmp_path: Path, config: DacConfig, prefix: str) -> None:
    codec = small_codec(config)
    path = original_file(tmp_path / "w.pth", codec)
    data = torch.load(path, weights_only=True)
    data["state_dict"] = {prefix + name: t for name, t in data["state_dict"].items()}
    torch.save(data, path)
    loaded = load_codec(path)
    assert loaded.config == config and loaded.id == codec.id
    for name, tensor in codec.state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], tensor, atol=1e-6), name
    assert not any("weight_g" in name for name in loaded.state_dict())


@BOTH
def test_round_trip_through_a_bundle(tmp_path: Path, config: DacConfig) -> None:
    codec = small_codec(config)
    save_bundle(tmp_path / "b", codec, storage="float32")
    loaded = load_bundle(tmp_path / "b").codec
    assert loaded.config == config and loaded.id == codec.id
    audio = noise(40 * codec.hop)
    assert torch.equal(loaded.encode(audio), codec.encode(audio))
    assert from_dict(DacConfig, json.loads(json.dumps(to_dict(config))), "here") == config


@BOTH
@pytest.mark.parametrize("beyond", [-1, 0, 1, 17])
def test_blocks_equal_one_pass(config: DacConfig, beyond: int) -> None:
    codec = small_codec(config)
    audio = noise((BLOCK_FRAMES + beyond) * codec.hop - 3)
    codes = codec.encode(audio)
    with torch.no_grad():
        padded = torch.nn.functional.pad(audio, (0, 3))
        whole = codec.encode_span(padded)
        decoded = codec.decode_span(codes)
    # Other sizes of matrices round differently, which may tip a near tie.
    assert codes.shape == whole.shape and (codes != whole).float().mean() < 1e-3
    streamed = torch.cat(list(codec.encode_blocks(audio.split(1000, dim=1))), dim=2)
    assert torch.equal(streamed, codes)
    for block_frames in (10, 100):
        pieces = list(codec.decode_blocks(codes, block_frames))
        assert max(piece.shape[1] for piece in pieces) <= block_frames * codec.hop
        assert (torch.cat(pieces, dim=1) - decoded).abs().max() <= 1e-5


@BOTH
def test_pieces_equal_one_pass(config: DacConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = small_codec(config)
    codes = codec.encode(noise(30 * codec.hop))
    whole = codec.decode(codes)
    monkeypatch.setattr("vampnet.codec.dac.PIECE_ELEMENTS", 1)  # then they are as short as the layers' reach allows
    assert (codec.decode(codes) - whole).abs().max() <= 1e-6
    assert torch.equal(codec.encode(noise(30 * codec.hop)), codes)


@BOTH
def test_in_bfloat16_the_sound_is_nearly_the_same_and_codes_do_not_change(config: DacConfig) -> None:
    codec = small_codec(config)
    reduced, audio = codec.in_format(torch.bfloat16), noise(30 * codec.hop)
    codes = codec.encode(audio)
    assert torch.equal(reduced.encode(audio), codes) and reduced.id == codec.id
    whole, rounded = codec.decode(codes), reduced.decode(codes)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - whole).norm() < 0.02 * whole.norm()
    assert {t.dtype for t in codec.state_dict().values()} == {torch.float32}


@BOTH
def test_context_is_enough_and_not_far_more(config: DacConfig) -> None:
    """A change of one frame reaches no further than the context says, and more than half as far."""
    codec, middle, n_frames = small_codec(config), 40, 80
    codes = codec.encode(noise(n_frames * codec.hop))
    changed = codes.clone()
    changed[:, :, middle] = (changed[:, :, middle] + 5) % config.codebook_size
    with torch.no_grad():
        moved = (codec.decode_span(codes) != codec.decode_span(changed)).view(n_frames, -1).any(1).nonzero().flatten()
        audio = noise(n_frames * codec.hop)
        other = audio.clone()
        other[:, middle * codec.hop : (middle + 1) * codec.hop] += 1
        latents = (codec.encoder(audio) != codec.encoder(other)).any(-1)[0].nonzero().flatten()
    for reached, context in ((moved, codec.decoder_context), (latents, codec.encoder_context)):
        reach = max(middle - int(reached.min()), int(reached.max()) - middle)
        assert context / 2 - 1 <= reach <= context


@pytest.mark.parametrize("n_samples", [1, 31, 32, 33])
def test_frames_are_rounded_up_and_decoded_whole(n_samples: int) -> None:
    codec = small_codec(BRANCHED)
    codes = codec.encode(noise(n_samples, batch=2))
    assert codes.shape == (2, 3, -(-n_samples // 32)) and codes.dtype == torch.int64
    assert codec.decode(codes).shape == (2, codes.shape[2] * 32)
    assert torch.isfinite(codec.decode(codes[:, :1])).all()


@BOTH
def test_masked_frames_decode_as_silence(config: DacConfig) -> None:
    codec = small_codec(config)
    codes = codec.encode(noise(100 * codec.hop))
    plain = codec.decode(codes).view(100, -1)
    codes[:, :, 40:70] = config.codebook_size
    audio = codec.decode(codes).view(100, -1)
    assert (audio[41:69] == 0).all() and audio[40].abs().max() < plain.abs().max()
    far = codec.decoder_context
    assert (audio[: 40 - far] - plain[: 40 - far]).abs().max() <= 1e-5
    assert (audio[70 + far :] - plain[70 + far :]).abs().max() <= 1e-5
    codes[:] = config.codebook_size
    assert (codec.decode(codes) == 0).all()


def test_the_gate_is_shut_in_silent_frames_but_for_a_fade() -> None:
    gate = silence_gate(torch.tensor([[False, True, True, False]]), 16).view(4, 16)
    assert (gate[0] == 1).all() and (gate[3] == 1).all()
    assert gate[1, 0] == 0.75 and gate[1, 1] == 0.25 and (gate[1, 2:] == 0).all()
    assert torch.equal(gate[2], gate[1].flip(0))


def test_masked_deeper_codes_decode_as_if_they_were_not_there() -> None:
    codec = small_codec()
    codes = codec.encode(noise(20 * codec.hop))
    masked = codes.clone()
    masked[:, 1:] = SMALL.codebook_size
    assert torch.allclose(codec.decode(masked), codec.decode(codes[:, :1]), atol=1e-6)


@requires_golden
def test_masked_frames_of_the_authors_codec() -> None:
    """They decode the mask token as token 0; that is pinned in the parity table, and here what the default does."""
    codec = load_dac(GOLDEN / "codec.pth")
    codes, name = golden_tensor("codec/codes")[:, :4].clone(), "codec/audio_4cb_masked50_60_frames_45_65"
    codes[:, :, 50:60] = 1024
    ours = codec.decode(codes)[0, 45 * 768 : 65 * 768].view(20, 768)
    theirs = golden_tensor(name).view(20, 768)
    assert (ours[6:14] == 0).all() and (ours[5:15].square().mean() < 0.02 * theirs[5:15].square().mean())


def test_settings_are_checked() -> None:
    for wrong, words in (
        ({"encoder_rates": (2, 4, 8)}, "hop 64"),
        ({"encoder_rates": ()}, "encoder_rates"),
        ({"decoder_rates": (5, 4, "2")}, "decoder_rates"),
        ({"decoder_kernels": (4,)}, "must be odd"),
        ({"kind": "spectral"}, "kind"),
        ({"decoder_dim": 4}, "decoder_dim"),
        ({"n_codebooks": 0}, "n_codebooks"),
    ):
        with pytest.raises(SettingsError, match=words):
            replace(SMALL, **wrong)


def test_every_key_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = original_file(tmp_path / "w.pth", small_codec())
    data = torch.load(path, weights_only=True)
    state = data["state_dict"]
    state["surplus"] = torch.zeros(3)
    del state["decoder.model.0.bias"], state["encoder.block.1.block.3.alpha"]
    state["encoder.block.0.weight_v"] = torch.zeros(4, 1, 5)
    torch.save(data, path)
    with pytest.raises(BundleError) as caught:
        load_dac(path)
    text = str(caught.value)
    for words in (
        "missing: encoder.block.1.block.3.alpha, decoder.model.0.bias",
        "misshapen: encoder.block.0.weight_v is (4, 1, 5), not (4, 1, 7)",
        "unexpected: surplus",
    ):
        assert words in text
    assert "\n" not in text


def test_unusable_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "dac", "downsampling_ratios": "many"}')
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"state_dict": {}}, tmp_path / "bare.pth")
    original_file(tmp_path / "dims.pth", small_codec(), codebook_dim=[4, 4, 8])
    original_file(tmp_path / "rates.pth", small_codec(), decoder_rates=[5, 4, 3])
    for name, words in (
        ("none.pth", "no such file"),
        ("text.pth", "not a file of torch.save"),
        ("bare.pth", "metadata"),
        ("dims.pth", "different dimensions"),
        ("rates.pth", "decoder_rates"),
        ("", "encoder_rates"),
    ):
        with pytest.raises(BundleError, match=words) as caught:
            load_dac(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(BundleError, match="model_type"):
        load_dac(tmp_path.parent)
