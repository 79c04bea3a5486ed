"""One small request of every task, with its input, for tests of what all tasks have: resume, cancel, progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny import shorten_windows, tone, write_tiny_bundle
from vampnet.audio.files import write
from vampnet.compression.config import CompressionConfig
from vampnet.generation.config import SamplingConfig
from vampnet.jobs.request import (
    CompressRequest,
    DecompressRequest,
    GenerateRequest,
    InpaintRequest,
    LoopRequest,
    OutpaintRequest,
    Request,
    StretchRequest,
    TelephoneRequest,
    VampRequest,
)
from vampnet.jobs.runner import run_job
from vampnet.models.bundle import load_bundle
from vampnet.models.choice import ModelChoice
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)
SECONDS, RATE_HZ = 1.6, 32000
"""Of the input."""
OPENING_S = 1.0
"""Of what is generated from nothing."""
TASKS: dict[str, tuple[type[Request], dict[str, Any], float]] = {
    "vamp": (VampRequest, {"prompt": "periodic(9) | random(0.1)"}, SECONDS),
    "inpaint": (InpaintRequest, {"regions": ((0.2, 0.4), (1.2, None))}, SECONDS),
    "outpaint": (OutpaintRequest, {"before_s": 0.5, "after_s": 0.75}, SECONDS + 1.25),
    "continue": (OutpaintRequest, {"after_s": 1.0}, SECONDS + 1.0),
    "generate": (GenerateRequest, {"seconds": 1.9}, 1.9),
    "like": (GenerateRequest, {"seconds": 2.0}, 2.0),
    "loop": (LoopRequest, {}, SECONDS),
    "stretch": (StretchRequest, {"factor": 1.5}, 1.5 * SECONDS),
    "telephone": (TelephoneRequest, {"rounds": 2}, SECONDS),
    "decompress": (DecompressRequest, {}, SECONDS),
}
"""Request, its settings and the length of the output in seconds, by the task's name."""


def shorten_tasks(patch: pytest.MonkeyPatch) -> None:
    """Windows, contexts and openings so short that every task takes several windows within two seconds."""
    shorten_windows(patch)
    patch.setattr("vampnet.tasks.generate.OPENING_S", OPENING_S)
    for module in ("inpaint", "outpaint"):
        patch.setattr(f"vampnet.tasks.{module}.CONTEXT_S", 0.5)


class TaskFolder:
    """A folder with a bundle, an input and a .vamp file, and the requests that read them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bundle = folder, write_tiny_bundle(folder / "bundle")
        self.song, self.small = folder / "in.wav", folder / "in.vamp"
        self.model = VampNet(load_bundle(self.bundle), "cpu", precision="float32")
        write(self.song, tone(SECONDS, RATE_HZ), "PCM_16")
        request = CompressRequest(
            input=str(self.song), compression=CompressionConfig(codebooks=2, period=4), sampling=FAST
        )
        run_job(request, [self.small], model=self.model)

    def request(self, task: str, **changes: Any) -> Request:
        """The small request of a task."""
        kind, settings, _ = TASKS[task]
        given = {"model": ModelChoice(bundle=str(self.bundle), device="cpu", precision="float32"), **settings}
        if task == "decompress":
            given["input"] = str(self.small)
        else:
            given["sampling"] = FAST
        if task == "like":
            given["like"] = str(self.song)
        elif task not in ("generate", "decompress"):
            given["input"] = str(self.song)
        return kind(**{**given, **changes})
