"""Controls of files: MIDI, JSON of the command, recordings; and what is said of files that hold none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.controls.test_midi import write_song
from vampnet.controls.reading import check_controls_file, read_controls
from vampnet.controls.signals import Controls
from vampnet.errors import VampnetError


def test_json_and_midi_are_read(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.mid")
    controls = read_controls(song)
    assert controls.key == "D minor" and controls.chords
    kept = tmp_path / "song.json"
    kept.write_text(json.dumps({"file": "song.mid", **controls.to_dict()}))
    again = read_controls(kept)
    assert again.names == controls.names and again.chords == controls.chords
    np.testing.assert_allclose(again.signal("beat_phase"), controls.signal("beat_phase"), atol=1e-4)
    check_controls_file(kept)


WRONG = [
    ("none.json", None, "no such file"),
    ("none.mid", None, "none.mid"),
    ("none.wav", None, "no such file"),
    ("text.json", b"bpm(96)", "not JSON"),
    ("bytes.json", b"\xff\xfe\x00", "not a text file"),
    ("twice.json", b'{"format": 1, "format": 1}', "not JSON"),
    ("list.json", b"[1, 2]", "expected controls, found list"),
    ("empty.json", b"{}", "format is None"),
    ("newer.json", b'{"format": 99, "n_frames": 4}', "update vampnet"),
    ("frames.json", b'{"format": 1, "n_frames": "4", "sample_rate_hz": 44100, "hop": 768}', "whole number"),
    ("name.json", b'{"format": 1, "n_frames": 4, "sample_rate_hz": 44100, "hop": 768, "tempo": 96}', "unknown control"),
    ("tempo.json", b'{"format": 1, "n_frames": 4, "sample_rate_hz": 44100, "hop": 768, "tempo_bpm": "x"}', "a number"),
    (
        "key.json",
        b'{"format": 1, "n_frames": 4, "sample_rate_hz": 44100, "hop": 768, "key": "H mol"}',
        "German name of B",
    ),
    ("short.json", b'{"format": 1, "n_frames": 4, "sample_rate_hz": 44100, "hop": 768, "melody": [60.0]}', "shape"),
    ("high.json", b'{"format": 1, "n_frames": 1, "sample_rate_hz": 44100, "hop": 768, "melody": [999]}', "0 to 127"),
    ("chord.json", b'{"format": 1, "n_frames": 1, "sample_rate_hz": 44100, "hop": 768, "chords": [[0, 1, "Q"]]}', "Q"),
    ("empty.mid", b"", "as MIDI"),
    ("text.mid", b"no MIDI at all", "as MIDI"),
    ("cut.mid", b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x01\xe0MTrk\x00\x00\x00\xff", "cut.mid"),
    ("empty.wav", b"", "empty.wav"),
    ("text.wav", b"no audio", "text.wav"),
    ("folder.mid", "folder", "folder.mid"),
    ("folder.json", "folder", "folder.json"),
]


@pytest.mark.parametrize(("name", "content", "said"), WRONG, ids=[name for name, _, _ in WRONG])
def test_files_without_controls_are_named(tmp_path: Path, name: str, content: bytes | str | None, said: str) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    for use in (read_controls, check_controls_file):
        with pytest.raises(VampnetError, match=f"(?s){said}") as caught:
            use(path)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_no_one_could_mean_is_not_read_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vampnet.controls.reading.MAX_JSON_BYTES", 10)
    (tmp_path / "big.json").write_text(json.dumps(Controls(3).to_dict()))
    with pytest.raises(VampnetError, match="has more than 10 bytes"):
        read_controls(tmp_path / "big.json")
