"""Routes for projects: what a musician keeps on the server, which take came from which, and all of it in one file."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from vampnet.apps.http.routes import JobId, Number, errors, output_of, owner_of
from vampnet.apps.http.service import Service
from vampnet.apps.http.submission import file_owner, forget_job, own_job
from vampnet.apps.http.uploads import own_file
from vampnet.apps.studio.archive import export_project, import_project
from vampnet.errors import SettingsError
from vampnet.jobs.code import python_of, summarise
from vampnet.jobs.projects import ProjectRow, TakeRow
from vampnet.jobs.request import request_from_json
from vampnet.jobs.table import FINETUNING, JobRow, UnknownJob

ProjectId = Annotated[str, Path(pattern="^[0-9a-f]{24}$")]
TakeId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
_Name = Annotated[str, Field(max_length=200)]
_Input = Annotated[str | None, Field(pattern="^file:[0-9a-f]{24}$", examples=["file:7d1c0fd6b9b94a7a8f3e2a11"])]
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}


class NewProject(BaseModel):
    """A project to be made."""

    model_config = ConfigDict(extra="forbid")
    name: _Name = ""
    input: _Input = None
    state: dict[str, Any] = {}


class ProjectChange(BaseModel):
    """Changes of a project; what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    name: _Name = ""
    input: _Input = None
    state: dict[str, Any] = {}


class NewTake(BaseModel):
    """An output of a job that becomes a take."""

    model_config = ConfigDict(extra="forbid")
    job: str = Field(pattern="^[0-9a-f]{24}$")
    number: int = Field(ge=1, le=1000)
    parent: str | None = Field(None, pattern="^[0-9a-f]{16}$")


class TakeChange(BaseModel):
    """Changes of a take; what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    name: _Name = ""
    pinned: bool = False


class CodeView(BaseModel):
    """Ways to make an output again."""

    command: str
    python: str
    json_: dict[str, Any] = Field(alias="json")
    """The request."""


class TakeView(BaseModel):
    """A take of a project."""

    id: str
    parent: str | None
    """Take that it was made from; null for one that was made from the project's input."""
    job: str
    number: int
    name: str
    pinned: bool
    created_at: float
    """Unix seconds."""
    summary: str = Field(examples=["vamp, periodic(7), seed 3"])
    request: dict[str, Any]
    command: str
    python: str
    seed: int | None
    seconds: float
    kept_share: float | None


class ProjectSummary(BaseModel):
    """A project without its takes."""

    id: str
    name: str
    created_at: float
    """Unix seconds."""
    input: str | None
    state: dict[str, Any]


class ProjectView(ProjectSummary):
    """A project."""

    takes: list[TakeView]
    """The earliest first."""


class ProjectsView(BaseModel):
    """All projects of a caller, the newest first."""

    projects: list[ProjectSummary]


def make_project_router(service: Service) -> APIRouter:
    """The routes of a service."""
    router = APIRouter(tags=["projects"])
    _add_projects(router, service)
    _add_takes(router, service)
    _add_files(router, service)
    return router


def _add_projects(router: APIRouter, service: Service) -> None:
    @router.get("/api/v1/projects", responses=errors())
    def list_projects(request: Request) -> ProjectsView:
        """One's projects, the newest first."""
        rows = service.projects.list(owner_of(request))
        return ProjectsView(projects=[ProjectSummary(**_fields(row)) for row in rows])

    @router.post("/api/v1/projects", status_code=201, responses=errors(404, 408, 413))
    def add_project(request: Request, body: NewProject) -> ProjectView:
        """Make a project."""
        _check_input(service, body.input, owner_of(request))
        return project_view(service, service.projects.add(owner_of(request), body.name, body.input, body.state))

    @router.get("/api/v1/projects/{project_id}", responses=errors(404))
    def get_project(request: Request, project_id: ProjectId) -> ProjectView:
        """A project with its takes."""
        return project_view(service, service.projects.get(project_id, owner_of(request)))

    @router.patch("/api/v1/projects/{project_id}", responses=errors(404, 408, 413))
    def change_project(request: Request, project_id: ProjectId, body: ProjectChange) -> ProjectView:
        """Change name, state or input of a project."""
        project = service.projects.get(project_id, owner_of(request))
        changes = body.model_dump(exclude_unset=True)
        _check_input(service, changes.get("input"), owner_of(request))
        return project_view(service, service.projects.change(project, changes))

    @router.delete("/api/v1/projects/{project_id}", status_code=204, responses=errors(404))
    def delete_project(request: Request, project_id: ProjectId) -> None:
        """Forget a project. The jobs of its takes stay until they expire, or are deleted."""
        service.projects.delete(service.projects.get(project_id, owner_of(request)))


def _add_takes(router: APIRouter, service: Service) -> None:
    @router.post("/api/v1/projects/{project_id}/takes", status_code=201, responses=errors(404, 408, 409, 413))
    def add_take(request: Request, project_id: ProjectId, body: NewTake) -> TakeView:
        """Keep an output of a job as a take."""
        project = service.projects.get(project_id, owner_of(request))
        output_of(service, request, body.job, body.number)
        if own_job(service, body.job, owner_of(request)).model == FINETUNING:
            raise SettingsError(f"job {body.job} is a fine-tuning, whose outputs cannot become takes")
        take = service.projects.add_take(project, body.job, body.number, body.parent)
        return _take_view(take, service.table.get(body.job))

    @router.patch("/api/v1/projects/{project_id}/takes/{take_id}", responses=errors(404, 408, 413))
    def change_take(request: Request, project_id: ProjectId, take_id: TakeId, body: TakeChange) -> TakeView:
        """Rename or pin a take."""
        project = service.projects.get(project_id, owner_of(request))
        take = service.projects.change_take(project, take_id, body.model_dump(exclude_unset=True))
        return _take_view(take, service.table.get(take.job))

    @router.delete("/api/v1/projects/{project_id}/takes/{take_id}", status_code=204, responses=errors(404))
    def delete_take(request: Request, project_id: ProjectId, take_id: TakeId) -> None:
        """Forget a take; those made from it hang on what it was made from."""
        service.projects.delete_take(service.projects.get(project_id, owner_of(request)), take_id)

    @router.get("/api/v1/jobs/{job_id}/outputs/{number}/code", responses=errors(404, 409), tags=["jobs"])
    def output_code(request: Request, job_id: JobId, number: Number) -> CodeView:
        """Ways to make an output again: a command line, Python, the JSON of its request."""
        output_of(service, request, job_id, number)
        job = own_job(service, job_id, owner_of(request))
        command, python = _code(job, number)
        return CodeView(command=command, python=python, json=job.request)


def _add_files(router: APIRouter, service: Service) -> None:
    @router.get("/api/v1/projects/{project_id}/export", responses=errors(404) | _ZIP, response_class=FileResponse)
    def export(request: Request, project_id: ProjectId) -> FileResponse:
        """A project as one zip file: audio, tokens and project.json."""
        project = service.projects.get(project_id, owner_of(request))
        path = export_project(service, project)
        done = BackgroundTask(path.unlink, missing_ok=True)
        name = f"{project.name or 'project'}.zip"
        return FileResponse(path, media_type="application/zip", filename=name, background=done)

    @router.post("/api/v1/projects/import", status_code=201, responses=errors(408, 413))
    def import_file(request: Request, file: UploadFile) -> ProjectView:
        """Take in a project that was exported, here or on another server."""
        return project_view(service, import_project(service, file.file, owner_of(request)))

    @router.delete("/api/v1/data", status_code=204, responses=errors())
    def delete_data(request: Request) -> Response:
        """Delete all that one has here: projects, jobs with their outputs, adapters, uploads."""
        _delete_all(service, owner_of(request))
        return Response(status_code=204)


def project_view(service: Service, project: ProjectRow) -> ProjectView:
    """A project with its takes, as its owner sees it."""
    takes = []
    for take in service.projects.takes(project):
        try:
            takes.append(_take_view(take, service.table.get(take.job)))
        except UnknownJob:
            continue  # deleted at this moment
    return ProjectView(**_fields(project), takes=takes)


def _fields(project: ProjectRow) -> dict[str, Any]:
    return {
        "id": project.id, "name": project.name, "created_at": project.created, "input": project.input,
        "state": project.state,
    }  # fmt: skip


def _take_view(take: TakeRow, job: JobRow) -> TakeView:
    made = (job.result or {}).get("outputs") or [{}] * take.number
    output = made[take.number - 1] if take.number <= len(made) else {}
    command, python = _code(job, take.number)
    request = request_from_json(job.request)
    return TakeView(
        id=take.id, parent=take.parent, job=take.job, number=take.number, name=take.name, pinned=take.pinned,
        created_at=take.created, summary=summarise(request, output.get("seed")), request=job.request, command=command,
        python=python, seed=output.get("seed"), seconds=output.get("seconds") or 0.0,
        kept_share=output.get("kept_share"),
    )  # fmt: skip


def _code(job: JobRow, number: int) -> tuple[str, str]:
    """Command line and Python program of an output, in which files have their names."""
    result = job.result or {}
    made = result.get("outputs") or []
    output = made[number - 1] if number <= len(made) else {}
    data = dict(job.request)
    if data.get("input") and result.get("input"):
        data["input"] = result["input"]["file"]
    variations = int(data.get("variations", 1))
    if not data.get("variation") and number <= variations and variations > 1:
        data["variation"] = number
    python = python_of(request_from_json(data), str(output.get("file") or "out.wav"))
    return str(output.get("command", "")), python


def _check_input(service: Service, text: str | None, owner: str) -> None:
    """Raise UnknownFile for an input that is not there."""
    if text is not None:
        own_file(service, text.removeprefix("file:"), owner)


def _delete_all(service: Service, owner: str) -> None:
    for project in service.projects.list(owner):
        service.projects.delete(project)
    for job in service.table.list(owner=owner, limit=-1):
        forget_job(service, job)
    for folder in list(service.folder.files.iterdir()):
        path = service.folder.file(folder.name)
        if path is not None and file_owner(path) == owner:
            shutil.rmtree(folder, ignore_errors=True)
