"""Routes for prompts: what they can be made of, what a text means, and the exact tokens that a job would keep."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from vampnet.apps.http.routes import errors, owner_of
from vampnet.apps.http.service import Service
from vampnet.apps.http.submission import resolve, without_folders
from vampnet.apps.studio.ear import preview_mask
from vampnet.apps.studio.prompt_views import ParsedView, PromptsView, list_prompts, parse_view
from vampnet.apps.studio.sound_routes import WORKING, WorkingView
from vampnet.errors import SettingsError, VampnetError
from vampnet.jobs.request import request_from_json, request_to_json
from vampnet.prompts.grammar import parse_prompt

_Seconds = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]


class PromptText(BaseModel):
    """A prompt as text."""

    model_config = ConfigDict(extra="forbid")
    prompt: str = Field(max_length=100_000, examples=["(periodic(7) | paint(1-2@0.5:1.5)) & erase(all@2:3)"])


class PreviewRequest(BaseModel):
    """A request whose kept tokens are wanted, before it is submitted."""

    model_config = ConfigDict(extra="forbid")
    file: str = Field("", max_length=1000, examples=["file:7d1c0fd6b9b94a7a8f3e2a11"])
    """The input, `file:ID` or `job:ID/N`, where the request does not name it."""
    request: dict[str, Any] = Field(examples=[{"task": "vamp", "prompt": "periodic(7)"}])
    """The request as it would be submitted for a project."""
    from_s: _Seconds | None = None
    """Give the mask from here on alone, seconds of the input."""
    to_s: _Seconds | None = None
    """Give the mask up to here alone."""


class PreviewView(BaseModel):
    """Tokens that a job would keep."""

    frames_per_s: float
    n_frames: int
    """Frames of the whole output."""
    n_codebooks: int
    kept_share: float
    """Share of all tokens, 0 to 1."""
    start_s: float
    """Where frame 0 lies, seconds of the input; negative where music is added before it."""
    first_frame: int
    """First frame of the mask."""
    mask_frames: int
    """Frames of the mask."""
    exact: bool
    """False where only the beats of the file's first minutes are known."""
    mask: str
    """Base64 of one bit per token, 1 where it is kept: codebook by codebook, the lowest bit of a byte first."""


def make_prompt_router(service: Service) -> APIRouter:
    """The routes of a service."""
    router = APIRouter(tags=["prompts"])

    @router.get("/api/v1/prompts", responses=errors())
    def prompts() -> PromptsView:
        """Presets, and the parts of the prompt language with their arguments."""
        return list_prompts()

    @router.post("/api/v1/prompt", responses=errors(408, 413))
    def parse(body: PromptText) -> ParsedView:
        """Take a prompt apart."""
        return parse_view(parse_prompt(body.prompt))

    @router.post("/api/v1/preview", response_model=PreviewView, responses=errors(404, 408, 409, 413) | WORKING)
    def preview(request: Request, body: PreviewRequest) -> Any:
        """The tokens that a request's job would keep: of its first variation, or of `variation`.

        202 where its prompt needs beats of the input that are not known yet: they are being looked for.
        """
        return _preview(service, body, owner_of(request))

    return router


def _preview(service: Service, body: PreviewRequest, owner: str) -> Any:
    data = dict(body.request)
    if body.file:
        field = "like" if data.get("task") == "generate" else "input"
        if data.get(field, body.file) != body.file:
            raise SettingsError(f"file and request.{field} name different audio; leave one of them away")
        data[field] = body.file
    request = request_from_json(data)
    if request.needs_input and not request.input:
        raise SettingsError("file is missing: name an upload as file:ID, or an output as job:ID/N")
    work = resolve(service, request, owner, None, goes_on=True)
    window_s = None if body.from_s is None and body.to_s is None else (body.from_s or 0.0, body.to_s)
    heard = None
    if work.input:
        kept = service.analyses.kept_path(FilePath(work.input))
        if kept is not None and kept.exists():
            heard = service.analyses.look(FilePath(work.input))
    try:
        made = service.masks.ask(preview_mask, request_to_json(work), work.model.bundle, heard, window_s)
        if made is None:
            heard = service.analyses.look(FilePath(work.input))
            if heard is None:
                return JSONResponse(WorkingView().model_dump(), 202)
            made = service.masks.ask(preview_mask, request_to_json(work), work.model.bundle, heard, window_s)
    except VampnetError as error:
        raise type(error)(without_folders(service, work, str(error))) from None
    return PreviewView(**made)
