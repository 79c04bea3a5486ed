"""Settings of parallel iterative decoding (paper, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check_settings, setting
from vampnet.errors import SettingsError

MAX_VARIATIONS = 1000
"""Most variations of one job."""


@dataclass(frozen=True)
class SamplingConfig:
    """Settings of parallel iterative decoding, which fills masked tokens (paper, section 3.3)."""

    steps: int = setting(12, low=1, high=1000)
    """Decoding steps of the coarse model, 1 to 1000 (paper: 36 best, 12 close)."""
    c2f_steps: int = setting(2, low=1, high=1000)
    """Decoding steps of the coarse-to-fine model, 1 to 1000. More than 2 did not lower the FAD."""
    temperature: float = setting(0.9, low=0.0, high=10.0)
    """Divides the logits, 0 to 10; 0 takes the most likely token. The authors have 1."""
    mask_temperature: float = setting(40.0, low=0.0, high=1000.0)
    """Weight of the Gumbel noise in the unmasking order, annealed to 0 over the steps; 0 to 1000. With the authors'
    10.5 long music fades into drones, whose tokens are the most confident."""
    top_p: float = setting(1.0, low=1e-6, high=1.0)
    """Nucleus filter: smallest set of tokens with this probability mass, above 0 up to 1 (1: off)."""
    typical_mass: float = setting(1.0, low=1e-6, high=1.0)
    """Locally typical filter: probability mass kept, above 0 up to 1 (1: off)."""
    typical_min_tokens: int = setting(64, low=1, high=65535)
    """Fewest tokens that the typical filter keeps, 1 to 65535."""
    seed: int = setting(0, low=0, high=2**63 - 1)
    """Seed of the first variation, 0 to 2**63 - 1; variation k has seed + k - 1. 0 is a seed like any other."""

    def __post_init__(self) -> None:
        check_settings(self)


def check_draws(n: int, sampling: SamplingConfig) -> None:
    """Raise SettingsError unless `n` variations can be drawn with these settings."""
    if type(n) is not int or not 1 <= n <= MAX_VARIATIONS:
        raise SettingsError(f"n is {n!r}, but must be a whole number in 1 to {MAX_VARIATIONS}")
    if not isinstance(sampling, SamplingConfig):
        raise SettingsError(f"sampling is {sampling!r}, but must be a vampnet.SamplingConfig(steps=..., seed=...)")


def variation_seed(seed: int, index: int) -> int:
    """Seed of variation `index` (from 0) of a job with this seed; after 2**63 - 1 comes 0."""
    return (seed + index) % 2**63
