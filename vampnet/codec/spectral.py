"""The embedded codec: a short STFT in, ConvNeXt blocks at the token frame rate, an inverse STFT out (design section 7).

Nothing runs at the waveform's rate except the two transforms, so a CPU core encodes and decodes many times faster
than real time. The layers follow Vocos (Siuzdak 2023): magnitude and phase of an STFT with 75 % overlap.

Axis letters: B batch, S samples, T token frame, U STFT frame (hop / stft_hop per T), F bin, D width, C codebook.
"""

from __future__ import annotations

import hashlib
import json

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.codec.blocks import ConvNextBlock
from vampnet.codec.blockwise import BlockwiseCodec
from vampnet.codec.lowband import LowBand
from vampnet.codec.quantize import ResidualQuantizer
from vampnet.config import CodecConfig, to_dict

MAX_LOG_MAGNITUDE = 6.5
"""Natural log of the largest STFT magnitude that the decoder emits: random codes cannot make it explode."""


class Encoder(nn.Module):
    """STFT magnitudes (and a long STFT's low bins) of each token frame -> latent (B, T, L)."""

    window_S: Tensor
    long_window_S: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.n_fft = 4 * config.stft_hop
        self.per_frame = config.hop // config.stft_hop
        bins = self.n_fft // 2 + 1
        self.register_buffer("window_S", torch.hann_window(self.n_fft), persistent=False)
        self.register_buffer("long_window_S", torch.hann_window(config.long_fft), persistent=False)
        self.enter = nn.Linear(self.per_frame * (bins + 2 * config.phase_bins) + config.long_bins, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(ConvNextBlock(config.width) for _ in range(config.encoder_depth))
        self.leave_norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.latent_dim)

    def features(self, audio_BS: Tensor) -> Tensor:
        """Waveform, its length a multiple of the hop -> inputs (B, T, features), about unit scale."""
        config = self.config
        spectrum_BFU = _stft(audio_BS, self.window_S, config.stft_hop)
        magnitude_BFU = spectrum_BFU.abs()
        parts = [_log_feature(magnitude_BFU)]
        if config.phase_bins:
            low_BFU = spectrum_BFU[:, : config.phase_bins]
            unit_BFU = low_BFU * (magnitude_BFU[:, : config.phase_bins] + 0.3).reciprocal()
            parts += [unit_BFU.real, unit_BFU.imag]
        short_BUF = torch.cat(parts, dim=1).transpose(1, 2)
        long_BFT = _stft(audio_BS, self.long_window_S, config.hop)[:, : config.long_bins].abs()
        return torch.cat([short_BUF.unflatten(1, (-1, self.per_frame)).flatten(2), _log_feature(long_BFT).mT], dim=2)

    def forward(self, audio_BS: Tensor) -> Tensor:
        x_BTD = self.norm(self.enter(self.features(audio_BS)))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.leave(self.leave_norm(x_BTD))


class Decoder(nn.Module):
    """Latent (B, T, L) -> waveform (B, T * hop)."""

    window_S: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.n_fft = 4 * config.stft_hop
        self.per_frame = config.hop // config.stft_hop
        bins = self.n_fft // 2 + 1
        self.register_buffer("window_S", torch.hann_window(self.n_fft), persistent=False)
        self.enter = nn.Linear(config.latent_dim, config.decoder_width)
        self.blocks = nn.ModuleList(ConvNextBlock(config.decoder_width) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(config.decoder_width)
        self.split = nn.Linear(config.decoder_width, self.per_frame * config.fine_width)
        self.fine = nn.ModuleList(ConvNextBlock(config.fine_width) for _ in range(config.fine_depth))
        self.fine_norm = nn.LayerNorm(config.fine_width)
        self.leave = nn.Linear(config.fine_width, 3 * bins)
        with torch.no_grad():  # start near the level of normalised music instead of at full scale
            self.leave.bias[:bins] = -2.0

    def forward(self, latent_BTL: Tensor, silent_BT: Tensor | None = None) -> Tensor:
        x_BTD = self.enter(latent_BTL)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        x_BUD = self.split(self.norm(x_BTD)).unflatten(2, (self.per_frame, -1)).flatten(1, 2)
        for block in self.fine:
            x_BUD = block(x_BUD)
        log_BUF, real_BUF, imag_BUF = self.leave(self.fine_norm(x_BUD)).float().chunk(3, dim=2)
        magnitude_BUF = log_BUF.clamp(max=MAX_LOG_MAGNITUDE).exp()
        if silent_BT is not None:
            audible_BU = (~silent_BT).repeat_interleave(self.per_frame, dim=1)
            magnitude_BUF = magnitude_BUF * audible_BU.unsqueeze(-1)
        # The direction of (real, imag) is the phase; dividing by a smooth norm keeps gradients finite at the origin.
        unit_BUF = magnitude_BUF * torch.rsqrt(real_BUF.square() + imag_BUF.square() + 1e-6)
        return _istft(torch.complex(real_BUF * unit_BUF, imag_BUF * unit_BUF).mT, self.window_S, self.config.stft_hop)


class SpectralCodec(BlockwiseCodec):
    """Encoder, residual quantiser and decoder of the embedded model."""

    config: CodecConfig

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate_hz, self.hop = config.sample_rate_hz, config.hop
        self.n_codebooks, self.codebook_size = config.n_codebooks, config.codebook_size
        self.encoder = Encoder(config)
        self.quantizer = ResidualQuantizer(
            config.latent_dim, config.latent_codebooks, config.codebook_size, config.codebook_dim
        )
        self.decoder = Decoder(config)
        self.low_band = LowBand(config) if config.waveform_codebooks else None
        # Frames of context on each side that make a block's result independent of where the block was cut.
        self.encoder_context = 3 * config.encoder_depth + -(-config.long_fft // (2 * config.hop))
        fine_frames = -(-(3 * config.fine_depth + 2) * config.stft_hop // config.hop)
        self.decoder_context = 3 * config.decoder_depth + fine_frames
        if self.low_band is not None:
            self.decoder_context += self.low_band.context_frames

    @property
    def id(self) -> str:
        settings = to_dict(self.config)
        if self.low_band is None:  # settings without effect do not change what the codes mean
            settings = {name: value for name, value in settings.items() if not name.startswith("waveform_")}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(self.codebooks().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def codebooks(self) -> Tensor:
        books_CVK = self.quantizer.codebooks_CVK
        if self.low_band is not None:
            books_CVK = torch.cat([books_CVK, self.low_band.codebooks_CVK])
        return books_CVK.detach().float().clone()

    def encode_span(self, audio_BS: Tensor) -> Tensor:
        codes_BCT = self.quantizer.encode(self.encoder(audio_BS))
        if self.low_band is None:
            return codes_BCT
        return torch.cat([codes_BCT, self.low_band.encode(audio_BS)], dim=1)

    def decode_span(self, codes_BCT: Tensor) -> Tensor:
        # A frame counts up to its first masked code; one that begins with it is silent.
        known_BCT = (codes_BCT < self.codebook_size).long().cumprod(dim=1)
        codes_BCT = codes_BCT.clamp(max=self.codebook_size - 1)
        n_latent = self.config.latent_codebooks
        latent_BTL = self.quantizer.decode(codes_BCT[:, :n_latent], known_BCT[:, :n_latent])
        audio_BS = self.decoder(latent_BTL, known_BCT[:, 0] == 0)
        if self.low_band is None or codes_BCT.shape[1] <= n_latent:
            return audio_BS
        return self.low_band(
            audio_BS, self.low_band.dequantize(codes_BCT[:, n_latent:]), known_BCT[:, n_latent:].sum(1)
        )


def _log_feature(magnitude: Tensor) -> Tensor:
    """Log magnitude, shifted and scaled so that normalised music has about zero mean and unit spread."""
    return 0.4 * (magnitude.clamp_min(1e-5).log() + 3.0)


def _stft(audio_BS: Tensor, window_S: Tensor, hop: int) -> Tensor:
    """Complex STFT (B, F, U) with exactly S / hop frames; frame u is centred on the middle of its hop."""
    n_fft = len(window_S)
    edge = (n_fft - hop) // 2
    padded_BS = F.pad(audio_BS.float(), (edge, n_fft - hop - edge))
    return torch.stft(padded_BS, n_fft, hop, window=window_S, center=False, return_complex=True)


def _istft(spectrum_BFU: Tensor, window_S: Tensor, hop: int) -> Tensor:
    """Inverse of `_stft` with the same window for synthesis; waveform of U * hop samples."""
    n_fft, n_frames = len(window_S), spectrum_BFU.shape[2]
    frames_BSU = torch.fft.irfft(spectrum_BFU, n=n_fft, dim=1) * window_S[:, None]
    total = (n_frames - 1) * hop + n_fft
    audio_BS = F.fold(frames_BSU, (1, total), (1, n_fft), stride=(1, hop))[:, 0, 0]
    edge = (n_fft - hop) // 2
    # A squared Hann window with 75 % overlap adds up to 1.5 everywhere; at the ends of the signal too few frames
    # overlap, which a constant divisor turns into a short fade instead of a blown-up edge.
    return audio_BS[:, edge : edge + n_frames * hop] / 1.5
