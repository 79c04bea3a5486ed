"""`vampnet distance`: two folders of audio compared, file by file and as sets."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Any

from vampnet.config import check
from vampnet.device import select_device
from vampnet.errors import AudioError, SettingsError
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.folders import Progress, audio_files_of, embed_files, match, read_pairs
from vampnet.evaluation.metrics.frechet import FrechetResult
from vampnet.evaluation.metrics.kernel import KERNELS, KernelResult
from vampnet.evaluation.metrics.paired import METRICS, Pair, PairMetric, find_metrics, measure_pair, summarise
from vampnet.evaluation.metrics.sets import EXCERPT_S, EmbeddedSet, frechet_of, kernel_of
from vampnet.evaluation.metrics.statistics import Interval
from vampnet.models.bundle import load_codec
from vampnet.storage import table_cell, whole_file
from vampnet.version import __version__

SET_METRICS = ("fad", "kad")


@dataclass(frozen=True)
class CompareConfig:
    """Settings of a comparison of two folders."""

    metrics: tuple[str, ...] = ("mel", "fad")
    """Names of METRICS (pairs) and SET_METRICS."""
    embedding: str = "mel"
    """Embedding for fad and kad; see `open_embedding`."""
    bundle: str = "default"
    """Model of the embeddings "codec" and "hidden" and of the token metrics."""
    device: str = "auto"
    """Device of the networks: auto, cpu, cuda, cuda:N or mps."""
    rate_hz: int = 44100
    """Sample rate at which pairs are compared, 8000 to 192000; token metrics take the codec's."""
    lufs: float | None = None
    """Loudness that both files of a pair are brought to, -70 to 0 LUFS; None leaves levels alone."""
    excerpt_s: float = EXCERPT_S
    """Length of the excerpts of sets, seconds."""
    kernel: str = "rbf"
    """Kernel of kad."""
    seed: int = 0
    """Seed of all resampling."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in (*METRICS, *SET_METRICS)]
        if unknown or not self.metrics:
            known = ", ".join((*SET_METRICS, *METRICS))
            raise SettingsError(f"metric is {unknown[0] if unknown else 'none'!r}, but must be one of {known}")
        if self.kernel not in KERNELS:
            raise SettingsError(f"kernel is {self.kernel!r}, but must be one of {', '.join(KERNELS)}")
        check("sample rate", self.rate_hz, 8000, 192000)
        if self.lufs is not None:
            check("lufs", self.lufs, -70.0, 0.0)

    @property
    def has_pairs(self) -> bool:
        """True if a metric of pairs is among them."""
        return any(name not in SET_METRICS for name in self.metrics)


@dataclass(frozen=True, eq=False)
class FolderComparison:
    """Result of comparing two folders."""

    reference: str
    evaluated: str
    settings: CompareConfig
    rows: tuple[dict[str, Any], ...] = ()
    """One per pair: "name", "duration_s", "length_difference_s" and a value per metric."""
    summary: dict[str, Interval] = dataclasses.field(default_factory=dict)
    """Mean of each metric over pairs."""
    units: dict[str, str] = dataclasses.field(default_factory=dict)
    only_reference: tuple[str, ...] = ()
    only_evaluated: tuple[str, ...] = ()
    reference_set: EmbeddedSet | None = None
    evaluated_set: EmbeddedSet | None = None
    frechet: FrechetResult | None = None
    kernel: KernelResult | None = None
    paired_sets: bool = False
    """True if both sets hold the same excerpts by name, so that they were resampled together."""
    unreadable: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def compare(
    reference: str | os.PathLike[str],
    evaluated: str | os.PathLike[str],
    settings: CompareConfig = CompareConfig(),
    progress: Progress | None = None,
) -> FolderComparison:
    """Compare two folders of audio. Files that cannot be read are named in the result and left out.

    Raises CorpusError for a folder without audio, AudioError when nothing is left to compare, and SettingsError,
    BundleError or DependencyError for what the settings ask and is not there.
    """
    metrics = find_metrics([name for name in settings.metrics if name not in SET_METRICS])
    found = FolderComparison(str(reference), str(evaluated), settings)
    if any(name in SET_METRICS for name in settings.metrics):
        found = _compare_sets(found, progress)
    return _compare_pairs(found, metrics, progress) if metrics else found


def _compare_pairs(
    found: FolderComparison, metrics: tuple[PairMetric, ...], progress: Progress | None
) -> FolderComparison:
    settings, matched, unreadable = found.settings, match(found.reference, found.evaluated), list(found.unreadable)
    codec, rate_hz = None, settings.rate_hz
    if any(metric.needs_codec for metric in metrics):
        codec = load_codec(settings.bundle).to(select_device(settings.device))
        rate_hz = codec.sample_rate_hz
    rows = []
    for name, one, other in read_pairs(matched, rate_hz, settings.lufs, unreadable, progress):
        pair = Pair(one, other, rate_hz, codec)
        about = {"name": name, "duration_s": pair.duration_s, "length_difference_s": pair.length_difference_s}
        rows.append(about | measure_pair(pair, metrics))
    if not rows:
        raise AudioError(f"none of the {len(matched.pairs)} pairs can be read; the first: {unreadable[0]}")
    return dataclasses.replace(
        found,
        rows=tuple(rows),
        summary=summarise(rows, metrics, settings.seed),
        units={metric.name: metric.unit for metric in metrics},
        only_reference=matched.only_reference,
        only_evaluated=matched.only_evaluated,
        unreadable=tuple(dict.fromkeys(unreadable)),
        warnings=(*found.warnings, *_length_warnings(rows)),
    )


def _compare_sets(found: FolderComparison, progress: Progress | None) -> FolderComparison:
    settings, unreadable = found.settings, []
    places = (audio_files_of(found.reference), audio_files_of(found.evaluated))
    embedding = open_embedding(settings.embedding, settings.bundle, settings.device)
    built = [
        embed_files(list(files.values()), embedding, name, unreadable, excerpt_s=settings.excerpt_s, progress=progress)
        for files, name in zip(places, (found.reference, found.evaluated), strict=True)
    ]
    (one, one_counts), (other, other_counts) = built
    paired = list(places[0]) == list(places[1]) and one_counts == other_counts
    frechet = kernel = None
    if "fad" in settings.metrics:
        frechet = frechet_of(one, other, paired=paired, seed=settings.seed)
    if "kad" in settings.metrics:
        kernel = kernel_of(one, other, kernel=settings.kernel, paired=paired)
    return dataclasses.replace(
        found,
        reference_set=one,
        evaluated_set=other,
        frechet=frechet,
        kernel=kernel,
        paired_sets=paired,
        unreadable=tuple(unreadable),
        warnings=frechet.warnings if frechet else (),
    )


def _length_warnings(rows: list[dict[str, Any]]) -> list[str]:
    apart = [row["name"] for row in rows if abs(row["length_difference_s"]) > 0.05]
    if not apart:
        return []
    more = "" if len(apart) == 1 else f" and {len(apart) - 1} more"
    return [f"{apart[0]}{more}: reference and output differ in length by over 0.05 s; the longer one was cut"]


def to_json(found: FolderComparison) -> dict[str, Any]:
    """Plain data for JSON; numbers that are not finite become null."""
    data: dict[str, Any] = {"vampnet": __version__, "reference": found.reference, "evaluated": found.evaluated}
    data["settings"] = dataclasses.asdict(found.settings)
    if found.rows:
        named = {name: METRICS[name] for name in found.summary}
        data["pairs"] = {
            name: {**dataclasses.asdict(interval), "unit": named[name].unit, "better": named[name].better}
            for name, interval in found.summary.items()
        }
        data["files"] = list(found.rows)
    if found.reference_set is not None and found.evaluated_set is not None:
        sets: dict[str, Any] = {"paired": found.paired_sets}
        sets |= {"reference": found.reference_set.describe(), "evaluated": found.evaluated_set.describe()}
        for name, result in (("fad", found.frechet), ("kad", found.kernel)):
            if result is not None:
                sets[name] = dataclasses.asdict(result)
        data["sets"] = sets
    data["only_reference"], data["only_evaluated"] = list(found.only_reference), list(found.only_evaluated)
    data["unreadable"], data["warnings"] = list(found.unreadable), list(found.warnings)
    return _finite(data)


def write_csv(path: str | os.PathLike[str], found: FolderComparison) -> None:
    """One line per pair, of which there is at least one. Raises AudioError when the file cannot be written."""
    with whole_file(path, AudioError) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found.rows[0]))
        writer.writeheader()
        writer.writerows({name: table_cell(value) for name, value in row.items()} for row in found.rows)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
