"""The magnitude codec: codes hold the magnitudes of two short-time Fourier transforms, phases are found when decoding.

Below about 2 kHz, where notes are told apart, windows are long (2048 samples); above, where attacks are, they are short
(768). An encoder of ConvNeXt blocks at the token frame rate turns both into a latent, a residual quantiser turns that
into codes, a decoder into both magnitudes again. All codebooks, the coarse ones first, thus say where the energy
lies, pitch and attack included, and no codebook is spent on phases, which no model could predict; Griffin-Lim
(`vampnet.codec.griffin_lim`) makes them up. The waveform is therefore not that of the input, its spectrum is. A codec
may have a linear map beside each network (`vampnet.codec.pca_path`), as the embedded one has, whose long windows are of
3072 samples. Sizes above are those of the default settings.

Axis letters: B batch, S samples, T token frame, U window, F bin, D width, L latent width, C codebook.
"""

from __future__ import annotations

import hashlib
import json
import math

import torch
from torch import Tensor, nn

from vampnet.codec.chunked import BlockwiseCodec
from vampnet.codec.config import MagnitudeConfig
from vampnet.codec.convnext import ConvNextBlock
from vampnet.codec.griffin_lim import griffin_lim, inverse_stft, magnitude, stft
from vampnet.codec.output_filter import bound_peaks, dc_reach, remove_dc
from vampnet.codec.pca_path import LinearDecoder, LinearEncoder
from vampnet.codec.residual_vq import ResidualQuantizer
from vampnet.codec.stft_grids import StftGrid
from vampnet.config import to_dict

MAX_LOG_MAGNITUDE = 6.5
"""Natural log of the largest magnitude that the decoder emits: random codes cannot make it explode."""
START_LOG_MAGNITUDE = -2.0
"""Initial log magnitude of the decoder, about the level of normalised music."""


class MagnitudeEncoder(nn.Module):
    """Log magnitudes of both transforms, and of the low bins of a longer one, -> latent (B, T, L).

    With a linear path its projection is added.
    """

    long_window_S: Tensor

    def __init__(self, config: MagnitudeConfig, low: StftGrid, high: StftGrid) -> None:
        super().__init__()
        self.config, self.low, self.high = config, low, high
        self.register_buffer("long_window_S", torch.hann_window(config.long_fft), persistent=False)
        n_features = low.per_frame * low.n_bins + high.per_frame * (config.high_fft // 2 + 1) + config.long_bins
        self.linear = LinearEncoder(config.latent_dim, low, high, config.sample_rate_hz) if config.linear_path else None
        self.enter = nn.Linear(n_features, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(ConvNextBlock(config.width) for _ in range(config.encoder_depth))
        self.leave_norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.latent_dim)

    def features(self, low_BFU: Tensor, high_BFU: Tensor, long_BFU: Tensor) -> Tensor:
        """Magnitudes of the three transforms, all bins -> inputs (B, T, features), about unit scale."""
        low_BFU, long_BFU = low_BFU[:, self.low.first : self.low.stop], long_BFU[:, : self.config.long_bins]
        parts = ((low_BFU, self.low.per_frame), (high_BFU, self.high.per_frame), (long_BFU, 1))
        return torch.cat([_log_feature(m_BFU).mT.unflatten(1, (-1, n)).flatten(2) for m_BFU, n in parts], dim=2)

    def forward(self, audio_BS: Tensor) -> Tensor:
        """Waveform, its length a multiple of the hop -> latent (B, T, L)."""
        low_BFU, high_BFU = (magnitude(stft(audio_BS, grid.window_S, grid.hop)) for grid in (self.low, self.high))
        long_BFU = magnitude(stft(audio_BS, self.long_window_S, self.config.hop))
        x_BTD = self.norm(self.enter(self.features(low_BFU, high_BFU, long_BFU)))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        latent_BTL = self.leave(self.leave_norm(x_BTD))
        if self.linear is None:
            return latent_BTL
        return latent_BTL + self.linear(self.low.select_bins(low_BFU), self.high.select_bins(high_BFU))


class MagnitudeDecoder(nn.Module):
    """Latent (B, T, L) -> natural log of the low and of the high magnitudes, each (B, F, U)."""

    def __init__(self, config: MagnitudeConfig, low: StftGrid, high: StftGrid) -> None:
        super().__init__()
        self.low_per_frame, self.high_per_frame = low.per_frame, high.per_frame
        self.linear = LinearDecoder(config.latent_dim, low, high) if config.linear_path else None
        self.enter = nn.Linear(config.latent_dim, config.decoder_width)
        self.blocks = nn.ModuleList(ConvNextBlock(config.decoder_width) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(config.decoder_width)
        self.leave_low = nn.Linear(config.decoder_width, low.per_frame * low.n_bins)
        self.split = nn.Linear(config.decoder_width, high.per_frame * config.fine_width)
        self.fine = nn.ModuleList(ConvNextBlock(config.fine_width) for _ in range(config.fine_depth))
        self.fine_norm = nn.LayerNorm(config.fine_width)
        self.leave_high = nn.Linear(config.fine_width, high.n_bins)

    def forward(self, latent_BTL: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, T, L) -> log magnitudes (B, U, F) of the low and the high grid."""
        x_BTD = self.enter(latent_BTL)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        x_BTD = self.norm(x_BTD)
        low_BUF = self.leave_low(x_BTD).unflatten(2, (self.low_per_frame, -1)).flatten(1, 2)
        x_BUD = self.split(x_BTD).unflatten(2, (self.high_per_frame, -1)).flatten(1, 2)
        for block in self.fine:
            x_BUD = block(x_BUD)
        high_BUF = self.leave_high(self.fine_norm(x_BUD))
        if self.linear is None:
            return _log_magnitude(low_BUF + START_LOG_MAGNITUDE), _log_magnitude(high_BUF + START_LOG_MAGNITUDE)
        start_low_BUF, start_high_BUF = self.linear(latent_BTL)
        return _log_magnitude(start_low_BUF + low_BUF), _log_magnitude(start_high_BUF + high_BUF)


class MagnitudeCodec(BlockwiseCodec):
    """Encoder, residual quantiser and decoder."""

    decoder_block = 1024  # the search for phases looks two seconds to each side: as much as blocks of 256 are long
    config: MagnitudeConfig
    small_window_S: Tensor

    def __init__(self, config: MagnitudeConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate_hz, self.hop = config.sample_rate_hz, config.hop
        self.n_codebooks, self.codebook_size = config.n_codebooks, config.codebook_size
        self.low, self.high = StftGrid(config, low=True), StftGrid(config, low=False)
        self.encoder = MagnitudeEncoder(config, self.low, self.high)
        self.quantizer = ResidualQuantizer(
            config.latent_dim, config.n_codebooks, config.codebook_size, config.codebook_dim
        )
        self.decoder = MagnitudeDecoder(config, self.low, self.high)
        # Nothing of the low grid lies above its last bin, so its phases are found at a fraction of the sample rate.
        self.decimation = _largest_divisor(
            math.gcd(config.low_hop, config.low_fft), config.low_fft // (2 * self.low.stop)
        )
        # From phases of tones half the rounds do as well; blocks, cut at whole frames, must not see where they are cut.
        self.tonal_start = config.hop % config.high_fft == 0
        small_fft = config.low_fft // self.decimation
        self.register_buffer("small_window_S", torch.hann_window(small_fft), persistent=False)
        self.encoder_context = 3 * config.encoder_depth + -(-config.long_fft // (2 * config.hop))
        self.decoder_context = self._decoder_context()

    def _decoder_context(self) -> int:
        """Frames of context on each side that make a block's waveform independent of where the block was cut."""
        config = self.config
        reach = 0  # samples that the search for phases, the last transform and `remove_dc` look to each side
        for grid, n_rounds in ((self.low, config.low_rounds), (self.high, config.high_rounds)):
            reach = max(reach, (n_rounds + 1) * grid.n_fft)
        reach += dc_reach(config.sample_rate_hz, config.hop)
        fine = (3 * config.fine_depth) * config.high_hop
        return 3 * config.decoder_depth + -(-(reach + fine) // config.hop)

    @property
    def id(self) -> str:
        """Digest of configuration and weights, 16 hex digits; models and codec of a bundle must share it."""
        settings = to_dict(self.config)
        for name in ("low_rounds", "high_rounds"):  # they change the sound, not what the codes mean
            del settings[name]
        if not self.config.linear_path:  # codecs from before there was one keep their id
            del settings["linear_path"]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(self.codebooks().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def codebooks(self) -> Tensor:
        """Codebook vectors (C, V, K), float32, a copy."""
        return self.quantizer.codebooks_CVK.detach().float().clone()

    def encode_span(self, audio_BS: Tensor) -> Tensor:
        """Waveform (B, S) of one span -> codes (B, C, T)."""
        return self.quantizer.encode(self.encoder(audio_BS))

    def decode_span(self, codes_BCT: Tensor) -> Tensor:
        """Codes (B, C, T) of one span -> waveform (B, T * hop)."""
        # A frame counts up to its first masked code; one that begins with it is silent.
        known_BCT = (codes_BCT < self.codebook_size).long().cumprod(dim=1)
        latent_BTL = self.quantizer.decode(codes_BCT.clamp(max=self.codebook_size - 1), known_BCT)
        low_BFU, high_BFU = self.decoder(latent_BTL)
        audible_BT = (known_BCT[:, 0] > 0).float()
        audio_BS = self.synthesise(
            low_BFU.exp() * audible_BT.repeat_interleave(self.low.per_frame, dim=1)[:, None],
            high_BFU.exp() * audible_BT.repeat_interleave(self.high.per_frame, dim=1)[:, None],
        )
        return bound_peaks(remove_dc(audio_BS, self.sample_rate_hz, self.hop))

    def magnitudes(self, audio_BS: Tensor) -> tuple[Tensor, Tensor]:
        """STFT magnitudes of both grids of a waveform (B, S): the targets of the decoder."""
        return self.low(audio_BS), self.high(audio_BS)

    def synthesise(self, low_BFU: Tensor, high_BFU: Tensor) -> Tensor:
        """Waveform (B, S) whose magnitudes approximate the given ones (Griffin-Lim)."""
        config, low, high = self.config, self.low, self.high
        low_BFU, high_BFU = low_BFU * low.gain_F[:, None], high_BFU * high.gain_F[:, None]
        small_fft, small_hop = config.low_fft // self.decimation, config.low_hop // self.decimation
        small_BFU = low.all_bins(low_BFU, small_fft) / self.decimation
        phased_BFU = griffin_lim(small_BFU, self.small_window_S, small_hop, config.low_rounds)
        # The same bins and window centres as at the full rate; only the unit of the magnitudes differs.
        phased_BFU = low.all_bins(phased_BFU[:, low.first : low.stop] * self.decimation, config.low_fft)
        below_BS = inverse_stft(phased_BFU, low.window_S, low.hop)
        high_BFU = high.all_bins(high_BFU, config.high_fft)
        phased_BFU = griffin_lim(high_BFU, high.window_S, high.hop, config.high_rounds, self.tonal_start)
        return below_BS + inverse_stft(phased_BFU, high.window_S, high.hop)


def n_weights(config: MagnitudeConfig) -> int:
    """Weights of the codec's large matrices, counted before any of them is made."""
    c, low, high = config, StftGrid(config, low=True), StftGrid(config, low=False)
    n_low, n_high = low.per_frame * low.n_bins, high.per_frame * high.n_bins
    encoder = c.width * (n_low + high.per_frame * (c.high_fft // 2 + 1) + c.long_bins + c.latent_dim)
    decoder = c.decoder_width * (c.latent_dim + n_low + high.per_frame * c.fine_width) + c.fine_width * high.n_bins
    blocks = 6 * (c.encoder_depth * c.width**2 + c.decoder_depth * c.decoder_width**2 + c.fine_depth * c.fine_width**2)
    quantizer = c.n_codebooks * c.codebook_dim * (c.codebook_size + 2 * c.latent_dim)
    linear = 2 * c.latent_dim * (n_low + n_high) if c.linear_path else 0
    return encoder + decoder + blocks + quantizer + linear


def _log_magnitude(x_BUF: Tensor) -> Tensor:
    return x_BUF.float().clamp(max=MAX_LOG_MAGNITUDE).mT


def _log_feature(magnitude_BFU: Tensor) -> Tensor:
    """Log magnitude, shifted and scaled so that normalised music has about zero mean and unit spread."""
    return 0.4 * (magnitude_BFU.clamp_min(1e-4).log() + 1.5)


def _largest_divisor(number: int, most: int) -> int:
    return next(d for d in range(max(most, 1), 0, -1) if number % d == 0)
