"""Masks and gamma: the authors' masks, our even widths, and properties."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.golden import golden_array, golden_mask, golden_names, golden_tensor, requires_golden
from vampnet.errors import SettingsError
from vampnet.prompts import masks

T = 61


def kept(mask_T: torch.Tensor) -> list[int]:
    return torch.nonzero(~mask_T).flatten().tolist()


@requires_golden
def test_periodic_masks_equal_the_authors_but_for_even_widths():
    names = golden_names("mask/periodic/")
    assert len(names) == 60
    for name in names:
        period, width = map(int, re.findall(r"\d+", name))
        # The authors' even widths open one frame more than asked.
        ours = masks.periodic_mask(T, period, width + 1 if width % 2 == 0 else width)
        assert torch.equal(ours, golden_mask(name)), name


def test_an_even_width_is_exact_and_its_odd_frame_lies_after():
    assert kept(masks.periodic_mask(20, 10, width=2)) == [0, 1, 10, 11]
    assert kept(masks.periodic_mask(20, 10, width=4, offset=3)) == [2, 3, 4, 5, 12, 13, 14, 15]


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(0, 30), st.integers(1, 40), st.integers(-40, 40))
def test_periodic_mask_equals_its_definition(n_frames: int, period: int, width: int, offset: int):
    expected = torch.ones(n_frames, dtype=torch.bool)
    for centre in range(offset % period, n_frames, period) if period else []:
        expected[max(0, centre - (width - 1) // 2) : centre + width // 2 + 1] = False
    assert torch.equal(masks.periodic_mask(n_frames, period, width, offset), expected)


@requires_golden
def test_inpaint_masks_equal_the_authors():
    for name in golden_names("mask/inpaint/"):
        n_prefix, n_suffix = map(int, re.findall(r"\d+", name))
        assert torch.equal(masks.inpaint_mask(T, n_prefix, n_suffix), golden_mask(name)), name


@requires_golden
def test_codebook_masks_and_combinations_equal_the_authors():
    base = golden_mask("mask/codebook_base_p7_w1")
    for name in golden_names("mask/codebook_mask/"):
        ours = masks.mask_or(base, masks.codebook_mask(14, int(name.split("/")[-1])))
        assert torch.equal(ours, golden_mask(name)), name
    for name in golden_names("mask/codebook_unmask/"):
        ours = masks.mask_and(base, masks.codebook_mask(14, int(name.split("/")[-1])))
        assert torch.equal(ours, golden_mask(name)), name
    periodic, inpaint = masks.periodic_mask(T, 7), masks.inpaint_mask(T, 5, 7)
    assert torch.equal(masks.mask_and(periodic, inpaint).expand(14, T), golden_mask("mask/mask_and"))
    assert torch.equal(masks.mask_or(periodic, inpaint).expand(14, T), golden_mask("mask/mask_or"))


@requires_golden
def test_time_stretch_mask_of_the_authors_is_a_periodic_one():
    assert torch.equal(masks.periodic_mask(T, 3), golden_mask("mask/time_stretch_3"))


@requires_golden
def test_apply_mask_equals_the_authors_and_leaves_its_input_alone():
    codes = golden_tensor("mask/apply_in")
    before = codes.clone()
    out = masks.apply_mask(codes, golden_mask("mask/codebook_base_p7_w1"), 1024)
    assert torch.equal(out, golden_tensor("mask/apply_out"))
    assert torch.equal(codes, before)


@requires_golden
def test_the_authors_whole_mask_is_built_from_these_parts():
    rolled = masks.periodic_mask(T, 7).roll(6)
    context = masks.inpaint_mask(T, 3, 5)  # 0.05 and 0.07 s, rounded up
    mask = masks.mask_and(masks.mask_and(rolled, context), masks.codebook_mask(14, 1))
    mask = masks.mask_or(mask, masks.codebook_mask(14, 3))
    assert torch.equal(mask.expand(2, 14, T), golden_mask("mask/build_mask_seed0"))


@requires_golden
@pytest.mark.parametrize("steps", [1, 2, 4, 8, 12, 16, 24, 36])
def test_gamma_equals_the_authors_to_the_last_bit(steps: int):
    assert torch.equal(masks.gamma(torch.arange(1, steps + 1) / steps), golden_tensor(f"sched/gamma_{steps}"))


@requires_golden
def test_gamma_on_a_grid():
    grid = torch.from_numpy(golden_array("sched/gamma_grid_r"))
    assert (masks.gamma(grid) - torch.from_numpy(golden_array("sched/gamma_grid"))).abs().max() <= 1e-7


def test_random_mask_has_the_rate_and_repeats_with_its_seed():
    draws = [masks.random_mask((4, 5000), 0.3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert abs(draws[0].float().mean().item() - 0.3) < 0.02
    per_item = masks.random_mask((2, 3, 7), torch.tensor([0.0, 1.0])[:, None, None], torch.Generator())
    assert not per_item[0].any() and per_item[1].all()


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(-40, 40), st.integers(-40, 40))
def test_region_mask_equals_its_definition(n_frames: int, start: int, stop: int):
    assert kept(masks.region_mask(n_frames, start, stop)) == [t for t in range(n_frames) if start <= t < stop]


def test_bad_values_are_named():
    with pytest.raises(SettingsError, match=r"width is 0.*1"):
        masks.periodic_mask(10, 2, width=0)
    with pytest.raises(SettingsError, match="period is -1"):
        masks.periodic_mask(10, -1)
