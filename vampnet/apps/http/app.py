"""The application: guard, routes and how errors are answered."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteError

from vampnet.apps.harp.router import make_harp_router
from vampnet.apps.http.documents import DESCRIPTION, complete
from vampnet.apps.http.guard import Guard
from vampnet.apps.http.routes import make_router
from vampnet.apps.http.service import Service
from vampnet.apps.http.submission import Conflict
from vampnet.apps.http.uploads import UnknownFile
from vampnet.apps.studio.finetune_routes import make_finetune_router
from vampnet.apps.studio.offer_routes import make_offer_router
from vampnet.apps.studio.pages import make_page_router
from vampnet.apps.studio.project_routes import make_project_router
from vampnet.apps.studio.prompt_routes import make_prompt_router
from vampnet.apps.studio.sound_routes import make_sound_router
from vampnet.errors import VampnetError
from vampnet.jobs.projects import UnknownProject
from vampnet.jobs.table import QueueFull, UnknownJob
from vampnet.jobs.table_schema import TableError
from vampnet.version import __version__

_STATUS: dict[type[VampnetError], int] = {
    UnknownJob: 404, UnknownFile: 404, UnknownProject: 404, Conflict: 409, QueueFull: 429,
    TableError: 503,
}  # fmt: skip


def make_app(service: Service) -> FastAPI:
    """The application of a service; its lifespan is that of the workers."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="VampNet", version=__version__, description=DESCRIPTION, lifespan=lifespan,
        openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.include_router(make_router(service))
    for make in (
        make_sound_router, make_prompt_router, make_project_router, make_offer_router, make_finetune_router
    ):  # fmt: skip
        app.include_router(make(service))
    app.include_router(make_harp_router(service))
    app.include_router(make_page_router())
    app.add_api_route("/", _show_studio, include_in_schema=False, response_class=RedirectResponse)
    app.add_middleware(Guard, config=service.config, keys=service.keys, metrics=service.metrics)
    app.add_exception_handler(VampnetError, _answer_user_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(StarletteError, _answer_http_error)
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            complete(original())
        return original()

    app.openapi = openapi  # type: ignore[method-assign]
    return app


async def _show_studio(request: Request) -> RedirectResponse:
    """Lead browsers to the page; HARP and other programs never ask for HTML."""
    if "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(404, "nothing is here; the page is at /studio/, the API at /api/v1")
    return RedirectResponse("/studio/", 307)


def _error(request: Request, status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    body = {"error": sentence, "request_id": request.state.request_id}
    return JSONResponse(body, status, headers)


async def _answer_user_error(request: Request, error: Exception) -> JSONResponse:
    status = _STATUS.get(type(error), 422)  # type: ignore[call-overload]
    return _error(request, status, str(error).splitlines()[0], {"Retry-After": "5"} if status == 429 else None)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return _error(request, 422, f"{place}: {first['msg']}" if place else str(first["msg"]))


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, (HTTPException, StarletteError))
    return _error(request, error.status_code, str(error.detail), dict(error.headers or {}))
