"""The format of a bundle: its parts and the object that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vampnet.codec.base import Codec
from vampnet.codec.config import DacConfig, MagnitudeConfig
from vampnet.codec.dac import DacCodec
from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.models.bundle_config import FORMAT_VERSION, PARTS
from vampnet.models.conditioning import Conditioning
from vampnet.models.transformer import MaskedTransformer
from vampnet.models.weights import sha256_of

__all__ = ["CODECS", "FORMAT_VERSION", "PARTS", "Bundle"]

CODECS: dict[str, tuple[type, Callable[[Any], Codec]]] = {
    "magnitude": (MagnitudeConfig, MagnitudeCodec),
    "dac": (DacConfig, DacCodec),
}
"""Codec kind -> its settings and its class."""


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle. A bundle may hold the codec alone (to tokenise and train with)."""

    folder: Path
    config: dict[str, Any]
    codec: Codec
    coarse: MaskedTransformer | None
    c2f: MaskedTransformer | None
    conditioning: Conditioning | None = None
    """Conditioning of the coarse model by controls; None where it has none."""

    def weight_digests(self) -> dict[str, str]:
        """SHA-256 of each weight file; for the authors' files, whose digests nothing states, computed here."""
        if "sha256" in self.config:
            return self.config["sha256"]
        return {name: sha256_of(self.folder / source) for name, source in self.config["sources"].items()}
