"""Run experiments: every condition on every batch of excerpts, over worker processes or on one GPU, resumable.

Work is cut into tasks (condition, batch of excerpts), done batch by batch, so that a run which is stopped leaves whole
batches. See `worker` for what is done in a task.
"""

from __future__ import annotations

import functools
import itertools
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vampnet.device import inference_dtype, select_device
from vampnet.errors import BundleError, SettingsError
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.experiments import worker
from vampnet.evaluation.experiments.cache import BatchResult, concatenate, content_key, load_result, result_path
from vampnet.evaluation.experiments.conditions import opus_missing
from vampnet.evaluation.experiments.config import EvaluationConfig
from vampnet.evaluation.experiments.excerpts import EvaluationExcerpt, excerpts_digest
from vampnet.evaluation.experiments.experiment import Condition, Experiment, condition_to_dict
from vampnet.evaluation.experiments.source_digest import source_digest
from vampnet.evaluation.experiments.worker import BatchTask, ConditionWorker, example_paths, run_task
from vampnet.models.adapter_header import parse_adapter
from vampnet.models.bundle import find_bundle
from vampnet.models.weights import sha256_of

REFERENCE = "input"
"""Key of the results of the excerpts themselves: the reference set."""

Progress = Callable[[str, int, int], None]
Spread = Callable[[Callable[[], ConditionWorker], Sequence[BatchTask]], Iterator[BatchTask]]
"""An engine: runs tasks in workers that it starts, and yields each in the order of the tasks."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """Measurements of all conditions on all excerpts of a run."""

    excerpts: tuple[EvaluationExcerpt, ...]
    """Excerpts that every condition was run on: all, unless time ran out."""
    embeddings: tuple[str, ...]
    """Ids."""
    results: dict[str, BatchResult]
    """By `condition_key`, and the excerpts themselves under REFERENCE."""
    missing: dict[str, str]
    """Conditions that could not be run, by name, and why."""
    examples: dict[str, list[str]]
    """Condition key -> files of the examples, in the order of excerpts."""
    facts: dict[str, Any]
    """Model, device, number format, digests."""


def condition_key(condition: Condition) -> str:
    """Digest of what a condition does; its name does not count."""
    return content_key(condition_to_dict(condition))


def bundle_digest(name: str, lora: Sequence[str]) -> str:
    """Digest of the weights: all files that a model is loaded from, and the adapters."""
    folder = find_bundle(name)
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".pth") or p.name == "config.json")
    if not files:
        raise BundleError(f"{folder}: holds no model")
    adapters = [(sha256_of(Path(path)), strength) for path, strength in map(parse_adapter, lora)]
    return content_key([[(p.name, sha256_of(p)) for p in files], adapters])


@functools.cache
def code_digest() -> str:
    """Digest of the code that generates and measures: the worker and all that it imports."""
    return source_digest((worker.__name__,))


def run(
    experiments: Sequence[Experiment],
    excerpts: Sequence[EvaluationExcerpt],
    settings: EvaluationConfig,
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> RunResult:
    """Run the tasks whose results the cache lacks, and collect all results. Raises VampnetError for failures.

    `spread`: an engine in the place of the processes here; it must reach the folder of the evaluation.
    """
    device = select_device(settings.device)
    base = {
        "bundle": bundle_digest(settings.bundle, settings.lora),
        "code": code_digest(),
        "embeddings": list(settings.embeddings),
        "dtype": str(inference_dtype(device)),
        "backend": settings.backend,
        "seed": settings.seed,
        "examples": settings.examples,
    }
    unlike = {condition_key(c): c for e in experiments for c in e.conditions}
    missing = {c.name: opus_missing() for c in unlike.values() if c.kind == "opus" and opus_missing()}
    wanted = {key: c for key, c in unlike.items() if c.name not in missing}
    batches = _plan(wanted, excerpts, settings, base)
    _run_all(batches, settings, progress, spread)
    whole = _complete_batches(batches, settings)
    paths: dict[str, list[Path]] = {}
    for task in itertools.chain(*whole):
        paths.setdefault(condition_key(task.condition) if task.condition else REFERENCE, []).append(Path(task.path))
    done = [excerpt for prepare, *_ in whole for excerpt in prepare.batch]
    sizes = [len(prepare.batch) for prepare, *_ in whole]
    results = {
        key: concatenate([load_result(p, n, len(settings.embeddings)) for p, n in zip(own, sizes, strict=True)])
        for key, own in paths.items()
    }
    examples = {key: example_paths(own[0], settings, sizes[0]) for key, own in paths.items()}
    facts = base | {"device": str(device), "workers": settings.n_workers, "batch": settings.batch}
    ids = tuple(open_embedding(spec, settings.bundle, settings.device).id for spec in settings.embeddings)
    return RunResult(tuple(done), ids, results, missing, examples, facts)


def _plan(
    wanted: dict[str, Condition],
    excerpts: Sequence[EvaluationExcerpt],
    settings: EvaluationConfig,
    base: dict[str, Any],
) -> list[list[BatchTask]]:
    """The tasks of each batch: the one that prepares it, then the conditions, long ones first."""
    folder, batches = Path(settings.folder), []
    for first in range(0, len(excerpts), settings.batch):
        batch = tuple(excerpts[first : first + settings.batch])
        content = base | {"excerpts": excerpts_digest(list(batch)), "first": first}
        keep = {"examples": settings.examples if first == 0 else 0}
        prepared = str(result_path(folder, content_key(content | keep | {"condition": REFERENCE})))
        tasks = []
        for condition in wanted.values():
            key = content_key(content | keep | {"condition": condition_to_dict(condition)})
            tasks.append(BatchTask(condition, batch, first, str(result_path(folder, key)), prepared))
        tasks.sort(key=lambda task: -task.weight)  # so that workers end together
        batches.append([BatchTask(None, batch, first, prepared, prepared), *tasks])
    return batches


def _order_tasks(batches: list[list[BatchTask]], n_workers: int) -> Iterator[BatchTask]:
    """Batch by batch, each prepared while those before it are worked on."""
    prepare, ahead = [batch[0] for batch in batches], n_workers
    yield from prepare[:ahead]
    for number, (_, *tasks) in enumerate(batches):
        yield from prepare[number + ahead : number + ahead + 1]
        yield from tasks


def _complete_batches(batches: list[list[BatchTask]], settings: EvaluationConfig) -> list[list[BatchTask]]:
    """The batches up to the first that is not whole, because time ran out."""
    whole = list(itertools.takewhile(lambda batch: all(Path(task.path).exists() for task in batch), batches))
    if not whole:
        raise SettingsError(
            f"minutes is {settings.minutes:g}, in which not one batch of {settings.batch} excerpts was done; what was "
            "is kept: run again, with more time or a smaller batch"
        )
    return whole


def _run_all(
    batches: list[list[BatchTask]], settings: EvaluationConfig, progress: Progress | None, spread: Spread | None
) -> None:
    todo = [task for task in _order_tasks(batches, settings.n_workers) if not Path(task.path).exists()]
    total, done = sum(task.weight for task in todo), 0
    made = _run_tasks(todo, settings, progress) if spread is None else _run_spread(todo, settings, spread)
    for task in made:
        done += task.weight
        if progress is not None:
            progress("evaluate", done, total)


def _run_spread(tasks: list[BatchTask], settings: EvaluationConfig, spread: Spread) -> Iterator[BatchTask]:
    """Tasks as an engine does them, until the time is up."""
    until_s = time.monotonic() + 60 * settings.minutes if settings.minutes else math.inf
    threads = max((os.cpu_count() or 1) // settings.n_workers, 1)
    for task in spread(functools.partial(ConditionWorker, settings, threads), tasks):
        yield task
        if time.monotonic() >= until_s:
            return


def _start_worker(threads: int) -> None:
    """In a new process. Ctrl-C goes to all processes of a terminal; the first one alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)


def _run_tasks(tasks: list[BatchTask], settings: EvaluationConfig, progress: Progress | None) -> Iterator[BatchTask]:
    """Tasks as they are done, until the time is up."""
    until_s = time.monotonic() + 60 * settings.minutes if settings.minutes else math.inf
    n_workers = min(settings.n_workers, len(tasks))
    if n_workers <= 1:
        for task in tasks:
            if time.monotonic() >= until_s:
                return
            run_task(task, settings)
            yield task
        return
    threads = max((os.cpu_count() or 1) // n_workers, 1)
    # "spawn": a forked process would share the state of PyTorch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, _start_worker, (threads,)) as pool:
        pending: dict[Future[None], BatchTask] = {pool.submit(run_task, task, settings): task for task in tasks}
        try:
            while pending:
                left_s = None if until_s == math.inf else max(until_s - time.monotonic(), 0.0)
                done, _ = wait(pending, left_s, FIRST_COMPLETED)
                if not done:  # the time is up
                    return
                for future in done:
                    future.result()
                    yield pending.pop(future)
        except KeyboardInterrupt:
            if progress is not None:
                progress("stopping", 0, n_workers)  # ending what was begun can take a while
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # what was begun is ended and kept
