"""Tables of embeddings: rows, what a query finds, and what is said of files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vampnet.apps.cli.embed import embed_options, run_embed
from vampnet.apps.cli.parser import CommandParser
from vampnet.apps.cli.similar import run_similar, similar_options
from vampnet.audio.files import Audio, write
from vampnet.errors import AudioError, SettingsError
from vampnet.evaluation.embedding_table import EmbedConfig, find_similar, read_table, write_embeddings

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
MEL = EmbedConfig("mel", excerpt_s=2.0)
RATE_HZ = 44100


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two low tones, two noises; each kind is like itself."""
    folder, rng, time_s = tmp_path_factory.mktemp("files"), np.random.default_rng(0), np.arange(5 * RATE_HZ) / RATE_HZ
    sounds = {
        "low-1": np.sin(2 * np.pi * 110 * time_s), "low-2": np.sin(2 * np.pi * 116 * time_s),
        "noise-1": rng.standard_normal(len(time_s)), "noise-2": rng.standard_normal(len(time_s)),
    }  # fmt: skip
    for name, samples in sounds.items():
        write(folder / f"{name}.wav", Audio((0.1 * samples)[None].astype(np.float32), RATE_HZ))
    (folder / "broken.wav").write_text("no audio")
    return sorted(folder.glob("*.wav"))


@pytest.fixture(scope="module")
def table(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "e.parquet"
    report = write_embeddings(files, path, MEL)
    assert (report.n_files, report.n_rows, report.dim) == (4, 8, 96) and "broken.wav" in report.unreadable[0]
    return path


def test_rows_have_file_start_and_vector(table: Path, files: list[Path]) -> None:
    names, starts_s, vectors_ND, about = read_table(table)
    assert vectors_ND.shape == (8, 96) and starts_s == [0.0, 2.0] * 4
    assert set(names) == {str(path) for path in files if path.stem != "broken"}
    assert about["embedding"] == "mel"
    assert parquet.read_table(table).column_names == ["file", "start_s", "seconds", "vector"]


def test_frames_give_a_row_each(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "frames.parquet"
    report = write_embeddings([files[-1]], path, EmbedConfig("mel", excerpt_s=5.0, frames=True))
    _, starts_s, vectors_ND, _ = read_table(path)
    assert report.n_rows == len(vectors_ND) > 5 and starts_s == sorted(starts_s)
    pooled = write_embeddings([files[-1]], tmp_path / "p.parquet", EmbedConfig("mel", excerpt_s=5.0))
    assert pooled.n_rows == 1
    np.testing.assert_allclose(read_table(tmp_path / "p.parquet")[2][0], vectors_ND.mean(axis=0), atol=1e-5)


def test_what_sounds_alike_is_found(table: Path, files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    by_name = {path.stem: path for path in files}
    for query, expected in (("low-1", "low-2"), ("noise-2", "noise-1")):
        found = find_similar(table, by_name[query])
        assert Path(found[0].file).stem == expected and len(found) == 3
        assert found[0].similarity > 0.5 > found[1].similarity
    parser = CommandParser(prog="vampnet similar")
    similar_options(parser)
    run_similar(parser.parse_args([str(by_name["low-1"]), "--in", str(table), "--top", "1"]))
    assert "low-2.wav at" in capsys.readouterr().out


def test_the_command_writes_a_table(files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser(prog="vampnet embed")
    embed_options(parser)
    words = [str(files[0].parent), "-o", str(tmp_path / "e.parquet"), "--embedding", "mel", "--excerpt-s", "5"]
    run_embed(parser.parse_args(words))
    told = capsys.readouterr()
    assert "4 rows of 4 files" in told.out and "broken.wav" in told.err


def test_files_that_are_no_table_are_named(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no table")
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(SettingsError, match=r"none\.parquet.*no such file"):
        find_similar(tmp_path / "none.parquet", files[0])
    for name in ("text.parquet", "other.parquet"):
        with pytest.raises(SettingsError, match=f"{name}.*vampnet embed"):
            find_similar(tmp_path / name, files[0])
    about = {b"vampnet": b'{"embedding": "mel", "bundle": "default", "id": "x", "excerpt_s": 2.0}'}
    vectors = pyarrow.array([[0.5] * 4] * 600, pyarrow.list_(pyarrow.float32(), 4))
    good = {"file": ["a"] * 600, "start_s": [0.0] * 600, "vector": vectors}
    changes = {
        "names.parquet": {"file": ["n" * 100_000] * 600},  # a few bytes as they lie there
        "types.parquet": {"start_s": ["0"] * 600},
        "missing.parquet": {"file": [None] * 600},
        "nan.parquet": {"start_s": [float("nan")] * 600},
        "ragged.parquet": {"vector": [[0.5] * 4] * 600},
        "empty.parquet": {"vector": pyarrow.array([None] * 600, pyarrow.list_(pyarrow.float32(), 4))},
    }
    for name, change in {"good.parquet": {}, **changes}.items():
        parquet.write_table(pyarrow.table(good | change).replace_schema_metadata(about), tmp_path / name)
    assert len(read_table(tmp_path / "good.parquet")[0]) == 600
    for name in changes:
        with pytest.raises(SettingsError, match=f"{name}: no table of embeddings"):
            read_table(tmp_path / name)
    broken = next(path for path in files if path.stem == "broken")
    with pytest.raises(AudioError, match="none of 1 files"):
        write_embeddings([broken], tmp_path / "x.parquet", MEL)
    assert not (tmp_path / "x.parquet").exists()
    with pytest.raises(SettingsError, match="excerpt_s"):
        EmbedConfig(excerpt_s=0.1)
