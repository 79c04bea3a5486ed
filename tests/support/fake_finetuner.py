"""Fine-tuning without a model, as a process: counts its steps, and fails or dies where the adapter's name says so.

python fake_finetuner.py '{"data": "FOLDER"}' STEP_SECONDS
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.wav_bytes import wav_bytes
from vampnet.config import from_dict
from vampnet.errors import CorpusError
from vampnet.generation.progress import Progress, Report
from vampnet.jobs.finetune_job import FinetuneRequest
from vampnet.jobs.finetune_worker import FinetuneWorkerConfig, work
from vampnet.jobs.result import JobOutput, JobResult


class FakeFinetuner:
    """Takes `steps` steps, whose number it keeps in the working folder, so that an interrupted run goes on."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s

    def __call__(
        self, request: FinetuneRequest, folder: Path, outputs: Sequence[Path], device: str, report: Report
    ) -> tuple[JobResult, Path]:
        names = sorted(path.name for path in (folder / "music").iterdir())
        run = folder / "run"
        run.mkdir(exist_ok=True)
        if request.name == "fails":
            raise CorpusError(f"{folder}/music/{names[0]}: cannot be read")
        if request.name == "crashes":
            raise ValueError(f"secret {folder}")
        for step in range(len(list(run.iterdir())), request.steps):
            report(Progress("train coarse", step, request.steps, step / request.steps))
            time.sleep(self._step_s)
            (run / f"step-{step}-{os.getpid()}").touch()
            if request.name == "dies once" and len({path.name.split("-")[2] for path in run.iterdir()}) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        for number, path in enumerate(outputs):
            path.write_bytes(wav_bytes(0.2, number))
        made = folder / "adapter.safetensors"
        made.write_bytes(b"adapter")
        listened = tuple(JobOutput(str(path), None, k, 0.2, None, "") for k, path in enumerate(outputs, 1))
        processes = {path.name.split("-")[2] for path in run.iterdir()}
        facts = {
            "train_files": names[:1], "held_out_files": names[1:], "left_out": ["short.wav: shorter than 1 s"],
            "train_s": 12.0, "held_out_s": 3.0, "steps": {"coarse": 50, "c2f": 0},
            "nats": {"coarse": [5.0, 4.6], "c2f": [4.0, 4.0]}, "processes": len(processes),
        }  # fmt: skip
        return JobResult("finetune", listened, facts=facts), made


if __name__ == "__main__":
    settings = from_dict(FinetuneWorkerConfig, json.loads(sys.argv[1]), "finetune worker")
    work(settings, FakeFinetuner(float(sys.argv[2])))
