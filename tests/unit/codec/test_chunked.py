"""The embedded codec: shapes, streaming equals one pass, silence, safety of random codes, the quantiser."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from tests.support.tiny import CODEC, tiny_codec
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.codec.residual_vq import Observer, ResidualQuantizer, initialise, kmeans


def noise(n_samples: int, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(seed))


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
    assert audio[:, 22 * 768 : 38 * 768].abs().max() == 0
    assert audio[:, : 18 * 768].abs().max() > 0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_masked_deeper_codes_decode_as_if_they_were_not_there(n: int) -> None:
    codec = tiny_codec()
    codes = codec.encode(noise(30 * 768))
    masked = codes.clone()
    masked[:, n] = CODEC.codebook_size
    assert torch.allclose(codec.decode(masked), codec.decode(codes[:, :n]), atol=1e-6)


def test_id_depends_on_codebooks_and_settings() -> None:
    one, same, other = tiny_codec(0), tiny_codec(0), tiny_codec(1)
    assert one.id == same.id != other.id


def test_initialised_quantiser_leaves_less_with_every_level() -> None:
    torch.manual_seed(0)
    latents = torch.randn(4000, 12) @ torch.randn(12, 12)
    quantizer = ResidualQuantizer(12, 4, 64, 8)
    left = initialise(quantizer, latents, n_iterations=5)
    assert all(a > b for a, b in pairwise(left)) and left[0] < 0.6
    assert torch.allclose(quantizer.codebooks_CVK.square().mean((1, 2)), torch.ones(4), atol=1e-4)
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
