"""The convolutional codecs: DAC (Kumar et al. 2023) and the codec of the VampNet authors.

Both have the same encoder and quantiser: stages of residual units with dilations 1, 3 and 9 and the periodic activation
`snake`, each stage followed by a strided convolution; then residual quantisation by cosine similarity. DAC's decoder
mirrors its encoder. The authors' decoder has three parallel branches per stage instead, of kernels 3, 7 and 11, whose
mean goes on (multi-receptive-field fusion as in HiFi-GAN, Kong et al. 2020). Weights come from `dac_weights`.

Blocks differ from one pass over everything only by rounding: the waveform by less than 1e-5, the codes at near ties,
less than one token in a thousand.

Axis letters: B batch, S samples (at any layer's rate), T token frame, D channels, C codebook, L latent width.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.codec.chunked import BlockwiseCodec
from vampnet.codec.config import DacConfig
from vampnet.codec.residual_vq import ResidualQuantizer, nearest
from vampnet.config import to_dict

ENTER_KERNEL, LEAVE_KERNEL, UNIT_KERNEL = 7, 3, 7
UNIT_DILATIONS = (1, 3, 9)
BRANCH_DILATIONS = (1, 3, 5)
PIECE_ELEMENTS = 1 << 20
"""Values of a layer that are computed at once."""
_DECODER_CONVOLUTION = r"decoder\.stages\..*\.(dilated|last)\.(weight|bias)"
"""Names in the state dict."""
FADE_SHARE = 8
"""Inverse share of a silent frame over which the sound of its neighbour fades."""


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha with one alpha per channel (Ziyin et al. 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, width, 1))

    def forward(self, x_BDS: Tensor) -> Tensor:
        """Snake activation x + sin(alpha x)^2 / alpha; the shape (B, D, S) stays."""
        alpha = self.alpha.to(x_BDS.dtype)
        # In place where it can be: fresh memory costs more than the arithmetic.
        squared_BDS = (alpha * x_BDS).sin_().square_()
        return torch.addcmul(x_BDS, (alpha + 1e-9).reciprocal(), squared_BDS)


class ResidualUnit(nn.Module):
    """Snake, dilated convolution, snake, convolution, added to the input; keeps the length.

    The convolutions may be in another number format than the input, and so than the sum.
    """

    def __init__(self, width: int, kernel: int, dilation: int, last_kernel: int) -> None:
        super().__init__()
        self.snake_in = Snake(width)
        self.dilated = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.snake_out = Snake(width)
        self.last = nn.Conv1d(width, width, last_kernel, padding=last_kernel // 2)

    def forward(self, x_BDS: Tensor) -> Tensor:
        """Dilated convolution with a residual sum; the shape (B, D, S) stays."""
        y_BDS = self.snake_out(self.dilated(self.snake_in(x_BDS).to(self.dilated.weight.dtype)))
        return x_BDS + self.last(y_BDS)

    @property
    def reach(self) -> int:
        """Number of samples to each side that a sample depends on."""
        return self.dilated.dilation[0] * (self.dilated.kernel_size[0] // 2) + self.last.kernel_size[0] // 2


class Branches(nn.Module):
    """Mean of parallel rows of residual units, one row per kernel."""

    def __init__(self, width: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.rows = nn.ModuleList(
            nn.Sequential(*(ResidualUnit(width, kernel, dilation, kernel) for dilation in BRANCH_DILATIONS))
            for kernel in kernels
        )

    def forward(self, x_BDS: Tensor) -> Tensor:
        """Mean of the parallel residual branches; the shape (B, D, S) stays."""
        total_BDS = self.rows[0](x_BDS)
        for row in self.rows[1:]:
            total_BDS = total_BDS + row(x_BDS)
        return total_BDS / len(self.rows)


def plain_units(width: int) -> nn.Sequential:
    """DAC's three residual units in a row."""
    return nn.Sequential(*(ResidualUnit(width, UNIT_KERNEL, dilation, 1) for dilation in UNIT_DILATIONS))


def in_pieces(units: Branches | nn.Sequential, x_BDS: Tensor) -> Tensor:
    """Run a stage's residual units piece by piece, so that the data stays in the processor's cache.

    The units see so few samples around each one that the pieces' overlap costs next to nothing. The result is that of
    one pass, up to rounding.
    """
    rows = units.rows if isinstance(units, Branches) else [units]
    reach = max(sum(unit.reach for unit in row.modules() if isinstance(unit, ResidualUnit)) for row in rows)
    n_samples, length = x_BDS.shape[2], max(PIECE_ELEMENTS // x_BDS.shape[1], 8 * reach)
    out_BDS = torch.empty_like(x_BDS)
    for start in range(0, n_samples, length):
        stop, left = min(start + length, n_samples), max(start - reach, 0)
        piece_BDS = units(x_BDS[:, :, left : stop + reach])
        out_BDS[:, :, start:stop] = piece_BDS[:, :, start - left : stop - left]
    return out_BDS


class EncoderStage(nn.Module):
    """Residual units, then a strided convolution: (B, D, S) -> (B, 2D, S / stride)."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.units = plain_units(width)
        self.snake = Snake(width)
        self.down = nn.Conv1d(width, 2 * width, 2 * stride, stride, padding=-(-stride // 2))

    def forward(self, x_BDS: Tensor) -> Tensor:
        """Features (B, D, S) -> (B, 2 D, S / stride)."""
        return self.down(self.snake(in_pieces(self.units, x_BDS)))


class DecoderStage(nn.Module):
    """A transposed convolution, then residual units: (B, D, S) -> (B, D / 2, S * stride, one less if it is odd)."""

    def __init__(self, width: int, stride: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.snake = Snake(width)
        self.up = nn.ConvTranspose1d(width, width // 2, 2 * stride, stride, padding=-(-stride // 2))
        self.units = Branches(width // 2, kernels) if kernels else plain_units(width // 2)

    def forward(self, x_BDS: Tensor) -> Tensor:
        """Features (B, D, S) -> (B, D / 2, S * stride), one sample less for an odd stride."""
        return in_pieces(self.units, self.up(self.snake(x_BDS)))


class DacEncoder(nn.Module):
    """Waveform (B, S), S a multiple of the hop -> latent (B, T, L)."""

    def __init__(self, config: DacConfig) -> None:
        super().__init__()
        widths = [config.encoder_dim * 2**i for i in range(len(config.encoder_rates) + 1)]
        self.enter = nn.Conv1d(1, widths[0], ENTER_KERNEL, padding=ENTER_KERNEL // 2)
        self.stages = nn.Sequential(*map(EncoderStage, widths, config.encoder_rates))
        self.snake = Snake(widths[-1])
        self.leave = nn.Conv1d(widths[-1], config.latent_dim, LEAVE_KERNEL, padding=LEAVE_KERNEL // 2)

    def forward(self, audio_BS: Tensor) -> Tensor:
        """Waveform (B, S) -> latent (B, T, L)."""
        x_BDS = self.stages(self.enter(audio_BS.unsqueeze(1)))
        return self.leave(self.snake(x_BDS)).transpose(1, 2)


class DacDecoder(nn.Module):
    """Latent (B, T, L) -> waveform (B, S), -1 to 1; S is T * hop, a few samples less where a stride is odd."""

    def __init__(self, config: DacConfig) -> None:
        super().__init__()
        widths = [config.decoder_dim // 2**i for i in range(len(config.decoder_rates) + 1)]
        self.enter = nn.Conv1d(config.latent_dim, widths[0], ENTER_KERNEL, padding=ENTER_KERNEL // 2)
        self.stages = nn.Sequential(
            *(
                DecoderStage(width, stride, config.decoder_kernels)
                for width, stride in zip(widths, config.decoder_rates, strict=False)
            )
        )
        self.snake = Snake(widths[-1])
        self.leave = nn.Conv1d(widths[-1], 1, ENTER_KERNEL, padding=ENTER_KERNEL // 2)

    def forward(self, latent_BTL: Tensor) -> Tensor:
        """Latent (B, T, L) -> waveform (B, S), -1 to 1."""
        x_BDS = self.stages(self.enter(latent_BTL.transpose(1, 2)))
        return self.leave(self.snake(x_BDS)).tanh().squeeze(1)


class CosineQuantizer(ResidualQuantizer):
    """A residual quantiser whose levels take the entry of the nearest direction."""

    def lookup(self, vectors_NK: Tensor, level: int) -> Tensor:
        """Index of the codebook entry with the highest cosine similarity, (N,)."""
        return nearest(F.normalize(vectors_NK), F.normalize(self.codebooks_CVK[level]))


class DacCodec(BlockwiseCodec):
    """Encoder, quantiser and decoder of one of the convolutional codecs, for use, not for training."""

    config: DacConfig

    def __init__(self, config: DacConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate_hz, self.hop = config.sample_rate_hz, config.hop
        self.n_codebooks, self.codebook_size = config.n_codebooks, config.codebook_size
        self.encoder = DacEncoder(config)
        self.quantizer = CosineQuantizer(
            config.latent_dim, config.n_codebooks, config.codebook_size, config.codebook_dim
        )
        self.decoder = DacDecoder(config)
        self.encoder_context = encoder_reach_frames(config)
        self.decoder_context = decoder_reach_frames(config)

    @property
    def id(self) -> str:
        """Digest of configuration and weights, 16 hex digits; models and codec of a bundle must share it."""
        digest = hashlib.sha256(json.dumps(to_dict(self.config), sort_keys=True).encode())
        digest.update(self.codebooks().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def codebooks(self) -> Tensor:
        """Codebook vectors (C, V, K), float32, a copy."""
        return self.quantizer.codebooks_CVK.detach().float().clone()

    def in_format(self, dtype: torch.dtype) -> DacCodec:
        """This codec with the decoder's residual convolutions, nearly all of its work, in another number format.

        For inference. What they add up to stays float32, and so does all of the encoder: codes do not change.
        """
        with torch.device("meta"):
            converted = DacCodec(self.config)
        state = {
            name: tensor.to(dtype) if re.fullmatch(_DECODER_CONVOLUTION, name) else tensor
            for name, tensor in self.state_dict().items()
        }
        converted.load_state_dict(state, assign=True)
        return converted.train(self.training)

    def encode_span(self, audio_BS: Tensor) -> Tensor:
        """Waveform (B, S) of one span -> codes (B, C, T)."""
        return self.quantizer.encode(self.encoder(audio_BS))

    def decode_span(self, codes_BCT: Tensor) -> Tensor:
        """Codes (B, C, T) of one span -> waveform (B, T * hop)."""
        # A frame counts up to its first masked code; one that begins with it is silent.
        known_BCT = (codes_BCT < self.codebook_size).long().cumprod(dim=1)
        latent_BTL = self.quantizer.decode(codes_BCT.clamp(max=self.codebook_size - 1), known_BCT)
        audio_BS = self.decoder(latent_BTL)
        # Odd strides lose a few samples at the end, which are silent here.
        audio_BS = F.pad(audio_BS, (0, codes_BCT.shape[2] * self.hop - audio_BS.shape[1]))
        silent_BT = known_BCT[:, 0] == 0
        if silent_BT.any():
            audio_BS = audio_BS * silence_gate(silent_BT, self.hop)
        return audio_BS


def silence_gate(silent_BT: Tensor, hop: int) -> Tensor:
    """Gain (B, T * hop): 1 in sounding frames, 0 in silent ones but for a short fade next to a sounding one."""
    sounding_BT1 = (~silent_BT).float().unsqueeze(2)
    place_S = (torch.arange(hop, device=silent_BT.device) + 0.5) * FADE_SHARE / hop
    fade_out_S = (1 - place_S).clamp(min=0)
    before_BT1 = F.pad(sounding_BT1[:, :-1], (0, 0, 1, 0))
    after_BT1 = F.pad(sounding_BT1[:, 1:], (0, 0, 0, 1))
    fades_BTS = torch.maximum(before_BT1 * fade_out_S, after_BT1 * fade_out_S.flip(0))
    return torch.maximum(sounding_BT1, fades_BTS).flatten(1)


def encoder_reach_frames(config: DacConfig) -> int:
    """Number of frames to each side that a frame's codes depend on."""
    reach, rate = ENTER_KERNEL // 2, 1  # samples; samples per step of the layer's output
    for stride in config.encoder_rates:
        reach += rate * sum(UNIT_DILATIONS) * (UNIT_KERNEL // 2)
        reach += rate * 2 * stride  # of a kernel twice as long as the stride, more than falls on either side
        rate *= stride
    return -(-reach // rate) + LEAVE_KERNEL // 2


def decoder_reach_frames(config: DacConfig) -> int:
    """Number of frames to each side that a frame's waveform depends on."""
    reach, rate = float(ENTER_KERNEL // 2), 1  # frames; steps of the layer's output per frame
    for stride in config.decoder_rates:
        reach += 2 / rate  # the transposed convolution's kernel spans two steps of its input
        rate *= stride
        if config.decoder_kernels:
            reach += (sum(BRANCH_DILATIONS) + len(BRANCH_DILATIONS)) * (max(config.decoder_kernels) // 2) / rate
        else:
            reach += sum(UNIT_DILATIONS) * (UNIT_KERNEL // 2) / rate
    return math.ceil(reach + ENTER_KERNEL // 2 / rate)
