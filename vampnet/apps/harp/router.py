"""Routes of the HARP contract, at the server's root, so that the address of the page is also the one for HARP.

Three calls (controls, process, cancel), each a POST that answers an event id and a GET that streams its end. HARP 3.0.1
searches each line for the words "complete" and "error", so nothing but heartbeats goes before the last event.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile as FormFile

from vampnet.apps.harp.calls import CALLS, TEXT_LIMIT, HarpCalls, call_data
from vampnet.apps.harp.gradio_queue import add_queue
from vampnet.apps.http.routes import send_file
from vampnet.apps.http.service import Service
from vampnet.apps.http.uploads import store_upload


def make_harp_router(service: Service) -> APIRouter:
    """The routes of a service for HARP."""
    router = APIRouter(include_in_schema=False)
    harp = HarpCalls(service)

    @router.post("/gradio_api/call/{name}")
    async def call(request: Request, name: str) -> dict[str, str]:
        if name not in CALLS:
            raise HTTPException(404, f"there is no call {name[:40]!r}")
        return {"event_id": await harp.start(request, name, (await call_data(request)).get("data"))}

    @router.get("/gradio_api/call/{name}/{event_id}")
    async def stream(request: Request, name: str, event_id: str) -> StreamingResponse:
        if name not in CALLS:
            raise HTTPException(404, f"there is no call {name[:40]!r}")
        lines = _lines(harp.ends(request, event_id))
        return StreamingResponse(lines, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @router.post("/gradio_api/upload")
    async def upload(request: Request) -> list[str]:
        async with request.form(max_files=4, max_fields=4, max_part_size=TEXT_LIMIT) as form:
            files = [entry for entry in form.getlist("files") if isinstance(entry, FormFile)]
            if not files:
                raise HTTPException(422, "files: none came")
            owner = request.state.owner
            paths = [
                await run_in_threadpool(store_upload, service, file.filename or "", file.file, owner) for file in files
            ]
            return [f"{path.parent.name}/{path.name}" for path in paths]

    @router.get("/gradio_api/file={path:path}", response_class=FileResponse)
    def download(request: Request, path: str) -> FileResponse:
        return send_file(harp.file(path, request.state.owner))

    add_queue(router, harp)
    return router


async def _lines(ends: AsyncIterator[tuple[str, Any] | None]) -> AsyncIterator[str]:
    async with contextlib.aclosing(ends):  # type: ignore[type-var]
        async for end in ends:
            yield "event: heartbeat\ndata: null\n\n" if end is None else _event(*end)


def _event(kind: str, data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
