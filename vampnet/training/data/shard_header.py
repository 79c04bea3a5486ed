"""The JSON beside a token shard: its schema, and the check of the shard's data against it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.errors import CorpusError
from vampnet.storage import guarded, open_regular, read_json, sha256_of_file
from vampnet.training.data.shard_controls import N_ROWS, control_path

CONTROLS_FORMAT = 2
"""Format of shards with controls beside the codes; shards without have format 1, which they need not say."""
MAX_FRAMES = 2**40
MAX_CODEBOOKS = 64
MAX_HEADER_BYTES = 1 << 28
_CHUNK_BYTES = 1 << 22
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = "delete it and tokenize again"


def read_shard_header(path: Path) -> dict[str, Any]:
    """The JSON beside a shard, checked in every field. Raises CorpusError naming the field that is wrong."""
    header = read_json(path, CorpusError, MAX_HEADER_BYTES)
    if not isinstance(header, dict):
        raise CorpusError(f"{path}: damaged, holds no facts by name; {_HINT}")
    version = header.get("format", 1)
    if version not in (1, CONTROLS_FORMAT):
        raise CorpusError(f"{path}: shard format {version!r:.40} is not one that this version reads; update vampnet")
    _need_text(header, "codec_id", path)
    n_frames = _whole(header, "n_frames", 0, MAX_FRAMES, path)
    _whole(header, "n_codebooks", 1, MAX_CODEBOOKS, path)
    if "codebook_size" in header:  # shards of version 0.1 have none, and no digest
        _whole(header, "codebook_size", 2, 65536, path)
    digests = ["sha256"] if "sha256" in header else []
    for key in digests + (["controls_sha256"] if version == CONTROLS_FORMAT else []):
        if not (isinstance(header.get(key), str) and _SHA256.fullmatch(header[key])):
            raise CorpusError(f"{path}: damaged, its {key} is not 64 hexadecimal digits; {_HINT}")
    for key in ("names", "skipped"):
        values = header.get(key)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise CorpusError(f"{path}: damaged, its {key} are not a list of texts; {_HINT}")
    entries = header.get("entries")
    if not isinstance(entries, list):
        raise CorpusError(f"{path}: damaged, its entries are not a list; {_HINT}")
    for entry in entries:
        _check_entry(entry, n_frames, path)
    return header


def check_shard_data(header: dict[str, Any], path: Path) -> None:
    """CorpusError unless the data beside a header is that which was written: length, digest, codes, controls."""
    expected = 2 * header["n_frames"] * header["n_codebooks"]
    if not path.is_file() or path.stat().st_size != expected:
        raise CorpusError(f"{path}: damaged shard (expected {expected} bytes); {_HINT}")
    if header.get("format") == CONTROLS_FORMAT:
        _check_control_data(header, control_path(path))
    if "sha256" not in header and "codebook_size" not in header:
        return
    digest, largest = hashlib.sha256(), 0
    with open_regular(path, CorpusError) as file, guarded(path, CorpusError, "read"):
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            largest = max(largest, int(np.frombuffer(chunk, "<u2").max()))
    if header.get("sha256") not in (None, digest.hexdigest()):
        raise CorpusError(f"{path}: damaged shard, its SHA-256 is not the one in {path.stem}.json; {_HINT}")
    if largest >= header.get("codebook_size", 65536):
        raise CorpusError(
            f"{path}: damaged shard, has code {largest}, but its codec has {header['codebook_size']} entries; {_HINT}"
        )


def _check_control_data(header: dict[str, Any], path: Path) -> None:
    expected = 2 * header["n_frames"] * N_ROWS
    if not path.is_file() or path.stat().st_size != expected:
        raise CorpusError(f"{path}: damaged controls (expected {expected} bytes); {_HINT}")
    if sha256_of_file(path, CorpusError) != header["controls_sha256"]:
        name = path.with_suffix(".json").name
        raise CorpusError(f"{path}: damaged controls, their SHA-256 is not the one in {name}; {_HINT}")


def _check_entry(entry: Any, n_frames: int, path: Path) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise CorpusError(f"{path}: damaged, an entry has no name; {_HINT}")
    start = _whole(entry, "start", 0, n_frames, path)
    _whole(entry, "n_frames", 0, n_frames - start, path)
    if not isinstance(entry.get("facts", {}), dict):
        raise CorpusError(f"{path}: damaged, the facts of {entry['name']!r} have no names; {_HINT}")
    beats = entry.get("beats", [])
    if not isinstance(beats, list) or not all(type(b) in (int, float) and abs(b) <= MAX_FRAMES for b in beats):
        raise CorpusError(f"{path}: damaged, the beats of {entry['name']!r} are not a list of frames; {_HINT}")


def _whole(facts: dict[str, Any], key: str, low: int, high: int, path: Path) -> int:
    value = facts.get(key)
    if type(value) is not int or not low <= value <= high:
        raise CorpusError(f"{path}: damaged, {key} is {value!r:.40}, but must be one of {low} to {high}; {_HINT}")
    return value


def _need_text(facts: dict[str, Any], key: str, path: Path) -> None:
    if not isinstance(facts.get(key), str) or not 0 < len(facts[key]) <= 100:
        raise CorpusError(f"{path}: damaged, has no {key}; {_HINT}")
