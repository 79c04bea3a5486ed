"""Audio in memory, and what is known of a file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vampnet.audio.metadata import Metadata
from vampnet.audio.units import samples_to_seconds
from vampnet.errors import AudioError

Samples = NDArray[np.float32]

MIN_RATE_HZ, MAX_RATE_HZ = 4000, 768000
MAX_CHANNELS = 256
BLOCK_SAMPLES = 65536


@dataclass(frozen=True, eq=False)
class Audio:
    """A piece of audio in memory."""

    samples: Samples
    """float32 (channels, samples), finite, at least one sample; full scale at 1.0 (larger values are allowed)."""
    sample_rate_hz: int
    """Samples per second and channel, 4000 to 768000."""

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, np.ndarray) or samples.dtype.kind != "f":
            kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
            raise AudioError(f"samples are {kind}, but must be a numpy array of floats with full scale at 1.0")
        if samples.ndim != 2 or not 1 <= len(samples) <= MAX_CHANNELS:
            raise AudioError(
                f"samples have shape {samples.shape}, but must be (channels, samples); mono is (1, samples)"
            )
        if samples.shape[1] == 0:
            raise AudioError("audio has no samples")
        check_rate("audio", self.sample_rate_hz)
        check_finite("audio", samples, 0, self.sample_rate_hz)
        object.__setattr__(self, "samples", samples.astype(np.float32, copy=False))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self.samples.shape[1]

    @property
    def duration_s(self) -> float:
        """Length, seconds."""
        return samples_to_seconds(self.n_samples, self.sample_rate_hz)


@dataclass(frozen=True)
class AudioInfo:
    """Facts of an audio file: rate, channels, length, coding, corrected where the header is wrong."""

    sample_rate_hz: int
    channels: int
    n_samples: int
    """Samples per channel."""
    format: str
    """Name of the container: libsndfile's ("WAV", "FLAC", "OGG", "MP3", "AIFF", ...), or FFmpeg's in capitals."""
    subtype: str
    """Name of the coding, likewise: "PCM_16", "FLOAT", "VORBIS", "AAC", ..."""
    metadata: Metadata = field(default_factory=Metadata, compare=False, repr=False)
    """Tags, channel mask, cue points and loops."""
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """Warnings about the file, for its user."""

    @property
    def duration_s(self) -> float:
        """Length, seconds."""
        return samples_to_seconds(self.n_samples, self.sample_rate_hz)


def check_rate(name: str, sample_rate_hz: int) -> None:
    """Raise AudioError for a sample rate out of range."""
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{name} has {sample_rate_hz} Hz, but the sample rate must lie in {MIN_RATE_HZ} to {MAX_RATE_HZ}"
        )


def check_finite(name: str, block: Samples, offset: int, sample_rate_hz: int) -> None:
    """Raise AudioError at the first NaN or infinite sample; `offset` samples came before the block."""
    finite = np.isfinite(block)
    if not finite.all():
        channel, sample = min(np.argwhere(~finite).tolist(), key=lambda place: place[1])
        at_s = samples_to_seconds(offset + sample, sample_rate_hz)
        raise AudioError(f"{name} has a NaN or infinite sample at {at_s:.3f} s in channel {channel + 1}")
