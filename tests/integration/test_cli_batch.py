"""Many files from one command: names, bad files, Ctrl-C and --resume, one progress bar for all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.tiny import in_float32, shorten_windows, tone, write_tiny_bundle
from vampnet.apps.cli.inputs import plan_outputs
from vampnet.apps.cli.main import main
from vampnet.apps.cli.progress import ProgressDisplay
from vampnet.audio.files import write
from vampnet.generation.progress import Progress

FAST = ["--steps", "2", "--c2f-steps", "1"]


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_windows(patch)
        in_float32(patch)
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b"))


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("songs")
    paths = [folder / f"{k}.wav" for k in range(4)]
    for k, (path, length_s) in enumerate(zip(paths, (1.3, 0.2, 1.8, 0.6), strict=True)):
        write(path, tone(length_s, seed=k))
    return [str(path) for path in paths]


def stop_after(n_reports: int) -> Callable[[ProgressDisplay, Progress], None]:
    """What Ctrl-C does when so much progress was reported."""
    left = n_reports

    def report(self: ProgressDisplay, progress: Progress) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    return report


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_names_of_outputs(tmp_path: Path) -> None:
    def planned(*inputs: str, ending: str = "") -> list[str]:
        return [path.name for (path,) in plan_outputs([Path(name) for name in inputs], Path("out"), ending)]

    assert planned("a/x.wav", "b/x.flac", "b/x.wav") == ["x.wav", "x.flac", "x_2.wav"]
    assert planned("a/x.wav", "a/X.WAV") == ["x.wav", "X_2.WAV"]  # file systems that do not tell them apart
    assert planned("x.m4z", "y.vamp") == ["x.wav", "y.wav"]
    assert planned("x.wav", "y.mp3", ending=".flac") == ["x.flac", "y.flac"]
    assert planned("out/x.wav") == ["x_2.wav"]  # never the input itself

    def doubled(path: Path) -> list[Path]:
        return [path.with_stem(f"{path.stem}-{k}") for k in (1, 2)]

    several = plan_outputs([Path("y-1.wav"), Path("y.wav")], Path(), "", doubled)
    assert [[path.name for path in one] for one in several] == [["y-1-1.wav", "y-1-2.wav"], ["y_2-1.wav", "y_2-2.wav"]]


def test_a_bad_file_does_not_stop_the_others(
    bundle: str, songs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "cut.wav"
    bad.write_bytes(Path(songs[0]).read_bytes()[:9999])
    inputs = [songs[0], str(bad), "missing.wav", songs[1]]
    out = tmp_path / "o"
    command = ["vamp", *inputs, "-o", str(out), "--bundle", bundle, *FAST]
    assert main([*command, "--json"]) == 1
    said = capsys.readouterr()
    assert names(out) == ["0.wav", "1.wav"]
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["outputs"][0]["file"] for line in lines if "outputs" in line] == [
        str(out / f"{k}.wav") for k in (0, 1)
    ]
    assert sorted(line["input"] for line in lines if "error" in line) == sorted([str(bad), "missing.wav"])
    assert "2 of 4 files failed:" in said.err and "cut.wav" in said.err and "missing.wav" in said.err
    single = tmp_path / "alone.wav"
    assert main(["vamp", songs[1], "-o", str(single), "--bundle", bundle, *FAST]) == 0
    assert single.read_bytes() == (out / "1.wav").read_bytes()


def test_nothing_but_bad_files(tmp_path: Path, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vamp", "no.wav", "none.wav", "-o", str(tmp_path / "o"), "--bundle", bundle]) == 1
    assert "2 of 2 files failed" in capsys.readouterr().err
    assert main(["vamp", "no.wav", "-o", str(tmp_path / "o/"), "--bundle", bundle]) == 2


def test_a_folder_for_one_file(
    bundle: str, songs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["vamp", songs[1], "--variations", "2", "-o", f"{tmp_path / 'o'}/", "--bundle", bundle, *FAST]
    assert main(command) == 0
    assert names(tmp_path / "o") == ["1-1.wav", "1-2.wav"]
    (tmp_path / "file").write_text("x")
    assert main(["vamp", *songs[:2], "-o", str(tmp_path / "file"), "--bundle", bundle]) == 2
    assert "is a file" in capsys.readouterr().err
    assert main(["vamp", *songs[:2], "-o", str(tmp_path / "o.wav"), "--bundle", bundle]) == 2
    assert "goes into a folder" in capsys.readouterr().err
    assert main(["vamp", *songs[:2], "-o", str(tmp_path / "o"), "--beats", "b.txt", "--bundle", bundle]) == 2
    assert "--beats" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["vamp", "stretch", "loop"])
def test_a_task_goes_on_after_an_interruption(
    task: str, bundle: str, songs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [task, songs[2], "-o", str(tmp_path / "o.wav"), "--bundle", bundle, *FAST]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressDisplay, "report", stop_after(6))
        assert main(command) == 130
    said = capsys.readouterr().err
    assert said.startswith("vampnet: interrupted") and "--resume" in said and not (tmp_path / "o.wav").exists()
    assert main([*command, "--steps", "3", "--resume"]) == 2
    assert "steps" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    resumed = (tmp_path / "o.wav").read_bytes()
    assert names(tmp_path) == ["o.wav"]
    assert main(command) == 0 and (tmp_path / "o.wav").read_bytes() == resumed


def test_a_batch_goes_on_after_an_interruption(
    bundle: str, songs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["vamp", *songs, "--bundle", bundle, *FAST, "-o"]
    assert main([*command, str(tmp_path / "whole")]) == 0

    def stop(self: ProgressDisplay, progress: Progress) -> None:
        if list((tmp_path / "o").glob("[0-9].wav")):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressDisplay, "report", stop)
        assert main([*command, str(tmp_path / "o")]) == 130
    assert "of 4 files are done; the same command with --resume" in capsys.readouterr().err
    n_done = len(list((tmp_path / "o").glob("[0-9].wav")))
    assert 0 < n_done < 4
    assert main([*command, str(tmp_path / "o"), "--resume"]) == 0
    assert capsys.readouterr().out.count("done before") == n_done
    assert names(tmp_path / "o") == names(tmp_path / "whole")
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "o" / path.name).read_bytes() == path.read_bytes()


def test_the_share_never_falls(
    bundle: str, songs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        ["vamp", *songs, "-o", str(tmp_path / "o")],
        ["loop", songs[0], "-o", str(tmp_path / "l.wav"), "--variations", "2"],
        ["outpaint", songs[0], "-o", str(tmp_path / "p.wav"), "--before", "0.5", "--after", "0.5"],
        ["telephone", songs[0], "-o", str(tmp_path / "t.wav"), "--rounds", "2"],
        ["compress", songs[0], "-o", str(tmp_path / "s.vamp"), "--codebooks", "2"],
        ["decompress", str(tmp_path / "s.vamp"), "-o", str(tmp_path / "d.wav")],
    ]
    for line in lines:
        fast = FAST if line[0] != "decompress" else []
        assert main([*line, "--bundle", bundle, *fast, "--progress", "json"]) == 0, line
        events = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
        shares = [event["share"] for event in events if event["event"] == "progress"]
        assert shares == sorted(shares) and len(shares) > 1 and 0.9 < shares[-1] <= 1.0, line
