"""Settings of the codecs: what their weights are and how they decode."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vampnet.config import check
from vampnet.errors import SettingsError

MAX_DEPTH = 256
"""Most blocks of a part of a network."""


@dataclass(frozen=True)
class MagnitudeConfig:
    """Settings of the magnitude codec (`codec/magnitude.py`): STFT magnitudes in and out, phases by Griffin-Lim."""

    kind: str = "magnitude"
    """Codec family."""
    sample_rate_hz: int = 44100
    """Sample rate of the waveform, Hz."""
    hop: int = 768
    """Samples per token frame; 57.4 frames/s at 44.1 kHz."""
    low_fft: int = 2048
    """Window of the transform below the crossover, samples."""
    low_hop: int = 384
    """Its hop, samples; divides `hop`."""
    high_fft: int = 768
    """Window of the transform above the crossover, samples."""
    high_hop: int = 192
    """Its hop, samples; divides `hop`."""
    crossover_hz: float = 1900.0
    """Crossover frequency of the two transforms, each with half of the magnitude, Hz."""
    crossover_width_hz: float = 150.0
    """Width of the fade between them (a hyperbolic tangent), Hz."""
    long_fft: int = 4096
    """Window of a third transform that only the encoder sees, for bass notes, samples."""
    long_bins: int = 256
    """Number of its low bins that the encoder sees."""
    width: int = 320
    """Channels of the encoder's blocks at the token frame rate."""
    encoder_depth: int = 4
    """ConvNeXt blocks of the encoder."""
    decoder_width: int = 448
    """Channels of the decoder's blocks at the token frame rate."""
    decoder_depth: int = 5
    """ConvNeXt blocks of the decoder at the token frame rate."""
    fine_width: int = 192
    """Channels of the decoder's blocks at the rate of the high transform."""
    fine_depth: int = 2
    """ConvNeXt blocks of the decoder at that rate."""
    latent_dim: int = 128
    """Width of the latent that the quantiser sees."""
    n_codebooks: int = 14
    """Residual quantiser levels."""
    codebook_size: int = 1024
    """Entries per codebook."""
    codebook_dim: int = 8
    """Dimensions in which each codebook looks up."""
    linear_path: bool = False
    """A linear map beside each of the networks, between compressed magnitudes and the latent: their principal
    components, set before training (`vampnet.codec.pca_path`)."""
    low_rounds: int = 16
    """Rounds of the search for phases below the crossover, 0 to 1000."""
    high_rounds: int = 6
    """Rounds above it, 0 to 1000."""

    def __post_init__(self) -> None:
        if self.kind != "magnitude":
            raise SettingsError(f"codec kind {self.kind!r} is not 'magnitude', the kind of these settings")
        check("codec.sample_rate_hz", self.sample_rate_hz, 4000, 768000)
        check("codec.hop", self.hop, 1, 65536)
        check("codec.long_fft", self.long_fft, 2, 65536)
        for name in ("width", "decoder_width", "fine_width", "latent_dim", "codebook_dim"):
            check(f"codec.{name}", getattr(self, name), 1, 65536)
        for name in ("encoder_depth", "decoder_depth", "fine_depth"):
            check(f"codec.{name}", getattr(self, name), 0, MAX_DEPTH)
        check("codec.n_codebooks", self.n_codebooks, 1, 64)
        check("codec.codebook_size", self.codebook_size, 2, 65535)
        for band in ("low", "high"):
            fft, hop = getattr(self, f"{band}_fft"), getattr(self, f"{band}_hop")
            if hop < 1 or self.hop % hop:
                raise SettingsError(f"codec.{band}_hop {hop} must divide codec.hop {self.hop}")
            check(
                f"codec.{band}_fft", fft, 2 * hop, 65536, f"at least twice codec.{band}_hop, or windows do not overlap"
            )
            check(f"codec.{band}_rounds", getattr(self, f"{band}_rounds"), 0, 1000)
        check("codec.crossover_hz", self.crossover_hz, 1.0, self.sample_rate_hz / 2)
        check("codec.crossover_width_hz", self.crossover_width_hz, 1.0, self.sample_rate_hz / 2)
        check("codec.long_bins", self.long_bins, 1, self.long_fft // 2 + 1)

    @property
    def frames_per_s(self) -> float:
        """Codec frames per second."""
        return self.sample_rate_hz / self.hop


@dataclass(frozen=True)
class DacConfig:
    """Settings of the convolutional codecs: DAC (Kumar et al. 2023) and the codec of the VampNet authors.

    The latter has DAC's encoder and quantiser, and a decoder of parallel branches. The settings describe published
    weights; nothing is trained with them.
    """

    kind: str = "dac"
    """Codec family."""
    sample_rate_hz: int = 44100
    """Sample rate of the waveform, Hz."""
    encoder_dim: int = 64
    """Channels of the encoder's first layer; they double with every stage."""
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8)
    """Stride of each encoder stage, 1 or more; their product is the hop, samples per token frame."""
    decoder_dim: int = 1536
    """Channels of the decoder's first layer; they halve with every stage."""
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2)
    """Stride of each decoder stage; their product is the hop as well."""
    decoder_kernels: tuple[int, ...] = ()
    """Kernels of the parallel branches of a decoder stage (authors' codec: 3, 7, 11); empty: plain DAC."""
    latent_dim: int = 1024
    """Width of the latent that the quantiser sees."""
    n_codebooks: int = 9
    """Residual quantiser levels."""
    codebook_size: int = 1024
    """Entries per codebook."""
    codebook_dim: int = 8
    """Dimensions in which each codebook looks up."""

    def __post_init__(self) -> None:
        if self.kind != "dac":
            raise SettingsError(f"codec kind {self.kind!r} is not 'dac', the kind of these settings")
        for name, least in (("encoder_rates", 1), ("decoder_rates", 1), ("decoder_kernels", 0)):
            values = getattr(self, name)
            if not isinstance(values, (list, tuple)) or not all(type(v) is int and 1 <= v <= 1024 for v in values):
                raise SettingsError(f"codec.{name} is {values!r}, but must be a list of whole numbers from 1 to 1024")
            check(f"number of codec.{name}", len(values), least, 16)
            object.__setattr__(self, name, tuple(values))  # JSON knows lists only
        if any(kernel % 2 == 0 for kernel in self.decoder_kernels):
            raise SettingsError(f"codec.decoder_kernels is {self.decoder_kernels}, but kernels must be odd")
        if self.hop != math.prod(self.decoder_rates):
            raise SettingsError(
                f"codec.decoder_rates {self.decoder_rates} multiply to {math.prod(self.decoder_rates)}, but must give "
                f"the hop {self.hop} of codec.encoder_rates {self.encoder_rates}"
            )
        check("codec.sample_rate_hz", self.sample_rate_hz, 4000, 768000)
        for name in ("encoder_dim", "latent_dim", "codebook_dim"):
            check(f"codec.{name}", getattr(self, name), 1, 65536)
        check("codec.decoder_dim", self.decoder_dim, 2 ** len(self.decoder_rates), 65536)
        check("codec.n_codebooks", self.n_codebooks, 1, 64)
        check("codec.codebook_size", self.codebook_size, 2, 65535)

    @property
    def hop(self) -> int:
        """Samples per token frame."""
        return math.prod(self.encoder_rates)

    @property
    def frames_per_s(self) -> float:
        """Codec frames per second."""
        return self.sample_rate_hz / self.hop
