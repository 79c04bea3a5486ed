"""Composed pieces whose beats are known exactly, chosen so that every metre is there often enough.

The composer writes 4/4 three times out of four and keeps its tempo. To learn from and to measure on, pieces are drawn
until each metre has its share, and some are played at a tempo that sways and slows as people do it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from synthcorpus.compose.piece import ComposeConfig, Piece, compose
from synthcorpus.corpus import piece_seed
from synthcorpus.render.render import RenderConfig, render

METRE_SHARES = {"4/4": 0.45, "3/4": 0.2, "6/8": 0.15, "5/4": 0.1, "7/8": 0.1}
"""Share of each metre among the pieces."""
DRIFT_SHARE = 0.25
"""Share of pieces whose tempo sways."""
MAX_DRIFT = 0.12
"""Largest relative deviation of a swaying tempo."""


@dataclass(frozen=True)
class BeatPiece:
    """A piece and the randomness that plays it."""

    index: int
    """Number of the piece in its split."""
    piece: Piece
    drifts: bool
    """True if its tempo sways."""
    seed: tuple[int, ...]

    def render(self, settings: RenderConfig) -> np.ndarray:
        """Its audio, float32 (2, samples)."""
        return render(self.piece, settings, np.random.default_rng(np.random.SeedSequence((*self.seed, 2)))).audio


def beat_pieces(
    split: str, seed: int, count: int, settings: ComposeConfig, shares: Mapping[str, float] = METRE_SHARES
) -> Iterator[BeatPiece]:
    """`count` pieces of a split (train, validation or test) with the given shares of metres, in the order composed."""
    left = _quotas(count, shares)
    index = 0
    while sum(left.values()):
        seeds = piece_seed(split, seed, index)
        piece = compose(seeds, settings)
        if left.get(piece.metre, 0):
            left[piece.metre] -= 1
            rng = np.random.default_rng(np.random.SeedSequence((*seeds, 3)))
            drifts = bool(rng.random() < DRIFT_SHARE)
            yield BeatPiece(index, sway(piece, rng) if drifts else piece, drifts, seeds)
        index += 1


def sway(piece: Piece, rng: np.random.Generator) -> Piece:
    """The piece at a tempo that swings around its own by up to MAX_DRIFT; notes and beats move together."""
    depth, period_s = float(rng.uniform(0.02, MAX_DRIFT)), float(rng.uniform(6.0, 25.0))
    slope, phase = float(rng.uniform(-0.08, 0.08)), float(rng.uniform(0.0, 2.0 * np.pi))
    grid_s = np.linspace(0.0, piece.duration_s + 10.0, 4096)
    pace = np.exp(depth * np.sin(2.0 * np.pi * grid_s / period_s + phase) + slope * (grid_s / grid_s[-1] - 0.5))
    moved_s = np.concatenate([[0.0], np.cumsum((pace[1:] + pace[:-1]) / 2.0 * np.diff(grid_s))])

    def at(time_s: float) -> float:
        return float(np.interp(time_s, grid_s, moved_s))

    tracks = tuple(
        dataclasses.replace(
            track,
            notes=tuple((at(start), at(start + length) - at(start), p, v) for start, length, p, v in track.notes),
        )
        for track in piece.tracks
    )
    return dataclasses.replace(
        piece,
        tracks=tracks,
        beat_times_s=tuple(map(at, piece.beat_times_s)),
        downbeat_times_s=tuple(map(at, piece.downbeat_times_s)),
        duration_s=at(piece.duration_s),
    )


def _quotas(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that sum to `count`, as near to the shares as rounding allows."""
    quotas = {metre: int(count * share) for metre, share in shares.items()}
    quotas[next(iter(quotas))] += count - sum(quotas.values())
    return quotas
