"""`vampnet controls`: what it prints, draws, and says of files it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import mido
import numpy as np
import pytest

from vampnet.apps.cli.controls import controls_options, describe_controls, run_controls
from vampnet.apps.cli.parser import CommandParser
from vampnet.audio.files import Audio, write
from vampnet.controls.signals import Controls
from vampnet.errors import AudioError


def run(*words: str) -> None:
    parser = CommandParser(prog="vampnet controls")
    controls_options(parser)
    run_controls(parser.parse_args(list(words)))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    time_s = np.arange(3 * 22050) / 22050
    chord = np.sum([np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * time_s) for p in (48, 60, 64, 67)], axis=0)
    write(tmp_path / "song.wav", Audio((0.1 * chord)[None].astype(np.float32), 22050))
    return tmp_path / "song.wav"


def test_facts_json_and_picture(song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(song), "--plot", str(song.with_suffix(".png")))
    told = capsys.readouterr().out
    assert "chords" in told and "C" in told and str(song) in told
    assert song.with_suffix(".png").stat().st_size > 10_000
    run(str(song), "--json")
    data = json.loads(capsys.readouterr().out)
    assert data.pop("file") == str(song)
    assert Controls.from_dict(data).n_frames == len(data["loudness_db"])


def test_midi_is_read_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = mido.MidiFile()
    notes = [mido.Message("note_on", note=60, velocity=90, time=0), mido.Message("note_off", note=60, time=1920)]
    score.tracks.append(mido.MidiTrack(notes))
    score.save(tmp_path / "song.mid")
    run(str(tmp_path / "song.mid"))
    assert "120.0" in capsys.readouterr().out


def test_wrong_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.mid").write_text("no MIDI")
    (tmp_path / "bad.wav").write_text("no audio")
    for name in ("bad.mid", "bad.wav", "none.wav"):
        with pytest.raises(AudioError, match=name.replace(".", r"\.")):
            run(str(tmp_path / name))
    with pytest.raises(AudioError, match="--plot"):
        run(str(tmp_path / "none.wav"), "--plot", "x.gif")


def test_nothing_heard_is_a_dash() -> None:
    facts = describe_controls(Controls(10))
    assert facts["tempo_bpm"] is None and facts["chords"] is None and "melody_notes" not in facts
