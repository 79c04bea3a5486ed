"""The prompt context: keep masks for parts, frames counted from the file's start, and errors that name the part."""

from __future__ import annotations

import math

import pytest
import torch

from vampnet.errors import PromptError, SettingsError
from vampnet.prompts.context import PromptContext
from vampnet.prompts.time import Time


def context(n_frames: int = 10, start_frame: int = 0, seed: int | None = 0, **events: list[float]) -> PromptContext:
    """Two codebooks, frames of a hundredth of a second."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return PromptContext(2, n_frames, 1000, 10, generator, start_frame, lambda kind: events[kind])


def frames(keep_CT: torch.Tensor) -> list[int]:
    assert keep_CT.shape == (2, 10) and keep_CT.dtype == torch.bool and torch.equal(keep_CT[0], keep_CT[1])
    return keep_CT[0].nonzero().squeeze(1).tolist()


def test_keep_masks_are_true_where_a_token_is_kept() -> None:
    assert frames(context().all()) == list(range(10)) and frames(context().none()) == []
    assert frames(context().region(3, 5)) == [3, 4] and frames(context().region(-2, 1)) == [0]
    assert frames(context().regions([(8, 99), (0, 2), (1, 3)])) == [0, 1, 2, 8, 9]
    assert frames(context().regions([])) == []
    assert context().codebooks(1).tolist() == [[True] * 10, [False] * 10]


def test_periods_count_from_the_start_of_the_file() -> None:
    assert frames(context().periodic(4)) == [0, 4, 8]
    assert frames(context(start_frame=3).periodic(4)) == [1, 5, 9]
    assert frames(context(start_frame=3).periodic(4, width=2, offset=1)) == [2, 3, 6, 7]


def test_draws_come_from_the_generator_alone() -> None:
    assert torch.equal(context(seed=1).random(0.5, "random"), context(seed=1).random(0.5, "random"))
    drawn = torch.rand(2, 10, generator=torch.Generator().manual_seed(1))
    assert torch.equal(context(seed=1).random(0.5, "random"), drawn < 0.5)
    assert {context(seed=s).random_offset(3, "periodic") for s in range(20)} == {0, 1, 2}
    assert context().random_offset(0, "periodic") == 0
    assert len(frames(context().drop(context().all(), 0.3, "drop"))) == 7


def test_moments_and_durations_in_every_unit() -> None:
    beats = [0.01, 0.03, 0.05, 0.09]
    assert context(start_frame=2).first_frame(Time(4, "f"), "keep") == 2
    assert context().first_frame(Time(0.025), "keep") == 2 and context().stop_frame(Time(0.025), "keep") == 3
    assert context().first_frame(Time(math.inf), "keep") == context().stop_frame(Time(math.inf, "b"), "keep") == 10
    assert context(beats=beats).moment_s(Time(2.5, "b"), "keep") == pytest.approx(0.07)
    assert context(beats=beats).duration_s(Time(2, "b"), "prefix") == pytest.approx(0.04)
    with pytest.raises(PromptError, match="suffix counts in beats, but fewer than two were found"):
        context(beats=[0.5]).duration_s(Time(1, "b"), "suffix")


def test_parts_that_need_more_than_the_context_has_are_named() -> None:
    bare = PromptContext(2, 10, 1000, 10)
    for draw in (
        lambda: bare.random(0.5, "random"),
        lambda: bare.drop(bare.all(), 0.5, "drop"),
        lambda: bare.random_offset(7, "periodic with a random offset"),
    ):
        with pytest.raises(PromptError, match=r"(random|drop|offset) draws at random, so it needs a seed"):
            draw()
    with pytest.raises(PromptError, match=r"beats\(\) needs the beats of the audio"):
        bare.event_times_s("beats", "beats()")
    found = PromptContext(1, 2, 1000, 10, find_events=lambda kind: [0.5] if kind == "beats" else [])
    assert found.event_times_s("beats", "beats()") == [0.5]


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="n_codebooks is 0"):
        PromptContext(0, 10, 1000, 10)
    with pytest.raises(SettingsError, match="start_frame is -1"):
        PromptContext(1, 10, 1000, 10, start_frame=-1)
