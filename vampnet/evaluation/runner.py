"""Run experiments: every condition on every batch of excerpts, over worker processes or on one GPU, resumable.

Work is cut into tasks (condition, batch of excerpts). A worker loads the model once, and keeps the batch that it works
on: encoding, rhythm and harmony of the excerpts are found once, in tasks of their own, and shared through the cache.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vampnet.adapters import parse_adapter
from vampnet.audio import Audio, Samples, write
from vampnet.checkpoint import find_bundle, sha256_of
from vampnet.config import check
from vampnet.device import inference_dtype, select_device
from vampnet.errors import BundleError, SettingsError
from vampnet.evaluation.embeddings import Embedding, open_embedding
from vampnet.evaluation.excerpts import Excerpt, excerpts_digest, read_excerpt
from vampnet.evaluation.experiments import Condition, Experiment, condition_to_dict
from vampnet.evaluation.measures import Reference, embed, measure_outputs, refer
from vampnet.evaluation.outputs import Made, make, opus_missing
from vampnet.evaluation.store import (
    BatchResult,
    code_digest,
    content_key,
    joined,
    load_reference,
    load_result,
    result_path,
    save_reference,
    save_result,
)
from vampnet.loudness import gain_to, measure
from vampnet.pipeline import Vampnet, load

REFERENCE = "input"
"""Name of the results of the excerpts themselves: the reference set."""
PREPARE_WEIGHT = 8
"""What preparing, decoding and measuring cost, in passes of the networks, for the estimate of time left."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RunSettings:
    """What a run needs besides its experiments."""

    bundle: str
    """Model: "default", a folder, or OWNER/NAME."""
    folder: str
    """Where results go."""
    lora: tuple[str, ...] = ()
    """Adapters, FILE[:STRENGTH]."""
    embeddings: tuple[str, ...] = ("mel", "codec")
    """What the set distances compare; verdicts rest on the first."""
    device: str = "auto"
    workers: int = 0
    """Processes; 0: one per core on a CPU, one on a GPU."""
    batch: int = 8
    """Excerpts per batch, 1 to 256."""
    examples: int = 2
    """Excerpts of which outputs are kept to listen to, 0 to 20 and at most a batch."""
    seed: int = 0
    """Seed of the first excerpt; excerpt k uses seed + k."""

    def __post_init__(self) -> None:
        check("workers", self.workers, 0, 256)
        check("batch", self.batch, 1, 256)
        check("examples", self.examples, 0, min(20, self.batch))
        check("seed", self.seed, 0, 2**31)
        if not self.embeddings:
            raise SettingsError("at least one embedding is needed")

    @property
    def n_workers(self) -> int:
        if self.workers:
            return self.workers
        return (os.cpu_count() or 1) if select_device(self.device).type == "cpu" else 1


@dataclass(frozen=True)
class Task:
    """One condition, or the preparation (None), on one batch."""

    condition: Condition | None
    batch: tuple[Excerpt, ...]
    first: int
    """Number of the batch's first excerpt."""
    path: str
    """Where the result goes."""
    prepared: str
    """Where the batch's preparation is."""

    @property
    def weight(self) -> int:
        passes = self.condition.passes if self.condition else 0
        return len(self.batch) * (PREPARE_WEIGHT + passes)


@dataclass(frozen=True, eq=False)
class RunResult:
    """Everything that was measured."""

    excerpts: tuple[Excerpt, ...]
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
    """Equal for conditions that do the same, whatever they are called."""
    return content_key(condition_to_dict(condition))


def bundle_digest(name: str, lora: Sequence[str]) -> str:
    """Names the weights: all files that a model is loaded from."""
    folder = find_bundle(name)
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".pth") or p.name == "config.json")
    if not files:
        raise BundleError(f"{folder}: holds no model")
    adapters = [(sha256_of(Path(path)), strength) for path, strength in map(parse_adapter, lora)]
    return content_key([[(p.name, sha256_of(p)) for p in files], adapters])


def run(
    experiments: Sequence[Experiment],
    excerpts: Sequence[Excerpt],
    settings: RunSettings,
    progress: Progress | None = None,
) -> RunResult:
    """Run what is not there yet and collect everything. Raises VampnetError for what cannot be run."""
    device = select_device(settings.device)
    base = {
        "bundle": bundle_digest(settings.bundle, settings.lora),
        "code": code_digest(),
        "embeddings": list(settings.embeddings),
        "dtype": str(inference_dtype(device)),
        "seed": settings.seed,
        "examples": settings.examples,
    }
    unlike = {condition_key(c): c for e in experiments for c in e.conditions}
    missing = {c.name: opus_missing() for c in unlike.values() if c.kind == "opus" and opus_missing()}
    wanted = {key: c for key, c in unlike.items() if c.name not in missing}
    prepare, tasks = _plan(wanted, excerpts, settings, base)
    _run_all(prepare, tasks, settings, progress)
    paths = {REFERENCE: [t.path for t in prepare]}
    for task in tasks:
        assert task.condition is not None
        paths.setdefault(condition_key(task.condition), []).append(task.path)
    sizes = [len(task.batch) for task in prepare]
    results = {
        key: joined([load_result(Path(p), n, len(settings.embeddings)) for p, n in zip(own, sizes, strict=True)])
        for key, own in paths.items()
    }
    examples = {key: _example_paths(Path(own[0]), settings, sizes[0]) for key, own in paths.items()}
    facts = base | {"device": str(device), "workers": settings.n_workers, "batch": settings.batch}
    ids = tuple(open_embedding(spec, settings.bundle, settings.device).id for spec in settings.embeddings)
    return RunResult(tuple(excerpts), ids, results, missing, examples, facts)


def _plan(
    wanted: dict[str, Condition], excerpts: Sequence[Excerpt], settings: RunSettings, base: dict[str, Any]
) -> tuple[list[Task], list[Task]]:
    """Tasks that prepare batches, and those of conditions, batch by batch."""
    folder, prepare, tasks = Path(settings.folder), [], []
    for first in range(0, len(excerpts), settings.batch):
        batch = tuple(excerpts[first : first + settings.batch])
        content = base | {"excerpts": excerpts_digest(list(batch)), "first": first}
        keep = {"examples": settings.examples if first == 0 else 0}
        prepared = str(result_path(folder, content_key(content | keep | {"condition": REFERENCE})))
        prepare.append(Task(None, batch, first, prepared, prepared))
        for condition in wanted.values():
            key = content_key(content | keep | {"condition": condition_to_dict(condition)})
            tasks.append(Task(condition, batch, first, str(result_path(folder, key)), prepared))
    return prepare, tasks


def _run_all(prepare: list[Task], tasks: list[Task], settings: RunSettings, progress: Progress | None) -> None:
    todo = [[t for t in group if not Path(t.path).exists()] for group in (prepare, tasks)]
    total, done = sum(t.weight for group in todo for t in group), 0
    for group in todo:
        # Long tasks of a batch first, so that workers end together.
        ordered = sorted(group, key=lambda t: (t.first, -t.weight))
        for task in _carried_out(ordered, settings):
            done += task.weight
            if progress is not None:
                progress("evaluate", done, total)


def _carried_out(tasks: list[Task], settings: RunSettings) -> Iterator[Task]:
    """Tasks as they are done."""
    n_workers = min(settings.n_workers, len(tasks))
    if n_workers <= 1:
        for task in tasks:
            run_task(task, settings)
            yield task
        return
    threads = max((os.cpu_count() or 1) // n_workers, 1)
    # "spawn": a forked process would share the state of PyTorch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, torch.set_num_threads, (threads,)) as pool:
        futures: dict[Future[None], Task] = {pool.submit(run_task, task, settings): task for task in tasks}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # what is done is kept
            raise


def run_task(task: Task, settings: RunSettings) -> None:
    """Do a task and write its result."""
    started = time.perf_counter()
    worker = _worker(settings)
    reference = worker.reference(task.batch, task.prepared)
    rate_hz = worker.model.codec.sample_rate_hz
    if task.condition is None:
        made = Made(reference.audio_BS[:, None], None, None, np.full(len(task.batch), np.nan))
    else:
        seeds = [settings.seed + task.first + k for k in range(len(task.batch))]
        made = make(task.condition, worker.model, reference.audio_BS, reference.codes_BCT, reference.rhythms, seeds)
    metrics = measure_outputs(made, reference, rate_hz, worker.model.coarse.config.n_codebooks)
    embedded = tuple(tuple(embed(audio, rate_hz, e) for audio in made.audio_BVS) for e in worker.embeddings)
    if task.first == 0:
        for path, audio_VS in zip(
            _example_paths(Path(task.path), settings, len(task.batch)), made.audio_BVS, strict=False
        ):
            write(path, Audio(audio_VS[:1], rate_hz))
    save_result(Path(task.path), BatchResult(metrics, embedded, time.perf_counter() - started))


def _example_paths(path: Path, settings: RunSettings, n: int) -> list[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return [str(path.with_name(f"{path.stem}-{k}.flac")) for k in range(min(settings.examples, n))]


class _Worker:
    """What a process loads once."""

    def __init__(self, settings: RunSettings) -> None:
        self.model: Vampnet = load(settings.bundle, settings.device, settings.lora)
        self.embeddings: list[Embedding] = [
            open_embedding(spec, settings.bundle, settings.device) for spec in settings.embeddings
        ]

    @functools.lru_cache(maxsize=2)  # noqa: B019  (a worker lives as long as its process)
    def reference(self, batch: tuple[Excerpt, ...], prepared: str) -> Reference:
        """The batch, from the cache of an earlier task if it is there."""
        path, codec = Path(prepared).with_suffix(".reference.npz"), self.model.codec
        audio_BS = np.stack([_levelled(e, codec.sample_rate_hz) for e in batch])
        if path.exists():
            return load_reference(path, audio_BS)
        with torch.no_grad():
            codes_BCT = codec.encode(torch.from_numpy(audio_BS).to(self.model.device)).int().cpu()
        found = refer(audio_BS, codes_BCT, codec.sample_rate_hz)
        save_reference(path, found)
        return found


@functools.lru_cache(maxsize=1)
def _worker(settings: RunSettings) -> _Worker:
    return _Worker(settings)


def _levelled(excerpt: Excerpt, rate_hz: int) -> Samples:
    """Mono (S,) at the loudness that the codec hears, peaks at most at full scale."""
    samples, _ = read_excerpt(excerpt, rate_hz)
    peak = max(float(np.abs(samples).max()), 1e-9)
    gain = min(gain_to(measure(samples, rate_hz)), 1.0 / peak)
    return (samples * np.float32(gain))[0]
