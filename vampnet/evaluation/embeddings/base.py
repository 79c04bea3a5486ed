"""The interface of an audio embedding."""

from __future__ import annotations

from torch import Tensor


class Embedding:
    """Mono audio -> vectors. A base class that states shapes; see the implementations below."""

    id: str
    """Names everything that the vectors depend on: kind, weights, layer."""
    dim: int
    """Dimensions of a vector."""
    sample_rate_hz: int
    """Rate of the audio that goes in."""
    input_lufs: float | None = None
    """Loudness that excerpts are brought to before embedding, LUFS; None leaves the level alone."""
    min_samples: int = 1
    """Shortest excerpt that gives a vector; shorter ones are padded with silence."""
    max_s: float = 60.0
    """Longest excerpt that is embedded at once, seconds."""

    def vectors(self, audio_BS: Tensor) -> Tensor:
        """Waveforms (B, S), S at least `min_samples` -> float32 vectors (B, N, D) on the CPU, N at least 1."""
        raise NotImplementedError
