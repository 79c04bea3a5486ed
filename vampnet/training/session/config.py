"""Settings of a training session."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check


@dataclass(frozen=True)
class SessionConfig:
    """Time, audio and resources of a training session."""

    seconds: float
    """Training time of all stages together, seconds; above 0."""
    soundfont: str | None = None
    """General MIDI sound font, SF2 or SF3; None renders with synthesis alone."""
    start_from: str | None = "default"
    """Bundle whose codec is trained on; None starts with random weights."""
    codec_share: float = 0.3
    """Share of the time for the codec, 0.01 to 0.99."""
    hours: float = 60.0
    """Audio to render, hours; the processor is free after that. Above 0."""
    workers: int | None = None
    """Rendering processes, 0 to 1024; None: all cores but one."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:N" or "mps"."""

    def __post_init__(self) -> None:
        check("seconds", self.seconds, 1e-3, 1e9)
        check("codec_share", self.codec_share, 0.01, 0.99)
        check("hours", self.hours, 1e-6, 1e6)
        if self.workers is not None:
            check("workers", self.workers, 0, 1024)
