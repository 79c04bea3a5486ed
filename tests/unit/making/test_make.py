"""`vampnet make-model` from a folder to a bundle: whole, interrupted, grown, and with wrong settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import vampnet
from tests.support.tiny import in_float32, tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import write
from vampnet.models.bundle import load_bundle
from vampnet.training.trainer import Trainer

RECIPE = """
coarse: {crop_s: 0.6, loop: {steps: 6, batch_size: 2, learning_rate: 0.02}}
c2f: {crop_s: 0.5, loop: {steps: 6, batch_size: 2, learning_rate: 0.02}}
"""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music in two folders, a tiny bundle, a recipe of few steps."""
    root = tmp_path_factory.mktemp("making")
    write_tiny_bundle(root / "tiny")
    for k in range(4):
        (root / "music" / f"album-{k % 2}").mkdir(parents=True, exist_ok=True)
        write(root / "music" / f"album-{k % 2}" / f"{k}.wav", tone(2.5 + k, seed=k))
    (root / "recipe.yaml").write_text(RECIPE)
    return root


def make(ground: Path, name: str, *more: str, music: str = "music") -> int:
    tiny = str(ground / "tiny")
    words = [str(ground / music), "-o", str(ground / name), "--codec", tiny, "--start-from", tiny, "--budget", "10m"]
    return main(["make-model", *words, "--recipe", str(ground / "recipe.yaml"), "--device", "cpu", *more])


@pytest.fixture(scope="module")
def whole(ground: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        in_float32(patch)
        assert make(ground, "whole") == 0
    return ground / "whole"


def test_the_bundle_vamps_and_the_report_says_how_good_it_is(whole: Path) -> None:
    out = vampnet.load(whole, device="cpu").vamp(tone(1.5))
    assert np.isfinite(out.audio.samples).all()
    facts = json.loads((whole / "report.json").read_text())
    assert set(facts["nats"]) == {"coarse", "c2f"}
    for found in facts["nats"].values():
        assert found["new"] <= found["before"]  # the best step is kept, and step 0 is one of them
        assert found["files"] == 2 and found["steps"] == 6
        assert found["curve"][0][0] == 0
    held_out = {Path(name).parent for name in facts["held_out_files"]}
    assert len(held_out) == 1
    page = (whole / "report.html").read_text()
    assert "data:audio/mpeg;base64," in page and not re.search(r"(src|href)=.https?:|url\(.?https?:", page)
    assert "not stated" in (whole / "README.md").read_text()


def test_interrupted_and_gone_on_with_it_is_the_same(
    ground: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_float32(monkeypatch)
    taken, step = [0], Trainer._one_step

    def stop_sometimes(self: Trainer, *arguments: object) -> object:
        taken[0] += 1
        if taken[0] % 4 == 0:
            raise KeyboardInterrupt
        return step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_one_step", stop_sometimes)
    codes = [make(ground, "often")]
    while codes[-1]:
        codes.append(make(ground, "often"))
        assert len(codes) < 12
    assert len(codes) > 3 and set(codes[:-1]) == {130}
    assert load_bundle(ground / "often").weight_digests() == load_bundle(whole).weight_digests()


def test_added_files_are_encoded_and_the_others_are_not(
    ground: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_float32(monkeypatch)
    made = set((whole / ".work" / "tokens").rglob("*.npz"))
    write(ground / "music" / "album-0" / "new.wav", tone(2.2, seed=9))
    before = {path: path.stat().st_mtime_ns for path in made}
    try:
        assert make(ground, "whole") == 0
    finally:
        (ground / "music" / "album-0" / "new.wav").unlink()
    assert set((whole / ".work" / "tokens").rglob("*.npz")) > made
    assert {path: path.stat().st_mtime_ns for path in made} == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--size", "huge"], "--size"),
        (["--held-out", "0.9"], "--held-out"),
        (["--budget", "soon"], "--budget is 'soon'"),
        (["--loop.stepz", "5"], "--loop.stepz"),
        (["--loop.optimizer", "sgd"], "known: adamw, muon"),
        (["--codec", "default"], "choose --size small"),
        (["--codec", "nowhere"], "nowhere"),
        (["--recipe", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_settings(ground: Path, more: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(ground, "wrong", *more) == 2
    assert words in capsys.readouterr().err


def test_wrong_places(ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for output, words in (
        (str(tmp_path / "mine"), "was not made by make-model"),
        (str(ground / "music" / "out"), "lies inside the folder of music"),
        (str(ground / "recipe.yaml"), "is a file"),
    ):
        assert main(["make-model", str(ground / "music"), "-o", output]) == 2
        assert words in capsys.readouterr().err
    assert main(["make-model", str(ground / "nowhere"), "-o", str(tmp_path / "x")]) == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_one_recording_holds_out_its_end(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_float32(monkeypatch)
    (ground / "single").mkdir(exist_ok=True)
    write(ground / "single" / "only.wav", tone(8.0, seed=3))
    assert make(ground, "from-one", "--loop.steps", "1", music="single") == 0
    facts = json.loads((ground / "from-one" / "report.json").read_text())
    assert any("last part is held out" in line for line in facts["data"])


def test_a_plan_trains_nothing(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(ground, "planned", "--plan") == 0
    said = capsys.readouterr().out
    assert "coarse: " in said and "disk: about" in said and "4 files" in said
    assert not (ground / "planned" / "config.json").exists()
