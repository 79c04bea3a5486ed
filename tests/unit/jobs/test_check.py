"""Checks before the work: what lies outside the recording, and recordings of nothing but an offset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tiny_vampnet, tone
from vampnet.audio.files import write
from vampnet.audio.samples import Audio
from vampnet.errors import AudioError, VampnetError
from vampnet.jobs.check import check_job
from vampnet.jobs.request import request_from_json
from vampnet.jobs.runner import run_job


@pytest.fixture
def song(tmp_path: Path) -> Path:
    write(tmp_path / "song.wav", tone(3.0))
    return tmp_path / "song.wav"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"task": "inpaint", "regions": [[2.0, 9.0]]}, "ends at 3.00 s"),
        ({"task": "inpaint", "regions": [[5.0, None]]}, "within the 3.000 s"),
        ({"task": "vamp", "prompt": "keep(100, 200)"}, "100"),
        ({"task": "vamp", "prompt": "periodic(7) | prefix(75)"}, "75"),
        ({"task": "telephone", "prompt": "keep(4, 5)"}, "4"),
        ({"task": "loop", "beats": {"beats_s": [1.0, 9.0, 8.0]}}, "2 of 3 beats lie behind the end"),
    ],
)
def test_what_lies_outside_the_recording_is_refused(song: Path, data: dict, named: str) -> None:
    with pytest.raises(VampnetError, match=named):
        check_job(request_from_json({"input": str(song), **data}), [song.with_name("out.wav")])


def test_what_fits_is_taken(song: Path) -> None:
    for data in ({"task": "inpaint", "regions": [[2.0, 3.0]]}, {"task": "vamp", "prompt": "keep(0, 3) | suffix(1)"}):
        check_job(request_from_json({"input": str(song), **data}), [song.with_name("out.wav")])


@pytest.mark.parametrize("task", [{"task": "vamp"}, {"task": "inpaint", "regions": [[0.2, 0.4]]}])
def test_a_recording_of_nothing_but_an_offset_is_refused(tmp_path: Path, task: dict) -> None:
    write(tmp_path / "dc.wav", Audio(np.full((1, 44100), 0.5, np.float32), 44100))
    request = request_from_json({"input": str(tmp_path / "dc.wav"), "sampling": {"steps": 1, "c2f_steps": 1}, **task})
    with pytest.raises(AudioError, match="offset"):
        run_job(request, [tmp_path / "out.wav"], model=tiny_vampnet(tmp_path / "bundle"))
