"""Best-of jobs: candidates of a request are made, listened to, and those that follow best are kept.

A candidate is a plain variation, so the command of an output names its seed alone and makes the same file again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vampnet.audio.files import read
from vampnet.config import to_dict
from vampnet.controls.config import SteeringConfig
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.ranking import Agreement, keep_followed, rank
from vampnet.controls.signals import Controls
from vampnet.jobs.flags import command_of
from vampnet.jobs.request import VampRequest
from vampnet.jobs.result import JobResult

RunJob = Callable[..., JobResult]


def choose_outputs(request: VampRequest, outputs: Sequence[Path], run: RunJob) -> JobResult:
    """Make the candidates of a checked request by `run`; those that follow best become the outputs, the best first."""
    plain = dataclasses.replace(request, steering=SteeringConfig(), variations=request.steering.n_candidates)
    made = [candidate_path(outputs[0], number) for number in plain.numbers]
    try:
        result = run(plain, made)
        ranked = rank([read(path) for path in made], wanted_controls(request))
        kept = []
        for number, (output, (place, _)) in enumerate(zip(outputs, ranked, strict=False), 1):
            os.replace(made[place], output)
            single = dataclasses.replace(plain, variation=place + 1)
            old = result.outputs[place]
            kept.append(
                dataclasses.replace(old, file=str(output), variation=number, command=command_of(single, output))
            )
    finally:
        for path in made:
            path.unlink(missing_ok=True)
    facts = {"candidates": [describe_agreement(result, place, agreement) for place, agreement in ranked]}
    return dataclasses.replace(result, outputs=tuple(kept), facts={**result.facts, **facts})


def wanted_controls(request: VampRequest) -> Controls:
    """What the candidates are compared with: controls of the input, or of the file that is followed."""
    file, names = request.steering.split()
    audio = read(file or request.input)
    config = ExtractionConfig()
    return keep_followed(extract_controls(audio, config), names)


def describe_agreement(result: JobResult, place: int, agreement: Agreement) -> dict[str, Any]:
    """A candidate's seed, score and agreement, for the result."""
    parts = {name: round(value, 4) for name, value in to_dict(agreement).items() if value is not None}
    return {"seed": result.outputs[place].seed, "score": round(agreement.score, 4), **parts}


def candidate_path(output: Path, number: int) -> Path:
    """Where a candidate lies until one is chosen, beside the output and with its ending."""
    return output.with_name(f".{output.stem}.candidate-{number}{output.suffix}")
