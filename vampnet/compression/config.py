"""Settings of a compressed file: what it keeps and how that is coded."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check
from vampnet.errors import SettingsError


@dataclass(frozen=True)
class CompressionConfig:
    """What a compressed file keeps, and how it is coded."""

    codebooks: int = 4
    """Kept codebooks, the coarsest first, 1 to 64; all of the codec's keep its full quality."""
    period: int = 1
    """Every so many frames one is kept, 1 to 65535; with 1 all are."""
    entropy: str = "auto"
    """Coder of the kept tokens: adaptive, static, flat, or auto for the one with the smallest file."""

    def __post_init__(self) -> None:
        check("codebooks", self.codebooks, 1, 64)
        check("period", self.period, 1, 65535)
        if self.entropy not in ("auto", "adaptive", "static", "flat"):
            raise SettingsError(f"entropy is {self.entropy!r}; known: auto, adaptive, static, flat")
