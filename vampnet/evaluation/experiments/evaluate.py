"""The paper's experiments on a model and a folder of music: choose excerpts, run, analyse, write the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vampnet.errors import BundleError, SettingsError, require
from vampnet.evaluation.experiments.analysis import analyse
from vampnet.evaluation.experiments.config import EvaluationConfig
from vampnet.evaluation.experiments.excerpts import check_disjoint, choose_excerpts
from vampnet.evaluation.experiments.experiment import Experiment, find_experiment
from vampnet.evaluation.experiments.findings import CodecFacts
from vampnet.evaluation.experiments.report import write_report
from vampnet.evaluation.experiments.runner import REFERENCE, RunResult, Spread, condition_key, run
from vampnet.evaluation.experiments.summary import Provenance, summarise
from vampnet.models.bundle import load_bundle
from vampnet.storage import locked

PAPER_EXPERIMENTS = ("steps", "prompts", "rates")
MAX_EXCERPTS = 2000
"""Number of excerpts in the paper, and the most that are taken when none is given."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of an evaluation."""

    run: RunResult
    """Measurements, one row per condition and excerpt."""
    data: dict[str, Any]
    """The report's figures as plain data, as in results.json."""
    paths: tuple[Path, ...]
    """Files that were written: report, tables."""


def evaluate(
    audio: str | Path,
    settings: EvaluationConfig,
    *,
    experiments: Sequence[str | Experiment] = PAPER_EXPERIMENTS,
    n_excerpts: int | None = None,
    excerpt_s: float = 10.0,
    training: str | None = None,
    command: str = "",
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> Evaluation:
    """Run experiments on excerpts of the audio files in a folder, and write the report to `settings.folder`.

    What the cache in that folder holds already is not run again. The seed of `settings` chooses the excerpts, too.

    Args:
        audio: folder of music that the model was not trained on.
        settings: model, folder of the report, embeddings, resources.
        experiments: names of shipped ones, paths of YAML files, or `Experiment` objects.
        n_excerpts: number of excerpts; None takes all there are, `MAX_EXCERPTS` at most.
        excerpt_s: length of an excerpt, seconds, 1 to 60.
        training: list or folder of the training music, to prove that none of it is in `audio`; None skips the check.
        command: command line that the report shows.
        progress: called with (stage, done, total).
        spread: an engine in the place of the processes here (`vampnet.jobs.task_engine.Engine.run`).

    Raises:
        DependencyError: without mir_eval or matplotlib. Checked first, as are the experiments.
        CorpusError: too few excerpts, or excerpts of training music.
        SettingsError, BundleError: anything else that cannot be run.
    """
    require("matplotlib", "the report's plots")
    require("mir_eval", "beat and key measures")
    chosen = open_experiments(experiments)
    n = MAX_EXCERPTS if n_excerpts is None else n_excerpts
    excerpts = choose_excerpts(audio, n, excerpt_s, settings.seed, at_most=n_excerpts is None)
    disjoint = check_disjoint(excerpts, training)
    with locked(settings.folder, SettingsError, "folder of an evaluation"):
        result = run(chosen, excerpts, settings, progress, spread)
        provenance = Provenance(command, settings.bundle, str(audio), settings.seed, disjoint)
        return _report(chosen, result, settings, provenance, progress)


def open_experiments(experiments: Sequence[str | Experiment]) -> list[Experiment]:
    """Experiments by name, path or as they are, each once. Raises SettingsError for none or for an unknown one."""
    opened = [find_experiment(x) if isinstance(x, str) else x for x in dict.fromkeys(experiments)]
    if not opened:
        raise SettingsError("no experiments are named; name some, such as steps or prompts")
    return opened


def _report(
    experiments: list[Experiment],
    result: RunResult,
    settings: EvaluationConfig,
    provenance: Provenance,
    progress: Progress | None,
) -> Evaluation:
    analysis = analyse(experiments, result, progress=progress)
    data = summarise(experiments, result, analysis, _codec_facts(settings.bundle), provenance)
    examples = _examples(experiments, result) if settings.examples else {}
    return Evaluation(result, data, tuple(write_report(Path(settings.folder), data, examples)))


def _codec_facts(name: str) -> CodecFacts:
    bundle = load_bundle(name)
    if bundle.coarse is None:
        raise BundleError(f"{name}: holds only a codec; experiments need a coarse model")
    codec = bundle.codec
    return CodecFacts(codec.frames_per_s, codec.n_codebooks, codec.codebook_size, bundle.coarse.config.n_codebooks)


def _examples(experiments: list[Experiment], result: RunResult) -> dict[str, dict[str, Any]]:
    """Audio files to listen to: experiment -> condition -> files, the input first."""
    examples: dict[str, dict[str, Any]] = {}
    for experiment in experiments:
        rows = {c.name: result.examples.get(condition_key(c)) for c in experiment.conditions}
        made = {name: files for name, files in rows.items() if files is not None}
        examples[experiment.name] = {"input": result.examples[REFERENCE], **made}
    return examples
