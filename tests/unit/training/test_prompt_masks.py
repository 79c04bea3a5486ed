"""Training masks that leave prompts whole (vampnet/training/prompt_masks.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vampnet.errors import SettingsError
from vampnet.training.masked_objective import draw_keep
from vampnet.training.prompt_masks import (
    LONGEST_BEAT,
    LONGEST_PERIOD,
    beginning,
    draw_prompt_keep,
    ends,
    intervals,
    on_beats,
)
from vampnet.training.recipe import MaskedRecipe

SHAPE = torch.Size((200, 4, 300))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def beats_every(frames: float, n: int = 40, first: float = 3.7) -> np.ndarray:
    return first + frames * np.arange(n)


def changes(kept_T: torch.Tensor) -> int:
    return int(kept_T.int().diff().abs().sum())


def test_a_beginning_or_an_end_is_kept_of_any_length() -> None:
    kept = torch.stack([beginning(300, seeded(seed)) for seed in range(200)])
    assert all(changes(row) <= 1 for row in kept)
    shares = kept.float().mean(1)
    assert shares.min() < 0.05 and shares.max() > 0.95 and shares.mean().item() == pytest.approx(0.5, abs=0.08)
    assert 60 < int((kept[:, 0] & ~kept[:, -1]).sum()) < 140  # beginnings, the others are ends


def test_both_ends_are_kept_around_one_stretch() -> None:
    kept = torch.stack([ends(300, seeded(seed)) for seed in range(200)])
    assert all(changes(row) <= 2 for row in kept)
    assert int((kept[:, 0] & kept[:, -1]).sum()) > 180
    assert kept.float().mean().item() == pytest.approx(2 / 3, abs=0.06)


def test_intervals_are_steady_and_at_most_a_third_as_wide_as_their_distance() -> None:
    single = 0
    for seed in range(200):
        kept = intervals(1000, seeded(seed))
        starts = (kept.int().diff() == 1).nonzero().flatten()
        gaps = starts.diff()
        assert len(starts) == 0 or (gaps.max() - gaps.min() <= 1 and gaps.max() <= LONGEST_PERIOD + 1)
        assert kept.float().mean() <= 0.52  # every second frame, at the most
        single += not (kept[1:] & kept[:-1]).any()
    assert 80 < single < 140


def test_beats_are_kept_from_where_they_are_on_all_of_them_or_some() -> None:
    gaps, widths = [], []
    for seed in range(100):
        kept = on_beats(300, beats_every(20.0), seeded(seed))
        starts = (kept.int().diff() == 1).nonzero().flatten() + 1
        assert all((int(start) - 3) % 20 == 0 for start in starts)
        gaps.append(int(starts.diff().unique()))
        widths.append(float(kept.sum() / len(starts)))
    assert set(gaps) == {20, 40, 80} and gaps.count(20) > 40
    assert min(widths) == 1 and max(widths) == LONGEST_BEAT


def test_only_items_whose_beats_are_known_keep_beats() -> None:
    known = [beats_every(30.0)] * 100 + [np.empty(0)] * 100
    with_beats = draw_prompt_keep(SHAPE, 1.0, seeded(5), known)
    on_beat = [int(first) in range(3, 124, 30) for first in with_beats[:100, 0].int().argmax(1)]
    assert 25 < sum(on_beat) < 70
    unknown = draw_prompt_keep(SHAPE, 1.0, seeded(5), [np.empty(0)] * 200)
    assert torch.equal(unknown, draw_prompt_keep(SHAPE, 1.0, seeded(5)))


def test_the_mask_of_the_objective_keeps_a_prompt_of_the_share_of_items_that_is_asked_for() -> None:
    by_prompt = draw_prompt_keep(SHAPE, 0.5, seeded())
    assert by_prompt.shape == (200, 1, 300)
    assert 70 < int(by_prompt.any(2).sum()) < 130
    assert not draw_prompt_keep(SHAPE, 0.0, seeded()).any()
    plain, prompted = (draw_keep(SHAPE, 1, seeded(3), share) for share in (0.0, 1.0))
    assert prompted[plain].all()  # the same tokens, and those that a prompt keeps
    assert prompted[:, 1:].all(1).float().mean() > plain[:, 1:].all(1).float().mean() + 0.2
    assert torch.equal(draw_keep(SHAPE, 1, seeded(3), 1.0), prompted)


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="prompted_share"):
        MaskedRecipe("train", "validation", "default", prompted_share=1.5)
