"""`vampnet live` from the command line: simulation, replay, errors, devices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.looper import noise
from tests.support.tiny import write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import read, write
from vampnet.audio.samples import Audio

RATE = 16000


@pytest.fixture
def turn(tmp_path: Path) -> Path:
    write(tmp_path / "turn.wav", Audio(noise(RATE, 0, 2), RATE))
    return tmp_path / "turn.wav"


def test_a_simulation_without_variation_is_the_loop(turn: Path, tmp_path: Path, capsys) -> None:
    flags = ["--simulate", "3.5", "--input", str(turn), "--write", str(tmp_path / "out.wav"), "--no-variation"]
    assert main(["live", *flags]) in (0, None)
    assert json.loads(capsys.readouterr().out)["swaps"] == 0
    out, loop = read(tmp_path / "out.wav").samples, read(turn).samples
    assert np.array_equal(out, np.tile(loop, 4)[:, : out.shape[1]]) and out.shape[1] == 3.5 * RATE


def test_variations_of_a_model_and_the_replay_of_a_performance(turn: Path, tmp_path: Path, capsys) -> None:
    bundle = str(write_tiny_bundle(tmp_path / "bundle"))
    show, cues = str(tmp_path / "show.json"), tmp_path / "cues.txt"
    cues.write_text("0 vary 1  # from the start\n2.5 keep\n\n4.2 undo\n4.5 select 2\n4.6 record 0\n5.7 record 0\n")
    common = ["--bundle", bundle, "--bars", "1", "--channels", "2"]
    flags = ["--input", str(turn), "--write", str(tmp_path / "a.wav"), "--record", show, "--steps", "1"]
    more = ["--model-seconds", "0.6", "--cues", str(cues), "--microphone", str(turn), "--simulate", "7"]
    assert main(["live", *common, *flags, *more]) in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert told["swaps"] >= 4 and told["swap_s"][0] == 1.0
    entries = json.loads(Path(show).read_text())["entries"]
    assert sum(entry[1] == "offer" for entry in entries) >= 3
    assert main(["live", "--replay", show, "--write", str(tmp_path / "b.wav")]) in (0, None)
    assert json.loads(capsys.readouterr().out)["warnings"] == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--simulate", "1"], "--write is missing"),
        (["--simulate", "-1", "--write", "x.wav"], "--simulate is -1"),
        (["--input", "none.wav"], "no file none.wav"),
        (["--prompt", "periodic("], "prompt"),
        (["--channels", "3"], "--channels is 3"),
        (["--input-channels", "left"], "--input-channels is 'left'"),
        (["--replay", "none.json"], "no file none.json"),
    ],
)
def test_errors_say_what_to_do(flags: list[str], named: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["live", *flags]) == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error


def test_wrong_cues_are_named_with_their_line(turn: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "cues.txt").write_text("0 vary\nsoon gain 0\n")
    flags = ["--simulate", "1", "--write", str(tmp_path / "x.wav"), "--cues", str(tmp_path / "cues.txt")]
    assert main(["live", *flags]) == 2
    assert "line 2" in capsys.readouterr().err
    (tmp_path / "cues.txt").write_text("0 vary\n1 save mine\n")
    assert main(["live", *flags]) == 2
    assert "line 2: save is for a session with a device" in capsys.readouterr().err
