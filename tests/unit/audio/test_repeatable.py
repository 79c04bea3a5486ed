"""The same samples give the same bytes at any time of day: serial numbers and times in files are fixed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.audio_files import tone
from vampnet.audio import files as audio, writing
from vampnet.audio.files import Audio
from vampnet.audio.repeatable import make_repeatable

RATE_HZ = 48000


KINDS = (("a.ogg", None), ("a.opus", None), *((f"a.{ending}", "FLOAT") for ending in ("wav", "rf64", "aiff", "caf")))


def test_files_of_another_second_are_equal(tmp_path: Path) -> None:
    sound = Audio(tone(20000), RATE_HZ)
    for name, subtype in KINDS:
        audio.write(tmp_path / name, sound, subtype)
    first = {name: (tmp_path / name).read_bytes() for name, _ in KINDS}
    time.sleep(1.1)  # libsndfile's clock counts seconds
    for name, subtype in KINDS:
        audio.write(tmp_path / name, sound, subtype)
    assert [name for name, _ in KINDS if (tmp_path / name).read_bytes() != first[name]] == []


@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_the_sound_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, subtype: str | None) -> None:
    path, sound = tmp_path / name, Audio(tone(20000), RATE_HZ)
    audio.write(path, sound, subtype)
    fixed = audio.read(path).samples
    monkeypatch.setattr(writing, "make_repeatable", lambda path: None)
    audio.write(path, sound, subtype)
    np.testing.assert_array_equal(audio.read(path).samples, fixed)


def test_other_files_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, Audio(tone(2000), RATE_HZ))
    before = path.read_bytes()
    make_repeatable(path)
    assert path.read_bytes() == before
