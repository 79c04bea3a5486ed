"""Settings of a compressed file: what it keeps."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check_settings, setting


@dataclass(frozen=True)
class CompressionConfig:
    """Tokens that a compressed file keeps, and their coding."""

    codebooks: int = setting(4, low=1, high=64)
    """Kept codebooks, the coarsest first, 1 to 64; all of the codec's keep its full quality."""
    period: int = setting(1, low=1, high=65535)
    """Period: every n-th frame is kept, 1 to 65535; 1 keeps all."""

    def __post_init__(self) -> None:
        check_settings(self)
