"""`vampnet distance`: pairs by name, sets, files that cannot be read, what is printed and written."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import Audio, write
from vampnet.errors import AudioError, CorpusError, SettingsError
from vampnet.evaluation.compare import CompareConfig, compare, to_json
from vampnet.evaluation.folders import match
from vampnet.evaluation.metrics.paired import METRICS, Pair, find_metrics, measure_pair


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Inputs, and outputs that are half as loud: b in another format, c broken, d and e without a counterpart."""
    root = tmp_path_factory.mktemp("compare")
    ours, theirs = root / "in", root / "out"
    (ours / "sub").mkdir(parents=True)
    (theirs / "sub").mkdir(parents=True)
    for k, name in enumerate(("a", "sub/b", "c", "d")):
        audio = tone(2.5, seed=k)
        write(ours / f"{name}.wav", audio)
        if name in ("a", "sub/b"):
            ending, half = ("wav" if name == "a" else "flac"), 0.5 * audio.samples
            write(theirs / f"{name}.{ending}", Audio(half.astype(np.float32), 44100))
    (theirs / "c.wav").write_bytes(b"no audio")
    write(theirs / "e.ogg", tone(1.0))
    return ours, theirs


def test_matching(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = match(*folders)
    assert [name for name, _, _ in found.pairs] == ["a", "c", "sub/b"]
    assert found.only_reference == ("d",) and found.only_evaluated == ("e",)
    assert match(folders[0] / "a.wav", folders[1] / "e.ogg").pairs[0][0] == "e"
    write(tmp_path / "x.wav", tone(0.2))
    with pytest.raises(AudioError, match="counterpart"):
        match(folders[0], tmp_path)
    write(tmp_path / "x.flac", tone(0.2))
    with pytest.raises(AudioError, match="same name"):
        match(tmp_path, folders[0])
    with pytest.raises(CorpusError, match="no such folder"):
        match(tmp_path / "none", folders[0])


def test_values_of_half_the_level(folders: tuple[Path, Path]) -> None:
    found = compare(*folders, CompareConfig(metrics=("mel", "si-sdr", "loudness", "waveform")))
    assert [row["name"] for row in found.rows] == ["a", "sub/b"]
    assert len(found.unreadable) == 1 and "c.wav" in found.unreadable[0]
    assert found.summary["mel"].value == pytest.approx(math.log10(2), abs=0.02)
    assert found.summary["loudness"].value == pytest.approx(-6.02, abs=0.01)
    assert found.summary["si-sdr"].value > 60
    levelled = compare(*folders, CompareConfig(metrics=("mel",), lufs=-24.0))
    assert levelled.summary["mel"].value < 0.02


def test_every_metric_of_an_identical_pair(tmp_path: Path) -> None:
    from vampnet.models.bundle import load_codec

    codec = load_codec(write_tiny_bundle(tmp_path / "tiny"))
    samples = tone(3.0).samples[0]
    samples[::22050] += 0.9
    pair = Pair(samples, samples, 44100, codec)
    values = measure_pair(pair, find_metrics(list(METRICS)))
    perfect = {"higher": 1.0, "lower": 0.0, "0": 0.0, "1": 1.0}
    for name, value in values.items():
        expected = {"si-sdr": 100.0, "visqol": 4.7321}.get(name, perfect[METRICS[name].better])  # ViSQOL's highest
        assert value == pytest.approx(expected, abs=1e-4) or (name in ("beats", "tempo", "key") and math.isnan(value))
    assert values["onsets"] == 1


def test_lengths_differ(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(2.0))
    found = compare(folders[0], tmp_path, CompareConfig(metrics=("mel",)))
    assert found.rows[0]["length_difference_s"] == pytest.approx(-0.5) and found.rows[0]["duration_s"] == 2.0
    assert "differ in length" in found.warnings[0]
    assert measure_pair(Pair(tone(0.01).samples[0], tone(0.01).samples[0], 44100), find_metrics(["stft"])) == {
        "stft": 0.0
    }


def test_sets(folders: tuple[Path, Path]) -> None:
    found = compare(*folders, CompareConfig(metrics=("fad", "kad"), excerpt_s=1.0))
    assert found.frechet is not None and found.kernel is not None and found.reference_set is not None
    assert not found.paired_sets and found.frechet.value > 0
    assert found.reference_set.n_excerpts == 4 * 2 and found.reference_set.duration_s == pytest.approx(10, abs=0.01)
    same = compare(folders[0], folders[0], CompareConfig(metrics=("fad",)))
    assert same.paired_sets and same.frechet is not None and same.frechet.value == pytest.approx(0, abs=1e-9)
    assert any("dimensions" in line for line in same.warnings)


def test_json_has_no_nan(folders: tuple[Path, Path]) -> None:
    found = compare(*folders, CompareConfig(metrics=("beats", "mel", "fad")))
    text = json.dumps(to_json(found), allow_nan=False)
    data = json.loads(text)
    assert data["sets"]["reference"]["embedding"] == "mel-statistics-32"
    assert data["pairs"]["mel"]["unit"] == "log10" and data["settings"]["metrics"] == ["beats", "mel", "fad"]
    assert data["only_reference"] == ["d"] and data["unreadable"]


def test_command(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places, table = [str(f) for f in folders], tmp_path / "t.csv"
    assert main(["distance", *places, "--metric", "mel", "--metric", "fad", "--csv", str(table)]) == 0
    out, err = capsys.readouterr()
    assert "2 pairs" in out and "mel-statistics-32, 96 dimensions" in out and "only in the reference folder: d" in out
    assert "c.wav" in err and "file/s" not in err  # no bar where there is no terminal
    assert main(["distance", *[f"{place}/a.wav" for place in places], "--metric", "mel"]) == 0
    out = capsys.readouterr().out
    assert "1 pair\n" in out and "(too few for an interval)" in out and "nan" not in out
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "sub/b"] and float(rows[0]["mel"]) > 0.2
    assert main(["distance", *places, "--metric", "kad", "--embedding", "mel", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"]["kad"]["kernel"] == "rbf"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metric", "nonsense"], "must be one of fad, kad, mel"),
        (["--metric", "fad", "--csv", "x.csv"], "values of pairs"),
        (["--metric", "fad", "--embedding", "clap"], "embedding is 'clap'"),
        (["--metric", "kad", "--kernel", "cosine"], "rbf, polynomial"),
        (["--metric", "mel", "--rate", "3"], "8000 to 192000"),
        (["--metric", "fad", "--excerpt-s", "0.1"], "excerpt length"),
    ],
)
def test_refusals(
    folders: tuple[Path, Path], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["distance", *map(str, folders), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="metric"):
        CompareConfig(metrics=())
    with pytest.raises(SettingsError, match="lufs"):
        CompareConfig(lufs=3.0)
