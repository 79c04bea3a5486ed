"""The command line as a user meets it: what is written, printed and refused."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.tiny import tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import probe, write

FAST = ["--steps", "2", "--c2f-steps", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    write_tiny_bundle(root / "bundle")
    write(root / "in.wav", tone(1.0, 48000, 2), subtype="PCM_16")
    return root


def vamp(folder: Path, *arguments: str) -> int:
    return main(["vamp", str(folder / "in.wav"), "--bundle", str(folder / "bundle"), *FAST, *arguments])


def test_vamp_writes_what_was_asked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.png"
    assert vamp(folder, "-o", str(tmp_path / "out.flac"), "--seed", "3", "--plot", str(plot)) == 0
    info = probe(tmp_path / "out.flac")
    assert (info.n_samples, info.channels, info.sample_rate_hz) == (48000, 2, 48000)
    assert plot.read_bytes()[:4] == b"\x89PNG" and plot.stat().st_size > 10000
    out = capsys.readouterr().out
    assert "seed 3" in out and "periodic(7)" in out and "times real time" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.flac", "plot.png"]


def test_same_seed_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a.wav", "0"), ("b.wav", "0"), ("c.wav", "1")):
        assert vamp(folder, "-o", str(tmp_path / name), "--seed", seed) == 0
    one, same, other = ((tmp_path / n).read_bytes() for n in ("a.wav", "b.wav", "c.wav"))
    assert one == same != other


def test_variations_and_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "v.wav")
    assert vamp(folder, "-o", out, "--variations", "3", "--json", "--prompt", "periodic(5)") == 0
    report = json.loads(capsys.readouterr().out)
    files = [Path(item["file"]) for item in report["outputs"]]
    assert [f.name for f in files] == ["v-1.wav", "v-2.wav", "v-3.wav"] and all(f.exists() for f in files)
    assert [item["seed"] for item in report["outputs"]] == [0, 1, 2] and report["task"] == "vamp"
    assert report["outputs"][0]["kept_share"] == pytest.approx(0.2, abs=0.02)
    assert report["timings"]["real_time_factor"] > 0 and report["input"]["n_samples"] == 48000
    assert len({f.read_bytes() for f in files}) == 3
    before = files[1].read_bytes()
    files[1].unlink()
    assert main(shlex.split(report["outputs"][1]["command"])[1:]) == 0 and files[1].read_bytes() == before


def test_settings_from_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("sampling: {seed: 9}\nprompt: periodic(3)\n")
    assert vamp(folder, "-o", str(tmp_path / "o.wav"), "--config", str(tmp_path / "c.yaml"), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["prompt"] == "periodic(3)" and report["outputs"][0]["seed"] == 9


def test_a_format_is_the_ending_of_a_name_without_one(folder: Path, tmp_path: Path) -> None:
    assert vamp(folder, "-o", str(tmp_path / "o"), "--format", "flac", "--subtype", "PCM_16") == 0
    info = probe(tmp_path / "o.flac")
    assert (info.format, info.subtype) == ("FLAC", "PCM_16")


def test_several_inputs_go_into_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    for number in range(2):
        write(songs / f"{number}.wav", tone(0.4, seed=number))
    (songs / "2.wav").write_bytes((songs / "1.wav").read_bytes()[:9999])
    (songs / "notes.txt").write_text("no music")
    bundle = ["--bundle", str(folder / "bundle"), *FAST]
    assert main(["stretch", str(songs), "-o", str(tmp_path / "out/"), "--factor", "1.5", *bundle]) == 1
    said = capsys.readouterr()
    assert "3 files" in said.err and "left out: notes.txt" in said.err
    assert "1 of 3 files failed:" in said.err and "2.wav" in said.err.splitlines()[-1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.wav", "1.wav"]
    assert probe(tmp_path / "out/0.wav").n_samples == round(1.5 * 0.4 * 44100)
    pattern = str(songs / "[01].wav")
    assert main(["vamp", pattern, "-o", str(tmp_path / "more/"), "--json", *bundle]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["input"]["file"]).name for line in lines] == ["0.wav", "1.wav"]
    assert all(Path(line["outputs"][0]["file"]).exists() for line in lines)


def run_piped(arguments: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from vampnet.apps.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *arguments], input=data, capture_output=True, check=False)


def test_pipes(folder: Path, tmp_path: Path) -> None:
    data = (folder / "in.wav").read_bytes()
    done = run_piped(["vamp", "-", "-o", "-", "--bundle", str(folder / "bundle"), *FAST, "--json"], data)
    assert done.returncode == 0, done.stderr
    (tmp_path / "o.wav").write_bytes(done.stdout)
    assert probe(tmp_path / "o.wav").n_samples == 48000
    report = json.loads(done.stderr)
    assert report["input"]["file"] == "-" and report["outputs"][0]["command"].startswith("vampnet vamp - -o - ")
    empty = run_piped(["vamp", "-", "-o", "-", "--bundle", str(folder / "bundle")], b"")
    assert empty.returncode == 2 and b"standard input is empty" in empty.stderr and not empty.stdout
    damaged = run_piped(["vamp", "-", "-o", "-", "--bundle", str(folder / "bundle")], b"no sound" * 99)
    assert damaged.returncode == 2 and damaged.stderr.startswith(b"vampnet: error: cannot read standard input: not an ")


def test_progress_for_programs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vamp(folder, "-o", str(tmp_path / "o.wav"), "--progress", "json") == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    shares = [event["share"] for event in events if event["event"] == "progress"]
    assert shares == sorted(shares) and len(shares) > 3 and shares[-1] <= 1.0
    assert vamp(folder, "-o", str(tmp_path / "o.wav"), "--progress", "json", "--prompt", "peridic(2)") == 2
    assert json.loads(capsys.readouterr().err)["event"] == "error"
    assert vamp(folder, "-o", str(tmp_path / "o.wav")) == 0 and capsys.readouterr().err == ""  # stderr is no terminal


def test_a_fault_of_the_program_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("odd\nand long")

    monkeypatch.setattr("vampnet.jobs.runner.run_job", fail)
    assert vamp(folder, "-o", str(tmp_path / "o.wav")) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "RuntimeError: odd (a fault of vampnet" in error


def bad_inputs(root: Path) -> dict[str, tuple[Path, str]]:
    """Name -> (file, words that must stand in the message)."""
    good, samples = (root / "good.wav"), tone(0.5).samples.T
    soundfile.write(good, samples, 44100)
    nan = samples.copy()
    nan[1000] = np.nan
    soundfile.write(root / "nan.wav", nan, 44100, subtype="FLOAT")
    soundfile.write(root / "none.wav", samples[:0], 44100)
    (root / "empty.wav").write_bytes(b"")
    (root / "text.mp3").write_text("this is no music\n" * 50)
    (root / "cut.wav").write_bytes(good.read_bytes()[:9999])
    return {
        "missing": (root / "missing.wav", "missing.wav"),
        "folder": (root, str(root)),
        "NaN": (root / "nan.wav", "nan.wav"),
        "no samples": (root / "none.wav", "none.wav"),
        "empty": (root / "empty.wav", "empty.wav"),
        "text": (root / "text.mp3", "text.mp3"),
        "truncated": (root / "cut.wav", "cut.wav"),
    }


def test_bad_input_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name, (path, words) in bad_inputs(tmp_path).items():
        arguments = ["vamp", str(path), "-o", str(target / "o.wav"), "--bundle", str(folder / "bundle"), *FAST]
        assert main(arguments) == 2, name
        error = capsys.readouterr().err
        line = error.split("\r")[-1].strip().splitlines()[-1]
        assert line.startswith("vampnet: error: ") and words in line and "Traceback" not in error, name
        assert not list(target.iterdir()), name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "o.xyz"], "-o/--output: cannot write 'o.xyz'"),
        (["-o", "o"], "-o/--output is o, whose ending does not say the format; write o.wav or o/"),
        (["-o", "o.wav", "--prompt", "peridic(7)"], "did you mean periodic?"),
        (["-o", "o.wav", "--random", "0.5"], "write --prompt 'random(0.5)'"),
        (["-o", "o.wav", "--top-p", "7"], "--top-p is 7.0, but must lie in"),
        (["-o", "o.wav", "--device", "abacus"], "abacus"),
        (["-o", "o.wav", "--variations", "0"], "--variations is 0"),
        (["-o", "o.wav", "--bundle", "no/where/here"], "no/where/here"),
        (["-o", "o.wav", "--plot", "p.txt"], "--plot: p.txt"),
    ],
)
def test_bad_flags_are_named(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vamp(folder, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_input_is_never_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "in.wav").read_bytes()
    assert vamp(folder, "-o", str(folder / "in.wav")) == 2
    assert "is the input itself" in capsys.readouterr().err and (folder / "in.wav").read_bytes() == before


def test_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder / "in.wav"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["n_samples"] == 48000 and facts["channels"] == 2 and -40 < facts["loudness_lufs"] < 0
    assert main(["info", str(folder / "bundle")]) == 0
    out = capsys.readouterr().out
    assert "codec_id" in out and "coarse_parameters" in out


def test_what_can_be_checked_is_checked_before_torch_is_imported(folder: Path, tmp_path: Path) -> None:
    source, bad = str(folder / "in.wav"), str(tmp_path / "bad.safetensors")
    Path(bad).write_bytes(b"no adapter")
    lines = [
        ["vamp", source, "-o", "o.xyz"],
        ["vamp", source, "-o", source],
        ["vamp", source, "-o", "o.wav", "--subtype", "PCM_99"],
        ["vamp", source, "-o", "o.wav", "--lora", bad],
        ["vamp", source, "-o", "o.wav", "--plot", "p.txt"],
        ["vamp", "missing.wav", "-o", "o.wav"],
        ["inpaint", source, "-o", "o.wav", "--region", "20:30"],
        ["vamp", source, "-o", "o.wav", "--prompt", "beats(aftr=2)"],
        ["compress", source, "-o", "o.wav"],
        ["decompress", source, "-o", "o.wav"],
    ]
    code = (
        "import sys; from vampnet.apps.cli.main import main\n"
        f"for line in {lines!r}: assert main(line) == 2 and 'torch' not in sys.modules, line\n"
        f"assert main(['info', {str(folder / 'bundle')!r}]) == 0 and main(['info']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.split("vampnet: error: ")) == len(lines) + 1
    assert "-o/--output: cannot write 'o.wav': compressed files end in .vamp" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bad.safetensors"]


def test_help_is_light() -> None:
    code = "import sys; sys.argv=['vampnet','vamp','--help']; from vampnet.apps.cli.main import main\ntry: main()\n"
    code += "except SystemExit: pass\nassert not {'torch', 'numpy', 'librosa'} & set(sys.modules), 'heavy import'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--mask-temperature" in done.stdout and "Divides the logits" in done.stdout


def test_threads_wait_without_spinning_unless_the_user_says_so() -> None:
    code = (
        "import os, sys; from vampnet.apps.cli.main import main; assert 'torch' not in sys.modules; main(['prompts']); "
    )
    code += "print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        environment |= {"OMP_WAIT_POLICY": given} if given else {}
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert said.split()[-1] == expected
