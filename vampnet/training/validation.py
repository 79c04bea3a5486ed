"""Held-out files: which files are held out, and a model's cross-entropy on each of them, always under the same masks.

A file is cut into crops end to end, each masked at every rate of VALIDATION_RATES by a generator of its own. So two
models (before and after fine-tuning) are asked for the very same tokens, and the difference per file has little noise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vampnet.errors import CorpusError
from vampnet.models.transformer import MaskedTransformer
from vampnet.training.data.token_dataset import TokenSet
from vampnet.training.masked_objective import VALIDATION_RATES, MaskedObjective, draw_fixed_rate_keep, masked_loss
from vampnet.training.recipe import MaskedRecipe

MAX_CROPS = 48
"""Crops that are looked at, all files together, spread over each file; every file has at least one."""
BATCH_SIZE = 8
MONITOR = "nats"
"""The held-out figure that has to fall: cross-entropy over all mask rates and predicted codebooks."""


@dataclass(frozen=True)
class Change:
    """Cross-entropy of some files before and after, nats, files in the same order and all of one weight."""

    names: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def means(self) -> tuple[float, float]:
        """Before and after, over all files."""
        return float(np.mean(self.before)), float(np.mean(self.after))

    @property
    def mean(self) -> float:
        """Mean change; below 0 is better."""
        return float(np.mean(np.subtract(self.after, self.before)))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean change over files; not a number for a single file."""
        changes = np.subtract(self.after, self.before)
        return float(changes.std(ddof=1) / math.sqrt(len(changes))) if len(changes) > 1 else math.nan

    def __str__(self) -> str:
        before, after = self.means
        spread = f" ± {self.standard_error:.3f}" if len(self.names) > 1 else ""
        files = f"{len(self.names)} files" if len(self.names) > 1 else "1 file"
        return f"{before:.3f} -> {after:.3f} nats, change {self.mean:+.3f}{spread} over {files}"


def split(tokens: TokenSet, share: float, seed: int) -> tuple[TokenSet, TokenSet | None]:
    """Training and held-out pieces, whole files each, about `share` of the frames held out.

    Raises CorpusError when there is nothing to train on. A single file cannot be split: held-out is None then.
    """
    n_pieces = len(tokens.pieces)
    if tokens.n_frames == 0:
        raise CorpusError("the folder holds no audio to train on")
    if n_pieces == 1:
        return tokens, None
    order = np.random.default_rng(seed).permutation(n_pieces)
    ends = np.cumsum(tokens.pieces[order, 2])
    n_held_out = min(1 + int(np.searchsorted(ends, share * ends[-1])), n_pieces - 1)
    return subset(tokens, sorted(order[n_held_out:])), subset(tokens, sorted(order[:n_held_out]))


def subset(tokens: TokenSet, chosen: Sequence[int]) -> TokenSet:
    """Some of the pieces, in the order given."""
    return dataclasses.replace(
        tokens,
        pieces=tokens.pieces[list(chosen)],
        names=tuple(tokens.names[k] for k in chosen),
        beats=tuple(tokens.beats[k] for k in chosen) if tokens.beats else (),
    )


def without_short(tokens: TokenSet, min_frames: int) -> tuple[TokenSet, tuple[str, ...]]:
    """The pieces of at least `min_frames` frames, and the names of the others. Raises CorpusError if none is left."""
    long = [k for k, length in enumerate(tokens.pieces[:, 2]) if length >= min_frames]
    if not long:
        raise CorpusError("no file of the folder is long enough to train on; one of a few seconds is the least")
    short = tuple(name for k, name in enumerate(tokens.names) if k not in set(long))
    return subset(tokens, long), short


@torch.no_grad()
def file_nats(model: MaskedTransformer, tokens: TokenSet, crop_frames: int, max_crops: int = MAX_CROPS) -> list[float]:
    """Cross-entropy of each file, the mean over mask rates and predicted codebooks, nats. The model is set to eval."""
    model.eval()
    crops_in_all = sum(_n_crops(int(length), crop_frames) for length in tokens.pieces[:, 2])
    stride = max(1, -(-crops_in_all // max_crops))
    return [
        _nats(model, _crops(tokens, k, crop_frames, stride)[:, : model.config.n_codebooks].contiguous(), k)
        for k in range(len(tokens.pieces))
    ]


def _n_crops(length: int, crop_frames: int) -> int:
    return max(length // crop_frames, 1)


def _crops(tokens: TokenSet, index: int, crop_frames: int, stride: int) -> Tensor:
    """Every `stride`-th crop of a file, (crops, C, T) int64; a file shorter than a crop is one, as long as it is."""
    shard, start, length = (int(x) for x in tokens.pieces[index])
    size = min(crop_frames, length)
    firsts = [start + n * size for n in range(stride // 2 % _n_crops(length, size), _n_crops(length, size), stride)]
    crops = np.stack([tokens.shards[shard][first : first + size] for first in firsts]).astype(np.int64)
    return torch.from_numpy(crops).transpose(1, 2)


def _nats(model: MaskedTransformer, codes_BCT: Tensor, seed: int) -> float:
    """Mean over rates and codebooks of the mean over masked tokens."""
    first, n_predicted = model.config.n_conditioning_codebooks, model.config.n_predicted
    device = next(model.parameters()).device
    means = []
    for number, rate in enumerate(VALIDATION_RATES):
        generator = torch.Generator().manual_seed(1000 * seed + number)
        keep_BCT = draw_fixed_rate_keep(codes_BCT, first, rate, generator)
        sum_P, count_P = torch.zeros(n_predicted, dtype=torch.float64), torch.zeros(n_predicted, dtype=torch.float64)
        for codes, keep in zip(codes_BCT.split(BATCH_SIZE), keep_BCT.split(BATCH_SIZE), strict=True):
            _, nats_N, _ = masked_loss(model, codes.to(device), keep.to(device), first, model.config.mask_token)
            codebook_N = (~keep[:, first:]).transpose(0, 1).nonzero()[:, 0]
            sum_P.index_add_(0, codebook_N, nats_N.double().cpu())
            count_P += torch.bincount(codebook_N, minlength=n_predicted)
        means.append((sum_P / count_P)[count_P > 0].mean())
    return float(torch.stack(means).mean())


class HeldOutObjective(MaskedObjective):
    """The masked objective for a model that exists, judged on whole held-out files."""

    def __init__(
        self,
        model: MaskedTransformer,
        recipe: MaskedRecipe,
        train: TokenSet,
        held_out: TokenSet,
        max_crops: int = MAX_CROPS,
    ) -> None:
        self.module, self.recipe, self.train, self.validation = model, recipe, train, held_out
        self._max_crops = max_crops

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Mean cross-entropy of the held-out files, nats."""
        assert isinstance(module, MaskedTransformer)
        nats = file_nats(module, self.validation, self.recipe.crop_frames, self._max_crops)
        return {MONITOR: sum(nats) / len(nats)}
