"""Settings of parallel iterative decoding (paper, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.config import check
from vampnet.errors import SettingsError

ORDERS = ("confidence", "levels", "halton", "random")
"""Orders in which tokens are committed (`vampnet.generation.unmasking_order`)."""


@dataclass(frozen=True)
class SamplingConfig:
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
