"""Routes for fine-tuning: adapters of one's own recordings, made by a process of their own as jobs of the job table."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from vampnet.apps.http.routes import JobId, errors, owner_of
from vampnet.apps.http.service import Service
from vampnet.apps.http.submission import choose_model, forget_job, own_job, submit
from vampnet.apps.http.uploads import file_facts, own_file
from vampnet.apps.http.views import JobView, job_view
from vampnet.errors import SettingsError, require
from vampnet.jobs.finetune_job import MAX_FILES, MAX_STEPS, SAMPLES, TASK, FinetuneRequest, keep_music
from vampnet.jobs.request import GenerateRequest
from vampnet.jobs.table import FINETUNING, FINISHED, JobRow, NewJob, new_id
from vampnet.models.choice import ModelChoice

_FileName = Annotated[str, Field(pattern="^file:[0-9a-f]{24}$", examples=["file:7d1c0fd6b9b94a7a8f3e2a11"])]
_LEAST_S = 1.0
"""Recordings that are all shorter than this cannot be learned from."""


class NewFinetune(BaseModel):
    """An adapter to be made."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=60, examples=["my-music"])
    """Name of the adapter: letters, digits, spaces and .()+-_; the first is a letter or digit."""
    files: list[_FileName] = Field(min_length=1, max_length=MAX_FILES)
    """Recordings to learn from; they may be deleted once the job is there."""
    steps: int = Field(200, ge=1, le=MAX_STEPS)
    """Steps per model at most; it stops earlier where held-out files get no better."""
    rank: int = Field(16, ge=1, le=256)
    seed: int = Field(0, ge=0, le=2**63 - 1)
    bundle: str = Field("default", max_length=200)


class FinetunesView(BaseModel):
    """Fine-tuning jobs of a caller, the newest first."""

    finetunes: list[JobView]


def make_finetune_router(service: Service) -> APIRouter:
    """The routes of a service."""
    router = APIRouter(tags=["fine-tuning"])

    @router.post("/api/v1/finetunes", status_code=202, responses=errors(404, 408, 413))
    def submit_finetune(request: Request, response: Response, body: NewFinetune) -> JobView:
        """Make an adapter of recordings. Its outputs, once it is done, are an excerpt and its vamps: without, with.

        Jobs go on beside it. `result.facts.lora` is the adapter's name for `model.lora` of requests.
        """
        job = _make_job(service, body, owner_of(request))
        row, _ = submit(service, job)
        service.finetuner.wake()
        response.headers["Location"] = f"/api/v1/finetunes/{row.id}"
        return job_view(row, service.table)

    @router.get("/api/v1/finetunes", responses=errors())
    def list_finetunes(request: Request) -> FinetunesView:
        """List one's fine-tuning jobs, the newest first."""
        rows = service.table.finetunes(owner_of(request))
        return FinetunesView(finetunes=[job_view(row, service.table) for row in rows])

    @router.get("/api/v1/finetunes/{job_id}", responses=errors(404))
    def get_finetune(request: Request, job_id: JobId) -> JobView:
        """One of them: its state, how far it is and, when it is done, what it found and gained."""
        return job_view(_own(service, job_id, owner_of(request)), service.table)

    @router.post("/api/v1/finetunes/{job_id}/cancel", responses=errors(404))
    def cancel_finetune(request: Request, job_id: JobId) -> JobView:
        """Stop it at once. One that has ended stays as it is."""
        job = _own(service, job_id, owner_of(request))
        if job.is_finished:
            return job_view(job, service.table)
        cancelled = service.table.cancel(job_id)
        if cancelled.state in FINISHED:  # it had not begun
            service.folder.delete_job(job_id)
        return job_view(cancelled, service.table)

    @router.delete("/api/v1/finetunes/{job_id}", status_code=204, responses=errors(404))
    def delete_finetune(request: Request, job_id: JobId) -> None:
        """Delete it, its adapter and what it made to listen to; one that runs stops."""
        forget_job(service, _own(service, job_id, owner_of(request)))

    return router


def _own(service: Service, job_id: str, owner: str) -> JobRow:
    """A fine-tuning job of this owner. Raises UnknownJob."""
    job = own_job(service, job_id, owner)
    return job if job.model == FINETUNING else service.table.get("")


def _make_job(service: Service, body: NewFinetune, owner: str) -> NewJob:
    """The job of a request, its recordings kept. Raises VampnetError naming what is wrong."""
    asked = FinetuneRequest(**{**body.model_dump(), "files": tuple(dict.fromkeys(body.files))})
    for library in ("lightning_fabric", "peft", "tensorboard"):
        if find_spec(library) is None:
            require(library, "fine-tunings")
    choice = GenerateRequest(model=ModelChoice(bundle=asked.bundle))
    work = dataclasses.replace(asked, bundle=choose_model(service, choice, owner).bundle)
    _check_name(service, asked.name, owner)
    paths = [own_file(service, name.removeprefix("file:"), owner) for name in asked.files]
    facts = [file_facts(path) for path in paths]
    for one in facts:
        if one.get("seconds") is None:
            raise SettingsError(f"{one['name']}: is no audio that can be learned from; leave it out")
    if all(one["seconds"] < _LEAST_S for one in facts):
        raise SettingsError("all files are shorter than a second; a few minutes of music are needed")
    job_id = new_id()
    folder = service.folder.job_folder(job_id)
    try:
        keep_music(folder, paths)
    except BaseException:
        service.folder.delete_job(job_id)
        raise
    return NewJob(
        id=job_id,
        request={"task": TASK, **_plain(asked), "seconds": round(sum(one["seconds"] for one in facts), 3)},
        work={"request": _plain(work), "adapters": str(service.folder.own_loras(owner))},
        outputs=[str(folder / f"{asked.name}-{sample}.wav") for sample in SAMPLES],
        owner=owner,
        model=FINETUNING,
    )


def _plain(request: FinetuneRequest) -> dict[str, Any]:
    return {**dataclasses.asdict(request), "files": list(request.files)}


def _check_name(service: Service, name: str, owner: str) -> None:
    """Raise SettingsError for the name of another adapter, one that is being made included."""
    being_made = {job.request["name"] for job in service.table.finetunes(owner) if not job.is_finished}
    taken = {known.lower() for known in (*service.folder.usable_loras(owner), *being_made)}
    if name.lower() in taken:
        raise SettingsError(f"there is an adapter {name!r} already; choose another name, or delete that one")
