"""Prompts as text: what is printed parses to the same prompt, precedence, units, presets, and errors with a caret."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings, strategies as st

from vampnet.errors import PromptError
from vampnet.prompts.context import PromptContext
from vampnet.prompts.grammar import PARTS, parse_prompt
from vampnet.prompts.painted import Erase, Paint, Stroke
from vampnet.prompts.parts import Codebooks, Drop, Everything, Keep, Nothing, Periodic, Prompt, Random
from vampnet.prompts.presets import PRESETS
from vampnet.prompts.rhythmic import Beats, Onsets, Prefix, Suffix
from vampnet.prompts.time import Time

times = st.one_of(
    st.floats(0, 1e6, allow_nan=False),
    st.integers(0, 10**6).map(lambda n: f"{n}f"),
    st.floats(0, 1000).map(lambda x: f"{x!r}b"),
    st.integers(0, 5000).map(lambda n: f"{n}ms"),
)
reaches = times.map(lambda time: f"{time!r}s" if isinstance(time, float) else time)
strokes = st.builds(
    lambda first, more, start, unit: Stroke(first, min(first + more, 64), Time(start, unit), Time(start + 1, unit)),
    st.integers(1, 64), st.integers(0, 64), st.integers(0, 10**6), st.sampled_from("sfb"),
)  # fmt: skip
parts = st.one_of(
    st.builds(Periodic, st.integers(0, 99), st.integers(1, 9), st.one_of(st.integers(-9, 9), st.just("random"))),
    st.builds(Codebooks, st.integers(0, 64)),
    st.builds(Keep, times, st.just(math.inf)),
    st.builds(Prefix, times),
    st.builds(Suffix, times),
    st.builds(Beats, reaches, reaches, st.integers(1, 9), st.sampled_from(("all", "downbeats", "upbeats"))),
    st.builds(Onsets, reaches, reaches),
    st.builds(Random, st.floats(0, 1)),
    st.builds(Drop, st.floats(0, 1)),
    st.lists(strokes, min_size=1, max_size=3).map(lambda found: Paint(*found)),
    st.lists(strokes, min_size=1, max_size=3).map(lambda found: Erase(*found)),
    st.sampled_from((Everything(), Nothing())),
)
prompts = st.recursive(
    parts,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(prompts)
def test_what_is_printed_parses_to_the_same_prompt(prompt: Prompt) -> None:
    assert parse_prompt(str(prompt)) == prompt


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse_prompt(text)
    except PromptError as error:
        assert "\n" in str(error)


def test_and_binds_tighter_than_or() -> None:
    periodic, beats, codebooks = Periodic(7), Beats(after="75ms"), Codebooks(3)
    assert parse_prompt("periodic(7) | beats(after=75ms) & codebooks(3)") == periodic | (beats & codebooks)
    assert parse_prompt("(periodic(7)|beats(after=75ms))&codebooks(3)") == (periodic | beats) & codebooks
    assert parse_prompt(" Periodic( 7 , width = 2 ) ") == Periodic(7, 2)


def test_times_have_units() -> None:
    assert parse_prompt("keep(75ms, 4f)") == Keep(0.075, Time(4, "f"))
    assert parse_prompt("prefix(2b)") == Prefix(Time(2, "b")) and parse_prompt("suffix(inf)") == Suffix(math.inf)
    assert str(Prefix("1500ms")) == "prefix(1.5)" and str(Keep("4f", "2b")) == "keep(4f, 2b)"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_are_prompts(preset) -> None:
    assert parse_prompt(preset.name) == parse_prompt(preset.prompt)
    assert preset.sentence.endswith(".") and preset.name not in PARTS
    assert parse_prompt(f"{preset.name} & codebooks(3)") == parse_prompt(preset.prompt) & Codebooks(3)


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("peridic(7)", "did you mean periodic?", 0),
        ("periodic(7) | keeep(0, 2)", "did you mean keep?", 14),
        ("vray", "did you mean vary?", 0),
        ("periodic(7", "expected , or )", 10),
        ("(periodic(7)", "bracket is not closed", 12),
        ("periodic(7) beats", "expected | or & before 'beats'", 12),
        ("periodic(7) |", "expected a part", 13),
        ("", "empty", 0),
        ("periodic", "needs period", 0),
        ("keep(1)", "needs end", 0),
        ("periodic(7, widht=2)", "did you mean width?", 12),
        ("periodic(7, period=2)", "given twice", 12),
        ("periodic(period=7, 2)", "cannot follow", 19),
        ("codebooks(1, 2)", "at most 1", 13),
        ("nothing(1)", "takes no", 8),
        ("periodic(7) | codebooks(99)", "codebooks: n is 99", 14),
        ("beats(which=offbeats)", "which is 'offbeats'", 0),
        ("prefix(2x)", "must be a time", 0),
        ("prefix(1.5f)", "frames are whole", 0),
        ("keep(3, 2)", "must lie after start", 0),
        ("periodic(7) $", "cannot read '$'", 12),
        ("(" * 200 + "nothing", "brackets", 100),
    ],
)
def test_errors_point_at_the_place(text: str, message: str, column: int) -> None:
    with pytest.raises(PromptError) as caught:
        parse_prompt(text)
    first, shown, caret = str(caught.value).split("\n")
    assert message in first
    assert shown == f"  {text}" and caret == "  " + " " * column + "^"


def context(n_frames: int = 100, **events: list[float]) -> PromptContext:
    """Frames of a hundredth of a second."""
    generator = torch.Generator().manual_seed(0)
    return PromptContext(2, n_frames, 1000, 10, generator, find_events=lambda kind: events[kind])


def kept(text: str, **events: list[float]) -> list[int]:
    keep_CT = parse_prompt(text).keep(context(100, **events))
    assert torch.equal(keep_CT[0], keep_CT[1])
    return keep_CT[0].nonzero().squeeze(1).tolist()


def test_prefix_and_suffix() -> None:
    assert kept("prefix(25ms)") == [0, 1, 2] and kept("prefix(3f)") == [0, 1, 2]
    assert kept("suffix(25ms)") == [97, 98, 99] and kept("suffix(2f)") == [98, 99]
    assert len(kept("prefix(9)")) == 100 and kept("suffix(0)") == []
    assert kept("prefix(2b)", beats=[0.0, 0.02, 0.04, 0.06]) == [0, 1, 2, 3]
    assert kept("suffix(1b)", beats=[0.0, 0.02, 0.04, 0.06]) == [98, 99]


def test_beats() -> None:
    beats = [0.1, 0.3, 0.5, 0.7]
    assert kept("beats(after=20ms)", beats=beats) == [10, 11, 30, 31, 50, 51, 70, 71]
    assert kept("beats(1f, 0f, every=2)", beats=beats) == [9, 10, 49, 50]
    assert kept("beats(after=0, which=upbeats)", beats=beats) == [20, 40, 60]
    assert kept("beats(after=0.5b, which=downbeats)", beats=beats, downbeats=[0.1]) == list(range(10, 20))
    assert kept("beats(before=1, after=0)", beats=[0.02]) == [0, 1, 2]  # before the start nothing is lost


def test_onsets_in_the_first_frames_count() -> None:
    assert kept("onsets(2f, 2f)", onsets=[0.01, 0.5]) == [0, 1, 2, 48, 49, 50, 51]


def test_positions_in_beats_lie_between_them() -> None:
    assert kept("keep(1b, 2.5b)", beats=[0.0, 0.1, 0.2, 0.4]) == list(range(10, 30))
    with pytest.raises(PromptError, match="fewer than two"):
        kept("keep(1b, 2b)", beats=[0.3])


def test_drop_lets_go_of_exactly_its_share() -> None:
    assert len(kept("periodic(4) & drop(0.4)")) == 15
    assert len(kept("drop(0.25)")) == 75 and kept("periodic(4) & drop(1)") == []
    assert set(kept("drop(0.5) & periodic(4)")) < set(kept("periodic(4)"))
    assert len(kept("periodic(4) & drop(0.5) | prefix(1f)")) in (13, 14, 12)


def test_random_offset_is_drawn() -> None:
    prompt = parse_prompt("periodic(10, offset=random)")
    places = {
        int(prompt.keep(PromptContext(1, 50, 1000, 10, torch.Generator().manual_seed(s)))[0].nonzero()[0])
        for s in range(40)
    }
    assert len(places) > 7
    assert all(p < 10 for p in places)


@pytest.mark.parametrize(
    "work",
    [
        "import vampnet; vampnet.parse_prompt('periodic(7) | beats(after=75ms)')",
        "import vampnet; vampnet.Periodic(7) & vampnet.Codebooks(3) | vampnet.Beats() | vampnet.Keep(0, '2b')",
        "import vampnet.prompts.parts, vampnet.prompts.rhythmic, vampnet.prompts.presets, vampnet.prompts.time",
    ],
)
def test_prompts_are_parsed_and_checked_without_torch(work: str) -> None:
    check = "import sys; found = {'torch', 'numpy', 'scipy'} & set(sys.modules); assert not found, found"
    done = subprocess.run([sys.executable, "-c", f"{work}; {check}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_strokes_are_painted_and_erased() -> None:
    context = PromptContext(4, 20, 44100, 768)
    painted = parse_prompt("paint(1-2@2f:4f, 4@10f:inf)").keep(context)
    expected = torch.zeros(4, 20, dtype=torch.bool)
    expected[:2, 2:4] = expected[3, 10:] = True
    assert torch.equal(painted, expected)
    assert torch.equal(parse_prompt("erase(1-2@2f:4f, 4@10f:inf)").keep(context), ~expected)
    assert torch.equal(Paint("all@0:0.02").keep(context), context.region(0, 2))  # every frame that it overlaps
    later = PromptContext(4, 10, 44100, 768, start_frame=10)
    assert torch.equal(Paint("4@10f:inf").keep(later), expected[:, 10:])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("paint", "needs 1 to 20000 strokes"),
        ("paint(3)", "expected a stroke"),
        ("paint(0@1:2)", "must lie in 1 to 64"),
        ("paint(3-1@1:2)", "the smaller one first"),
        ("erase(1@2:1)", "must end after it begins"),
        ("erase(1@1:05:2)", "must be CODEBOOKS@START:END"),
        ("keep(1@2:3)", "expected a value for keep"),
        ("paint(1@1:2 3@1:2)", "expected , or )"),
    ],
)
def test_bad_strokes_are_refused(text: str, says: str) -> None:
    with pytest.raises(PromptError, match=re.escape(says)):
        parse_prompt(text)
    with pytest.raises(PromptError, match="recording ends"):
        parse_prompt("paint(1@1:9)").check_fits(4.0)
