"""Scanning a folder: bad files, copies, groups that stay together, a split that cannot leak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.tiny import tone
from vampnet.errors import CorpusError, SettingsError
from vampnet.making.config import parse_budget
from vampnet.making.scan import scan


def put(path: Path, seconds: float = 1.5, seed: int = 0, artist: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = tone(seconds, seed=seed)
    with soundfile.SoundFile(path, "w", audio.sample_rate_hz, 1) as file:
        if artist:
            file.artist = artist
        file.write(audio.samples.T)
    return path


def test_what_cannot_be_used_is_left_out_with_its_cause(tmp_path: Path) -> None:
    put(tmp_path / "other.flac", seed=2)
    put(tmp_path / "copy.flac", artist="Tagged")
    put(tmp_path / "copy2.flac")
    put(tmp_path / "short.wav", 0.3)
    soundfile.write(tmp_path / "zeros.wav", np.zeros(44100), 44100)
    (tmp_path / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVEjunk")
    (tmp_path / "notes.txt").write_text("no audio")
    found = scan(tmp_path)
    assert {one.name for one in found.files} == {"copy.flac", "other.flac"}
    told = "\n".join(found.left_out)
    assert "copy2.flac: the same sound as copy.flac" in told
    assert "short.wav: 0.30 s are too short" in told
    assert "zeros.wav: is silent" in told
    assert "broken.wav" in told and "notes.txt" in told


def test_a_second_scan_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.wav")
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    known: dict[str, Any] = {}
    first = scan(tmp_path, known=known)
    monkeypatch.setattr("vampnet.making.scan.AudioReader", None)
    assert scan(tmp_path, known=known) == first


@pytest.mark.parametrize("seed", range(4))
def test_an_artist_is_never_on_both_sides(tmp_path: Path, seed: int) -> None:
    for k in range(12):
        put(tmp_path / f"{k}.flac", 1.0 + 0.1 * k, seed=k, artist=f"Artist {k % 4}")
    found = scan(tmp_path, held_out=0.25, seed=seed)
    trained, held = ({one.artist for one in files} for files in (found.train, found.held_out))
    assert held and trained and not held & trained
    assert found.grouped_by == "by artist"


def test_folders_and_artists_are_joined(tmp_path: Path) -> None:
    put(tmp_path / "one" / "a.flac", seed=1, artist="X")
    put(tmp_path / "two" / "b.flac", seed=2, artist="x")
    put(tmp_path / "two" / "c.flac", seed=3)
    put(tmp_path / "three" / "d.flac", seed=4, artist="Y")
    found = scan(tmp_path, held_out=0.3)
    assert len({one.group for one in found.files}) == 2
    assert [one.name for one in found.held_out] == ["three/d.flac"]


def test_one_file_is_not_split_here(tmp_path: Path) -> None:
    put(tmp_path / "only.wav", 3.0)
    found = scan(tmp_path)
    assert len(found.train) == 1 and not found.held_out
    assert "last part is held out" in "\n".join(found.describe())


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no audio that can be trained on"):
        scan(tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        scan(tmp_path / "missing")


def test_budgets() -> None:
    assert parse_budget("2h") == 7200 and parse_budget("1h30m") == 5400 and parse_budget("90 min") == 5400
    assert parse_budget("0.5h") == 1800 and parse_budget("120") == 120
    for bad in ("", "soon", "2 hours or so", "-1h", "5s", "1e9d"):
        with pytest.raises(SettingsError, match="--budget"):
            parse_budget(bad)


def test_an_mp3_of_a_recording_is_never_held_out_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(3):
        level = np.repeat(10 ** rng.uniform(-2, -0.5, 24), 22050)
        sound = (level * rng.standard_normal(len(level))).astype(np.float32)
        soundfile.write(tmp_path / f"{k}.wav", sound, 44100)
        if k == 1:
            soundfile.write(tmp_path / "copy.mp3", 0.5 * sound, 44100)
    found = scan(tmp_path, held_out=0.3)
    groups = {one.name: one.group for one in found.files}
    assert groups["copy.mp3"] == groups["1.wav"] and len(set(groups.values())) == 3
