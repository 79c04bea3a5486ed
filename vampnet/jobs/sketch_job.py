"""Sketch jobs: rendered by synthesis alone, without loading a model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from vampnet.audio.files import Audio, AudioInfo, AudioWriter, probe, read
from vampnet.controls.sketching import Sketch, sketch, sketch_drums, sketch_lead
from vampnet.generation.config import variation_seed
from vampnet.jobs.check import subtype_of
from vampnet.jobs.flags import command_of
from vampnet.jobs.request import GenerateRequest, HumRequest, Request, TapRequest
from vampnet.jobs.result import InputFacts, JobOutput, JobResult, JobTimings


def make_sketch(request: Request, seed: int, audio: Audio | None) -> Sketch:
    """The sketch of a request; `audio` is its input. Raises VampnetError."""
    if isinstance(request, GenerateRequest):
        return sketch(request.words, seed=seed, seconds=request.seconds)
    assert audio is not None
    if isinstance(request, TapRequest):
        return sketch_drums(audio, request.tap, seed=seed)
    assert isinstance(request, HumRequest)
    return sketch_lead(audio, request.hum, seed=seed)


def write_sketches(request: Request, outputs: Sequence[Path]) -> JobResult:
    """Write a sketch per variation. Raises VampnetError as sketching and writing do."""
    started = time.perf_counter()
    audio = read(request.input) if request.input else None
    info: AudioInfo | None = probe(request.input) if request.input else None
    written, facts = [], {}
    for path, number in zip(outputs, request.numbers, strict=True):
        seed = variation_seed(request.sampling.seed, number - 1)
        made = make_sketch(request, seed, audio)
        facts = {"sketch": True, "words": str(made.words)}
        sound = made.audio
        with AudioWriter(path, sound.sample_rate_hz, sound.channels, subtype_of(request.output), info) as writer:
            writer.write(sound.samples)
        single = dataclasses.replace(request, variation=number)
        written.append(JobOutput(str(path), seed, number, round(sound.duration_s, 6), None, command_of(single, path)))
    total_s = time.perf_counter() - started
    heard = None if audio is None else InputFacts.of(request.input, audio)
    made_s = sum(output.seconds for output in written)
    timings = JobTimings(0.0, 0.0, 0.0, round(total_s, 3), round(total_s, 3), round(made_s / max(total_s, 1e-9), 3))
    return JobResult(request.task, tuple(written), heard, timings=timings, facts=facts)
