"""Recipes: everything that decides a training run, as YAML files and frozen dataclasses."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vampnet.codec.config import MagnitudeConfig
from vampnet.config import check, from_dict
from vampnet.errors import SettingsError
from vampnet.models.config import ModelConfig
from vampnet.storage import MAX_YAML_BYTES, cause, parse_yaml, read_bytes


@dataclass(frozen=True)
class TrainerConfig:
    """Settings of the trainer: optimiser, schedule, logging."""

    steps: int = 10000
    """Optimiser steps."""
    batch_size: int = 8
    """Items per step, shared by all devices (of a codec: items per step and device)."""
    accumulate: int = 1
    """Passes that a step's items are taken in, so that large batches need less memory; masked models alone."""
    optimizer: str = "adamw"
    """"adamw"; or "muon": Muon for the matrices of the layers, AdamW for all else, at the same rate."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: str = "stable-decay"
    """"stable-decay": warm-up, constant, linear fall over the last `decay_steps`; "noam": warm-up, then step**-0.5."""
    warmup_steps: int = 500
    """Steps of linear warm-up."""
    decay_steps: int = 1000
    """Steps of the final linear fall to 0 ("stable-decay" only)."""
    seconds: float = 0.0
    """Time for the whole run, in the place of `steps`, for machines lent for so long; 0: none. The fall then takes the
    last decay_steps / steps of it. Such a run cannot be repeated to the bit."""
    compile: bool = False
    """Compile the network's layers (torch.compile): faster on accelerators, after a minute of waiting."""
    beta2: float = 0.999
    """Second moment decay of AdamW; the first is 0.9."""
    weight_decay: float = 0.01
    """AdamW weight decay on matrices; vectors and embeddings have none."""
    grad_clip: float = 1.0
    """Largest gradient norm."""
    ema_decay: float = 0.999
    """Decay per step of the averaged weights, which validation and export use."""
    precision: str = "auto"
    """"auto" (bf16 where the hardware has it), "32-true" or "bf16-mixed"."""
    seed: int = 0
    """Seed of initial weights, batches, masks and dropout."""
    log_every: int = 50
    """Steps between log lines."""
    validate_every: int = 1000
    """Steps between validations."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        check("loop.steps", self.steps, 1, 10**9)
        check("loop.batch_size", self.batch_size, 1, 10**6)
        check("loop.accumulate", self.accumulate, 1, 10**6)
        check("loop.learning_rate", self.learning_rate, 0.0, 10.0)
        check("loop.ema_decay", self.ema_decay, 0.0, 1.0)
        check("loop.seconds", self.seconds, 0.0, 1e9)
        if self.optimizer not in ("adamw", "muon"):
            raise SettingsError(f"loop.optimizer is {self.optimizer!r}; known: adamw, muon")
        if self.schedule not in ("stable-decay", "noam"):
            raise SettingsError(f"loop.schedule is {self.schedule!r}; known: stable-decay, noam")
        if self.precision not in ("auto", "32-true", "bf16-mixed"):
            raise SettingsError(f"loop.precision is {self.precision!r}; known: auto, 32-true, bf16-mixed")


@dataclass(frozen=True)
class CodecRecipe:
    """Training of the magnitude codec, reconstruction and adversarial stage."""

    train_audio: str
    """Folder of audio to train on."""
    validation_audio: str
    """Folder of audio to validate on."""
    codec: MagnitudeConfig = field(default_factory=MagnitudeConfig)
    loop: TrainerConfig = field(default_factory=TrainerConfig)
    crop_frames: int = 60
    """Length of a training crop, codec frames."""
    quantize_from_step: int = 700
    """Step at which the quantiser is initialised and switched on (before it the latent passes through)."""
    requantize_every: int = 0
    """Re-initialise the codebooks from encoder latents every N steps, since latents move faster; 0: never."""
    encoder_rate: float = 1.0
    """Learning rate of encoder and quantiser as a share of the decoder's: codebooks follow slow latents only."""
    codebook_decay: float = 0.99
    """Share of the codebooks' moving average that is kept per step."""
    quantizer_dropout: float = 0.5
    """Share of items that use a random number of levels."""
    commitment_weight: float = 0.02
    """Weight of the commitment term."""
    learn: str = "all"
    """"all"; or "decoder": encoder and codebooks stay as `--start-from` gave them, so tokens keep their meaning."""
    adversarial_weight: float = 0.0
    """Weight of the adversarial part of the loss, feature matching at twice that; 0: no discriminators."""
    adversarial_from_step: int = 100
    """First step with the adversarial loss; the discriminators learn from step 0 on."""
    discriminator_width: int = 24
    """Channels of the discriminators."""
    gain_jitter_db: float = 8.0
    """Crops get a random gain of up to this, either way, dB."""

    def __post_init__(self) -> None:
        if self.loop.accumulate > 1:
            raise SettingsError(f"loop.accumulate is {self.loop.accumulate}, but must be 1 for a codec")
        if self.learn not in ("all", "decoder"):
            raise SettingsError(f"learn is {self.learn!r}; known: all, decoder")
        check("adversarial_weight", self.adversarial_weight, 0.0, 1000.0)
        check("discriminator_width", self.discriminator_width, 1, 1024)


@dataclass(frozen=True)
class MaskedRecipe:
    """Masked token objective, coarse or coarse-to-fine (paper, section 3.2)."""

    train_tokens: str
    """Folder of token shards to train on."""
    validation_tokens: str
    """Folder of token shards to validate on."""
    bundle: str
    """Bundle or codec folder whose codec made the tokens; its id must match the shards'."""
    model: ModelConfig = field(default_factory=ModelConfig)
    loop: TrainerConfig = field(default_factory=TrainerConfig)
    crop_frames: int = 575
    """Length of a training crop, codec frames (paper: 10 s coarse, 3 s c2f)."""
    label_smoothing: float = 0.0
    """Label smoothing of the cross-entropy (the authors' code: 0.1)."""
    mask_schedule: str = "cosine"
    """Share of tokens masked at r ~ U(0, 1]: "cosine", cos(pi r / 2), the paper's; or "uniform", 1 - r, which learns
    faster at first (docs/results/masked-variants.md)."""
    prompted_share: float = 0.0
    """Share of the items whose masks leave a prompt whole (`prompt_masks.py`), 0 to 1; beats if known."""
    initial: str = "random"
    """Initial weights: "random"; or "neighbours", which begins with tokens like those of near frames (`initial.py`)."""

    def __post_init__(self) -> None:
        check("prompted_share", self.prompted_share, 0.0, 1.0)
        if self.mask_schedule not in ("cosine", "uniform"):
            raise SettingsError(f"mask_schedule is {self.mask_schedule!r}; known: cosine, uniform")
        if self.initial not in ("random", "neighbours"):
            raise SettingsError(f"initial is {self.initial!r}; known: random, neighbours")


@dataclass(frozen=True)
class ConditioningRecipe:
    """Training of what controls add to a coarse model that is trained already."""

    train_tokens: str
    """Folder of token shards with controls to train on."""
    validation_tokens: str
    """Folder of token shards with controls to validate on."""
    bundle: str
    """Bundle whose coarse model is conditioned; it is not changed."""
    loop: TrainerConfig = field(default_factory=TrainerConfig)
    more_tokens: str = ""
    """Second folder of token shards with controls, such as recordings beside composed music."""
    more_share: float = 0.0
    """Share of the items from the second folder, 0 to 1."""
    width: int = 256
    """Width of the conditioning."""
    kernel: int = 5
    """Neighbouring frames that it looks at, odd."""
    styles: tuple[str, ...] = ()
    """Styles that it learns by name."""
    instruments: tuple[str, ...] = ()
    """Instruments that it learns by name."""
    crop_frames: int = 575
    """Length of a training crop, codec frames."""
    mask_schedule: str = "cosine"
    """As in a masked recipe."""
    prompted_share: float = 0.5
    """Share of the items whose masks leave a prompt whole, 0 to 1."""

    def __post_init__(self) -> None:
        check("more_share", self.more_share, 0.0, 1.0)
        check("prompted_share", self.prompted_share, 0.0, 1.0)
        if self.mask_schedule not in ("cosine", "uniform"):
            raise SettingsError(f"mask_schedule is {self.mask_schedule!r}; known: cosine, uniform")


Recipe = CodecRecipe | MaskedRecipe | ConditioningRecipe
SHIPPED = Path(__file__).parent / "recipes"
"""Recipes that come with the package."""
RECIPES: dict[str, type] = {"codec": CodecRecipe, "masked": MaskedRecipe, "conditioning": ConditioningRecipe}
_NESTED = {"codec": MagnitudeConfig, "loop": TrainerConfig, "model": ModelConfig}


def parse_recipe(data: Any, where: str) -> Recipe:
    """Recipe from plain data with a `task` key; unknown keys are errors."""
    if not isinstance(data, dict) or not isinstance(data.get("task"), str) or data["task"] not in RECIPES:
        raise SettingsError(f"{where}: needs `task:`, one of {', '.join(RECIPES)}")
    data = dict(data)
    task = data.pop("task")
    kind = RECIPES[task]
    names = {f.name for f in dataclasses.fields(kind)}
    for name, nested in _NESTED.items():
        if name in names and name in data:
            data[name] = from_dict(nested, data[name], f"{where}: {name}")
    missing = [f.name for f in dataclasses.fields(kind) if _required(f) and f.name not in data]
    if missing:
        raise SettingsError(f"{where}: missing setting {', '.join(missing)}")
    return from_dict(kind, data, where)  # type: ignore[return-value]


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def find_recipe(name: str | Path) -> Path:
    """Path of a recipe: a file, or the name of a shipped one, such as `default-coarse` or `accelerator/coarse`.

    Raises SettingsError that lists the shipped ones.
    """
    path, shipped = Path(name), SHIPPED / f"{name}.yaml"
    if path.exists() or not shipped.is_file():
        if not path.exists() and not path.suffix:
            known = sorted(str(p.relative_to(SHIPPED).with_suffix("")) for p in SHIPPED.rglob("*.yaml"))
            known = [one for one in known if not one.startswith("making")]  # those are of make-model
            raise SettingsError(f"recipe {str(name)!r} is neither a file nor one of {', '.join(known)}")
        return path
    return shipped


def read_recipe(path: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a YAML recipe, with single settings changed ("loop.steps" -> 2000).

    Raises SettingsError naming the file for anything wrong with it.
    """
    data = load_yaml(path)
    for name, value in (changes or {}).items():
        data = merge_settings(data, nest_setting(name, value)) if isinstance(data, dict) else data
    return parse_recipe(data, str(path))


def load_yaml(path: str | Path) -> Any:
    """Plain data of a YAML file without repeated keys and aliases. Raises SettingsError naming the file."""
    try:
        return parse_yaml(read_bytes(path, SettingsError, MAX_YAML_BYTES))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid YAML ({cause(error)})") from None


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain data that `parse_recipe` reads back."""
    task = next(name for name, kind in RECIPES.items() if isinstance(recipe, kind))
    return {"task": task, **dataclasses.asdict(recipe)}


def nest_setting(name: str, value: Any) -> dict[str, Any]:
    """A dotted name and its value as nested data: loop.steps, 5 -> {loop: {steps: 5}}."""
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


def merge_settings(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested data with other data laid over it, section by section."""
    merged = dict(base)
    for name, value in over.items():
        old = merged.get(name)
        merged[name] = merge_settings(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def parse_changes(words: Mapping[str, str]) -> dict[str, Any]:
    """Values of flags such as --loop.steps 2000 as YAML would read them. Raises SettingsError."""
    changes = {}
    for name, text in words.items():
        try:
            changes[name] = parse_yaml(text.encode())
        except (ValueError, RecursionError):
            raise SettingsError(f"--{name} is {text!r}, which is no number or word") from None
        if isinstance(changes[name], str):  # YAML takes 2e-4 for a text
            with contextlib.suppress(ValueError):
                changes[name] = float(changes[name])
    return changes
