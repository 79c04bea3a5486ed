"""Times and regions as text: understood or refused, never something else than was meant."""

from __future__ import annotations

import math

import pytest

from vampnet.audio.clock import parse_clock
from vampnet.errors import PromptError
from vampnet.prompts.grammar import parse_prompt
from vampnet.prompts.parts import Keep
from vampnet.prompts.rhythmic import Beats, Onsets
from vampnet.prompts.time import Time, as_time, check_region, parse_region


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.5", 1.5),
        ("1,5", 1.5),
        (" 2 s", 2.0),
        ("75ms", 0.075),
        ("1:05", 65.0),
        ("0:02", 2.0),
        ("10:00.25", 600.25),
        ("0:01,5", 1.5),
        ("1:02:03", 3723.0),
        (".5", 0.5),
        ("1:75", None),
        ("1:5", None),
        ("1:99:00", None),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("1.5.2", None),
        ("1,000,000", None),
        ("two", None),
    ],
)
def test_clock(text: str, seconds: float | None) -> None:
    assert parse_clock(text) == seconds


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("1.5:4", (1.5, 4.0)),
        ("0:2", (0.0, 2.0)),
        (":2", (0.0, 2.0)),
        ("3.5:", (3.5, math.inf)),
        ("3.5:end", (3.5, math.inf)),
        ("1,5:4,25", (1.5, 4.25)),
        ("0:02-0:03", (2.0, 3.0)),
        ("0:02 – 0:03,5", (2.0, 3.5)),  # a dash as word processors write it
        ("1:05:2:10", (65.0, 130.0)),
        ("1:02:03-1:02:05", (3723.0, 3725.0)),
        ("2-3.5", (2.0, 3.5)),
        ("2-", (2.0, math.inf)),
        ("500ms-2s", (0.5, 2.0)),
        ("0:02-", (2.0, math.inf)),
    ],
)
def test_regions(text: str, region: tuple[float, float]) -> None:
    assert parse_region(text) == region


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1:05", "write 1-5 for seconds 1 to 5, or 1:05- for 1:05 to the end"),
        ("0:02", "write 0-2"),
        ("5", "START-END"),
        ("", "START-END"),
        ("-3", "START-END"),
        ("a:b", "START-END"),
        ("1:05:2", "START-END"),
        ("3:1", "end must lie after"),
        ("0:03-0:02", "end must lie after"),
        ("2:2", "end must lie after"),
        ("1-2-3", "START-END"),
        ("nan:2", "START-END"),
        ("1:75-2:00", "START-END"),
        (":", None),
    ],
)
def test_regions_that_may_mean_something_else_are_refused(text: str, words: str | None) -> None:
    if words is None:
        assert parse_region(text) == (0.0, math.inf)
        return
    with pytest.raises(PromptError, match=words) as caught:
        parse_region(text, "--region")
    assert str(caught.value).startswith("--region is ")


def test_regions_outside_the_recording_are_refused() -> None:
    assert check_region(2.0, math.inf, 3.0) == (2.0, 3.0)
    assert check_region(0.0, 3.01, 3.0) == (0.0, 3.0)  # rounded
    assert check_region(0.5, 2.5, 3.0) == (0.5, 2.5)
    with pytest.raises(PromptError, match=r"region is 2 to 9 s, but the recording ends at 3\.00 s"):
        check_region(2.0, 9.0, 3.0)
    with pytest.raises(PromptError, match=r"ends at 3\.00 s"):
        check_region(100.0, math.inf, 3.0)


@pytest.mark.parametrize(
    "text", ["keep(1, inf)", "keep(0, 3)", "beats(after=75ms)", "prefix(2) | suffix(1b)", "keep(4f, 900f)"]
)
def test_prompts_that_fit(text: str) -> None:
    parse_prompt(text).check_fits(3.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keep(100, 200)", r"keep\(100s, 200s\) lies outside the recording, which ends at 3\.00 s"),
        ("periodic(7) | keep(2, 9) & codebooks(3)", r"keep\(2, 9\) reaches beyond the end .* write keep\(2, inf\)"),
        ("prefix(75)", r"prefix: length is 75 s, longer than the recording \(3\.00 s\); did you mean 75ms"),
        ("suffix(5)", "longer than the recording"),
        ("beats(after=75s)", "did you mean 75ms"),
        ("beats(before=9)", "did you mean 9ms"),
        ("onsets(after=4)", "longer than the recording"),
    ],
)
def test_prompts_beyond_the_recording_are_refused(text: str, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        parse_prompt(text).check_fits(3.0)


@pytest.mark.parametrize("text", ["beats(after=75)", "beats(before=75)", "onsets(after=50.0)", "onsets(before=11)"])
def test_units_that_look_forgotten_are_asked_for(text: str) -> None:
    with pytest.raises(PromptError, match=r"write \d+ms for milliseconds, or \d+s if it is meant"):
        parse_prompt(text)


def test_long_reaches_with_a_unit_are_taken_and_printed_with_it() -> None:
    assert Beats(after="16s") == parse_prompt("beats(after=16s)") == Beats(after=Time(16.0))
    assert str(Beats(after="16s")) == "beats(after=16s)"
    assert parse_prompt(str(Onsets(after="1e5s"))) == Onsets(after="1e5s")
    with pytest.raises(PromptError, match="75ms"):
        Beats(after=75)


def test_clock_times_in_prompts() -> None:
    assert parse_prompt("keep(0:02, 1:03.5)") == Keep(2, 63.5)
    assert as_time("1:05", "start") == Time(65.0)


@pytest.mark.parametrize("text", ["prefix(1,5)", "keep(1,5, 2,5)", "beats(after=0,075)"])
def test_decimal_commas_in_prompts_get_a_hint(text: str) -> None:
    with pytest.raises(PromptError, match="decimals have a point"):
        parse_prompt(text)
