"""The waveform of the low band: what the last codebooks of the embedded codec carry.

The codebooks of the latent hold spectral envelopes; from those alone no decoder knows the phase, and below about 2 kHz,
where every mel band is narrow, that is what it gets wrong. So the low coefficients of a modified discrete cosine
transform (MDCT, Princen, Johnson and Bradley 1987) with the token frame as its hop are cut into bands, and each
further codebook quantises one band of them, from low to high: with n of these codebooks the waveform is right up to the
n-th band's edge, and above it the decoder's own phases remain. A small network per frame mends what quantisation left.

Axis letters: B batch, S samples, T token frame, K MDCT coefficient, C band (one codebook each), V entry, J band width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.codec.blocks import ConvNextBlock
from vampnet.codec.quantize import kmeans, nearest
from vampnet.config import CodecConfig


class LowBand(nn.Module):
    """`config.waveform_codebooks` codebooks over the `config.waveform_bins` lowest MDCT coefficients."""

    codebooks_CVK: Tensor
    """Entries, divided by `scale_C`; a band narrower than the codebooks' width ends in zeros."""
    scale_C: Tensor
    basis_SK: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        n_bands, self.n_bins, self.hop = config.waveform_codebooks, config.waveform_bins, config.hop
        self.edges = [round(band * self.n_bins / n_bands) for band in range(n_bands + 1)]
        self.register_buffer("codebooks_CVK", torch.zeros(n_bands, config.codebook_size, config.codebook_dim))
        for band, width in enumerate(self.widths):
            self.codebooks_CVK[band, :, :width] = torch.randn(config.codebook_size, width)
        self.register_buffer("scale_C", torch.full((n_bands,), 0.1))
        self.register_buffer("basis_SK", _mdct_basis(config.hop, self.n_bins), persistent=False)
        width = config.waveform_width
        self.enter = nn.Linear(5 * self.n_bins, width)
        self.blocks = nn.ModuleList(ConvNextBlock(width) for _ in range(config.waveform_depth))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, 3 * self.n_bins)
        nn.init.zeros_(self.leave.weight)  # start from the plain quantised coefficients
        nn.init.zeros_(self.leave.bias)

    @property
    def widths(self) -> list[int]:
        """Coefficients of each band."""
        return [high - low for low, high in zip(self.edges, self.edges[1:], strict=False)]

    @property
    def context_frames(self) -> int:
        """Frames on each side that a frame's waveform depends on."""
        return 3 * len(self.blocks) + 2

    def mdct(self, audio_BS: Tensor) -> Tensor:
        """Waveform (B, T * hop) -> its lowest coefficients (B, T, K); frame t reaches half a hop beyond its own hop."""
        padded_BS = F.pad(audio_BS.float(), (self.hop // 2, self.hop // 2))
        with _full_precision(audio_BS):
            return padded_BS.unfold(1, 2 * self.hop, self.hop) @ self.basis_SK

    def inverse_mdct(self, coefficients_BTK: Tensor) -> Tensor:
        """The low-passed waveform (B, T * hop) of coefficients (B, T, K); aliasing cancels between frames."""
        with _full_precision(coefficients_BTK):
            frames_BST = (coefficients_BTK.float() @ self.basis_SK.T).mT
        n_frames = coefficients_BTK.shape[1]
        total = (n_frames + 1) * self.hop
        audio_BS = F.fold(frames_BST, (1, total), (1, 2 * self.hop), stride=(1, self.hop))[:, 0, 0]
        return audio_BS[:, self.hop // 2 : self.hop // 2 + n_frames * self.hop]

    def encode(self, audio_BS: Tensor) -> Tensor:
        """Waveform (B, T * hop) -> codes (B, C, T)."""
        codes = []
        coefficients_BTK = self.mdct(audio_BS)
        for band, codebook_VK in enumerate(self.codebooks_CVK):
            bins = slice(self.edges[band], self.edges[band + 1])
            vectors_BTJ = coefficients_BTK[..., bins] / self.scale_C[band]
            with _full_precision(audio_BS):
                codes.append(nearest(vectors_BTJ.flatten(0, 1), codebook_VK[:, : self.widths[band]]))
        return torch.stack(codes).unflatten(1, coefficients_BTK.shape[:2]).transpose(0, 1)

    def dequantize(self, codes_BCT: Tensor) -> Tensor:
        """Codes of the first C' bands -> coefficients (B, T, K), zero in the other bands."""
        n_items, n_bands, n_frames = codes_BCT.shape
        parts = [torch.zeros(n_items, n_frames, 0, device=codes_BCT.device)]
        for band in range(n_bands):
            entries_VJ = self.codebooks_CVK[band, :, : self.widths[band]] * self.scale_C[band]
            parts.append(F.embedding(codes_BCT[:, band], entries_VJ))
        known_BTK = (
            torch.cat(parts, dim=-1) if parts else codes_BCT.new_zeros(codes_BCT.shape[0], codes_BCT.shape[2], 0)
        )
        return F.pad(known_BTK.float(), (0, self.n_bins - known_BTK.shape[-1]))

    def present(self, n_bands_BT: Tensor) -> Tensor:
        """1 where a coefficient belongs to the first `n_bands_BT` bands of its frame, else 0: float (B, T, K)."""
        device = n_bands_BT.device
        band_K = torch.arange(len(self.widths), device=device).repeat_interleave(
            torch.tensor(self.widths, device=device)
        )
        return (band_K < n_bands_BT.unsqueeze(-1)).float()

    def forward(self, audio_BS: Tensor, quantized_BTK: Tensor, n_bands_BT: Tensor) -> Tensor:
        """Replace the low band of a decoded waveform (B, T * hop).

        `quantized_BTK` is what `dequantize` gave, of which each frame counts its first `n_bands_BT` bands; above them
        the waveform keeps its own coefficients.
        """
        present_BTK = self.present(n_bands_BT)
        quantized_BTK = quantized_BTK * present_BTK
        own_BTK = self.mdct(audio_BS)
        power_BTK = quantized_BTK.square() + own_BTK.square()
        level_BTK = F.avg_pool1d(power_BTK, 5, 1, padding=2).add(1e-8).sqrt()
        features = [_compress(quantized_BTK), _compress(own_BTK), present_BTK]
        features += [0.3 * (quantized_BTK.abs() + 1e-3).log() + 1, 0.3 * level_BTK.add(1e-3).log() + 1]
        x_BTD = self.enter(torch.cat(features, dim=-1))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        gain_BTK, share_BTK, extra_BTK = self.leave(self.norm(x_BTD)).float().chunk(3, dim=-1)
        mended_BTK = quantized_BTK * (1 + gain_BTK) + own_BTK * share_BTK + level_BTK * extra_BTK
        return audio_BS + self.inverse_mdct(present_BTK * (mended_BTK - own_BTK))

    @torch.no_grad()
    def initialise(self, coefficients_NK: Tensor, n_iterations: int = 15, seed: int = 0) -> list[float]:
        """Set the codebooks from coefficients (N, K) of music by k-means; returns the share of power left per band."""
        generator = torch.Generator().manual_seed(seed)
        left = []
        for band, width in enumerate(self.widths):
            vectors_NJ = coefficients_NK[:, self.edges[band] : self.edges[band + 1]]
            scale = vectors_NJ.square().mean().sqrt().clamp_min(1e-6)
            codebook_VJ, index_N = kmeans(vectors_NJ / scale, self.codebooks_CVK.shape[1], n_iterations, generator)
            self.scale_C[band] = scale
            self.codebooks_CVK[band, :, :width] = codebook_VJ
            left.append(float((vectors_NJ / scale - codebook_VJ[index_N]).square().mean()))
        return left


def _full_precision(like: Tensor) -> torch.autocast:
    """Waveforms are no place for bfloat16: its rounding alone would be heard in quiet passages."""
    return torch.autocast(like.device.type, enabled=False)


def _compress(x: Tensor) -> Tensor:
    """Square root of the size, the sign kept, smooth at 0."""
    return x * (x.square() + 1e-4) ** -0.25


def _mdct_basis(hop: int, n_bins: int) -> Tensor:
    """Windowed cosines (2 * hop, n_bins), orthonormal over time and frequency."""
    time_S = torch.arange(2 * hop, dtype=torch.float64)
    window_S = torch.sin(math.pi * (time_S + 0.5) / (2 * hop))
    phase_SK = math.pi / hop * torch.outer(time_S + 0.5 + hop / 2, torch.arange(n_bins) + 0.5)
    return ((2 / hop) ** 0.5 * window_S[:, None] * phase_SK.cos()).float()
