"""Settings of an evaluation besides its experiments and its music."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vampnet.config import check
from vampnet.device import select_device
from vampnet.errors import SettingsError


@dataclass(frozen=True)
class EvaluationConfig:
    """Model, cache folder, embeddings and resources of an evaluation run."""

    bundle: str
    """Model: "default", a folder, or OWNER/NAME."""
    folder: str
    """Folder for report and cache; a run that stopped is resumed from it."""
    lora: tuple[str, ...] = ()
    """Adapters, FILE[:STRENGTH]."""
    embeddings: tuple[str, ...] = ("mel", "codec")
    """Embeddings for the set distances; verdicts rest on the first."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:N" or "mps"."""
    backend: str = "torch"
    """Library that runs the networks, see `vampnet.models.openvino`."""
    workers: int = 0
    """Processes; 0: one per core on a CPU, one on a GPU."""
    batch: int = 8
    """Excerpts per batch, 1 to 256."""
    examples: int = 2
    """Excerpts of which outputs are kept to listen to, 0 to 20 and at most a batch."""
    seed: int = 0
    """Seed of the choice of excerpts and of the first one's sampling; excerpt k uses seed + k. 0 to 2**31."""
    minutes: float = 0.0
    """Time limit: no task starts later, and only the batches complete by then count. 0: no limit."""

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
        """Number of processes to use, with 0 resolved."""
        if self.workers:
            return self.workers
        return (os.cpu_count() or 1) if select_device(self.device).type == "cpu" else 1
