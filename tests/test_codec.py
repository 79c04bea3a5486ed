"""The embedded codec: shapes, streaming equals one pass, silence, safety of random codes, the quantiser."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from tests.tiny import CODEC, tiny_codec
from vampnet.codec.blockwise import BLOCK_FRAMES
from vampnet.codec.lowband import LowBand
from vampnet.codec.quantize import Observer, ResidualQuantizer, initialise, kmeans
from vampnet.codec.spectral import MAX_LOG_MAGNITUDE, SpectralCodec, _istft, _stft
from vampnet.config import CodecConfig
from vampnet.errors import SettingsError


def noise(n_samples: int, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(seed))


def low_band(codec: SpectralCodec) -> LowBand:
    assert codec.low_band is not None
    return codec.low_band


@pytest.mark.parametrize("n_samples", [1, 767, 768, 769, 30 * 768, 30 * 768 + 5])
def test_frames_are_rounded_up_and_decoded_whole(n_samples: int) -> None:
    codec = tiny_codec()
    codes = codec.encode(noise(n_samples))
    assert codes.shape == (2, CODEC.n_codebooks, -(-n_samples // 768)) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < CODEC.codebook_size
    assert codec.decode(codes).shape == (2, codes.shape[2] * 768)


@pytest.mark.parametrize("block", [100, 768, 10007, 10**7])
def test_encoding_a_stream_equals_encoding_at_once(block: int) -> None:
    codec, audio = tiny_codec(), noise((BLOCK_FRAMES + 70) * 768 + 11, batch=1)
    if block == 100:
        audio = audio[:, :20011]
    streamed = torch.cat(list(codec.encode_blocks(audio.split(block, dim=1))), dim=2)
    assert torch.equal(streamed, codec.encode(audio))


def test_blocks_equal_one_pass_over_everything() -> None:
    codec, audio = tiny_codec(), noise(3 * BLOCK_FRAMES * 768, batch=1)
    with torch.no_grad():
        whole = torch.cat([codec.quantizer.encode(codec.encoder(audio)), low_band(codec).encode(audio)], dim=1)
    codes = codec.encode(audio)
    # Different matrix sizes round differently, which may tip a near tie: at most one token in a thousand.
    assert (codes != whole).float().mean() < 1e-3
    with torch.no_grad():
        decoded = codec.decode_span(codes)
    assert torch.allclose(codec.decode(codes), decoded, atol=1e-5)
    for block_frames in (7, 100):
        blocks = list(codec.decode_blocks(codes, block_frames))
        assert torch.allclose(torch.cat(blocks, dim=1), decoded, atol=1e-5)


def test_any_number_of_leading_codebooks_decodes() -> None:
    codec = tiny_codec()
    codes = codec.encode(noise(20 * 768))
    outputs = [codec.decode(codes[:, :n]) for n in range(1, CODEC.n_codebooks + 1)]
    assert all(o.shape == outputs[0].shape and torch.isfinite(o).all() for o in outputs)
    assert not torch.equal(outputs[0], outputs[-1])


def test_masked_frames_decode_as_silence() -> None:
    codec = tiny_codec()
    codes = codec.encode(noise(60 * 768))
    codes[:, :, 20:40] = CODEC.codebook_size
    audio = codec.decode(codes)
    assert audio[:, 21 * 768 : 39 * 768].abs().max() == 0
    assert audio[:, : 18 * 768].abs().max() > 0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_masked_deeper_codes_decode_as_if_they_were_not_there(n: int) -> None:
    codec = tiny_codec()
    codes = codec.encode(noise(30 * 768))
    masked = codes.clone()
    masked[:, n] = CODEC.codebook_size
    assert torch.allclose(codec.decode(masked), codec.decode(codes[:, :n]), atol=1e-6)


def test_random_codes_stay_finite_and_bounded() -> None:
    codec = tiny_codec()
    codes = torch.randint(CODEC.codebook_size, (4, CODEC.n_codebooks, 100))
    audio = codec.decode(codes)
    assert torch.isfinite(audio).all()
    with torch.no_grad():
        codec.decoder.leave.bias.fill_(1e4)  # however wrong the network
    loud = codec.decode(codes)
    assert torch.isfinite(loud).all() and loud.abs().max() < 4 * torch.tensor(MAX_LOG_MAGNITUDE).exp()


def test_stft_pair_reconstructs() -> None:
    window, audio = torch.hann_window(768), noise(40 * 768)
    again = _istft(_stft(audio, window, 192), window, 192)
    assert again.shape == audio.shape
    assert torch.allclose(again[:, 600:-600], audio[:, 600:-600], atol=1e-5)


def music(n_frames: int = 40) -> torch.Tensor:
    """Three steady tones, one in the low band's first half, one in its second, one above it."""
    time = torch.arange(n_frames * 768) / 44100
    tones = [0.1 * torch.sin(2 * torch.pi * hz * time) for hz in (97.0, 431.0, 3000.0)]
    return sum(tones, torch.zeros_like(time))[None]


def test_mdct_pair_returns_the_low_band_alone() -> None:
    band = low_band(tiny_codec())
    below = band.inverse_mdct(band.mdct(music()))[0, 2000:-2000]
    time = torch.arange(40 * 768)[2000:-2000] / 44100
    wanted = 0.1 * (torch.sin(2 * torch.pi * 97 * time) + torch.sin(2 * torch.pi * 431 * time))
    assert (below - wanted).square().mean() < 1e-3 * wanted.square().mean()
    assert torch.allclose(
        band.mdct(band.inverse_mdct(band.mdct(music())))[:, 2:-2], band.mdct(music())[:, 2:-2], atol=1e-5
    )


def test_each_waveform_codebook_brings_the_waveform_nearer() -> None:
    codec = tiny_codec()
    band = low_band(codec)
    coefficients = band.mdct(music(400))[0]
    left = band.initialise(coefficients, n_iterations=5)
    assert max(left) < 0.1
    codes, own = codec.encode(music()), band.mdct(music())
    first = codec.config.latent_codebooks
    errors = [
        float((band.mdct(codec.decode(codes[:, :n])) - own)[:, 2:-2].square().mean())
        for n in range(first, codec.n_codebooks + 1)
    ]
    assert errors[-1] < 0.05 * float(own.square().mean())
    assert all(a > b for a, b in pairwise(errors))


def test_low_band_leaves_what_lies_above_alone() -> None:
    codec, audio = tiny_codec(), noise(30 * 768, batch=1)
    band = low_band(codec)
    torch.nn.init.normal_(band.leave.weight)
    low = band.dequantize(band.encode(noise(30 * 768, batch=1, seed=1)))
    n_bands = torch.full((1, 30), 3)
    with torch.no_grad():
        changed = (band(audio, low, n_bands) - audio)[:, 2000:-2000]
        same = band(audio, low, torch.zeros_like(n_bands))
    assert torch.equal(same, audio)
    power = torch.fft.rfft(changed * torch.hann_window(changed.shape[1])).abs().square()[0]
    edge = int(1.5 * 20 / 1536 * changed.shape[1])
    assert power[edge:].sum() < 1e-3 * power.sum()


def test_waveform_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="waveform_bins"):
        CodecConfig(waveform_codebooks=2, waveform_bins=40)
    with pytest.raises(SettingsError, match="waveform_codebooks"):
        CodecConfig(waveform_codebooks=14)


def test_id_depends_on_codebooks_and_settings() -> None:
    one, same, other = tiny_codec(0), tiny_codec(0), tiny_codec(1)
    assert one.id == same.id != other.id


def test_initialised_quantiser_leaves_less_with_every_level() -> None:
    torch.manual_seed(0)
    latents = torch.randn(4000, 12) @ torch.randn(12, 12)
    quantizer = ResidualQuantizer(12, 4, 64, 8)
    left = initialise(quantizer, latents, n_iterations=5)
    assert all(a > b for a, b in pairwise(left)) and left[0] < 0.6
    quantized = quantizer(latents.view(4, 1000, 12))
    measured = (quantized.latent_BTL.view(-1, 12) - latents).square().mean() / latents.sub(
        latents.mean(0)
    ).square().mean()
    assert measured.item() == pytest.approx(left[-1], abs=0.02)
    decoded = quantizer.decode(quantized.codes_BCT)
    assert torch.allclose(decoded, quantized.latent_BTL, atol=1e-4)


def test_quantiser_levels_can_differ_per_item() -> None:
    torch.manual_seed(0)
    quantizer, latent = ResidualQuantizer(12, 4, 16, 8), torch.randn(2, 5, 12)
    quantized = quantizer(latent, torch.tensor([1, 4]))
    codes = quantizer(latent).codes_BCT
    assert torch.allclose(quantized.latent_BTL[0], quantizer.decode(codes[:, :1])[0], atol=1e-5)
    assert torch.allclose(quantized.latent_BTL[1], quantizer.decode(codes)[1], atol=1e-5)


def test_gradient_passes_straight_through() -> None:
    torch.manual_seed(0)
    quantizer, latent = ResidualQuantizer(12, 2, 16, 8), torch.randn(1, 5, 12, requires_grad=True)
    quantizer(latent).latent_BTL.sum().backward()
    assert latent.grad is not None and latent.grad.abs().sum() > 0


def test_observer_follows_data_and_revives_dead_entries() -> None:
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(8, 1, 32, 8)
    with torch.no_grad():
        quantizer.codebooks_CVK.add_(100.0)  # far from all data: only one entry is ever nearest
    observer, data = Observer(quantizer, decay=0.9, restart_every=5), torch.randn(4, 200, 8)
    for step in range(60):
        quantizer(data, observer=observer)
        observer.update(step)
    used = quantizer(data).codes_BCT.unique()
    assert len(used) > 24


def test_kmeans_finds_separated_clusters() -> None:
    centres = torch.tensor([[0.0, 0], [10, 0], [0, 10]])
    data = centres.repeat_interleave(50, 0) + 0.1 * torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    found, index = kmeans(data, 3, 20, torch.Generator().manual_seed(3))
    assert len(index) == 150
    assert torch.cdist(centres, found).min(1).values.max() < 0.2 or len(found.unique(dim=0)) == 3
