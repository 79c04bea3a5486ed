"""Every output can be made again: its result's command line writes the same bytes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.support.tiny import tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import write

LINES = {
    "variations": ["vamp", "in put.wav", "-o", "v.wav", "--variations", "2", "--prompt", "periodic(3) | random(0.1)"],
    "odd name": ["vamp", "-o", "odd.flac", "--subtype", "PCM_16", "--", "-odd.wav"],
    "regions": ["inpaint", "in put.wav", "-o", "i.wav", "--region", "0:0.2", "--region", "0:01-0:01.2"],
    "continue": ["continue", "in put.wav", "-o", "c.wav", "--seconds", "0.3", "--theme", "nothing"],
    "loop": ["loop", "in put.wav", "-o", "l.wav", "--variations", "2"],
    "bars": ["loop", "in put.wav", "-o", "b.wav", "--bpm", "120", "--bars", "1", "--beats-per-bar", "2", "--join"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("again")
    write_tiny_bundle(root / "bundle")
    write(root / "in put.wav", tone(1.3, 48000, 2))
    write(root / "-odd.wav", tone(0.5))
    return root


def run(line: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    capsys.readouterr()  # what commands that were made again have printed
    split = line.index("--") if "--" in line else len(line)
    assert main([*line[:split], "--bundle", "bundle", "--json", *line[split:]]) == 0
    return json.loads(capsys.readouterr().out)


def make_again(result: dict) -> None:
    for output in result["outputs"]:
        path = Path(output["file"])
        before = path.read_bytes()
        path.unlink()
        assert main(shlex.split(output["command"])[1:]) == 0, output["command"]
        assert path.read_bytes() == before, output["command"]


@pytest.mark.parametrize("name", LINES)
def test_the_command_of_an_output_makes_it_again(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    split = LINES[name].index("--") if "--" in LINES[name] else len(LINES[name])
    fast = ["--steps", "2", "--c2f-steps", "1", "--seed", "5"]
    make_again(run([*LINES[name][:split], *fast, *LINES[name][split:]], capsys))


def test_the_command_of_an_opened_file_makes_it_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    fast = ["--codebooks", "2", "--steps", "2", "--c2f-steps", "1"]
    make_again(run(["compress", "in put.wav", "-o", "z.vamp", *fast], capsys))
    make_again(run(["decompress", "z.vamp", "-o", "d.wav", "--variations", "2"], capsys))
