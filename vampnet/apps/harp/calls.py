"""Calls of the HARP contract: controls, process and cancel, each begun by one request and watched by another.

A process call is a job of the table, so it outlives a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from vampnet.apps.harp.controls import controls, request_data
from vampnet.apps.harp.labels import label_list
from vampnet.apps.http.service import Service
from vampnet.apps.http.submission import find_audio, make_job, output_path, own_job, submit
from vampnet.apps.http.uploads import file_facts, own_file
from vampnet.errors import VampnetError
from vampnet.jobs.table import CANCELLED, FINISHED, QUEUED, RUNNING, JobRow, UnknownJob

CALLS = ("controls", "process", "cancel")
HEARTBEAT_S = 5.0
CANCEL_GRACE_S = 5.0
"""Seconds after which a job is cancelled whose stream the client has dropped."""
TEXT_LIMIT = 1 << 20
_MOST_KEPT = 2000


class HarpCalls:
    """Calls of the HARP endpoint: those that ended without a job, and streams that are open."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ended: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._open: Counter[str] = Counter()

    async def start(self, request: Request, name: str, values: Any) -> str:
        """Begin a call; returns its event id. What is wrong with it is told by its stream, where HARP shows it."""
        if name == "controls":
            return self._keep("complete", [controls()])
        if name == "cancel":
            await run_in_threadpool(self._cancel_all, client_of(request))
            return self._keep("complete", [])
        try:
            return await run_in_threadpool(self._submit, request, values)
        except VampnetError as error:
            return self._keep("error", error_payload(str(error)))

    async def ends(self, request: Request, event_id: str) -> AsyncIterator[tuple[str, Any] | None]:
        """None for each heartbeat that is due until a call has ended, then how: complete or error, and its data."""
        if event_id in self._ended:
            yield self._ended[event_id]
            return
        self._open[event_id] += 1
        ended = False
        try:
            async for job in self._states(event_id, request.state.owner):
                if job is None:
                    yield None
                    continue
                ended = True
                yield await run_in_threadpool(self._end_of, request, job)
        except UnknownJob:
            ended = True
            yield "error", error_payload("this run is not known any more; run it again")
        finally:
            self._open[event_id] -= 1
            if not ended and not self._service.watcher.closed:
                asyncio.get_running_loop().call_later(CANCEL_GRACE_S, self._cancel_left, event_id)

    def cancel(self, event_id: str, owner: str) -> None:
        """Cancel one call, if it is this owner's."""
        with contextlib.suppress(VampnetError):
            self._service.table.cancel(own_job(self._service, event_id, owner).id)

    def file(self, path: str, owner: str) -> Path:
        """The file of a download address. Raises VampnetError for all but results and uploads of this owner."""
        parts = path.split("/")
        if len(parts) == 4 and parts[0] == "jobs" and parts[2].isdecimal():
            return output_path(own_job(self._service, parts[1], owner), int(parts[2][:4]))
        return own_file(self._service, parts[0], owner)

    async def _states(self, job_id: str, owner: str) -> AsyncIterator[JobRow | None]:
        """None for each heartbeat that is due, then the job once it has ended."""
        loop = asyncio.get_running_loop()
        beat = loop.time()
        while not self._service.watcher.closed:
            changed = asyncio.ensure_future(self._service.watcher.wait(HEARTBEAT_S))
            try:
                job = await run_in_threadpool(own_job, self._service, job_id, owner)
                if job.state in FINISHED:
                    yield job
                    return
                if loop.time() >= beat:
                    beat = loop.time() + HEARTBEAT_S
                    yield None
                await changed
            finally:
                changed.cancel()

    def _submit(self, request: Request, values: Any) -> str:
        service, owner = self._service, request.state.owner
        path, data = request_data(values)
        client = client_of(request)
        if not path:
            return submit(service, make_job(service, data, owner=owner, client=client))[0].id
        reference = f"file:{path.split('/')[0]}"
        audio = find_audio(service, reference, owner, "Input")
        seconds = file_facts(audio).get("seconds")
        if data["task"] == "inpaint" and seconds:
            start, end = data["regions"][0]
            data["regions"] = [[start, None if end >= seconds else end]]
        job = make_job(service, {**data, "input": reference}, owner=owner, client=client)
        return submit(service, job)[0].id

    def _cancel_all(self, client: str) -> None:
        """Cancel every HARP job of a client: HARP does not say which one it means."""
        table = self._service.table
        for state in (QUEUED, RUNNING):
            for job in table.list(state=state, limit=-1):
                if job.client == client:
                    table.cancel(job.id)

    def _cancel_left(self, job_id: str) -> None:
        if self._open[job_id] <= 0:
            self._open.pop(job_id, None)
            with contextlib.suppress(VampnetError):
                self._service.table.cancel(job_id)

    def _end_of(self, request: Request, job: JobRow) -> tuple[str, Any]:
        """Event and data that tell how a job ended."""
        if job.state == CANCELLED:
            return "error", error_payload("the run was cancelled", "Cancelled")
        if job.result is None:
            return "error", error_payload(job.error or "the run failed")
        return "complete", [_file_data(request, job), label_list(job.request, job.result)]

    def _keep(self, kind: str, data: Any) -> str:
        event_id = secrets.token_hex(16)
        self._ended[event_id] = (kind, data)
        while len(self._ended) > _MOST_KEPT:
            self._ended.popitem(last=False)
        return event_id


def client_of(request: Request) -> str:
    """Client of a HARP call: its address, and a digest of the token that HARP may send along."""
    address = request.client.host if request.client else "?"
    token = request.headers.get("authorization", "")
    digest = hashlib.sha256(token.encode()).hexdigest()[:16] if token else ""
    return f"harp:{request.state.owner}:{address}:{digest}"


def error_payload(sentence: str, title: str = "Cannot vamp") -> dict[str, Any]:
    """An error as HARP shows it: never empty, which HARP takes for a spent quota of the hub, and one line."""
    line = " ".join(sentence.split()).replace("quota", "limit")[:400]
    return {"error": line or "something went wrong", "title": title, "duration": 10, "visible": True}


async def call_data(request: Request) -> dict[str, Any]:
    """The JSON object that a call sends; anything else counts as an empty one."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > TEXT_LIMIT:
            raise HTTPException(413, "a call has at most 1 MB")
    try:
        data = json.loads(body or b"{}")  # Python's clients send NaN, which is refused with its control's name
    except (ValueError, RecursionError):
        raise HTTPException(400, "the call is no JSON") from None
    return data if isinstance(data, dict) else {}


def _file_data(request: Request, job: JobRow) -> dict[str, Any]:
    path = Path(job.outputs[0])
    prefix = getattr(request.state, "prefix", "")
    base = f"{request.url.scheme}://{request.headers.get('host', '')}{prefix}"
    place = f"jobs/{job.id}/1/{path.name}"
    return {
        "path": place,
        "url": f"{base}/gradio_api/file={quote(place)}",
        "orig_name": path.name,
        "size": path.stat().st_size if path.exists() else None,
        "mime_type": None,
        "is_stream": False,
        "meta": {"_type": "gradio.FileData"},
    }
