"""Settings: frozen dataclasses, checked when made; unknown keys are errors.

The same objects serve Python, the command line, recipes and the JSON inside a bundle. Units stand in the names:
`_s` seconds, `_hz` hertz, `_db` decibels, `_frames` codec frames.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, TypeVar

from vampnet.errors import SettingsError

T = TypeVar("T")


def check(name: str, value: float, low: float, high: float, hint: str = "") -> None:
    """Raise SettingsError unless `low <= value <= high`; a NaN never passes."""
    if not (low <= value <= high):
        raise SettingsError(f"{name} is {value}, but must lie in {low} to {high}{'; ' + hint if hint else ''}")


@dataclass(frozen=True)
class MagnitudeConfig:
    """The magnitude codec (`vampnet.codec.magnitude`): two grids of magnitudes in, the same out, phases made up."""

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
    """Where the two transforms meet, each with half of the magnitude, Hz."""
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
    components, set before training (`vampnet.codec.linear`)."""
    low_rounds: int = 16
    """Rounds of the search for phases below the crossover, 0 to 1000."""
    high_rounds: int = 6
    """Rounds above it, 0 to 1000."""

    def __post_init__(self) -> None:
        if self.kind != "magnitude":
            raise SettingsError(f"codec kind {self.kind!r} is not 'magnitude', the kind of these settings")
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
        return self.sample_rate_hz / self.hop


@dataclass(frozen=True)
class DacConfig:
    """The convolutional codecs: DAC (Kumar et al. 2023) and the codec of the VampNet authors, which has DAC's encoder
    and quantiser and a decoder of parallel branches. Nothing is trained with these settings; they describe weights."""

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
        return self.sample_rate_hz / self.hop


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
        check("model.n_layers", self.n_layers, 1, 1000)
        check("model.dropout", self.dropout, 0.0, 0.9)
        if self.dim % self.n_heads:
            raise SettingsError(f"model.n_heads {self.n_heads} must divide model.dim {self.dim}")

    @property
    def n_predicted(self) -> int:
        """Codebooks that the network predicts."""
        return self.n_codebooks - self.n_conditioning_codebooks

    @property
    def mask_token(self) -> int:
        return self.vocab_size


ORDERS = ("confidence", "levels", "halton", "random")
"""Orders in which tokens are committed (`vampnet.orders`)."""


@dataclass(frozen=True)
class Sampling:
    """How masked tokens are filled in: parallel iterative decoding (paper, section 3.3)."""

    steps: int = 12
    """Passes of the coarse model, 1 to 1000 (paper: 36 best, 12 close; docs/experiments.md has ours)."""
    c2f_steps: int = 2
    """Passes of the coarse-to-fine model, 1 to 1000. More bring nothing (docs/evaluation)."""
    temperature: float = 0.9
    """Divides the logits; 0 takes the most likely token, up to 10. A little below 1 has the lowest FAD with the
    embedded model (docs/experiments.md); the authors have 1."""
    mask_temperature: float = 40.0
    """Weight of the Gumbel noise in the confidence order, annealed to 0 over the steps; 0 to 1000. With the authors'
    10.5 long music fades into drones, whose tokens are the most confident (docs/experiments.md)."""
    top_p: float = 1.0
    """Nucleus filter: smallest set of tokens with this probability mass, above 0 up to 1 (1: off)."""
    typical_mass: float = 1.0
    """Locally typical filter: probability mass kept, above 0 up to 1 (1: off)."""
    typical_min_tokens: int = 64
    """The typical filter keeps at least so many tokens."""
    order: str = "confidence"
    """Which tokens are committed first: confidence (the paper), levels (coarsest codebook first), halton (evenly spread
    over frames and codebooks) or random."""
    remask: float = 0.0
    """Share of the tokens committed so far that every step masks again, to be drawn anew; 0 to 0.9 (0: off)."""
    seed: int = 0
    """Seed of the first variation, 0 to 2**63 - 1; variation k uses seed + k. 0 is a seed like any other."""

    def __post_init__(self) -> None:
        check("steps", self.steps, 1, 1000)
        check("c2f_steps", self.c2f_steps, 1, 1000)
        check("temperature", self.temperature, 0.0, 10.0)
        check("mask_temperature", self.mask_temperature, 0.0, 1000.0)
        check("top_p", self.top_p, 1e-6, 1.0)
        check("typical_mass", self.typical_mass, 1e-6, 1.0)
        check("typical_min_tokens", self.typical_min_tokens, 1, 65535)
        if self.order not in ORDERS:
            raise SettingsError(f"order is {self.order!r}; known: {', '.join(ORDERS)}")
        check("remask", self.remask, 0.0, 0.9)
        check("seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True)
class CompressionSettings:
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


LORA_TARGETS = ("query", "key", "value", "out", "up", "down", "project", "classifier")
"""Linear layers that can get an adapter: of attention and feed-forward, the input's projection, the classifier."""


@dataclass(frozen=True)
class FinetuneSettings:
    """How adapters are trained."""

    rank: int = 16
    """Rank of each adapter, 1 to 256."""
    alpha: float = 32.0
    """Adapters are scaled by alpha / rank."""
    targets: str = "query,value,out,up,down,project,classifier"
    """Layers that get an adapter, of query, key, value, out (attention), up, down (feed-forward), project (input) and
    classifier (output); commas between."""
    steps: int = 200
    """Most steps per model."""
    batch_size: int = 6
    """Crops per step."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    validate_every: int = 50
    """Steps between looks at the held-out files."""
    patience: int = 3
    """Stop after so many looks without a better figure."""
    held_out: float = 0.15
    """Share of the frames held out, 0.01 to 0.9, in whole files; a single file is trained on without a check."""
    encodings: int = 3
    """Ways in which each training file is encoded, 1 to 3: other channels and other starts of the first frame."""
    seed: int = 0
    """Seed of split, adapters and batches."""

    def __post_init__(self) -> None:
        check("rank", self.rank, 1, 256)
        check("alpha", self.alpha, 1e-3, 1e4)
        check("batch_size", self.batch_size, 1, 4096)
        check("learning_rate", self.learning_rate, 1e-9, 1.0)
        check("validate_every", self.validate_every, 1, 10**9)
        check("encodings", self.encodings, 1, 3)
        check("seed", self.seed, 0, 2**63 - 1)
        check("steps", self.steps, 1, 10**9)
        check("patience", self.patience, 1, 10**6)
        check("held_out", self.held_out, 0.01, 0.9)
        unknown = [name for name in self.target_names if name not in LORA_TARGETS]
        if unknown or not self.target_names:
            raise SettingsError(f"targets is {self.targets!r}; known: {', '.join(LORA_TARGETS)}")

    @property
    def target_names(self) -> list[str]:
        return [name.strip() for name in self.targets.split(",") if name.strip()]


def to_dict(settings: Any) -> dict[str, Any]:
    """A settings dataclass as plain data for JSON or YAML."""
    return dataclasses.asdict(settings)


def from_dict(kind: type[T], data: Any, where: str) -> T:
    """Build settings of class `kind` from plain data; `where` names the source in the error message.

    Raises SettingsError for an unknown or missing key and for a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: expected settings, found {type(data).__name__}")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise SettingsError(f"{where}: unknown setting {', '.join(unknown)}; known: {', '.join(fields)}")
    for name, value in data.items():
        _check_type(f"{where}: {name}", value, fields[name])
    try:
        return kind(**data)
    except TypeError as error:
        raise SettingsError(f"{where}: {error}") from None


def _check_type(name: str, value: Any, field: dataclasses.Field[Any]) -> None:
    default = field.default
    if default is dataclasses.MISSING or default is None:
        return
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: numeric,
        str: isinstance(value, str),
    }.get(type(default), True)
    if not good:
        raise SettingsError(f"{name} is {value!r}, but must be of type {type(default).__name__}")
