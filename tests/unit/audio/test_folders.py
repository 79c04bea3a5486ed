"""Folders, patterns and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from vampnet.audio import folders
from vampnet.audio.folders import audio_files_in, expand_inputs, list_audio, list_left_out
from vampnet.errors import AudioError, CorpusError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names_of(files: tuple[Path, ...] | list[Path]) -> list[str]:
    return [path.name for path in files]


def test_every_ending_that_can_be_read_is_found(tmp_path: Path) -> None:
    named = [f"a{ending}" for ending in (".oga", ".aifc", ".caf", ".au", ".w64", ".WAV", ".opus", ".m4a", ".mp3")]
    touch(tmp_path, *named)
    assert names_of(audio_files_in(tmp_path)) == sorted(named)


def test_what_is_left_out_is_told_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "one.wav", "sub/two.flac", "cover.jpg", "read me", ".hidden/x.wav", ".DS_Store", "memo.m4a")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    monkeypatch.setattr(folders, "has_ffmpeg", lambda: False)
    found = list_audio(tmp_path)
    assert names_of(found.files) == ["one.wav", "two.flac"]
    assert found.describe() == [
        "2 files",
        "left out: cover.jpg (.jpg is no ending of an audio file)",
        "left out: gone.wav (not a regular file)",
        "left out: memo.m4a (.m4a needs an extra: pip install 'vampnet[formats]')",
        "left out: read me (no ending tells what it is)",
    ]
    assert list_left_out(found.left_out)[0] == {
        "file": str(tmp_path / "cover.jpg"),
        "reason": ".jpg is no ending of an audio file",
    }


def test_many_files_of_one_kind_are_summed_up(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", *(f"{n}.txt" for n in range(8)))
    assert list_audio(tmp_path).describe() == [
        "1 file",
        "left out: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 3 more (.txt is no ending of an audio file)",
    ]


def test_inputs_are_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "b.wav", "a.wav", "in/c.mp3", "in/deep/d.flac", "in/notes.txt", "odd[1].wav", "e.txt")
    monkeypatch.chdir(tmp_path)
    assert names_of(expand_inputs(["*.wav"]).files) == ["a.wav", "b.wav", "odd[1].wav"]
    found = expand_inputs(["b.wav", "in", "*.wav"])
    assert names_of(found.files) == ["b.wav", "c.mp3", "d.flac", "a.wav", "odd[1].wav"]
    assert names_of([one.path for one in found.left_out]) == ["notes.txt"]
    assert names_of(expand_inputs(["odd[1].wav"]).files) == ["odd[1].wav"]  # a file's name, no pattern
    assert names_of(expand_inputs(["**/*.flac"]).files) == ["d.flac"]
    assert names_of(expand_inputs(["e.txt", "missing.wav"]).files) == ["e.txt", "missing.wav"]  # reading says why not
    assert expand_inputs(["in"], folders=False).files == (Path("in"),)


def test_inputs_that_name_nothing_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "empty/notes.txt")
    with pytest.raises(AudioError, match=r"no file matches the pattern '.*\*\.ogg'"):
        expand_inputs([str(tmp_path / "*.ogg")])
    with pytest.raises(AudioError, match=r"holds no audio files; left out: notes\.txt"):
        expand_inputs([tmp_path / "empty"])
    with pytest.raises(CorpusError, match=r"\.oga.*left out: notes\.txt"):
        audio_files_in(tmp_path / "empty")
    with pytest.raises(CorpusError, match="no such folder"):
        list_audio(tmp_path / "nowhere")
