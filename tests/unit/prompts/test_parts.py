"""The prompt algebra: laws, each part's meaning, readable text, and errors that name part, value and range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings, strategies as st

from tests.support.golden import golden_keep, requires_golden
from vampnet.errors import PromptError
from vampnet.prompts.context import PromptContext
from vampnet.prompts.parts import Codebooks, Drop, Everything, Keep, Nothing, Periodic, Prompt, Random
from vampnet.prompts.time import Time

RATE_HZ, HOP = 44100, 768


def context(n_codebooks: int = 14, n_frames: int = 61, seed: int | None = 0, start_frame: int = 0) -> PromptContext:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return PromptContext(n_codebooks, n_frames, RATE_HZ, HOP, generator, start_frame)


def keep(prompt: Prompt) -> torch.Tensor:
    kept = prompt.keep(context())
    assert kept.shape == (14, 61) and kept.dtype == torch.bool
    return kept


fixed_parts = st.one_of(
    st.builds(Periodic, st.integers(0, 70), st.integers(1, 9), st.integers(-20, 20)),
    st.builds(Codebooks, st.integers(0, 16)),
    st.builds(lambda start, length: Keep(start, start + length), st.floats(0, 1), st.floats(0.01, 1)),
    st.just(Everything()),
    st.just(Nothing()),
)
prompts = st.recursive(
    fixed_parts,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(prompts, prompts)
def test_or_and_and_unite_and_intersect_the_kept_tokens(a: Prompt, b: Prompt):
    assert torch.equal(keep(a | b), keep(a) | keep(b))
    assert torch.equal(keep(a & b), keep(a) & keep(b))


@settings(deadline=None)
@given(prompts, prompts, prompts)
def test_the_algebra_is_a_lattice(a: Prompt, b: Prompt, c: Prompt):
    assert torch.equal(keep(a | a), keep(a)) and torch.equal(keep(a & a), keep(a))
    assert torch.equal(keep(a | b), keep(b | a)) and torch.equal(keep(a & b), keep(b & a))
    assert torch.equal(keep(a | (a & b)), keep(a)) and torch.equal(keep(a & (a | b)), keep(a))
    assert torch.equal(keep(a & (b | c)), keep((a & b) | (a & c)))
    assert torch.equal(keep(a | Nothing()), keep(a)) and torch.equal(keep(a & Everything()), keep(a))


@settings(deadline=None)
@given(prompts, prompts, prompts)
def test_grouping_changes_nothing(a: Prompt, b: Prompt, c: Prompt):
    assert (a | b) | c == a | (b | c) and (a & b) & c == a & (b & c)
    assert str((a | b) | c) == str(a | (b | c))


@settings(deadline=None)
@given(prompts, st.integers(0, 40))
def test_a_piece_is_kept_like_the_same_frames_of_the_whole(prompt: Prompt, start: int):
    whole = prompt.keep(context(n_frames=61))
    piece = prompt.keep(context(n_frames=61 - start, start_frame=start))
    if "keep" not in str(prompt) or start == 0:  # a stretch is checked below
        assert torch.equal(piece, whole[:, start:])


@requires_golden
def test_parts_keep_what_the_authors_masks_keep():
    assert torch.equal(keep(Periodic(7))[0], golden_keep("mask/periodic/p7_w1"))
    assert torch.equal(keep(Periodic(7, 3))[5], golden_keep("mask/periodic/p7_w3"))
    assert torch.equal(keep(Periodic(7) & Codebooks(3)), golden_keep("mask/codebook_mask/3"))
    assert torch.equal(keep(Periodic(7) | Codebooks(1)), golden_keep("mask/codebook_unmask/1"))
    frame_s = HOP / RATE_HZ
    ends = Keep(0, 5 * frame_s) | Keep(54 * frame_s, math.inf)
    assert torch.equal(keep(Periodic(7) | ends), golden_keep("mask/mask_and"))
    assert torch.equal(keep(Periodic(7) & ends), golden_keep("mask/mask_or"))


def test_period_0_keeps_nothing_and_period_1_everything():
    assert not keep(Periodic(0)).any() and keep(Periodic(1)).all()
    assert keep(Everything()).all() and not keep(Nothing()).any()
    assert not keep(Codebooks(0)).any() and keep(Codebooks(64)).all()


def test_keep_holds_every_frame_that_the_stretch_touches():
    frame_s = HOP / RATE_HZ
    kept = torch.nonzero(Keep(2.5 * frame_s, 4.1 * frame_s).keep(context())[0]).flatten().tolist()
    assert kept == [2, 3, 4]
    moved = Keep(2.5 * frame_s, 4.1 * frame_s).keep(context(n_frames=10, start_frame=3))
    assert torch.nonzero(moved[0]).flatten().tolist() == [0, 1]
    assert not Keep(50, 60).keep(context()).any() and Keep(0, math.inf).keep(context()).all()


def test_random_keeps_its_rate_and_depends_on_the_seed_only():
    big = PromptContext(14, 5000, RATE_HZ, HOP, torch.Generator().manual_seed(3))
    assert abs(Random(0.2).keep(big).float().mean().item() - 0.2) < 0.01
    assert torch.equal(Random(0.2).keep(context(seed=5)), Random(0.2).keep(context(seed=5)))
    assert not torch.equal(Random(0.2).keep(context(seed=5)), Random(0.2).keep(context(seed=6)))
    assert not keep(Random(0)).any() and keep(Random(1)).all()


def test_drawing_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    keep(Random(0.5) | Periodic(7))
    assert torch.equal(torch.get_rng_state(), before)


def test_prompts_read_as_they_are_written():
    assert str(Periodic(7) & Codebooks(3)) == "periodic(7) & codebooks(3)"
    assert repr(Periodic(7, 2, 1) | Keep(0.5, 2)) == "periodic(7, width=2, offset=1) | keep(0.5, 2)"
    assert str((Periodic(7) | Random(0.25)) & Codebooks(3)) == "(periodic(7) | random(0.25)) & codebooks(3)"
    assert str(Everything() & Codebooks(1) | Nothing()) == "everything & codebooks(1) | nothing"
    assert str(Keep(0, math.inf)) == "keep(0, inf)"


HALF_SECOND = Time(0.5)


@dataclass(frozen=True, repr=False)
class Early(Prompt):
    """A part as someone else may write it: fields and `keep` are all it needs."""

    share: float
    until: Time = HALF_SECOND

    def keep(self, context: PromptContext) -> torch.Tensor:
        return context.region(0, context.stop_frame(self.until, "early")) & context.random(self.share, "early")


def test_the_text_of_a_part_follows_from_its_fields():
    assert str(Early(1 / 3)) == f"early({1 / 3!r})" and str(Early(0.5, Time(2, "b"))) == "early(0.5, until=2b)"
    assert str(Early(1.0) | Nothing()) == "early(1) | nothing"
    assert int((Early(1.0) & Codebooks(1)).keep(context()).sum()) == 29  # 0.5 s hold 28.7 frames


def test_prompts_are_values():
    assert Periodic(7) | Codebooks(3) == Periodic(7) | Codebooks(3)
    assert len({Periodic(7), Periodic(7), Periodic(8)}) == 2
    with pytest.raises(TypeError):
        Periodic(7) | 3  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Periodic(-1), r"periodic: period is -1, but must be a whole number from 0 to"),
        (lambda: Periodic(7.5), r"periodic: period is 7\.5, but must be a whole number"),  # type: ignore[arg-type]
        (lambda: Periodic(7, 0), r"periodic: width is 0, but must be a whole number from 1 to"),
        (lambda: Codebooks(65), r"codebooks: n is 65, but must be a whole number from 0 to 64"),
        (lambda: Codebooks(True), r"codebooks: n is True"),
        (lambda: Keep(-1, 2), r"keep: start is -1, but must lie in 0 to"),
        (lambda: Keep(2, 2), r"keep: end is 2, but must lie after start, which is 2"),
        (lambda: Keep(2, math.nan), r"keep: end is nan"),
        (lambda: Random(1.5), r"random: rate is 1\.5, but must be a number from 0 to 1"),
        (lambda: Random(math.nan), r"random: rate is nan"),
    ],
)
def test_bad_values_name_the_part_the_value_and_the_range(make, words: str):
    with pytest.raises(PromptError, match=words):
        make()


def test_parts_that_draw_need_a_generator_and_are_named():
    for part, name in ((Random(0.5), "random"), (Drop(0.5), "drop"), (Periodic(7, offset="random"), "periodic with a")):
        with pytest.raises(PromptError, match=f"{name}.* draws at random, so it needs a seed"):
            part.keep(context(seed=None))
