"""The magnitude codec and the phases it makes up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.tiny import CODEC, LINEAR, tiny_codec
from vampnet.audio.mel import mel_distance
from vampnet.codec import griffin_lim as phase
from vampnet.codec.config import MagnitudeConfig
from vampnet.codec.convnext import gelu
from vampnet.codec.griffin_lim import griffin_lim, inverse_stft, stft
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.codec.output_filter import bound_peaks, dc_reach, remove_dc
from vampnet.codec.residual_vq import nearest
from vampnet.config import from_dict
from vampnet.errors import SettingsError
from vampnet.models.bundle import load_codec, save_bundle


def noise(n_frames: int, batch: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(batch, n_frames * 768, generator=torch.Generator().manual_seed(1))


def music(n_frames: int = 60) -> torch.Tensor:
    """Decaying notes on both sides of the crossover."""
    time = torch.arange(n_frames * 768) / 44100
    notes = [
        torch.sin(2 * torch.pi * hz * time) * torch.exp(-6 * (time % 0.25)) for hz in (110.0, 277.2, 659.3, 3000.0)
    ]
    return 0.1 * torch.stack(notes).sum(0)[None]


@pytest.mark.parametrize(("n_fft", "hop"), [(768, 192), (2048, 384), (256, 48)])
def test_stft_pair_reconstructs(n_fft: int, hop: int) -> None:
    window, audio = torch.hann_window(n_fft), noise(40)
    again = inverse_stft(stft(audio, window, hop), window, hop)
    assert again.shape == audio.shape
    assert torch.allclose(again[:, n_fft:-n_fft], audio[:, n_fft:-n_fft], atol=1e-5)


def test_more_rounds_bring_the_spectrum_nearer() -> None:
    window, audio = torch.hann_window(768), music()
    wanted = stft(audio, window, 192).abs()
    errors = []
    for n_rounds in (0, 2, 10, 40):
        found = griffin_lim(wanted, window, 192, n_rounds)
        assert torch.allclose(found.abs(), wanted, atol=1e-4)
        errors.append(error_of(found, wanted, window, 192))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.1 * errors[0]


def error_of(found: torch.Tensor, wanted: torch.Tensor, window: torch.Tensor, hop: int) -> float:
    """Share of the power by which the waveform's magnitudes miss the wanted ones."""
    made = stft(inverse_stft(found, window, hop), window, hop).abs()
    return float((made - wanted).square().sum() / wanted.square().sum())


def test_phases_of_tones_need_fewer_rounds() -> None:
    window, audio = torch.hann_window(768), music()
    wanted = stft(audio, window, 256).abs()
    tonal, same = (error_of(griffin_lim(wanted, window, 256, 3, t), wanted, window, 256) for t in (True, False))
    assert tonal < 0.7 * same


@pytest.mark.parametrize("tonal", [True, False])
def test_phases_do_not_depend_on_where_a_spectrum_is_cut(tonal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    window = torch.hann_window(192)
    wanted = stft(noise(40, batch=2), window, 64).abs()
    monkeypatch.setattr(phase, "CACHED_BINS", 10**9)
    whole = griffin_lim(wanted, window, 64, 3, tonal)
    part = griffin_lim(wanted[:, :, 90:300], window, 64, 3, tonal)  # 90 windows are 30 times 192 samples
    assert torch.equal(part[:, :, 6:-6], whole[:, :, 96:294])
    monkeypatch.setattr(phase, "CACHED_BINS", 97 * 50)  # pieces of 36 windows and 6 on each side
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    pieces: list[int] = []
    rounds = phase._rounds
    monkeypatch.setattr(phase, "_rounds", lambda m, *rest: pieces.append(m.shape[1]) or rounds(m, *rest))
    assert torch.equal(griffin_lim(wanted, window, 64, 3, tonal), whole)
    assert len(pieces) > 10 and max(pieces) < 60


def test_true_magnitudes_come_back_as_nearly_the_same_sound() -> None:
    codec, audio = MagnitudeCodec(MagnitudeConfig(width=8, decoder_width=8, fine_width=8)), music()
    made = codec.synthesise(*codec.magnitudes(audio))
    assert made.shape == audio.shape
    assert mel_distance(made[:, 4000:-4000], audio[:, 4000:-4000], 44100) < 0.15


def test_the_two_grids_share_what_lies_between_them() -> None:
    codec = tiny_codec()
    low, high = codec.low, codec.high
    hz = 44100 / 2048 * torch.arange(low.first, low.stop)
    assert low.weight_F[(hz - 1900).abs().argmin()] == pytest.approx(0.5, abs=0.05)
    assert low.first == 0 and high.stop == 768 // 2 + 1 and hz[-1] < 2600
    assert codec.decimation == 8


def test_encoding_gives_the_codes_of_the_training_pass() -> None:
    quantizer = tiny_codec().quantizer
    latent = torch.randn(2, 50, CODEC.latent_dim, generator=torch.Generator().manual_seed(4))
    assert torch.equal(quantizer.encode(latent), quantizer(latent).codes_BCT)


def test_the_nearest_entry_is_the_first_of_equals() -> None:
    generator = torch.Generator().manual_seed(5)
    books, vectors = (torch.randint(-2, 3, (n, 2), generator=generator).float() for n in (128, 200))
    distances = torch.cdist(vectors, books)  # of small whole numbers: many are equal
    found = nearest(vectors, books)
    assert torch.equal(distances.gather(1, found[:, None])[:, 0], distances.amin(1))
    assert not (books[:, None] == books[None]).all(2).tril(-1).any(1)[found].any()  # no entry before is the same


def test_gelu_is_the_same_with_and_without_gradients() -> None:
    x = torch.linspace(-30, 30, 6001)
    with torch.no_grad():
        plain = gelu(x.clone())
    assert torch.allclose(plain, gelu(x.clone()), atol=2e-6)


@pytest.mark.parametrize("config", [CODEC, LINEAR])
def test_blocks_equal_one_pass_over_everything(config: MagnitudeConfig) -> None:
    codec, audio = tiny_codec(config=config), noise(600)
    codes = codec.encode(audio)
    with torch.no_grad():
        whole = codec.encode_span(audio)
        decoded = codec.decode_span(codes)
    assert (codes != whole).float().mean() < 1e-3
    assert torch.allclose(codec.decode(codes), decoded, atol=1e-5)
    for block_frames in (70, 300):
        blocks = list(codec.decode_blocks(codes, block_frames))
        assert torch.allclose(torch.cat(blocks, dim=1), decoded, atol=1e-5)


def test_random_codes_stay_finite_and_bounded() -> None:
    codec = tiny_codec()
    codes = torch.randint(64, (2, 6, 100), generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(codec.decode(codes)).all()
    with torch.no_grad():
        codec.decoder.leave_high.bias.fill_(1e4)  # however wrong the network
    loud = codec.decode(codes)
    assert torch.isfinite(loud).all() and 0.9 < loud.abs().max() <= 1.0


def test_what_is_decoded_has_no_offset() -> None:
    codec = tiny_codec()
    held = torch.randint(64, (1, 6, 1), generator=torch.Generator().manual_seed(2)).expand(1, 6, 100)
    with torch.no_grad():
        codec.decoder.leave_low.bias.view(2, -1)[:, 0] += 5.0  # a decoder that is wrong about the lowest bin
    decoded = codec.decode(held)
    offset = decoded.view(100, 768)[10:-10].mean(1).abs().max()
    assert offset < 1e-3 and decoded.abs().max() > 1e-3


def test_offset_goes_and_music_stays() -> None:
    time = torch.arange(200 * 768) / 44100
    notes = 0.3 * torch.sin(2 * torch.pi * 27.5 * time)[None]  # the lowest A of a piano
    cleaned = remove_dc(notes + 0.2, 44100, 768)
    assert torch.allclose(cleaned[:, 4096:-4096], notes[:, 4096:-4096], atol=8e-3)
    part = remove_dc((notes + 0.2)[:, 50 * 768 : 100 * 768], 44100, 768)
    reach = dc_reach(44100, 768)
    assert torch.equal(part[:, reach:-reach], cleaned[:, 50 * 768 + reach : 100 * 768 - reach])


def test_bounded_changes_only_what_is_near_full_scale() -> None:
    x = torch.linspace(-8, 8, 4001)
    y = bound_peaks(x)
    near = x.abs() < 10 ** (-1 / 20)
    assert torch.equal(y[near], x[near]) and y.abs().max() <= 1.0
    assert (y.diff() >= 0).all() and torch.allclose(y, -y.flip(0), atol=1e-6)
    assert torch.isfinite(bound_peaks(torch.tensor([1e30, -1e30, 0.0]))).all()


@pytest.mark.parametrize("config", [CODEC, LINEAR])
def test_bundle_keeps_codec_and_id(config: MagnitudeConfig, tmp_path: Path) -> None:
    codec = tiny_codec(config=config)
    save_bundle(tmp_path / "b", codec, storage="float32")
    again = load_codec(tmp_path / "b")
    assert again.id == codec.id
    assert torch.equal(again.encode(noise(20)), codec.encode(noise(20)))
    more = MagnitudeCodec(replace(config, low_rounds=9))
    more.load_state_dict(codec.state_dict())
    assert more.id == codec.id  # rounds change the sound, not what codes mean


@pytest.mark.parametrize(
    ("field", "value"), [("low_hop", 500), ("high_fft", 200), ("crossover_hz", 30000.0), ("low_rounds", -1)]
)
def test_settings_are_checked(field: str, value: float) -> None:
    with pytest.raises(SettingsError, match=field):
        from_dict(MagnitudeConfig, {field: value}, "codec")
