"""Flags: a request and its command line say the same, and every choice has one flag."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from vampnet.errors import SettingsError, VampnetError
from vampnet.jobs.flags import Flag, as_single, command_of, flags_of, name_flags
from vampnet.jobs.request import REQUESTS, DecompressRequest, LoopRequest, Request, VampRequest, request_from_json

PROMPTS = ("periodic(5)", "beats(after=75ms) & codebooks(3)", "nothing", "vary | keep(0, 2)")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def values_of(flag: Flag) -> st.SearchStrategy[Any]:
    """Values that a field allows."""
    if flag.name in ("--prompt", "--theme"):
        return st.sampled_from(PROMPTS)
    if flag.name == "--device":
        return st.sampled_from(("cpu", "cuda:1", "mps"))
    if flag.is_switch:
        return st.just(not flag.default)
    if flag.name == "--region":
        starts = st.floats(0, 1e4)
        regions = st.tuples(starts, st.one_of(st.none(), st.floats(0.001, 1e4))).map(
            lambda pair: (pair[0], None if pair[1] is None else pair[0] + pair[1])
        )
        return st.lists(regions, min_size=1, max_size=3).map(tuple)
    if flag.is_repeatable:
        return st.lists(TEXTS, max_size=3).map(tuple)
    if flag.choices:
        return st.sampled_from(flag.choices)
    kind = flag._value_type
    low, high = flag.low, flag.high
    if kind is int:
        return st.integers(int(low or 0), int(high if high is not None else 10**6))
    return st.floats(low, high, allow_nan=False) if kind is float else TEXTS


@st.composite
def requests(draw: st.DrawFn) -> Request:
    task = draw(st.sampled_from(sorted(REQUESTS)))
    data: dict[str, Any] = {"task": task}
    if REQUESTS[task].needs_input:
        data["input"] = draw(TEXTS)
    flags = flags_of(task)
    needed = [flag for flag in flags if flag.name == "--region"]
    for flag in [*needed, *draw(st.lists(st.sampled_from(flags), max_size=8, unique_by=lambda f: f.name))]:
        place = data
        for name in flag.path[:-1]:
            place = place.setdefault(name, {})
        place[flag.path[-1]] = draw(values_of(flag))
    try:
        return request_from_json(data)
    except VampnetError:  # values that do not go together
        return request_from_json({"task": "vamp", "input": draw(TEXTS), "sampling": {"seed": draw(st.integers(0, 99))}})


def parsed(words: list[str], task: str) -> Request:
    """A command line's request, read by the rules of the shell and of `Flag.parse` alone."""
    data: dict[str, Any] = {"task": task}
    flags = {flag.name: flag for flag in flags_of(task)}
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, text = word.partition("=")
        if word == "--":
            data["input"] = left.pop(0)
        elif word == "-o":
            left.pop(0)
        elif word.startswith("--output="):
            continue
        elif name not in flags:
            data["input"] = word
        else:
            flag, place = flags[name], data
            for key in flag.path[:-1]:
                place = place.setdefault(key, {})
            value = not flag.default if flag.is_switch else flag.parse(text if equals else left.pop(0))
            place[flag.path[-1]] = [*place.get(flag.path[-1], []), value] if flag.is_repeatable else value
    return request_from_json(data)


@settings(max_examples=150, deadline=None)
@given(requests(), st.one_of(st.just("-"), TEXTS))
def test_a_command_line_stands_for_its_request(request: Request, output: str) -> None:
    words = shlex.split(command_of(request, output))
    assert words[:2] == ["vampnet", request.task]
    assert parsed(words[2:], request.task) == as_single(request)
    assert (
        words[words.index("-o") + 1] == output if not output[1:] or output[0] != "-" else f"--output={output}" in words
    )


def test_only_what_differs_is_written() -> None:
    assert command_of(VampRequest(input="a b.wav"), "out.wav") == "vampnet vamp 'a b.wav' -o out.wav"
    request = request_from_json({"task": "inpaint", "input": "-x.wav", "regions": [[1, 2.5], [7, None]]})
    assert command_of(request, "-") == "vampnet inpaint -o - --region 1.0:2.5 --region 7.0: -- -x.wav"
    request = request_from_json({"task": "vamp", "input": "-", "domain_warning": False, "beats": {"bpm": 90.0}})
    assert command_of(request, "-o.wav") == "vampnet vamp - --output=-o.wav --bpm 90.0 --no-domain-warning"


def test_a_variation_is_named_by_its_seed_or_by_its_number() -> None:
    vamp = request_from_json({"task": "vamp", "variations": 3, "variation": 2, "sampling": {"seed": 5}})
    assert command_of(vamp, "b.wav") == "vampnet vamp -o b.wav --seed 6"
    last = request_from_json({"task": "vamp", "variations": 2, "variation": 2, "sampling": {"seed": 2**63 - 1}})
    assert as_single(last).sampling.seed == 0
    loop = LoopRequest(variations=3, variation=2)
    assert command_of(loop, "b.wav") == "vampnet loop -o b.wav --variations 3 --variation 2"
    stored = DecompressRequest(variations=3, variation=2)
    assert command_of(stored, "b.wav") == "vampnet decompress -o b.wav --variations 3 --variation 2"
    assert command_of(dataclasses.replace(stored, seed=7), "b.wav") == "vampnet decompress -o b.wav --seed 8"


@pytest.mark.parametrize("command", [*REQUESTS, "continue"])
def test_a_flag_exists_once_and_is_described(command: str) -> None:
    names = [flag.name for flag in flags_of(command)]
    assert len(names) == len(set(names)) and all(flag.help for flag in flags_of(command))
    assert "--bundle" in names and "--seed" in names


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("--steps", "x", "--steps is 'x', but must be a whole number"),
        ("--steps", "0", "--steps is 0, but must lie in 1 to 1000"),
        ("--top-p", "nan", "--top-p is nan"),
        ("--backend", "tourch", "must be one of torch, openvino; did you mean torch"),
        ("--compat", "refrence", "must be reference; did you mean reference"),
        ("--region", "2", "--region is '2'"),
    ],
)
def test_errors_name_the_flag(name: str, text: str, words: str) -> None:
    flag = next(flag for task in ("vamp", "inpaint") for flag in flags_of(task) if flag.name == name)
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")):
        flag.parse(text)


def test_messages_about_fields_name_the_flags() -> None:
    assert name_flags("before_s and after_s are both 0", "outpaint") == "--before and --after are both 0"
    assert name_flags("beats.bpm is 3, but", "vamp") == "--bpm is 3, but"
    text = "prompt says what is kept of a clip; name the clip in `like`"
    assert name_flags(text, "generate") == "--prompt says what is kept of a clip; name the clip in --like"
    assert name_flags("region 2:1 must begin", "inpaint") == "--region 2:1 must begin"
    assert name_flags("variation is 2, but there are 1 variations", "vamp").startswith("--variation is 2")
