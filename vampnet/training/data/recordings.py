"""Recordings of a corpus in the forms that people have: folders, manifests, tar shards, datasets with an audio column.

    FOLDER                            all audio below it
    LIST.csv, .tsv, .jsonl, .parquet  a manifest with a column of paths (`file`, `path`, `audio`, `audio_filepath`, ...)
    TABLE.parquet                     or a column of undecoded bytes, as Hugging Face datasets hold them
    SHARDS-{000..123}.tar, *.tar      tar shards, as webdataset holds them
    hf:NAME[:SPLIT]                   a dataset of the Hugging Face hub, streamed

Files are named; what lies inside tables and shards is streamed, each recording written to a file for as long as it is
needed. Decoding is always our own reader's.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vampnet.audio.folders import ENDINGS, audio_files_in
from vampnet.errors import CorpusError, require
from vampnet.storage import cause, guarded, parse_json

PATH_COLUMNS = ("file", "path", "audio", "audio_filepath", "filename", "file_name")
"""Columns of a manifest that may hold the paths, in the order in which they are looked for."""
MANIFESTS = (".csv", ".tsv", ".jsonl", ".parquet")
MAX_RECORDING_BYTES = 4 << 30
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_ROWS = 16
_LINE = 1 << 20


@dataclass(frozen=True)
class CorpusRecording:
    """One recording of a corpus."""

    name: str
    """Name within the corpus."""
    path: Path
    """File that holds it."""
    is_temporary: bool = False
    """True if the file is there for this recording alone, to be deleted after it."""


def find_recordings(source: str | Path, scratch: Path) -> Iterator[CorpusRecording]:
    """The recordings of a source, in an order that is always the same.

    `scratch`: folder for recordings that are streamed. Raises CorpusError for a source that is none of the kinds above.
    """
    text = os.fspath(source)
    if text.startswith("hf:"):
        return _of_hub(text, scratch)
    if Path(text).is_dir():
        return _of_folder(Path(text))
    paths = _expanded(text)
    endings = {path.suffix.lower() for path in paths}
    if endings == {".tar"}:
        return _of_tars(paths, scratch)
    if len(endings) == 1 and endings <= set(MANIFESTS):
        return (one for path in paths for one in _of_table(path, scratch))
    raise CorpusError(f"{text}: is no folder of audio, no manifest ({', '.join(MANIFESTS)}) and no tar shards (.tar)")


def is_listed(source: str | Path) -> bool:
    """True if a source names files that are there anyway, rather than holding them itself."""
    text = os.fspath(source)
    return Path(text).is_dir() or Path(text).suffix.lower() in (".csv", ".tsv", ".jsonl")


def _expanded(text: str) -> list[Path]:
    """The files that a text names: itself, with numbers {000..123} written out, or as a pattern."""
    match = _BRACES.search(text)
    if match is not None:
        first, last = int(match[1]), int(match[2])
        if not 0 <= last - first < 1_000_000:
            raise CorpusError(f"{text}: the numbers in braces must rise, by less than a million")
        names = [
            text[: match.start()] + str(n).zfill(len(match[1])) + text[match.end() :] for n in range(first, last + 1)
        ]
        return [path for name in names for path in _expanded(name)]
    if not os.path.lexists(text) and glob.has_magic(text):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            raise CorpusError(f"no file matches the pattern {text!r}")
        return [Path(name) for name in found]
    if not Path(text).is_file():
        raise CorpusError(f"{text}: no such folder or file")
    return [Path(text)]


def _of_folder(folder: Path) -> Iterator[CorpusRecording]:
    yield from (CorpusRecording(str(path.relative_to(folder)), path) for path in audio_files_in(folder))


def _of_table(path: Path, scratch: Path) -> Iterator[CorpusRecording]:
    """The recordings of one manifest, or of one table that holds them."""
    column = ""
    for number, row in enumerate(_rows(path), 1):
        column = column or _audio_column(path, row)
        value = row.get(column)
        if isinstance(value, (dict, bytes)):
            yield _written(scratch, f"{path.name}/{number:07d}", value if isinstance(value, dict) else {"bytes": value})
            continue
        if not isinstance(value, str) or not value.strip():
            raise CorpusError(f"{path}, row {number}: {column} is empty, but must name a file")
        yield CorpusRecording(value, path.parent / value)


def _audio_column(path: Path, row: dict[str, Any]) -> str:
    known = {str(name).lower(): str(name) for name in row}
    for wanted in PATH_COLUMNS:
        if wanted in known:
            return known[wanted]
    held = [str(name) for name, value in row.items() if isinstance(value, dict) and "bytes" in value]
    if len(held) == 1:
        return held[0]
    shown = ", ".join(map(repr, list(row)[:8]))
    raise CorpusError(
        f"{path}: none of its columns ({shown}) holds audio; name one of them {' or '.join(PATH_COLUMNS)}"
    )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path)
        return
    with guarded(path, CorpusError, "read"), open(path, encoding="utf-8-sig", newline="") as file:
        try:
            if path.suffix.lower() == ".jsonl":
                for number, line in enumerate(iter(lambda: file.readline(_LINE), ""), 1):
                    if len(line) == _LINE:
                        raise CorpusError(f"{path}, line {number}: is longer than {_LINE} characters")
                    if line.strip():
                        row = parse_json(line)
                        if not isinstance(row, dict):
                            raise CorpusError(f"{path}, line {number}: is no JSON object")
                        yield row
                return
            yield from csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        except (ValueError, csv.Error, RecursionError) as error:
            raise CorpusError(f"{path}: damaged, cannot be read as {path.suffix[1:]} ({cause(error)})") from None


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    require("pyarrow", "Parquet files")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=_ROWS):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{path}: damaged, cannot be read as Parquet ({cause(error)})") from None


def _of_tars(paths: list[Path], scratch: Path) -> Iterator[CorpusRecording]:
    """Audio in tar shards, read from front to back; other members (texts, labels) are passed over."""
    for path in paths:
        try:
            with tarfile.open(path, "r|*") as shard:
                for member in shard:
                    if not member.isfile() or Path(member.name).suffix.lower() not in ENDINGS:
                        continue
                    if member.size > MAX_RECORDING_BYTES:
                        raise CorpusError(f"{path}: {member.name} has {member.size} bytes, more than a recording may")
                    held = shard.extractfile(member)
                    assert held is not None
                    name = f"{path.name}/{member.name}"
                    target = _place(scratch, name, Path(member.name).suffix)
                    with guarded(target, CorpusError), open(target, "wb") as out:
                        shutil.copyfileobj(held, out, 1 << 20)
                    yield CorpusRecording(name, target, True)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise CorpusError(f"{path}: damaged, cannot be read as tar ({cause(error)})") from None


def _of_hub(text: str, scratch: Path) -> Iterator[CorpusRecording]:
    """A dataset of the Hugging Face hub, streamed, its audio undecoded."""
    require("datasets", "datasets of the Hugging Face hub")
    import datasets  # pyright: ignore[reportMissingImports]

    name, _, split = text.removeprefix("hf:").partition(":")
    try:
        rows = datasets.load_dataset(name, split=split or "train", streaming=True)
        held = [key for key, kind in (rows.features or {}).items() if isinstance(kind, datasets.Audio)]
        if len(held) != 1:
            raise CorpusError(f"{text}: has {len(held)} columns of audio, but must have one")
        for number, row in enumerate(rows.cast_column(held[0], datasets.Audio(decode=False)), 1):
            yield _written(scratch, f"{name}/{number:07d}", row[held[0]])
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise CorpusError(f"{text}: cannot be streamed ({cause(error)})") from None


def _written(scratch: Path, name: str, audio: dict[str, Any]) -> CorpusRecording:
    """A recording whose undecoded bytes came in a column, or whose path did."""
    path, data = audio.get("path") or "", audio.get("bytes")
    if not data:
        if not path:
            raise CorpusError(f"{name}: has neither bytes nor a path of audio")
        return CorpusRecording(str(path), Path(path))
    target = _place(scratch, name, Path(path).suffix)
    with guarded(target, CorpusError):
        target.write_bytes(data)
    return CorpusRecording(f"{name}{Path(path).suffix}", target, True)


def _place(scratch: Path, name: str, ending: str) -> Path:
    """A file in the scratch folder; its name is a digest, so that no shard can name a file elsewhere."""
    ending = ending.lower() if ending.lower() in ENDINGS else ".audio"
    return scratch / (hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24] + ending)
