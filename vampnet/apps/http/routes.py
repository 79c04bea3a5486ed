"""Routes under /api/v1: jobs, files, events; /health, /ready and /metrics beside them."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, HTTPException, Path, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile as FormFile

from vampnet.apps.http.documents import ERRORS, JOB_BODY
from vampnet.apps.http.events import stream_job, stream_jobs
from vampnet.apps.http.probe import MAX_BINS
from vampnet.apps.http.service import Service
from vampnet.apps.http.submission import forget_job, make_job, output_path, own_job, submit
from vampnet.apps.http.uploads import file_facts, own_file, store_upload
from vampnet.apps.http.views import FileView, HealthView, JobsView, JobView, PeaksView, job_view
from vampnet.errors import SettingsError
from vampnet.jobs.request import request_schema
from vampnet.jobs.result import result_schema
from vampnet.jobs.table import FINISHED, JobRow, UnknownJob
from vampnet.storage import cause, parse_json
from vampnet.version import __version__

JobId = Annotated[str, Path(pattern="^[0-9a-f]{24}$", examples=["7d1c0fd6b9b94a7a8f3e2a11"])]
FileId = Annotated[str, Path(pattern="^[0-9a-f]{24}$")]
Number = Annotated[int, Path(ge=1, le=1000)]
Bins = Annotated[int, Query(ge=1, le=MAX_BINS)]
Start = Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False)]
End = Annotated[float | None, Query(gt=0, le=1e7, allow_inf_nan=False)]
LastEvent = Annotated[str | None, Header(alias="Last-Event-ID", pattern="^[0-9]{1,18}$")]
_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
AUDIO_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}}, "description": text}
    for status, text in ((200, "The file."), (206, "The part that `Range` asked for."))
}
_OPEN_ERRORS: dict[int | str, dict[str, Any]] = {status: ERRORS[status] for status in (400, 403)}
_TEXT_LIMIT = 1 << 20
AUDIO_TYPES = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".aif": "audio/aiff", ".aiff": "audio/aiff", ".ogg": "audio/ogg",
    ".oga": "audio/ogg", ".opus": "audio/ogg", ".mp3": "audio/mpeg",
}  # fmt: skip
"""Media types of outputs by ending; the machine's own tables differ between machines."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of error answers, with those that every route can give."""
    return {status: ERRORS[status] for status in (*statuses, 400, 401, 403, 422, 429)}


def make_router(service: Service) -> APIRouter:
    """The routes of a service."""
    router = APIRouter()
    _add_jobs(router, service)
    _add_job_parts(router, service)
    _add_files(router, service)
    _add_service(router, service)
    return router


def owner_of(request: Request) -> str:
    """Name of the caller's key; empty without keys."""
    return request.state.owner


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.post(
        "/api/v1/jobs",
        status_code=202,
        openapi_extra=JOB_BODY,
        responses=errors(404, 408, 409, 413, 415),
        tags=["jobs"],
    )
    async def submit_job(
        request: Request,
        response: Response,
        idempotency_key: Annotated[str | None, Header(pattern="^[!-~]{1,200}$")] = None,
        project: Annotated[str | None, Query(pattern="^[0-9a-f]{24}$")] = None,
        parent: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")] = None,
    ) -> JobView:
        """Submit a job: a request as JSON, or as a form with the fields `request` (JSON) and `audio` (a file).

        With `project`, its outputs become takes of that project when it is done, made from the take `parent`.
        """
        view = await _submit(service, request, idempotency_key, project, parent)
        response.headers["Location"] = f"/api/v1/jobs/{view.id}"
        return view

    @router.get("/api/v1/jobs", responses=errors(), tags=["jobs"])
    def list_jobs(
        request: Request,
        state: Literal["queued", "running", "done", "failed", "cancelled"] | None = None,
        before: Annotated[float | None, Query(ge=0, le=1e12)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> JobsView:
        """List one's jobs, newest first."""
        rows = service.table.list(owner=owner_of(request), state=state, before=before, limit=limit)
        views = [job_view(row, service.table) for row in rows]
        return JobsView(jobs=views, before=rows[-1].created if len(rows) == limit else None)

    @router.get("/api/v1/jobs/{job_id}", responses=errors(404), tags=["jobs"])
    def get_job(request: Request, job_id: JobId) -> JobView:
        """One job: its state, how far it is and, when it is done, its result."""
        return job_view(own_job(service, job_id, owner_of(request)), service.table)

    @router.post("/api/v1/jobs/{job_id}/cancel", responses=errors(404), tags=["jobs"])
    def cancel_job(request: Request, job_id: JobId) -> JobView:
        """Stop a job within one decoding step. One that has ended stays as it is."""
        own_job(service, job_id, owner_of(request))
        return job_view(service.table.cancel(job_id), service.table)

    @router.delete("/api/v1/jobs/{job_id}", status_code=204, responses=errors(404), tags=["jobs"])
    def delete_job(request: Request, job_id: JobId) -> None:
        """Delete a job and what it made; one that runs stops."""
        forget_job(service, own_job(service, job_id, owner_of(request)))


def _add_job_parts(router: APIRouter, service: Service) -> None:
    @router.get(
        "/api/v1/jobs/{job_id}/events", responses=errors(404) | _EVENTS, response_class=StreamingResponse, tags=["jobs"]
    )
    async def job_events(request: Request, job_id: JobId, last_event_id: LastEvent = None) -> StreamingResponse:
        """Events of a job as they happen (server-sent), until it ends: queued, progress, done, failed, cancelled."""
        owner = owner_of(request)
        await run_in_threadpool(own_job, service, job_id, owner)

        def look() -> JobRow | None:
            try:
                return own_job(service, job_id, owner)
            except UnknownJob:
                return None

        stream = stream_job(service.watcher, look, _show(service), int(last_event_id or 0))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @router.get("/api/v1/events", responses=errors() | _EVENTS, response_class=StreamingResponse, tags=["jobs"])
    async def all_events(request: Request, last_event_id: LastEvent = None) -> StreamingResponse:
        """Events of all of one's jobs from now on, or from the last event that was seen."""
        owner = owner_of(request)
        after = int(last_event_id) if last_event_id else await run_in_threadpool(lambda: service.table.last_change())

        def look(number: int) -> list[JobRow]:
            return [job for job in service.table.changed_since(number) if job.owner == owner]

        stream = stream_jobs(service.watcher, look, _show(service), after)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @router.get("/api/v1/jobs/{job_id}/outputs/{number}/peaks", responses=errors(404, 409), tags=["jobs"])
    def output_peaks(
        request: Request, job_id: JobId, number: Number, bins: Bins = 1000, start_s: Start = 0.0, end_s: End = None
    ) -> PeaksView:
        """Lowest and highest samples of an output, or of a stretch of it, for drawing."""
        return PeaksView(**service.painter.peaks(output_of(service, request, job_id, number), bins, start_s, end_s))


def _add_files(router: APIRouter, service: Service) -> None:
    @router.post("/api/v1/files", status_code=201, responses=errors(408, 413), tags=["files"])
    def upload_file(request: Request, audio: UploadFile) -> FileView:
        """Hand over audio (or a .vamp file) once, for many jobs: requests name it as `file:ID`."""
        return file_view(store_upload(service, audio.filename or "", audio.file, owner_of(request)))

    @router.get("/api/v1/files/{file_id}", responses=errors(404), tags=["files"])
    def get_file(request: Request, file_id: FileId) -> FileView:
        """Rate, channels, length and coding of an upload."""
        return file_view(own_file(service, file_id, owner_of(request)))

    @router.get("/api/v1/files/{file_id}/peaks", responses=errors(404), tags=["files"])
    def file_peaks(
        request: Request, file_id: FileId, bins: Bins = 1000, start_s: Start = 0.0, end_s: End = None
    ) -> PeaksView:
        """Lowest and highest samples of an upload, or of a stretch of it, for drawing."""
        return PeaksView(**service.painter.peaks(own_file(service, file_id, owner_of(request)), bins, start_s, end_s))

    @router.delete("/api/v1/files/{file_id}", status_code=204, responses=errors(404), tags=["files"])
    def delete_file(request: Request, file_id: FileId) -> None:
        """Delete an upload. Jobs that still need it fail."""
        own_file(service, file_id, owner_of(request))
        service.folder.delete_file(file_id)


def _add_service(router: APIRouter, service: Service) -> None:
    def health() -> HealthView:
        model, message = service.model_state()
        return HealthView(status="ok", version=__version__, model=model, message=message,  # type: ignore[arg-type]
                          workers=len(service.crew.pids))  # fmt: skip

    @router.get("/health", tags=["service"], responses=_OPEN_ERRORS)
    def get_health() -> HealthView:
        """Whether the web process answers; it does while the model is still loading."""
        return health()

    @router.get("/ready", tags=["service"], responses=_OPEN_ERRORS | {503: {"model": HealthView}})
    def get_ready(response: Response) -> HealthView:
        """200 once a worker can take jobs at once, 503 while the model loads or cannot be loaded."""
        view = health()
        if view.model not in ("ready", "unloaded"):
            response.status_code = 503
        return view

    @router.get(
        "/metrics", tags=["service"], response_class=Response,
        responses=errors() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    def metrics() -> Response:
        """Counts and times in Prometheus' text format."""
        text = service.metrics.text(service.table, service.crew.restarts)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.get("/api/v1/schema", tags=["service"], responses=errors())
    def schema() -> dict[str, Any]:
        """JSON Schemas of requests and results."""
        return {"request": request_schema(), "result": result_schema()}


async def _submit(
    service: Service, request: Request, key: str | None, project: str | None, parent: str | None
) -> JobView:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    owner = owner_of(request)

    def job_of(data: Any, audio: FormFile | None) -> JobView:
        upload = None if audio is None else store_upload(service, audio.filename or "", audio.file, owner)
        kept, job = False, None
        try:
            into = None if project is None else service.projects.get(project, owner)
            if into is None and parent is not None:
                raise SettingsError("parent is a take of a project; name the project too")
            job = make_job(service, data, owner=owner, upload=upload, idempotency=key, goes_on=into is not None)
            if into is not None:
                service.projects.expect(job.id, into, parent)
            row, kept = submit(service, job)
        finally:
            if not kept and upload is not None:
                service.folder.delete_file(upload.parent.name)
            if not kept and job is not None:
                service.projects.withdraw(job.id)
        return job_view(row, service.table)

    if kind == "application/json":
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _TEXT_LIMIT:
                raise HTTPException(413, "a request has at most 1 MB of JSON; send audio as a form")
        return await run_in_threadpool(job_of, _json(body), None)
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=4, max_part_size=_TEXT_LIMIT) as form:
            data, audio = form.get("request"), form.get("audio")
            if not isinstance(data, str) or set(form) - {"request", "audio"}:
                raise HTTPException(422, "a form has the fields request (JSON text) and audio (a file)")
            if isinstance(audio, str):
                raise HTTPException(422, "audio: expected a file with a name")
            return await run_in_threadpool(job_of, _json(data), audio)
    raise HTTPException(415, "send application/json, or multipart/form-data with the fields request and audio")


def _json(text: str | bytes) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the request is no JSON ({cause(error)})") from None


def _show(service: Service) -> Any:
    async def show(job: JobRow) -> Any:
        view = await run_in_threadpool(lambda: job_view(job, service.table))
        return view.model_dump(mode="json")

    return show


def output_of(service: Service, request: Request, job_id: str, number: int) -> FilePath:
    """Output N of a job of the caller. Raises UnknownJob, Conflict while there is none."""
    job = own_job(service, job_id, owner_of(request))
    if job.state in FINISHED and number > len(job.outputs):
        raise UnknownJob(f"job {job_id} has {len(job.outputs)} outputs, counted from 1")
    return output_path(job, number)


def send_file(path: FilePath) -> FileResponse:
    """A file as an answer that a browser may play but never runs. Raises UnknownJob where it is gone."""
    if not path.is_file():
        raise UnknownJob("the file is no longer there")
    kind = AUDIO_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=kind, filename=path.name)


def file_view(path: FilePath) -> FileView:
    """An upload as its owner sees it."""
    return FileView(**{key: value for key, value in file_facts(path).items() if key != "owner"})
