"""Settings of LoRA fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check
from vampnet.errors import SettingsError

LORA_TARGETS = ("query", "key", "value", "out", "up", "down", "project", "classifier")
"""Linear layers that can get an adapter: of attention and feed-forward, the input's projection, the classifier."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of fine-tuning with LoRA adapters."""

    rank: int = 16
    """Rank of each adapter, 1 to 256."""
    alpha: float = 32.0
    """Adapters are scaled by alpha / rank."""
    targets: str = "query,value,out,up,down,project,classifier"
    """Layers that get an adapter, of query, key, value, out (attention), up, down (feed-forward), project (input) and
    classifier (output); commas between."""
    steps: int = 200
    """Maximum number of steps per model."""
    batch_size: int = 6
    """Crops per step."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    validate_every: int = 50
    """Steps between validations on the held-out files."""
    patience: int = 3
    """Validations without improvement after which training stops."""
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
        """Names of the adapted matrices, as a list."""
        return [name.strip() for name in self.targets.split(",") if name.strip()]
