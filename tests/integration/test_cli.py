"""The command line as a user meets it: what is written, printed and refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.tiny import tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.apps.cli.options import output_paths, parse_region
from vampnet.apps.cli.vamp import prompt_from
from vampnet.audio.files import probe, write
from vampnet.errors import PromptError, SettingsError

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
    assert vamp(folder, "-o", str(tmp_path / "v.wav"), "--variations", "3", "--json", "--periodic", "5") == 0
    report = json.loads(capsys.readouterr().out)
    files = [Path(item["file"]) for item in report["outputs"]]
    assert [f.name for f in files] == ["v-1.wav", "v-2.wav", "v-3.wav"] and all(f.exists() for f in files)
    assert [item["seed"] for item in report["outputs"]] == [0, 1, 2]
    assert report["outputs"][0]["kept_share"] == pytest.approx(0.2, abs=0.02)
    assert report["real_time_factor"] > 0 and report["timings"]["audio_s"] == pytest.approx(3.0)
    assert len({f.read_bytes() for f in files}) == 3


def test_settings_from_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("seed: 9\nperiodic: 3\n")
    assert vamp(folder, "-o", str(tmp_path / "o.wav"), "--config", str(tmp_path / "c.yaml"), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["prompt"] == "periodic(3)" and report["outputs"][0]["seed"] == 9


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
        (["-o", "o.xyz"], "o.xyz"),
        (["-o", "no/such/folder/o.wav"], "no/such/folder"),
        (["-o", "o.wav", "--keep", "2"], "START:END"),
        (["-o", "o.wav", "--keep", "3:1"], "must lie after"),
        (["-o", "o.wav", "--random", "1.5"], "random"),
        (["-o", "o.wav", "--prompt", "peridic(7)"], "did you mean periodic?"),
        (["-o", "o.wav", "--prompt", "vary", "--random", "0.5"], "--random"),
        (["-o", "o.wav", "--periodic", "-1"], "periodic"),
        (["-o", "o.wav", "--top-p", "7"], "top_p"),
        (["-o", "o.wav", "--steps", "0"], "steps"),
        (["-o", "o.wav", "--device", "abacus"], "abacus"),
        (["-o", "o.wav", "--variations", "0"], "variations"),
        (["-o", "o.wav", "--bundle", "no/where/here"], "no/where/here"),
        (["-o", "o.wav", "--plot", "p.txt"], "p.txt"),
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


def test_prompt_flags() -> None:
    assert str(prompt_from(None, 1, None, None, [])) == "periodic(7)"
    assert str(prompt_from(7, 1, 0.3, 3, ["0:2"])) == "(periodic(7) | random(0.3)) & codebooks(3) | keep(0, 2)"
    assert str(prompt_from(None, 1, None, 2, [])) == "codebooks(2)"
    assert parse_region("1.5:", "keep") == (1.5, float("inf")) and parse_region(":2", "keep") == (0.0, 2.0)
    with pytest.raises(PromptError, match="START:END"):
        parse_region("a:b", "keep")


def test_output_names() -> None:
    assert [str(p) for p in output_paths("a/b.wav", 2)] == ["a/b-1.wav", "a/b-2.wav"]
    assert [str(p) for p in output_paths("b.wav", 1)] == ["b.wav"]
    with pytest.raises(SettingsError):
        output_paths("b.wav", 1001)


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
