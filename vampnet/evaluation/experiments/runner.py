"""Run experiments: every condition on every batch of excerpts, over worker processes or on one GPU, resumable.

Work is cut into tasks (condition, batch of excerpts), done batch by batch, so that a run which is stopped leaves whole
batches. A worker loads the model once, and keeps the batch that it works on: encoding, rhythm and harmony of the
excerpts are found once, in tasks of their own, and shared through the cache.
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

import numpy as np
import torch

from vampnet.audio.files import Audio, Samples, write
from vampnet.audio.loudness import gain_to, measure
from vampnet.config import check
from vampnet.device import inference_dtype, select_device
from vampnet.errors import BundleError, SettingsError
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.experiments.cache import (
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
from vampnet.evaluation.experiments.conditions import Made, make, opus_missing
from vampnet.evaluation.experiments.excerpts import Excerpt, excerpts_digest, read_excerpt
from vampnet.evaluation.experiments.experiment import Condition, Experiment, condition_to_dict
from vampnet.evaluation.experiments.measures import Reference, embed, measure_outputs, refer
from vampnet.generation.pipeline import VampNet, load
from vampnet.models.bundle import find_bundle
from vampnet.models.lora import parse_adapter
from vampnet.models.weights import sha256_of

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
    backend: str = "torch"
    """What runs the networks, see `vampnet.models.openvino`."""
    workers: int = 0
    """Processes; 0: one per core on a CPU, one on a GPU."""
    batch: int = 8
    """Excerpts per batch, 1 to 256."""
    examples: int = 2
    """Excerpts of which outputs are kept to listen to, 0 to 20 and at most a batch."""
    seed: int = 0
    """Seed of the first excerpt; excerpt k uses seed + k."""
    minutes: float = 0.0
    """No task is begun after so many; the result is that of the batches that are whole by then. 0: no limit."""

    def __post_init__(self) -> None:
        check("workers", self.workers, 0, 256)
        check("batch", self.batch, 1, 256)
        check("examples", self.examples, 0, min(20, self.batch))
        check("seed", self.seed, 0, 2**31)
        check("minutes", self.minutes, 0.0, 1e6)
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
    """Those that every condition was run on: all, unless time ran out."""
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
        "backend": settings.backend,
        "seed": settings.seed,
        "examples": settings.examples,
    }
    unlike = {condition_key(c): c for e in experiments for c in e.conditions}
    missing = {c.name: opus_missing() for c in unlike.values() if c.kind == "opus" and opus_missing()}
    wanted = {key: c for key, c in unlike.items() if c.name not in missing}
    batches = _plan(wanted, excerpts, settings, base)
    _run_all(batches, settings, progress)
    whole = _whole(batches, settings)
    paths: dict[str, list[Path]] = {}
    for task in itertools.chain(*whole):
        paths.setdefault(condition_key(task.condition) if task.condition else REFERENCE, []).append(Path(task.path))
    done = [excerpt for prepare, *_ in whole for excerpt in prepare.batch]
    sizes = [len(prepare.batch) for prepare, *_ in whole]
    results = {
        key: joined([load_result(p, n, len(settings.embeddings)) for p, n in zip(own, sizes, strict=True)])
        for key, own in paths.items()
    }
    examples = {key: _example_paths(own[0], settings, sizes[0]) for key, own in paths.items()}
    facts = base | {"device": str(device), "workers": settings.n_workers, "batch": settings.batch}
    ids = tuple(open_embedding(spec, settings.bundle, settings.device).id for spec in settings.embeddings)
    return RunResult(tuple(done), ids, results, missing, examples, facts)


def _plan(
    wanted: dict[str, Condition], excerpts: Sequence[Excerpt], settings: RunSettings, base: dict[str, Any]
) -> list[list[Task]]:
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
            tasks.append(Task(condition, batch, first, str(result_path(folder, key)), prepared))
        tasks.sort(key=lambda task: -task.weight)  # so that workers end together
        batches.append([Task(None, batch, first, prepared, prepared), *tasks])
    return batches


def _in_order(batches: list[list[Task]], n_workers: int) -> Iterator[Task]:
    """Batch by batch, each prepared while those before it are worked on."""
    prepare, ahead = [batch[0] for batch in batches], n_workers
    yield from prepare[:ahead]
    for number, (_, *tasks) in enumerate(batches):
        yield from prepare[number + ahead : number + ahead + 1]
        yield from tasks


def _whole(batches: list[list[Task]], settings: RunSettings) -> list[list[Task]]:
    """The batches up to the first that is not whole, because time ran out."""
    whole = list(itertools.takewhile(lambda batch: all(Path(task.path).exists() for task in batch), batches))
    if not whole:
        raise SettingsError(
            f"minutes is {settings.minutes:g}, in which not one batch of {settings.batch} excerpts was done; what was "
            "is kept: run again, with more time or a smaller batch"
        )
    return whole


def _run_all(batches: list[list[Task]], settings: RunSettings, progress: Progress | None) -> None:
    todo = [task for task in _in_order(batches, settings.n_workers) if not Path(task.path).exists()]
    total, done = sum(task.weight for task in todo), 0
    for task in _carried_out(todo, settings, progress):
        done += task.weight
        if progress is not None:
            progress("evaluate", done, total)


def _start_worker(threads: int) -> None:
    """In a new process. Ctrl-C goes to all processes of a terminal; the first one alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)


def _carried_out(tasks: list[Task], settings: RunSettings, progress: Progress | None) -> Iterator[Task]:
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
        pending: dict[Future[None], Task] = {pool.submit(run_task, task, settings): task for task in tasks}
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
        self.model: VampNet = load(settings.bundle, settings.device, settings.lora, backend=settings.backend)
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
