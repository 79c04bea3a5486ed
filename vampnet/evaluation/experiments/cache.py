"""Cache of results on disk: one file per condition and batch of excerpts, named by a digest of its inputs.

So a run that was interrupted goes on where it was, a changed condition alone is done again, more excerpts only add, and
two experiments with a condition in common share it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vampnet.audio.files import Samples
from vampnet.beats.events import Events
from vampnet.errors import SettingsError
from vampnet.evaluation.experiments.measures import METRICS, Embedded, Floats, Reference
from vampnet.evaluation.metrics.harmony import Chroma, KeyEstimate
from vampnet.storage import cause, make_folder, whole_file

_DAMAGE = (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)
"""Errors of NumPy and zip about a damaged file."""


@dataclass(frozen=True, eq=False)
class BatchResult:
    """Measurements of one condition on a batch of excerpts."""

    metrics: dict[str, Floats]
    """Name of the metric -> (B,)."""
    embedded: tuple[tuple[Embedded, ...], ...]
    """For each embedding one entry per excerpt."""
    seconds: float
    """Run time, metrics included."""


def content_key(content: Any) -> str:
    """SHA-256 of plain data as sorted JSON, 24 hex digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def result_path(folder: Path, key: str) -> Path:
    """Path of a result in the cache folder."""
    return folder / "cache" / key[:2] / f"{key}.npz"


def save_result(path: Path, result: BatchResult) -> None:
    """Write a result; it appears whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {f"metric.{name}": values for name, values in result.metrics.items()}
    arrays["seconds"] = np.array(result.seconds)
    for e, row in enumerate(result.embedded):
        for k, item in enumerate(row):
            place = f"embedded.{e}.{k}."
            arrays |= {f"{place}n": np.array(item.n), f"{place}mean": item.mean_D}
            arrays |= {f"{place}factor": item.factor_YD, f"{place}vectors": item.vectors_ND}
    _save(path, arrays)


def load_result(path: Path, n_excerpts: int, n_embeddings: int) -> BatchResult:
    """Read a result. Raises SettingsError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            _check_name(data, path)
            metrics = {metric.name: data[f"metric.{metric.name}"] for metric in METRICS}
            rows = [[_item(data, e, k) for k in range(n_excerpts)] for e in range(n_embeddings)]
            return BatchResult(metrics, tuple(map(tuple, rows)), float(data["seconds"]))
    except _DAMAGE as error:
        raise SettingsError(f"{path}: damaged ({cause(error)}); delete it and run again") from None


def _item(data: Any, embedding: int, excerpt: int) -> Embedded:
    n, mean, factor, vectors = (data[f"embedded.{embedding}.{excerpt}.{x}"] for x in ("n", "mean", "factor", "vectors"))
    return Embedded(int(n), mean, factor, vectors)


def save_reference(path: Path, reference: Reference) -> None:
    """Write all that is known of a batch but its audio."""
    known = {
        "rhythms": [[r.beats_s, r.downbeats_s, r.onsets_s] for r in reference.rhythms],
        "keys": [[key.name, key.strength] for key in reference.keys],
        "onsets_hz": reference.onsets_hz,
    }
    arrays: dict[str, NDArray[Any]] = {"known": np.array(json.dumps(known)), "codes": reference.codes_BCT.numpy()}
    for k, chroma in enumerate(reference.chromas):
        arrays |= {f"energy.{k}": chroma.energy_QU, f"level.{k}": chroma.level_db_U}
    _save(path, arrays)


def load_reference(path: Path, audio_BS: Samples) -> Reference:
    """Read what `save_reference` wrote, with the audio that it is about. Raises SettingsError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            _check_name(data, path)
            known = json.loads(str(data["known"]))
            chromas = tuple(Chroma(data[f"energy.{k}"], data[f"level.{k}"]) for k in range(len(audio_BS)))
            codes_BCT = torch.from_numpy(data["codes"])
        rhythms = tuple(Events(*map(tuple, events)) for events in known["rhythms"])
        keys = tuple(KeyEstimate(name, strength) for name, strength in known["keys"])
        return Reference(audio_BS, codes_BCT, rhythms, tuple(known["onsets_hz"]), chromas, keys)
    except _DAMAGE as error:
        raise SettingsError(f"{path}: damaged ({cause(error)}); delete it and run again") from None


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays; the file appears whole or not at all."""
    make_folder(path.parent)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, name=np.array(path.name), **arrays)  # type: ignore[arg-type]


def _check_name(data: Any, path: Path) -> None:
    """ValueError for the result of other inputs, put in this one's place: its name is a digest of its own inputs."""
    if str(data["name"]) != path.name:
        raise ValueError(f"it is {data['name']!s:.60}")


def concatenate(results: Sequence[BatchResult]) -> BatchResult:
    """Concatenate the results of consecutive batches."""
    metrics = {name: np.concatenate([r.metrics[name] for r in results]) for name in results[0].metrics}
    rows = zip(*(r.embedded for r in results), strict=True)
    return BatchResult(
        metrics, tuple(tuple(x for part in row for x in part) for row in rows), sum(r.seconds for r in results)
    )
