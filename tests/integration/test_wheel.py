"""The wheel: built, installed into a folder of its own, used from there; weights, recipes and guides are inside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "docs", "synthcorpus", "vampnet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing is left in the repository."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__", "*.mp3")
            )
        else:
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / "source")
    words = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(folder / "source"),
    ]
    pip(words)
    (built,) = folder.glob("*.whl")
    return built


def pip(words: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *words], check=True)


def test_wheel_holds_weights_recipes_and_guides(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "vampnet/bundles/default/coarse.safetensors",
        "vampnet/bundles/beats/README.md",
        "vampnet/training/recipes/default-coarse.yaml",
        "vampnet/training/recipes/accelerator/codec.yaml",
        "vampnet/evaluation/experiments/recipes/prompts.yaml",
        "vampnet/controls/harmony_weights.json",
        "vampnet/py.typed",
        "synthcorpus/corpus.py",
    ):
        assert wanted in names, f"{wanted} is not in the wheel"
    assert any(name.endswith("share/doc/vampnet/guide/fine-tune.md") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/", "docs/")) for name in names)


def test_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    """In a folder of its own, before all else on the path; dependencies are those of this environment."""
    pip(["install", "--quiet", "--no-deps", "--target", str(tmp_path / "installed"), str(wheel)])
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}

    def vampnet(*words: str) -> str:
        command = [sys.executable, "-m", "vampnet", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = subprocess.run(
        [sys.executable, "-c", "import vampnet; print(vampnet.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(tmp_path) in place
    assert "fine-tune" in vampnet("guide")
    assert vampnet("guide", "limits").startswith("# What the embedded model cannot do")
    assert "codec_id" in vampnet("info")
    shutil.copy(ROOT / "examples" / "loop.wav", tmp_path)
    vampnet("vamp", "loop.wav", "-o", "out.wav", "--steps", "1", "--c2f-steps", "1")
    assert (tmp_path / "out.wav").stat().st_size == (tmp_path / "loop.wav").stat().st_size
