"""Best-of jobs: make several candidates of a request, extract their controls, keep those that agree best.

A candidate is a plain variation, so the command of an output names its seed alone and makes the same file again.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.audio.files import Audio, read
from vampnet.audio.sources import FileSource, MemorySource, RepeatedSource, Source
from vampnet.audio.units import seconds_to_samples
from vampnet.config import to_dict
from vampnet.controls.config import SteeringConfig
from vampnet.controls.extraction import extract_controls
from vampnet.controls.ranking import Agreement, keep_followed, rank
from vampnet.controls.reading import read_controls
from vampnet.controls.signals import Controls
from vampnet.generation.config import variation_seed
from vampnet.jobs.check import count_candidates, network_follows
from vampnet.jobs.data_folder import tokens_path
from vampnet.jobs.flags import command_of
from vampnet.jobs.request import (
    GenerateRequest,
    HumRequest,
    LoopRequest,
    OutpaintRequest,
    Request,
    TapRequest,
    VampRequest,
    steering_of,
)
from vampnet.jobs.reshaped import reshape_input
from vampnet.jobs.result import JobResult
from vampnet.jobs.sketch_job import make_sketch
from vampnet.jobs.task_runs import find_beats
from vampnet.tasks.defaults import NEW_S
from vampnet.tasks.loop import cut_bars, events_of
from vampnet.tasks.theme import ThemedSource, find_theme

RunJob = Callable[..., JobResult]

log = logging.getLogger("vampnet")


def choose_outputs(request: Request, outputs: Sequence[Path], run: RunJob, hears: Sequence[str] = ()) -> JobResult:
    """Make the candidates of a checked request by `run`; those that follow best become the outputs, the best first.

    `hears`: groups of controls that the model follows by itself; candidates follow them too.
    """
    steering, own = steering_of(request), SteeringConfig()
    if followed := network_follows(request, hears):
        file = f"{steering.split()[0]}:" if steering.split()[0] else ""
        own = SteeringConfig(file + ",".join(followed), guidance=steering.guidance)
    changes = {"steering": own, "variations": count_candidates(request, hears)}
    plain = dataclasses.replace(request, **changes)
    made = [candidate_path(outputs[0], number) for number in plain.numbers]
    try:
        result = run(plain, made)
        ranked = rank([read(path) for path in made], wanted_controls(plain, steering_of(request)))
        kept = []
        for number, (output, (place, _)) in enumerate(zip(outputs, ranked, strict=False), 1):
            os.replace(made[place], output)
            if tokens_path(made[place]).exists():
                os.replace(tokens_path(made[place]), tokens_path(output))
            single = dataclasses.replace(plain, variation=place + 1)
            old = result.outputs[place]
            kept.append(
                dataclasses.replace(old, file=str(output), variation=number, command=command_of(single, output))
            )
    finally:
        for path in made:
            path.unlink(missing_ok=True)
            tokens_path(path).unlink(missing_ok=True)
    facts = {"candidates": [describe_agreement(result, place, agreement) for place, agreement in ranked]}
    warnings = result.warnings
    if all(agreement.is_empty for _, agreement in ranked):
        followed = ", ".join(steering_of(request).split()[1])
        warnings = (*warnings, f"no {followed} can be heard in what is followed: the candidates keep their order")
        log.warning(warnings[-1])
    return dataclasses.replace(result, outputs=tuple(kept), facts={**result.facts, **facts}, warnings=warnings)


def wanted_controls(request: Request, steering: SteeringConfig) -> Controls | list[Controls]:
    """Wanted controls: those of the file that is followed, of the input, or of each candidate's own sketch."""
    file, names = steering.split()
    if file:
        return keep_followed(read_controls(file), names)
    if isinstance(request, TapRequest | HumRequest) or (
        isinstance(request, GenerateRequest) and not request.words.is_empty
    ):
        seeds = [variation_seed(request.sampling.seed, number - 1) for number in request.numbers]
        played = read(request.input) if request.input else None
        made = [make_sketch(request, seed, played) for seed in seeds]
        # Onsets depend on the sound, which only a recording has.
        return [keep_followed(m.controls if "rhythm" not in names else extract_controls(m.audio), names) for m in made]
    return keep_followed(extract_controls(followed_audio(request)), names)


def followed_audio(request: Request) -> Audio:
    """The recording that outputs are compared with: the input, as long as the output is.

    Where a task adds music, it is the input with its own bars looped around it; where it cuts bars, those bars.
    """
    if isinstance(request, GenerateRequest):
        clip = read(request.like)
        seconds = NEW_S if request.seconds is None else request.seconds
        return _whole(RepeatedSource(clip, seconds_to_samples(seconds, clip.sample_rate_hz)))
    if isinstance(request, OutpaintRequest):
        source = FileSource(request.input)
        n_before, n_after = (seconds_to_samples(s, source.sample_rate_hz) for s in (request.before_s, request.after_s))
        first = find_theme(source, at_end=False) if n_before else None
        last = find_theme(source, at_end=True) if n_after else None
        return _whole(ThemedSource(source, first, n_before, last, n_after))
    audio = read(request.input)
    if isinstance(request, LoopRequest) and request.bars:
        audio = cut_bars(audio, events_of(audio, find_beats(request.beats, MemorySource(audio))), request.bars)
    if isinstance(request, VampRequest | LoopRequest):
        known = None if getattr(request, "bars", 0) else find_beats(request.beats, MemorySource(audio))
        audio, _ = reshape_input(audio, request.reshape, known)
    return audio


def _whole(source: Source) -> Audio:
    return Audio(np.concatenate(list(source.blocks()), axis=1), source.sample_rate_hz)


def describe_agreement(result: JobResult, place: int, agreement: Agreement) -> dict[str, Any]:
    """A candidate's seed, score and agreement, for the result."""
    parts = {name: round(value, 4) for name, value in to_dict(agreement).items() if value is not None}
    return {"seed": result.outputs[place].seed, "score": round(agreement.score, 4), **parts}


def candidate_path(output: Path, number: int) -> Path:
    """Where a candidate lies until one is chosen, beside the output and with its ending."""
    return output.with_name(f".{output.stem}.candidate-{number}{output.suffix}")
