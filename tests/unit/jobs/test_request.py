"""Requests: one JSON form, checked without torch, every error naming its field."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vampnet.errors import VampnetError
from vampnet.jobs.request import REQUESTS, VampRequest, request_from_json, request_schema, request_to_json

EXAMPLES = [
    {"task": "vamp", "prompt": "periodic(8)", "sampling": {"steps": 4, "c2f_steps": 1, "seed": 3}},
    {"task": "vamp", "input": "a b.wav", "model": {"lora": ["jazz.safetensors:0.5"]}, "variations": 3, "variation": 2},
    {"task": "inpaint", "regions": [[1.0, 2.5], [7.0, None]], "prompt": "codebooks(1)"},
    {"task": "outpaint", "before_s": 1.5, "after_s": 2.0, "theme": "nothing"},
    {"task": "generate", "seconds": 3.5},
    {"task": "generate", "like": "clip.wav", "prompt": "periodic(9)"},
    {"task": "generate", "words": {"bpm": 96.0, "chords": "Dm7 | G7", "instruments": ["piano"]}, "sketch": "keep"},
    {"task": "vamp", "steering": {"follow": "beats,chords", "best_of": 8}},
    {"task": "tap", "tap": {"bpm": 96.0, "tightness": 0.5}},
    {"task": "hum", "hum": {"instrument": "flute", "transpose": -12, "key": "D minor"}, "prompt": "periodic(3)"},
    {"task": "vamp", "input": "a.wav", "beats": {"beats_s": [1.5, 0.5, 1.0], "downbeats_s": [0.5]}},
    {"task": "loop", "bars": 2, "beats": {"bpm": 120.0, "downbeat_s": 0.25}, "join": True},
    {"task": "stretch", "factor": 1.25},
    {"task": "telephone", "rounds": 3},
    {"task": "compress", "compression": {"codebooks": 3}},
    {"task": "decompress", "seed": 5, "any_model": True},
]


@pytest.mark.parametrize("data", EXAMPLES, ids=lambda data: data["task"])
def test_json_there_and_back(data: dict) -> None:
    request = request_from_json(json.loads(json.dumps(data)))
    assert type(request) is REQUESTS[data["task"]]
    assert request_to_json(request) == data
    assert request_from_json(request_to_json(request)) == request


def test_continue_is_an_outpaint() -> None:
    assert request_to_json(request_from_json({"task": "continue", "seconds": 3})) == {"task": "outpaint", "after_s": 3}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "expected an object"),
        ({}, "task is None"),
        ({"task": "vmap"}, "did you mean vamp"),
        ({"task": "vamp", "promt": "vary"}, "did you mean prompt"),
        ({"task": "vamp", "prompt": "perodic(7)"}, "did you mean periodic"),
        ({"task": "vamp", "prompt": 7}, "prompt is 7"),
        ({"task": "vamp", "sampling": {"steps": 0}}, "steps is 0, but must lie in 1 to 1000"),
        ({"task": "vamp", "sampling": {"steps": True}}, "steps is True"),
        ({"task": "vamp", "sampling": {"temperature": float("nan")}}, "temperature"),
        ({"task": "vamp", "sampling": 3}, "expected settings"),
        ({"task": "vamp", "variations": 2.5}, "variations is 2.5"),
        ({"task": "vamp", "variation": 2}, "raise `variations`"),
        ({"task": "vamp", "model": {"backend": "opnvino"}}, "did you mean openvino"),
        ({"task": "vamp", "model": {"device": "coda"}}, "must be auto, cpu, cuda, cuda:N or mps; did you mean cuda"),
        ({"task": "vamp", "beats": {"bpm": 90, "file": "a.txt"}}, "give one of them"),
        ({"task": "vamp", "beats": {"downbeat_s": 1.0}}, "give `bpm` too"),
        ({"task": "vamp", "beats": {"beats_s": [1.0], "bpm": 90}}, "beats_s and beats.bpm both say"),
        ({"task": "vamp", "beats": {"beats_s": [-1.0]}}, "beats_s is -1.0, but must lie in 0"),
        ({"task": "vamp", "beats": {"beats_s": [float("nan")]}}, "beats_s is nan"),
        ({"task": "vamp", "beats": {"beats_s": ["1"]}}, "each entry a number"),
        ({"task": "vamp", "beats": {"beats_s": [0.0] * 50001}}, "50001 times, but at most 50000"),
        ({"task": "vamp", "beats": {"beats_s": [1.0], "downbeats_s": [2.0]}}, "has 2, which is none of the beats"),
        ({"task": "generate", "words": {"style": "funkk"}}, "did you mean funk"),
        ({"task": "generate", "words": {"bars": 4}, "seconds": 3.0}, "only one of them"),
        ({"task": "generate", "words": {"bars": 4}, "like": "clip.wav"}, "leave one out"),
        ({"task": "generate", "words": {"bars": 4}, "theme": "nothing"}, "leave one out"),
        ({"task": "generate", "sketch": "only"}, "give `bpm` or `chords`"),
        ({"task": "generate", "prompt": "periodic(7)"}, "give words"),
        ({"task": "vamp", "steering": {"follow": "drums"}}, "beats, rhythm, chords, melody"),
        ({"task": "vamp", "steering": {"best_of": 200}}, "0 to 100"),
        ({"task": "tap", "tap": {"tightness": 0.5}}, "give `bpm`"),
        ({"task": "hum", "hum": {"instrument": "drums"}}, "cannot play a line"),
        ({"task": "hum", "hum": {"key": "D mnor"}}, "did you mean minor"),
        ({"task": "inpaint"}, "regions"),
        ({"task": "inpaint", "regions": [[2, 1]]}, "region 2:1"),
        ({"task": "inpaint", "regions": [[1, 2, 3]]}, "2 entries"),
        ({"task": "inpaint", "regions": "1:2"}, "regions is '1:2'"),
        ({"task": "outpaint"}, "both 0"),
        ({"task": "generate", "prompt": "vary"}, "name the clip"),
        ({"task": "generate", "like": "a.wav", "theme": "vary"}, "theme is for music from nothing"),
        ({"task": "generate", "input": "a.wav"}, "takes no input"),
        ({"task": "compress", "variations": 2}, "compressed once"),
        ({"task": "decompress", "sampling": {"steps": 3}}, "stored in the .vamp file"),
    ],
)
def test_errors_name_the_field(data: object, named: str) -> None:
    with pytest.raises(VampnetError, match=named):
        request_from_json(data)


def test_the_schema_states_ranges_choices_and_defaults() -> None:
    variants = {variant["properties"]["task"]["const"]: variant for variant in request_schema()["oneOf"]}
    assert variants.keys() == REQUESTS.keys()
    steps = variants["vamp"]["properties"]["sampling"]["properties"]["steps"]
    assert (steps["type"], steps["minimum"], steps["maximum"], steps["default"]) == ("integer", 1, 1000, 12)
    assert variants["vamp"]["properties"]["model"]["properties"]["backend"]["enum"] == ["torch", "openvino"]
    for variant in variants.values():
        described = [name for name, entry in variant["properties"].items() if "description" in entry]
        assert {*variant["properties"]} - {*described} <= {"task"}


def test_numbers_of_variations() -> None:
    assert VampRequest(variations=3).numbers == (1, 2, 3)
    assert VampRequest(variations=3, variation=2).numbers == (2,)


def test_nothing_imports_torch() -> None:
    code = "from vampnet.jobs.request import VampRequest; VampRequest(prompt='beats')"
    code = f"import sys; {code}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
