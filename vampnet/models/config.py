"""Settings of a masked transformer, coarse or coarse-to-fine, and of what controls add to it."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check
from vampnet.controls.config import GROUPS, parse_guidance
from vampnet.errors import SettingsError


@dataclass(frozen=True)
class ModelConfig:
    """The masked token network, coarse or coarse-to-fine. Paper: D = 1280, 20 heads, 20 (coarse) or 16 (c2f) layers."""

    n_codebooks: int = 4
    """Codebooks that the network reads (4 coarse, 14 c2f)."""
    n_conditioning_codebooks: int = 0
    """Leading codebooks that are given and never predicted (0 coarse, 4 c2f)."""
    vocab_size: int = 1024
    """Entries per codebook; the mask token is this number."""
    codebook_dim: int = 8
    """Width of one codebook vector."""
    dim: int = 256
    """Width D of the residual stream."""
    n_heads: int = 8
    """Attention heads; divides `dim`."""
    n_layers: int = 6
    """Transformer layers."""
    dropout: float = 0.1
    """Dropout probability in training, 0 to 0.9."""
    n_buckets: int = 32
    """Buckets of the T5 relative position bias."""
    max_distance: int = 128
    """Distance in frames from which all positions share the last bucket."""
    learned_embedding: bool = False
    """Add a learned vector of width `dim` per codebook entry to the projected codec vectors (the paper: False)."""

    def __post_init__(self) -> None:
        check("model.n_codebooks", self.n_codebooks, 1, 64)
        check("model.n_conditioning_codebooks", self.n_conditioning_codebooks, 0, self.n_codebooks - 1)
        check("model.vocab_size", self.vocab_size, 2, 65535)
        check("model.codebook_dim", self.codebook_dim, 1, 65536)
        check("model.dim", self.dim, 1, 65536)
        check("model.n_heads", self.n_heads, 1, self.dim)
        check("model.n_layers", self.n_layers, 1, 256)
        check("model.dropout", self.dropout, 0.0, 0.9)
        check("model.n_buckets", self.n_buckets, 4, 65536)
        lowest = self.n_buckets // 4 + 1
        check("model.max_distance", self.max_distance, lowest, 10**6, "more than a quarter of model.n_buckets")
        if self.dim % self.n_heads:
            raise SettingsError(f"model.n_heads {self.n_heads} must divide model.dim {self.dim}")

    @property
    def n_predicted(self) -> int:
        """Codebooks that the network predicts."""
        return self.n_codebooks - self.n_conditioning_codebooks

    @property
    def mask_token(self) -> int:
        """Index of the mask token, one above the last code."""
        return self.vocab_size


@dataclass(frozen=True)
class ConditioningConfig:
    """Size of the conditioning, and the names that it knows."""

    dim: int = 256
    """Width of the network that it adds to."""
    n_layers: int = 8
    """Layers of that network."""
    width: int = 256
    """Width of the conditioning itself."""
    kernel: int = 5
    """Frames that the convolution looks at, odd."""
    styles: tuple[str, ...] = ()
    """Styles that it knows by name."""
    instruments: tuple[str, ...] = ()
    """Instruments that it knows by name."""
    groups: tuple[str, ...] = tuple(GROUPS)
    """Groups of controls that it has learned to follow; it is deaf to the others."""
    reference: tuple[str, ...] = ()
    """Control encoders of the authors' code, by their names (`reference_conditioning.py`); none: this project's own."""
    guidance: str = ""
    """Guidance where a request says none, such as "beats=3,rhythm=3"."""

    def __post_init__(self) -> None:
        check("conditioning.dim", self.dim, 1, 65536)
        check("conditioning.n_layers", self.n_layers, 1, 256)
        check("conditioning.width", self.width, 1, 65536)
        check("conditioning.kernel", self.kernel, 1, 255)
        if self.kernel % 2 == 0:
            raise SettingsError(f"conditioning.kernel is {self.kernel}, but must be odd")
        for group in self.groups:
            if group not in GROUPS:
                raise SettingsError(f"conditioning.groups: {group!r} is unknown; known are {', '.join(GROUPS)}")
        parse_guidance(self.guidance)
        check("number of conditioning.styles", len(self.styles), 0, 1000)
        check("number of conditioning.instruments", len(self.instruments), 0, 1000)
