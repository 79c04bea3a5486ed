"""A run's figures as plain data (results.json) and as a table (results.csv): what the HTML report is drawn from."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vampnet.evaluation.experiments.analysis import Analysis, Scores, Statistic, choose, matched_diversity
from vampnet.evaluation.experiments.excerpts import Disjointness, excerpts_digest
from vampnet.evaluation.experiments.experiment import Condition, Experiment, bit_rates, condition_to_dict, period_of
from vampnet.evaluation.experiments.findings import CodecFacts, judge
from vampnet.evaluation.experiments.measures import METRICS
from vampnet.evaluation.experiments.runner import RunResult
from vampnet.evaluation.metrics.statistics import Interval
from vampnet.storage import table_cell, write_whole
from vampnet.version import __version__

LIBRARIES = ("torch", "numpy", "scipy", "librosa", "mir_eval", "soundfile")


@dataclass(frozen=True)
class Provenance:
    """Command, model, folder and seed that a report states."""

    command: str
    bundle: str
    audio: str
    """Folder that excerpts are from."""
    seed: int
    """Seed of the choice of excerpts and of the sampling."""
    disjoint: Disjointness


def summarise(
    experiments: Sequence[Experiment], run: RunResult, analysis: Analysis, codec: CodecFacts, provenance: Provenance
) -> dict[str, Any]:
    """Everything that the report shows, as JSON takes it (NaN as None)."""
    lengths = {e.length_s for e in run.excerpts}
    data = {
        "vampnet": __version__,
        "command": provenance.command,
        "bundle": provenance.bundle,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES},
        "model": run.facts | dataclasses.asdict(codec),
        "excerpts": {
            "folder": provenance.audio,
            "n": len(run.excerpts),
            "length_s": lengths.pop(),
            "pieces": analysis.n_pieces,
            "seed": provenance.seed,
            "digest": excerpts_digest(list(run.excerpts)),
            "training": str(provenance.disjoint),
            "names": [e.name for e in run.excerpts],
        },
        "resamples": analysis.n_resamples,
        "embeddings": [{"id": i, "vectors": n, "dim": d} for i, n, d in analysis.vectors],
        "warnings": list(analysis.warnings),
        "missing": run.missing,
        "experiments": [_experiment(x, run, analysis, codec) for x in experiments],
        "findings": [
            [dataclasses.asdict(f) for f in judge(experiments, analysis, codec, e)] for e in range(len(run.embeddings))
        ],
    }
    return _plain(data)


def _experiment(experiment: Experiment, run: RunResult, analysis: Analysis, codec: CodecFacts) -> dict[str, Any]:
    scores = analysis.scores[experiment.name]
    rows = [_row(c, scores[c.name], codec) for c in experiment.conditions if c.name in scores]
    data: dict[str, Any] = {key: getattr(experiment, key) for key in ("name", "title", "view", "about")}
    data["conditions"] = rows
    if experiment.view == "sampler" and scores:
        found = [matched_diversity(experiment, scores, e) for e in range(len(run.embeddings))]
        data["matched"] = [[dataclasses.asdict(m) for m in ranking] for ranking in found]
        data["choice"] = [dataclasses.asdict(choose(ranking)) for ranking in found]
    return data


def _row(condition: Condition, scores: Scores, codec: CodecFacts) -> dict[str, Any]:
    row: dict[str, Any] = {"name": condition.name, "settings": condition_to_dict(condition)}
    row["prompt"] = str(condition.full_prompt(codec.n_coarse)) if condition.kind == "vamp" else ""
    row["metrics"] = {name: _interval(statistic) for name, statistic in scores.metrics.items()}
    row["sets"] = [
        {
            "fad": _interval(s.fad),
            "fad_infinite": s.fad_infinite,
            "kad": {"value": s.kad.value, "standard_error": s.kad.standard_error, "bandwidth": s.kad.bandwidth},
        }
        for s in scores.sets
    ]
    period, n_kept = period_of(condition), condition.n_kept or codec.n_coarse
    if period is not None:
        rates = bit_rates(codec.frames_per_s, codec.n_codebooks, codec.codebook_size, n_kept, period)
        row["rates"] = {"n_kept": n_kept, "period": period, "paper": rates.paper, "kept": rates.kept}
    row["seconds_per_excerpt"] = scores.seconds
    return row


def _interval(statistic: Statistic) -> dict[str, float | int]:
    found = statistic.interval()
    return {"value": found.value, "low": found.low, "high": found.high}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _plain(value: Any) -> Any:
    """JSON's types alone; numbers that are not finite become None."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Interval):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def to_csv(data: dict[str, Any]) -> str:
    """One row per condition, figures with the ends of their intervals."""
    out = io.StringIO()
    writer = csv.writer(out)
    header = ["experiment", "condition", "prompt"]
    for metric in METRICS:
        header += [metric.name, f"{metric.name}_low", f"{metric.name}_high"]
    for embedding in data["embeddings"]:
        name = embedding["id"]
        header += [f"fad {name}", f"fad_low {name}", f"fad_high {name}", f"fad_infinite {name}"]
        header += [f"kad {name}", f"kad_standard_error {name}"]
    writer.writerow([*header, "paper_rate_bps", "kept_rate_bps", "seconds_per_excerpt"])
    for experiment in data["experiments"]:
        for row in experiment["conditions"]:
            cells = list(map(table_cell, (experiment["name"], row["name"], row["prompt"])))
            for metric in METRICS:
                cells += [row["metrics"][metric.name][end] for end in ("value", "low", "high")]
            for found in row["sets"]:
                cells += [found["fad"][end] for end in ("value", "low", "high")] + [found["fad_infinite"]]
                cells += [found["kad"]["value"], found["kad"]["standard_error"]]
            rates = row.get("rates", {})
            writer.writerow([*cells, rates.get("paper"), rates.get("kept"), round(row["seconds_per_excerpt"], 3)])
    return out.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a file; it appears whole or not at all."""
    write_whole(path, text)


def write_tables(folder: Path, data: dict[str, Any]) -> list[Path]:
    """results.json and results.csv."""
    paths = [folder / "results.json", folder / "results.csv"]
    for path, text in zip(paths, (json.dumps(data, indent=1), to_csv(data)), strict=True):
        write_text(path, text)
    return paths
