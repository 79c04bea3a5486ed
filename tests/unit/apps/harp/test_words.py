"""New music to words from HARP, which always sends a recording too."""

from __future__ import annotations

from typing import Any

import pytest

from vampnet.apps.harp.controls import INPUTS, NEW, request_data
from vampnet.errors import VampnetError
from vampnet.jobs.request import GenerateRequest, request_from_json


def values(**changed: Any) -> list[Any]:
    return [{"path": "abc/song.wav"}, *(changed.get(control["label"], control["value"]) for control in INPUTS[1:])]


def test_words_become_a_request_without_input() -> None:
    path, data = request_data(
        values(Task=NEW, Words="bpm(96), key(Dm), bars(4), instruments(piano, no drums)", Seed="3")
    )
    request = request_from_json(data)
    assert path == "" and isinstance(request, GenerateRequest) and not request.prompt
    assert str(request.words) == "bpm(96), key(D minor), bars(4), instruments(piano, no drums)"
    assert request.sampling.seed == 3
    assert request_data(values(Task=NEW, Words="bpm(96)", Keep="periodic(3)"))[1]["prompt"] == "periodic(3)"


@pytest.mark.parametrize(
    ("words", "said"), [("", "Words is empty"), ("tempo(96)", "unknown control"), ("bpm(x)", "number")]
)
def test_wrong_words_are_named(words: str, said: str) -> None:
    with pytest.raises(VampnetError, match=said):
        request_data(values(Task=NEW, Words=words))
