"""A fine-tuning job of a server: its request, and what becomes of it.

    FOLDER/jobs/ID/music/      the recordings to learn from, until the job has ended
    FOLDER/jobs/ID/run/        working folder, from which an interrupted job goes on
    FOLDER/jobs/ID/NAME-...    an excerpt, and a vamp of it without and with the adapter: the job's outputs

Nothing here imports torch before a job runs.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vampnet.config import check, check_settings, setting
from vampnet.errors import SettingsError
from vampnet.generation.progress import Progress, Report
from vampnet.jobs.result import JobOutput, JobResult
from vampnet.training.finetune_config import FinetuneConfig

if TYPE_CHECKING:
    from vampnet.audio.files import Audio
    from vampnet.models.format import Bundle
    from vampnet.training.finetune import FinetuneReport

TASK = "finetune"
MAX_FILES = 500
MAX_STEPS = 5000
"""Most steps per model that a server is asked for."""
SAMPLES = ("original", "without", "with")
"""Outputs of a job: an excerpt, its vamp without the adapter, and with it."""
_NAME = re.compile(r"[^\W_][\w .()+-]{0,59}")
_SPANS = {"encode": (0.0, 0.12), "coarse": (0.12, 0.6), "c2f": (0.6, 0.92), "samples": (0.92, 1.0)}
"""Shares of the whole work between which a stage lies; a model that stops early leaps to the next."""


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest:
    """Teach a model one's own music: an adapter (LoRA) that takes are then made with."""

    name: str
    """Name of the adapter, by which requests call it: letters, digits, spaces and .()+-_, at most 60."""
    files: tuple[str, ...]
    """Recordings to learn from, each `file:ID` of an upload, 1 to 500."""
    bundle: str = "default"
    """Model to fine-tune."""
    steps: int = setting(200, low=1, high=MAX_STEPS)
    """Steps per model at most, 1 to 5000; it stops earlier where held-out files get no better."""
    rank: int = setting(16, low=1, high=256)
    """Rank of the adapters, 1 to 256: more hold more and make a larger file."""
    seed: int = setting(0, low=0, high=2**63 - 1)
    """Seed of the choice of held-out files, of adapters and batches."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not _NAME.fullmatch(self.name) or self.name.endswith((" ", ".")):
            raise SettingsError(
                f"name is {self.name[:80]!r}, but must begin with a letter or digit and have at most 60 letters, "
                "digits, spaces or .()+-_"
            )
        check("number of files", len(self.files), 1, MAX_FILES)

    @property
    def config(self) -> FinetuneConfig:
        """The settings of the training."""
        validate_every = max(1, min(50, self.steps // 4))
        return FinetuneConfig(
            steps=self.steps, rank=self.rank, alpha=2.0 * self.rank, seed=self.seed, validate_every=validate_every
        )


def keep_music(folder: Path, files: Sequence[Path]) -> Path:
    """Have recordings lie in `music` of a job's folder, whatever becomes of the uploads; the folder of the music.

    Files of equal names are told apart by numbers. Raises SettingsError where there is no room.
    """
    music, names = folder / "music", set[str]()
    try:
        music.mkdir(mode=0o700, parents=True)
        for path in files:
            name, number = path.name, 2
            while name.lower() in names:
                name, number = f"{path.stem} ({number}){path.suffix}", number + 1
            names.add(name.lower())
            try:
                os.link(path, music / name)
            except OSError:  # a file system without links
                shutil.copyfile(path, music / name)
    except OSError as error:
        raise SettingsError(f"the recordings cannot be kept: {error.strerror or error}; free some disk space") from None
    return music


def run_finetune(
    request: FinetuneRequest, folder: Path, outputs: Sequence[Path], device: str, report: Report
) -> tuple[JobResult, Path]:
    """Fine-tune on the music of a job's folder; the result, whose outputs can be listened to, and the adapter's file.

    Goes on where an interrupted run of the same job stopped. What `report` raises ends it. Raises VampnetError.
    """
    from vampnet.tasks.model import VampNet
    from vampnet.training.finetune import finetune

    told = 0.0

    def watch(stage: str, done: int, total: int) -> None:
        nonlocal told
        start, stop = _SPANS[stage]
        told = max(told, start + (stop - start) * done / max(total, 1))
        report(Progress(stage if stage in ("encode", "samples") else f"train {stage}", done, total, told))

    def vamp(bundle: Bundle, audio: Audio) -> Audio:
        return VampNet(bundle, device).vamp(audio).audio

    report(Progress("load", 0, 1, 0.0))
    music, run, made = folder / "music", folder / "run", folder / f"{request.name}.safetensors"
    found = finetune(music, made, request.bundle, request.config, run, device, None, vamp, watch)
    seconds = []
    for name, output in zip(("original", "before", "after"), outputs, strict=True):
        shutil.copyfile(run / "samples" / f"{name}.wav", output)
        seconds.append(_length_s(output))
    rows = enumerate(zip(outputs, seconds, strict=True), 1)
    made_of = tuple(JobOutput(str(path), None, number, length_s, None, "") for number, (path, length_s) in rows)
    return JobResult(TASK, made_of, facts=describe(found)), made


def describe(found: FinetuneReport) -> dict[str, Any]:
    """Files, seconds, steps and cross-entropies of a run, as plain data."""
    return {
        "train_files": list(found.train_files),
        "held_out_files": list(found.held_out_files),
        "left_out": list(found.left_out),
        "train_s": round(found.train_s, 3),
        "held_out_s": round(found.held_out_s, 3),
        "steps": dict(found.steps),
        "nats": {part: [round(nats, 4) for nats in change.means] for part, change in found.changes.items()},
    }


def clear(folder: Path, *, all_of_it: bool) -> None:
    """Delete the music and the working folder of a job that has ended; `all_of_it`: its outputs too."""
    for path in (folder,) if all_of_it else (folder / "music", folder / "run"):
        shutil.rmtree(path, ignore_errors=True)


def without_folder(folder: Path, message: str) -> str:
    """A message of a job's run in which recordings have their names alone."""
    music = str(folder / "music")
    return message.replace(f"{music}{os.sep}", "").replace(music, "the recordings")


def free_name(folder: Path, name: str) -> Path:
    """Where an adapter of this name goes: one that came there meanwhile is not overwritten."""
    path, number = folder / f"{name}.safetensors", 2
    while path.exists():
        path, number = folder / f"{name} {number}.safetensors", number + 1
    return path


def _length_s(path: Path) -> float:
    from vampnet.audio.files import probe

    info = probe(path)
    return round(info.n_samples / info.sample_rate_hz, 6)


Runner = Callable[[FinetuneRequest, Path, Sequence[Path], str, Report], tuple[JobResult, Path]]
"""Runs a job: `run_finetune`, or a stand-in of a test."""
