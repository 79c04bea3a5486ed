"""Embeddings of many files as one table, and the search in it for what sounds alike.

A table is a Parquet file with the columns `file`, `start_s`, `seconds` and `vector`; its metadata names the embedding,
so that a query is embedded in the same way. Any program that reads Parquet reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vampnet.audio.files import read, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.units import seconds_to_samples
from vampnet.config import check, check_settings, setting
from vampnet.errors import AudioError, SettingsError, require
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.storage import cause, open_regular, parse_json, whole_file

_METADATA = b"vampnet"
_ROWS_AT_ONCE = 4096
_ROWS_READ = 256
_LONGEST_NAME = 1 << 16
_MOST_NUMBERS = 1 << 31
"""Most numbers of all vectors of a table that is searched, 8 GB."""

Vectors = NDArray[np.float32]
Row = tuple[str, float, float, Vectors]
"""File, start, length in seconds, vector (D,)."""


@dataclass(frozen=True)
class EmbedConfig:
    """Settings for embedding files into rows of a table."""

    embedding: str = "hidden"
    """Embedding, as of `vampnet distance`: mel, codec, hidden[:LAYER], ..."""
    bundle: str = "default"
    """Model of the embeddings codec and hidden."""
    device: str = "auto"
    """Device of the networks."""
    excerpt_s: float = setting(10.0, low=0.5, high=60.0)
    """Length of the excerpts that files are cut into, 0.5 to 60 s."""
    frames: bool = False
    """A row for each vector of the embedding; by default one for each excerpt, the mean of its vectors."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class EmbedReport:
    """Size of a table, and files left out."""

    n_files: int
    n_rows: int
    dim: int
    embedding: str
    """Id of the embedding."""
    unreadable: tuple[str, ...]
    """Files that could not be read, with the reason."""


@dataclass(frozen=True)
class SimilarFile:
    """A file that sounds like a query."""

    file: str
    start_s: float
    """Where its most similar excerpt begins, seconds."""
    similarity: float
    """Cosine of the vectors less the table's mean, -1 to 1."""


def write_embeddings(
    files: Sequence[Path],
    output: str | os.PathLike[str],
    config: EmbedConfig = EmbedConfig(),
    progress: Callable[[str, int, int], None] | None = None,
) -> EmbedReport:
    """Embed files into a table; those that cannot be read are named and left out.

    Raises DependencyError without pyarrow, SettingsError for an unknown embedding, AudioError when no file can be read.
    """
    require("pyarrow", "embedding tables")
    import pyarrow as pa
    from pyarrow import parquet

    embedding = open_embedding(config.embedding, config.bundle, config.device)
    check("excerpt_s", config.excerpt_s, 0.5, embedding.max_s)
    about = {"embedding": config.embedding, "bundle": config.bundle, "id": embedding.id, "frames": config.frames,
             "excerpt_s": config.excerpt_s}  # fmt: skip
    schema = pa.schema(
        [("file", pa.string()), ("start_s", pa.float64()), ("seconds", pa.float64()),
         ("vector", pa.list_(pa.float32(), embedding.dim))],
        metadata={_METADATA: json.dumps(about).encode()},
    )  # fmt: skip
    n_rows, n_files, unreadable = 0, 0, list[str]()
    with whole_file(output) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for number, path in enumerate(files, 1):
            try:
                for rows in _batches(rows_of(path, embedding, config)):
                    writer.write_table(_as_table(rows, schema))
                    n_rows += len(rows)
                n_files += 1
            except AudioError as error:
                unreadable.append(str(error))
            if progress is not None:
                progress("files", number, len(files))
        if not n_files:
            raise AudioError(
                f"none of {len(files)} files can be read; the first: {(unreadable or ['there is none'])[0]}"
            )
    return EmbedReport(n_files, n_rows, embedding.dim, embedding.id, tuple(unreadable))


def rows_of(path: Path, embedding: Embedding, config: EmbedConfig) -> Iterator[Row]:
    """Rows of one file, excerpt by excerpt. Raises AudioError for a file that cannot be read."""
    audio, rate_hz = read(path), embedding.sample_rate_hz
    mono = resample(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz, rate_hz)
    if not mono.size:
        raise AudioError(f"{path}: has no samples to embed")
    length = seconds_to_samples(config.excerpt_s, rate_hz)
    # What is left at the end is an excerpt of its own from half the length on, else part of the last.
    bounds = [*range(0, max(round(mono.shape[1] / length), 1) * length, length), mono.shape[1]]
    for first, stop in pairwise(bounds):
        vectors_ND = _embed(mono[:, first:stop], embedding)
        seconds = (stop - first) / rate_hz
        if not config.frames:
            yield str(path), first / rate_hz, seconds, vectors_ND.mean(axis=0)
            continue
        for place, vector in enumerate(vectors_ND):
            step_s = seconds / len(vectors_ND)
            yield str(path), first / rate_hz + place * step_s, step_s, vector


def find_similar(table: str | os.PathLike[str], query: str | os.PathLike[str], *, n: int = 10) -> list[SimilarFile]:
    """The files of a table that sound most like a query, the most similar first.

    The query is cut and embedded as the table's files were. A file's similarity is that of its best excerpt to the
    query's mean; the query itself, if it is in the table, is left out.

    Raises SettingsError for a file that is no table of embeddings, or was made with another model.
    """
    check("n", n, 1, 100_000)
    files, starts_s, vectors_ND, about = read_table(table)
    embedding = open_embedding(about["embedding"], about["bundle"])
    if embedding.id != about["id"]:
        raise SettingsError(
            f"{table}: was made with {about['id']}, but the model here gives {embedding.id}; embed anew"
        )
    config = EmbedConfig(about["embedding"], about["bundle"], excerpt_s=about["excerpt_s"])
    asked_D = np.mean([row[3] for row in rows_of(Path(query), embedding, config)], axis=0)
    middle_D = vectors_ND.mean(axis=0)
    cosine_N = _unit(vectors_ND - middle_D) @ _unit((asked_D - middle_D)[None])[0]
    best: dict[str, SimilarFile] = {}
    own = os.path.realpath(query)
    for file, start_s, cosine in zip(files, starts_s, cosine_N.tolist(), strict=True):
        if os.path.realpath(file) != own and (file not in best or cosine > best[file].similarity):
            best[file] = SimilarFile(file, start_s, cosine)
    return sorted(best.values(), key=lambda match: -match.similarity)[:n]


def read_table(path: str | os.PathLike[str]) -> tuple[list[str], list[float], Vectors, dict[str, Any]]:
    """Files, starts in seconds, vectors (N, D) and facts of a table. Raises SettingsError for any other file."""
    require("pyarrow", "embedding tables")
    import pyarrow as pa
    import pyarrow.compute
    from pyarrow import parquet

    compute: Any = pyarrow.compute  # its functions are made when it is imported

    files, starts_s, parts = list[str](), list[float](), list[Vectors]()
    try:
        with open_regular(path, SettingsError) as file, parquet.ParquetFile(file) as table:
            about = parse_json((table.schema_arrow.metadata or {})[_METADATA])
            known = {name: about[name] for name in ("embedding", "bundle", "id", "excerpt_s")}
            dim = _checked_dim(table)
            # Piece by piece, since a few bytes of a packed column can stand for gigabytes.
            for batch in table.iter_batches(_ROWS_READ, columns=["file", "start_s", "vector"]):
                if any(column.null_count for column in batch.columns):
                    raise ValueError("it has rows without a name, a time or a vector")
                if compute.max(compute.binary_length(batch["file"])).as_py() > _LONGEST_NAME:
                    raise ValueError(f"it has names of more than {_LONGEST_NAME} bytes")
                files += batch["file"].to_pylist()
                starts_s += batch["start_s"].to_pylist()
                parts.append(batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(-1, dim))
            is_finite = np.isfinite(np.array(starts_s, np.float64)).all() and all(np.isfinite(p).all() for p in parts)
            if not is_finite:
                raise ValueError("it has times or vectors that are no numbers")
    except (OSError, LookupError, ValueError, TypeError, RecursionError, pa.ArrowException) as error:
        raise SettingsError(
            f"{path}: no table of embeddings ({cause(error)[:120]}); `vampnet embed` makes one"
        ) from None
    if not files:
        raise SettingsError(f"{path}: the table has no rows")
    if not all(isinstance(known[name], str) for name in ("embedding", "bundle", "id")):
        raise SettingsError(f"{path}: no table of embeddings (it does not say which); `vampnet embed` makes one")
    return files, starts_s, np.concatenate(parts).astype(np.float32), known


def _checked_dim(table: Any) -> int:
    """Numbers of a vector of a Parquet file. Raises ValueError for columns of other types, and too many rows."""
    import pyarrow as pa

    schema, n_rows = table.schema_arrow, table.metadata.num_rows
    kind = schema.field("vector").type
    dim = getattr(kind, "list_size", 0)
    if not 1 <= dim <= 1 << 16 or kind.value_type != pa.float32():
        raise ValueError("its column vector holds no vectors of one length")
    if schema.field("file").type != pa.string() or schema.field("start_s").type != pa.float64():
        raise ValueError("its columns file and start_s are of other types")
    if n_rows * dim > _MOST_NUMBERS:
        raise ValueError(f"it says that it has {n_rows} rows of {dim} numbers, more than fit into memory")
    return dim


def _embed(excerpt_1S: Vectors, embedding: Embedding) -> Vectors:
    if embedding.input_lufs is not None:
        gain = gain_to(measure(excerpt_1S, embedding.sample_rate_hz), embedding.input_lufs)
        excerpt_1S = excerpt_1S * np.float32(gain)
    missing = max(embedding.min_samples - excerpt_1S.shape[1], 0)
    padded = torch.from_numpy(np.ascontiguousarray(np.pad(excerpt_1S, ((0, 0), (0, missing)))))
    return embedding.vectors(padded)[0].numpy().astype(np.float32)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch = list[Row]()
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _as_table(rows: Sequence[Row], schema: Any) -> Any:
    import pyarrow as pa

    flat = pa.array(np.concatenate([row[3] for row in rows]).astype(np.float32))
    vectors = pa.FixedSizeListArray.from_arrays(flat, schema.field("vector").type.list_size)
    columns = [pa.array([row[k] for row in rows]) for k in range(3)]
    return pa.Table.from_arrays([*columns, vectors], schema=schema)


def _unit(vectors_ND: Vectors) -> Vectors:
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-9)
