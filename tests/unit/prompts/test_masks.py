"""Keep masks and gamma: the authors' masks, our even widths, and properties."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings, strategies as st

from tests.support.golden import golden_array, golden_keep, golden_names, golden_tensor, requires_golden
from vampnet.errors import SettingsError
from vampnet.prompts import masks

T = 61


def kept(keep_T: torch.Tensor) -> list[int]:
    return torch.nonzero(keep_T).flatten().tolist()


def ends(n_prefix: int, n_suffix: int) -> torch.Tensor:
    return masks.regions_keep(T, [(0, n_prefix), (T - n_suffix, T)])


@requires_golden
def test_periodic_masks_equal_the_authors_but_for_even_widths():
    names = golden_names("mask/periodic/")
    assert len(names) == 60
    for name in names:
        period, width = map(int, re.findall(r"\d+", name))
        # The authors' even widths open one frame more than asked.
        ours = masks.periodic_keep(T, period, width + 1 if width % 2 == 0 else width)
        assert torch.equal(ours, golden_keep(name)), name


def test_an_even_width_is_exact_and_its_odd_frame_lies_after():
    assert kept(masks.periodic_keep(20, 10, width=2)) == [0, 1, 10, 11]
    assert kept(masks.periodic_keep(20, 10, width=4, offset=3)) == [2, 3, 4, 5, 12, 13, 14, 15]


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(0, 30), st.integers(1, 40), st.integers(-40, 40))
def test_periodic_keep_equals_its_definition(n_frames: int, period: int, width: int, offset: int):
    expected = torch.zeros(n_frames, dtype=torch.bool)
    for centre in range(offset % period, n_frames, period) if period else []:
        expected[max(0, centre - (width - 1) // 2) : centre + width // 2 + 1] = True
    assert torch.equal(masks.periodic_keep(n_frames, period, width, offset), expected)


@requires_golden
def test_kept_ends_equal_the_authors_inpaint_masks():
    names = golden_names("mask/inpaint/")
    assert names
    for name in names:
        n_prefix, n_suffix = map(int, re.findall(r"\d+", name))
        assert torch.equal(ends(n_prefix, n_suffix), golden_keep(name)), name


@requires_golden
def test_codebook_masks_and_combinations_equal_the_authors():
    base = golden_keep("mask/codebook_base_p7_w1")
    for name in golden_names("mask/codebook_mask/"):
        assert torch.equal(base & masks.codebooks_keep(14, int(name.split("/")[-1])), golden_keep(name)), name
    for name in golden_names("mask/codebook_unmask/"):
        assert torch.equal(base | masks.codebooks_keep(14, int(name.split("/")[-1])), golden_keep(name)), name
    periodic, inpaint = masks.periodic_keep(T, 7), ends(5, 7)
    # Their `and` regenerates what both masks regenerate, so it keeps what either keeps.
    assert torch.equal((periodic | inpaint).expand(14, T), golden_keep("mask/mask_and"))
    assert torch.equal((periodic & inpaint).expand(14, T), golden_keep("mask/mask_or"))


@requires_golden
def test_time_stretch_mask_of_the_authors_is_a_periodic_one():
    assert torch.equal(masks.periodic_keep(T, 3), golden_keep("mask/time_stretch_3"))


@requires_golden
def test_mask_codes_equals_the_authors_apply_mask_and_leaves_its_input_alone():
    codes = golden_tensor("mask/apply_in")
    before = codes.clone()
    out = masks.mask_codes(codes, golden_keep("mask/codebook_base_p7_w1"), 1024)
    assert torch.equal(out, golden_tensor("mask/apply_out"))
    assert torch.equal(codes, before)


def test_mask_codes_writes_the_mask_token_where_a_token_is_not_kept():
    codes_CT = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert masks.mask_codes(codes_CT, torch.tensor([True, False, True]), 9).tolist() == [[1, 9, 3], [4, 9, 6]]


@requires_golden
def test_the_authors_whole_mask_is_built_from_these_parts():
    rolled, context = masks.periodic_keep(T, 7).roll(6), ends(3, 5)  # 0.05 and 0.07 s, rounded up
    keep = (rolled | context | masks.codebooks_keep(14, 1)) & masks.codebooks_keep(14, 3)
    assert torch.equal(keep.expand(2, 14, T), golden_keep("mask/build_mask_seed0"))


@requires_golden
@pytest.mark.parametrize("steps", [1, 2, 4, 8, 12, 16, 24, 36])
def test_gamma_equals_the_authors_to_the_last_bit(steps: int):
    assert torch.equal(masks.gamma(torch.arange(1, steps + 1) / steps), golden_tensor(f"sched/gamma_{steps}"))


@requires_golden
def test_gamma_on_a_grid():
    grid = torch.from_numpy(golden_array("sched/gamma_grid_r"))
    assert (masks.gamma(grid) - torch.from_numpy(golden_array("sched/gamma_grid"))).abs().max() <= 1e-7


def test_random_keep_has_the_rate_and_repeats_with_its_seed():
    draws = [masks.random_keep((4, 5000), 0.3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert abs(draws[0].float().mean().item() - 0.3) < 0.02


def test_random_keep_draws_one_number_per_token_in_order():
    drawn = torch.rand(3, 7, generator=torch.Generator().manual_seed(5))
    assert torch.equal(masks.random_keep((3, 7), 0.4, torch.Generator().manual_seed(5)), drawn < 0.4)


def test_drop_frames_drops_its_share_of_the_kept_frames_in_all_codebooks():
    keep_CT = torch.zeros(3, 40, dtype=torch.bool)
    keep_CT[0, ::4] = keep_CT[2, 0] = True
    before = keep_CT.clone()
    less_CT = masks.drop_frames(keep_CT, 0.3, torch.Generator().manual_seed(0))
    assert int(less_CT.any(0).sum()) == 7 and not (less_CT & ~keep_CT).any() and torch.equal(keep_CT, before)
    assert not masks.drop_frames(keep_CT, 1.0, torch.Generator()).any()
    assert torch.equal(masks.drop_frames(keep_CT, 0.0, torch.Generator()), keep_CT)


regions = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), max_size=4)


@settings(deadline=None)
@given(st.integers(0, 30), regions)
def test_regions_keep_equals_its_definition(n_frames: int, regions: list[tuple[int, int]]):
    expected = [t for t in range(n_frames) if any(start <= t < stop for start, stop in regions)]
    assert kept(masks.regions_keep(n_frames, regions)) == expected


def test_codebooks_keep_keeps_the_first_ones_or_all():
    assert masks.codebooks_keep(4, 1).tolist() == [[True], [False], [False], [False]]
    assert masks.codebooks_keep(2, 5).all() and not masks.codebooks_keep(2, 0).any()


def test_bad_values_are_named():
    with pytest.raises(SettingsError, match=r"width is 0.*1"):
        masks.periodic_keep(10, 2, width=0)
    with pytest.raises(SettingsError, match="period is -1"):
        masks.periodic_keep(10, -1)


def test_kept_runs_are_frames_of_which_every_token_is_kept() -> None:
    keep_CT = torch.tensor([[1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 1, 1]], dtype=torch.bool)
    assert masks.kept_runs(keep_CT) == [(0, 2), (4, 6)]
    assert masks.kept_runs(torch.zeros(3, 4, dtype=torch.bool)) == []
    assert masks.kept_runs(torch.ones(3, 0, dtype=torch.bool)) == []
    assert masks.kept_runs(torch.ones(3, 4, dtype=torch.bool)) == [(0, 4)]
