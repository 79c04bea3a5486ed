"""Answers of the API: jobs and files as callers see them, in types that OpenAPI can describe."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, Field

from vampnet.jobs.projects import ProjectStore
from vampnet.jobs.table import QUEUED, JobRow, JobTable

_LEAST_SHARE = 0.02
"""Share of a job from which on the time left can be told."""
State = Literal["queued", "running", "done", "failed", "cancelled"]


class ErrorView(BaseModel):
    """Error message: the cause, and what to do."""

    error: str = Field(examples=["sampling.steps is 0, but must lie in 1 to 1000"])
    request_id: str = Field(examples=["0b8f2f9ac1f04d55"])


class ProgressView(BaseModel):
    """Progress of a job."""

    stage: str = Field(examples=["coarse"])
    """Stage at work: load, encode, coarse, c2f, decode, write."""
    done: int
    total: int
    share: float = Field(ge=0, le=1)
    """Share of the whole job; it never falls."""


class OutputView(BaseModel):
    """A file that a job made."""

    name: str = Field(examples=["loop-vamp.wav"])
    audio: str = Field(examples=["/api/v1/jobs/7d1c0fd6b9b94a7a8f3e2a11/outputs/1/audio"])
    """Address of the file."""
    peaks: str
    """Address of its lowest and highest samples, for drawing."""


class JobView(BaseModel):
    """A job."""

    id: str = Field(examples=["7d1c0fd6b9b94a7a8f3e2a11"])
    state: State
    task: str
    client: str
    """Origin of the job: api, harp or studio."""
    created: float
    """Unix seconds."""
    started: float | None
    finished: float | None
    position: int | None
    """Jobs before it in the queue; null once it runs."""
    progress: ProgressView
    cancel_requested: bool
    tries: int
    request: dict[str, Any]
    """Request as it was sent, with defaults left out."""
    outputs: list[OutputView]
    """Empty until the job is done."""
    result: dict[str, Any] | None
    """JobResult, once the job is done."""
    error: str | None
    """Why it failed, in a sentence."""
    project: str | None = None
    """Project that its outputs become takes of."""
    parent: str | None = None
    """Take that it was submitted from."""
    seconds_left: float | None = None
    """Estimate of what is left of a running job; null while nothing is known."""


class JobsView(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    before: float | None
    """Ask for `?before=` this for the next page; null on the last."""


class FileView(BaseModel):
    """An upload. A request names it as `file:ID`."""

    id: str
    name: str
    bytes: int
    format: str
    subtype: str = ""
    sample_rate_hz: int | None = None
    channels: int | None = None
    n_samples: int | None = None
    seconds: float | None = None


class PeaksView(BaseModel):
    """Lowest and highest sample of equal parts of a file, all channels together."""

    seconds: float
    low: list[float]
    high: list[float]


class HealthView(BaseModel):
    """State of the server and of its workers."""

    status: Literal["ok"]
    version: str
    model: Literal["ready", "loading", "unloaded", "failed"]
    message: str = Field(examples=["loading the model"])
    workers: int


def job_view(job: JobRow, table: JobTable) -> JobView:
    """A job as its owner sees it."""
    base = f"/api/v1/jobs/{job.id}/outputs"
    done = job.state == "done"
    project, parent = ProjectStore(table).place_of(job.id)
    return JobView(
        id=job.id,
        state=job.state,  # type: ignore[arg-type]
        task=str(job.request.get("task", "")),
        client=job.client.split(":")[0],
        created=job.created,
        started=job.started,
        finished=job.finished,
        position=table.position(job) if job.state == QUEUED else None,
        progress=ProgressView(stage=job.stage, done=job.done, total=job.total, share=job.share),
        cancel_requested=job.cancel,
        tries=job.tries,
        request=job.request,
        outputs=[
            OutputView(name=path.rsplit("/", 1)[-1], audio=f"{base}/{k}/audio", peaks=f"{base}/{k}/peaks")
            for k, path in enumerate(job.outputs if done else (), 1)
        ],
        result=job.result,
        error=job.error,
        project=project,
        parent=parent,
        seconds_left=_seconds_left(job),
    )


def _seconds_left(job: JobRow) -> float | None:
    """Seconds left of a running job, by the share that is done and the time it took."""
    if job.state != "running" or job.started is None or job.share < _LEAST_SHARE:
        return None
    return round((time.time() - job.started) * (1 - job.share) / job.share, 1)
