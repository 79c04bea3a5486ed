"""The commands of all tasks as a user meets them: pictures, JSON, what is printed, mistakes in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.requests import RATE_HZ, SECONDS, TASKS, TaskFolder, shorten_tasks
from vampnet.apps.cli.main import main
from vampnet.audio.files import probe, read
from vampnet.compression.container import read_header

FAST = ["--steps", "1", "--c2f-steps", "1", "--seed", "3", "--precision", "float32"]
COMMANDS = {
    "vamp": ["in.wav"], "inpaint": ["in.wav", "--region", "0.5:1"],
    "outpaint": ["in.wav", "--before", "0.5", "--after", "0.75"], "continue": ["in.wav", "--seconds", "1"],
    "stretch": ["in.wav", "--factor", "1.5"], "telephone": ["in.wav", "--rounds", "2"], "loop": ["in.wav"],
    "generate": ["--seconds", "1.9"],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        shorten_tasks(patch)
        made = TaskFolder(tmp_path_factory.mktemp("commands")).folder
        os.chdir(made)
        try:
            yield made
        finally:
            os.chdir(before)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_task_has_variations_seed_plot_and_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    common = ["-o", str(tmp_path / "o.wav"), "--variations", "2", "--plot", str(tmp_path / "p.png"), "--json"]
    assert main([command, *COMMANDS[command], *common, *FAST, "--bundle", "bundle"]) == 0, capsys.readouterr().err
    report = json.loads(capsys.readouterr().out)
    assert [item["seed"] for item in report["outputs"]] == [3, 4]
    assert [Path(item["file"]).name for item in report["outputs"]] == ["o-1.wav", "o-2.wav"]
    assert all(0 <= item["kept_share"] < 1 for item in report["outputs"]) and report["precision"] == "float32"
    assert report["plot"] == str(tmp_path / "p.png") and (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    one, two = (probe(tmp_path / f"o-{k}.wav") for k in (1, 2))
    assert one.duration_s == two.duration_s == pytest.approx(TASKS[command][2], abs=1e-4)
    assert one.sample_rate_hz == (44100 if command == "generate" else RATE_HZ)
    assert (tmp_path / "o-1.wav").read_bytes() != (tmp_path / "o-2.wav").read_bytes()


def test_compress_and_decompress(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, out, bundle = str(tmp_path / "x.vamp"), str(tmp_path / "o.wav"), ["--bundle", "bundle"]
    kept = ["--codebooks", "2", "--period", "2"]
    flags = ["--steps", "1", "--c2f-steps", "1", "--seed", "5", "--json"]
    assert main(["compress", "in.wav", "-o", small, *kept, *flags, *bundle]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["facts"]["bytes"] == Path(small).stat().st_size and told["outputs"][0]["seed"] == 5
    generation = read_header(small).generation
    assert generation is not None and generation.model_id == told["model"]
    assert main(["info", small, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_id"] == told["model"]
    assert main(["decompress", small, "-o", out, *bundle, "--variations", "2"]) == 0
    said = capsys.readouterr().out
    assert "o-2.wav: 1.6 s" in said and "seed 6" in said and probe(tmp_path / "o-1.wav").duration_s == SECONDS
    assert main(["compress", "in.wav", "-o", small, "--codebooks", "6", *bundle]) == 0
    assert main(["decompress", small, "-o", out, *bundle]) == 0
    assert read(out).duration_s == SECONDS and read_header(small).generation is None


MISTAKES = [
    (["inpaint", "in.wav", "-o", "out.wav"], "--region"),
    (["inpaint", "in.wav", "-o", "out.wav", "--region", "5"], "START-END"),
    (["inpaint", "in.wav", "-o", "out.wav", "--region", "5:6"], "begin within the 1.600 s"),
    (["continue", "in.wav", "-o", "out.wav", "--seconds", "0"], "--seconds"),
    (["outpaint", "in.wav", "-o", "out.wav"], "--before"),
    (["generate", "-o", "out.wav", "--seconds", "-1"], "seconds"),
    (["generate", "-o", "out.wav", "--prompt", "vary"], "--like"),
    (["generate", "-o", "out.wav", "--like", "in.wav", "--theme", "vary"], "theme is for music from nothing"),
    (["stretch", "in.wav", "-o", "out.wav", "--factor", "99"], "factor"),
    (["telephone", "in.wav", "-o", "out.wav", "--rounds", "0"], "rounds"),
    (["continue", "in.wav", "-o", "in.wav"], "is the input itself"),
    (["loop", "in.wav", "-o", "in.wav"], "is the input itself"),
    (["loop", "in.wav", "-o", "out.wav", "--downbeat", "1"], "bpm"),
    (["loop", "in.wav", "-o", "out.wav", "--bpm", "90", "--beat-tracker", "librosa"], "give one of them"),
    (["vamp", "in.wav", "-o", "out.wav", "--prompt", "beats()", "--beat-tracker", "drums"], "learned, librosa"),
    (["outpaint", "missing.wav", "-o", "out.wav", "--after", "1"], "missing.wav"),
    (["stretch", "in.wav", "-o", "in.vamp/out.wav"], "in.vamp"),
    (["vamp", "in.wav", "-o", "out.wav", "--compat", "no"], "--compat is 'no'"),
    (["compress", "in.wav", "-o", "x.wav"], "end in .vamp"),
    (["compress", "none.wav", "-o", "x.vamp"], "none.wav"),
    (["compress", "in.wav", "-o", "x.vamp", "--codebooks", "9"], "codebooks is 9"),
    (["compress", "in.wav", "-o", "x.vamp", "--period", "0"], "period is 0"),
    (["decompress", "in.wav", "-o", "o.wav"], "not a .vamp file"),
    (["decompress", "none.vamp", "-o", "o.wav"], "no such file"),
    (["decompress", "in.vamp", "-o", "in.vamp"], "is the input itself"),
    (["decompress", "in.vamp", "-o", "o.xyz"], "o.xyz"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(line) for line, _ in MISTAKES])
def test_mistakes_are_one_line_and_leave_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert main([*arguments, "--bundle", "bundle"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and error.startswith("vampnet: error: ")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
