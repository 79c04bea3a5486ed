"""Seeds: every random stream of a job has a name and a seed of its own, derived from the user's one seed.

Two streams never share draws, and what one of them uses up does not change another. Variation k of a request is drawn
with the user's seed + k (`generation.config.variation_seed`); within a variation, streams are told apart by name and
number.
"""

from __future__ import annotations

import numpy as np

STREAMS = {
    "prompt": "draws of the prompt's own parts, such as random() and drop()",
    "coarse": "windows of the coarse model, by number",
    "c2f": "windows of the coarse-to-fine model, by number",
    "region": "regions of an inpainting after the first, by number",
    "before": "music before the input, in an outpainting",
    "rest": "music after the opening, in a generation",
    "seam": "the seam of a loop",
}
"""Every named stream, and what is drawn from it."""


def stream_seed(seed: int, stream: str, number: int = 0) -> int:
    """Seed of stream `stream` (one of STREAMS), number `number`, within a variation of this seed."""
    assert stream in STREAMS, stream
    words = (seed, *stream.encode(), number)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def excerpt_seed(seed: int, index: int) -> int:
    """Seed of variation `index` (from 0) in an evaluation, whose excerpts have consecutive seeds."""
    return seed + index * 2**32


def step_seed(seed: int, step: int, rank: int, stream: str) -> int:
    """Seed of what one process draws in one training step: "weights" (dropout, noise) or "masks"."""
    words = (seed, step, rank, *stream.encode())
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
