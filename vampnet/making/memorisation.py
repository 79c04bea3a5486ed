"""Memorisation: how near the nearest training passage is to what a model makes, beside music it has never seen.

A passage is two seconds of the first codebooks. Its nearness to the training music is the largest share of equal tokens
over all places of all training files. Held-out recordings give the scale: music of one kind shares tokens without
anybody copying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vampnet.training.data.token_dataset import TokenSet

PASSAGE_S = 2.0
N_CODEBOOKS = 2
"""Codebooks that are compared: the first ones hold what is played, finer ones noise."""
MAX_FRAMES = 2_000_000
"""Most training frames that are searched, evenly spread over the files."""
SUSPICIOUS = 0.15
"""A passage that is nearer than the nearest held-out one by more than this is named in the report."""


@dataclass(frozen=True)
class NearestPassage:
    """The training passage that a passage resembles most."""

    share: float
    """Share of equal tokens, 0 to 1."""
    name: str
    """Training file."""
    at_s: float
    """Where the passage begins in it, seconds."""
    own_s: float
    """Where the passage begins in the music that was looked at, seconds."""


def find_nearest(codes_CT: np.ndarray, train: TokenSet, frames_per_s: float) -> list[NearestPassage]:
    """The nearest training passage of each two seconds of some tokens (codebooks, frames)."""
    length = max(int(PASSAGE_S * frames_per_s), 1)
    found = []
    for first in range(0, codes_CT.shape[1] - length + 1, length):
        nearest = _nearest(codes_CT[:N_CODEBOOKS, first : first + length], train)
        if nearest is not None:
            share, name, frame = nearest
            found.append(NearestPassage(share, name, frame / frames_per_s, first / frames_per_s))
    return found


def _nearest(passage_CW: np.ndarray, train: TokenSet) -> tuple[float, str, int] | None:
    """Share of equal tokens, file and frame of the nearest training passage; None if none is as long."""
    n_codebooks, length = passage_CW.shape
    best: tuple[float, str, int] | None = None
    for (shard, start, n_frames), name in zip(_searched(train), _names(train), strict=True):
        if n_frames < length:
            continue
        piece_TC = np.asarray(train.shards[shard][start : start + n_frames, :n_codebooks])
        n_places = n_frames - length + 1
        equal = np.zeros(n_places, dtype=np.int32)
        for c in range(n_codebooks):
            row_T = np.ascontiguousarray(piece_TC[:, c])
            for w in range(length):
                equal += row_T[w : w + n_places] == passage_CW[c, w]
        place = int(equal.argmax())
        share = float(equal[place]) / (n_codebooks * length)
        if best is None or share > best[0]:
            best = (share, name, place)
    return best


def _chosen(train: TokenSet) -> list[int]:
    """Pieces that are searched: all, or an even spread of MAX_FRAMES frames."""
    step = max(-(-train.n_frames // MAX_FRAMES), 1)
    return list(range(0, len(train.pieces), step))


def _searched(train: TokenSet) -> Sequence[tuple[int, int, int]]:
    return [tuple(int(x) for x in train.pieces[k]) for k in _chosen(train)]  # type: ignore[misc]


def _names(train: TokenSet) -> list[str]:
    return [train.names[k] for k in _chosen(train)]


def describe(made: Sequence[NearestPassage], held_out: Sequence[NearestPassage]) -> str:
    """Verdict on memorisation, from the nearness of generated and of held-out passages, in a sentence."""
    if not made or not held_out:
        return "too little music to say whether passages were learned by heart"
    shares = [one.share for one in made]
    scale = max(one.share for one in held_out)
    nearest = max(made, key=lambda one: one.share)
    words = (
        f"the nearest training passage shares {np.median(shares):.2f} of its tokens with what the model makes (median, "
        f"largest {nearest.share:.2f}); with held-out music {np.median([one.share for one in held_out]):.2f}, largest "
        f"{scale:.2f}"
    )
    if nearest.share > scale + SUSPICIOUS:
        return f"{words}: some of it may be learned by heart, from {nearest.name} at {nearest.at_s:.1f} s"
    return f"{words}: nothing is nearer to the training music than music of its kind is anyway"
