"""Sources of recordings: every form gives the same tokens; damaged ones are told; repeated recordings are found."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tiny_codec, tone
from vampnet.audio.files import Audio, read, write
from vampnet.errors import CorpusError
from vampnet.training.data.duplicates import DuplicateIndex, bit_error, fingerprint
from vampnet.training.data.recordings import CorpusRecording, find_recordings
from vampnet.training.data.token_dataset import open_tokens
from vampnet.training.data.token_shards import tokenize, tokenize_folder

NAMES = ("a.wav", "b.flac", "c.wav")


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    folder = tmp_path / "audio"
    folder.mkdir()
    for k, name in enumerate(NAMES):
        write(folder / name, tone(0.4, seed=k))
    return folder


def codes(folder: Path) -> np.ndarray:
    return np.concatenate(open_tokens(folder).shards)


def put_tar(path: Path, folder: Path, names: tuple[str, ...]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            tar.add(folder / name, f"deep/{name}")
            info = tarfile.TarInfo(f"deep/{name}.json")
            info.size = 2
            tar.addfile(info, io.BytesIO(b"{}"))
    return path


def table(folder: Path, kind: str) -> str:
    if kind == "csv":
        (folder / "list.csv").write_text("title,file\n" + "".join(f"x,audio/{name}\n" for name in NAMES), "utf-8-sig")
    elif kind == "tsv":
        (folder / "list.tsv").write_text("path\ttitle\n" + "".join(f"audio/{name}\tx\n" for name in NAMES))
    elif kind == "jsonl":
        lines = [json.dumps({"audio_filepath": str(folder / "audio" / name), "duration": 0.4}) for name in NAMES]
        (folder / "list.jsonl").write_text("\n".join(lines) + "\n\n")
    elif kind == "tar":
        put_tar(folder / "s-00.tar", folder / "audio", NAMES[:2])
        put_tar(folder / "s-01.tar", folder / "audio", NAMES[2:])
        return str(folder / "s-{00..01}.tar")
    elif kind.startswith("parquet"):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        held = [{"bytes": (folder / "audio" / name).read_bytes(), "path": name} for name in NAMES]
        columns = {"file": [f"audio/{name}" for name in NAMES]} if kind == "parquet paths" else {"sound": held}
        parquet.write_table(pyarrow.table(columns), folder / "list.parquet")
    return str(folder / f"list.{kind.split()[0]}")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "tar", "parquet paths", "parquet bytes"])
def test_every_form_gives_the_same_tokens_and_is_gone_on_with(audio: Path, tmp_path: Path, kind: str) -> None:
    tokenize_folder(audio, tmp_path / "plain", tiny_codec())
    source = table(tmp_path, kind)
    report = tokenize(source, tmp_path / "t", tiny_codec())
    assert report.n_files == 3 and np.array_equal(codes(tmp_path / "t"), codes(tmp_path / "plain"))
    assert tokenize(source, tmp_path / "t", tiny_codec()).audio_s_per_s == 0


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("list.csv", "title\nx\n", "holds audio; name one of|holds audio; name one file"),
        ("list.csv", 'file\n""\n', "row 1: file is empty"),
        ("list.jsonl", "[1]\n", "line 1: is no JSON object"),
        ("list.jsonl", "{", "cannot be read as jsonl"),
        ("list.tar", "no tar at all", "cannot be read as tar"),
        ("list.txt", "a.wav", "is no folder of audio"),
    ],
)
def test_damaged_sources_are_told(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=says):
        list(find_recordings(tmp_path / name, tmp_path))


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    for source in ("nothing", "*.tar", "a-{3..1}.tar", "a-{0..1}.tar"):
        with pytest.raises(CorpusError, match=r"no such|no file matches|must rise"):
            list(find_recordings(tmp_path / source, tmp_path))


def test_a_tar_cannot_write_elsewhere(audio: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name in ("../../outside.wav", "/etc/outside.wav"):
            tar.add(audio / "a.wav", name)
        link = tarfile.TarInfo("link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    found = list(find_recordings(tmp_path / "evil.tar", scratch))
    assert len(found) == 2 and all(one.path.parent == scratch for one in found)


def noisy(seconds: float, seed: int) -> Audio:
    """Noise whose bands swell and fall, as different from another seed's as two recordings."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal((1, int(seconds * 22050))).astype(np.float32)
    swell = np.interp(np.arange(samples.shape[1]), np.linspace(0, samples.shape[1], 40), rng.uniform(0, 0.3, 40))
    return Audio(samples * swell.astype(np.float32), 22050)


def test_repeated_recordings_are_found_by_bytes_and_by_sound(tmp_path: Path) -> None:
    first = noisy(6.0, 1)
    rng = np.random.default_rng(0)
    write(tmp_path / "first.wav", first)
    (tmp_path / "copy.wav").write_bytes((tmp_path / "first.wav").read_bytes())
    write(tmp_path / "quiet.flac", Audio(first.samples * np.float32(0.3), 22050))
    hiss = rng.standard_normal(first.samples.shape).astype(np.float32) * np.float32(0.005)
    write(tmp_path / "cut.wav", Audio((first.samples + hiss)[:, 40000:], 22050))
    write(tmp_path / "other.wav", noisy(6.0, 2))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    for k in (1, 2):  # silence is no sound to go by
        write(tmp_path / f"silent-{k}.wav", Audio(np.zeros((1, 60000 + k), np.float32), 22050))
    names = (
        "first.wav",
        "copy.wav",
        "quiet.flac",
        "cut.wav",
        "other.wav",
        "broken.wav",
        "silent-1.wav",
        "silent-2.wav",
    )
    index = DuplicateIndex()
    told = [index.find(CorpusRecording(name, tmp_path / name)) for name in names]
    assert told == [
        "", "copy.wav: the same bytes as first.wav", "quiet.flac: sounds the same as first.wav",
        "cut.wav: sounds the same as first.wav", "", "", "", "",
    ]  # fmt: skip
    one, other = fingerprint(tmp_path / "first.wav"), fingerprint(tmp_path / "other.wav")
    assert min(bit_error(one, other, offset) for offset in range(-60, 60)) > 0.35


def test_repeated_recordings_are_left_out(audio: Path, tmp_path: Path) -> None:
    write(audio / "d.wav", read(audio / "a.wav"))
    report = tokenize(audio, tmp_path / "t", tiny_codec(), deduplicate=True)
    assert report.n_files == 3 and report.skipped == ("d.wav: the same bytes as a.wav",)
    assert (tmp_path / "t" / "skipped.txt").read_text() == "d.wav: the same bytes as a.wav\n"
