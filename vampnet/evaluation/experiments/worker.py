"""Work of one evaluation process: one condition, or the preparation, on one batch of excerpts.

A worker loads the model once, and keeps the batch that it works on: encoding, rhythm and harmony of the excerpts are
found once, in tasks of their own, and shared through the cache.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vampnet.audio.files import Audio, Samples, write
from vampnet.audio.loudness import gain_to, measure
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.embeddings.registry import open_embedding
from vampnet.evaluation.experiments.cache import BatchResult, load_reference, save_reference, save_result
from vampnet.evaluation.experiments.conditions import ConditionOutputs, run_condition
from vampnet.evaluation.experiments.config import EvaluationConfig
from vampnet.evaluation.experiments.excerpts import EvaluationExcerpt, read_excerpt
from vampnet.evaluation.experiments.experiment import Condition
from vampnet.evaluation.experiments.measures import Reference, analyse_excerpts, embed, measure_outputs
from vampnet.generation.pipeline import Pipeline, load_pipeline
from vampnet.storage import make_folder

PREPARE_WEIGHT = 8
"""Cost of preparing, decoding and measuring an excerpt, in network passes, for the estimate of the time left."""


@dataclass(frozen=True)
class BatchTask:
    """One condition, or the preparation (None), on one batch."""

    condition: Condition | None
    batch: tuple[EvaluationExcerpt, ...]
    first: int
    """Number of the batch's first excerpt."""
    path: str
    """Path of the result."""
    prepared: str
    """Path of the batch's preparation."""

    @property
    def weight(self) -> int:
        """Estimated cost of the task, in network passes times excerpts."""
        passes = self.condition.passes if self.condition else 0
        return len(self.batch) * (PREPARE_WEIGHT + passes)


class ConditionWorker:
    """Runs tasks of an evaluation in a worker of an engine."""

    def __init__(self, settings: EvaluationConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        self._settings = settings

    def __call__(self, task: BatchTask) -> BatchTask:
        """Run a task, unless another worker did."""
        if not Path(task.path).exists():
            run_task(task, self._settings)
        return task


def run_task(task: BatchTask, settings: EvaluationConfig) -> None:
    """Run a task and write its result."""
    started = time.perf_counter()
    worker = _worker(settings)
    reference = worker.reference(task.batch, task.prepared)
    rate_hz = worker.model.codec.sample_rate_hz
    if task.condition is None:
        made = ConditionOutputs(reference.audio_BS[:, None], None, None, np.full(len(task.batch), np.nan))
    else:
        seeds = [settings.seed + task.first + k for k in range(len(task.batch))]
        made = run_condition(
            task.condition, worker.model, reference.audio_BS, reference.codes_BCT, reference.rhythms, seeds
        )
    metrics = measure_outputs(made, reference, rate_hz, worker.model.coarse.config.n_codebooks)
    embedded = tuple(tuple(embed(audio, rate_hz, e) for audio in made.audio_BAS) for e in worker.embeddings)
    if task.first == 0:
        for path, audio_AS in zip(
            example_paths(Path(task.path), settings, len(task.batch)), made.audio_BAS, strict=False
        ):
            write(path, Audio(audio_AS[:1], rate_hz))
    save_result(Path(task.path), BatchResult(metrics, embedded, time.perf_counter() - started))


def example_paths(path: Path, settings: EvaluationConfig, n: int) -> list[str]:
    """Paths of the example audio files that belong to a result; their folder is made."""
    make_folder(path.parent)
    return [str(path.with_name(f"{path.stem}-{k}.flac")) for k in range(min(settings.examples, n))]


class _Worker:
    """Model and embeddings that a process loads once."""

    def __init__(self, settings: EvaluationConfig) -> None:
        self.model = load_pipeline(
            settings.bundle, Pipeline, device=settings.device, lora=settings.lora, backend=settings.backend
        )
        self.embeddings: list[Embedding] = [
            open_embedding(spec, settings.bundle, settings.device) for spec in settings.embeddings
        ]

    @functools.lru_cache(maxsize=2)  # noqa: B019  (a worker lives as long as its process)
    def reference(self, batch: tuple[EvaluationExcerpt, ...], prepared: str) -> Reference:
        """The batch, from the cache of an earlier task if it is there."""
        path, codec = Path(prepared).with_suffix(".reference.npz"), self.model.codec
        audio_BS = np.stack([_read_levelled(e, codec.sample_rate_hz) for e in batch])
        if path.exists():
            return load_reference(path, audio_BS)
        with torch.no_grad():
            codes_BCT = codec.encode(torch.from_numpy(audio_BS).to(self.model.device)).int().cpu()
        found = analyse_excerpts(audio_BS, codes_BCT, codec.sample_rate_hz)
        save_reference(path, found)
        return found


@functools.lru_cache(maxsize=1)
def _worker(settings: EvaluationConfig) -> _Worker:
    return _Worker(settings)


def _read_levelled(excerpt: EvaluationExcerpt, rate_hz: int) -> Samples:
    """Mono (S,) at the loudness that the codec hears, peaks at most at full scale."""
    samples, _ = read_excerpt(excerpt, rate_hz)
    peak = max(float(np.abs(samples).max()), 1e-9)
    gain = min(gain_to(measure(samples, rate_hz)), 1.0 / peak)
    return (samples * np.float32(gain))[0]
