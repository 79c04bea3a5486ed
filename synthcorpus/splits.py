"""The splits of a corpus and the seeds of their pieces."""

from __future__ import annotations

SPLITS = {"train": 0, "validation": 1, "test": 2}
"""First number of the seed of every piece of a split."""


def piece_seed(split: str, seed: int, index: int) -> tuple[int, int, int]:
    """The seed of a piece, disjoint between splits by its first number."""
    return SPLITS[split], seed, index
