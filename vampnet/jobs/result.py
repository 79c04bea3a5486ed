"""Results of jobs: what was made, from what, by which model, and how to make each output again."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vampnet.audio.units import samples_to_seconds
from vampnet.config import json_schema

if TYPE_CHECKING:
    from vampnet.audio.samples import Audio
    from vampnet.audio.sources import Source
    from vampnet.compression.container import Header


@dataclass(frozen=True)
class InputFacts:
    """Facts of the input: file, sample rate, channels, length."""

    file: str
    """Path as it was given; empty for audio handed over in memory."""
    sample_rate_hz: int
    channels: int
    n_samples: int
    """Samples per channel."""
    seconds: float

    @classmethod
    def of(cls, file: str, sound: Source | Audio | Header) -> InputFacts:
        """The facts of a sound that was read from `file`."""
        seconds = round(samples_to_seconds(sound.n_samples, sound.sample_rate_hz), 6)
        return cls(file, sound.sample_rate_hz, sound.channels, sound.n_samples, seconds)


@dataclass(frozen=True)
class JobOutput:
    """One output file of a job."""

    file: str
    """Path as it was given."""
    seed: int | None
    """Seed that it was drawn with; null where nothing was drawn."""
    variation: int
    """Number among the request's variations, from 1."""
    seconds: float
    """Length."""
    kept_share: float | None
    """Share of the tokens that the prompt kept, 0 to 1; null where no tokens were generated."""
    command: str
    """Command line, POSIX-quoted, that writes this file again byte for byte when it is run in the same folder."""
    kept_s: tuple[tuple[float, float], ...] = ()
    """Passages of 0.1 s and longer of which every token was kept, as (start, end) in seconds."""


@dataclass(frozen=True)
class JobTimings:
    """Seconds that each stage took."""

    encode_s: float
    coarse_s: float
    c2f_s: float
    decode_s: float
    total_s: float
    """Sum of the above."""
    real_time_factor: float
    """Seconds of audio made per second of work; above 1 is faster than real time."""


@dataclass(frozen=True)
class JobResult:
    """Result of a job: outputs, input, model, timings."""

    task: str
    outputs: tuple[JobOutput, ...]
    """One per variation."""
    input: InputFacts | None = None
    """Facts of the input; null where there was none."""
    prompt: str = ""
    """Prompt, as text that parses to it; empty where the task has none."""
    precision: str = ""
    """Number format of the networks: float32, bfloat16 or int8."""
    model: str = ""
    """Model id: the first 16 hexadecimal digits of a digest of all weights."""
    timings: JobTimings | None = None
    """Time spent; null where the outputs were there already."""
    done_before: bool = False
    """True if an earlier run had made the outputs."""
    plot: str = ""
    """Path of the picture; empty for none."""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """More that the task found out: tempo and key, sizes and rates of a compressed file."""
    warnings: tuple[str, ...] = ()
    """Warnings for the user."""


def result_to_json(result: JobResult) -> dict[str, Any]:
    """A result as plain data; numbers that JSON does not know (infinity, NaN) become null."""
    return _finite(dataclasses.asdict(result))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def result_schema() -> dict[str, Any]:
    """JSON Schema of a result."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "JobResult", **json_schema(JobResult)}
