"""Routes that give the sound of uploads and outputs: whole, in other formats, in passages, as a spectrum, analysed."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field

from vampnet.apps.http.probe import Probe
from vampnet.apps.http.routes import (
    AUDIO_ANSWERS,
    End,
    FileId,
    JobId,
    Number,
    Start,
    errors,
    output_of,
    owner_of,
    send_file,
)
from vampnet.apps.http.service import Service
from vampnet.apps.http.uploads import own_file
from vampnet.apps.studio.ear import convert, cut_passage
from vampnet.apps.studio.spectrum import MAX_WIDTH, mel_picture
from vampnet.errors import SettingsError, VampnetError

Format = Annotated[Literal["wav", "flac", "mp3", "ogg", "opus", "aiff"] | None, Query()]
Width = Annotated[int, Query(ge=1, le=MAX_WIDTH)]
_MEL: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": "One byte per band and column, band by band from the lowest; 255 is the file's peak, 0 is 80 dB "
        "below it or less.",
    }
}


class WorkingView(BaseModel):
    """Something that is being made; ask again."""

    state: Literal["working"] = "working"


class AnalysisView(BaseModel):
    """Controls heard in a file."""

    state: Literal["done"] = "done"
    seconds: float
    sample_rate_hz: int
    channels: int
    loudness_lufs: float | None
    """Integrated loudness; null for silence."""
    frames_per_s: float
    """Token frames per second of the server's model."""
    n_frames: int
    n_codebooks: int
    tempo_bpm: float | None
    key: str | None = Field(examples=["D minor"])
    beats_s: list[float]
    downbeats_s: list[float]
    onsets_s: list[float]
    analysed_s: float
    """Beats, downbeats and onsets are those of so much of the file, from its start."""
    warnings: list[str]
    """Warnings about the file."""


WORKING: dict[int | str, dict[str, Any]] = {202: {"model": WorkingView, "description": "Not there yet; ask again."}}


def make_sound_router(service: Service) -> APIRouter:
    """The routes of a service."""
    router = APIRouter()
    _add_audio(router, service)
    _add_looks(router, service)
    return router


def _add_audio(router: APIRouter, service: Service) -> None:
    @router.get(
        "/api/v1/jobs/{job_id}/outputs/{number}/audio",
        responses=errors(404, 409, 416) | AUDIO_ANSWERS, response_class=Response, tags=["jobs"],
    )  # fmt: skip
    def output_audio(
        request: Request, job_id: JobId, number: Number, format: Format = None, start_s: Start = 0.0, end_s: End = None
    ) -> Response:
        """Output N of a job that is done, from 1; `Range` gives a part.

        `format` converts it; `start_s` and `end_s` give a passage of at most two minutes as a WAV file of 16 bits.
        """
        return _audio(service, output_of(service, request, job_id, number), format, start_s, end_s)

    @router.get(
        "/api/v1/files/{file_id}/audio",
        responses=errors(404, 416) | AUDIO_ANSWERS, response_class=Response, tags=["files"],
    )  # fmt: skip
    def file_audio(
        request: Request, file_id: FileId, format: Format = None, start_s: Start = 0.0, end_s: End = None
    ) -> Response:
        """An upload as it came; `Range` gives a part, `format`, `start_s` and `end_s` are those of outputs."""
        return _audio(service, own_file(service, file_id, owner_of(request)), format, start_s, end_s)


def _add_looks(router: APIRouter, service: Service) -> None:
    @router.get(
        "/api/v1/jobs/{job_id}/outputs/{number}/mel",
        responses=errors(404, 409) | _MEL, response_class=Response, tags=["jobs"],
    )  # fmt: skip
    def output_mel(
        request: Request, job_id: JobId, number: Number, start_s: Start = 0.0, end_s: End = None, width: Width = 1000
    ) -> Response:
        """Mel spectrum of an output for drawing; `X-Mel-Height`, `X-Mel-Width` and `X-Mel-Top-Hz` say its size."""
        return _mel(service, output_of(service, request, job_id, number), start_s, end_s, width)

    @router.get(
        "/api/v1/files/{file_id}/mel", responses=errors(404) | _MEL, response_class=Response, tags=["files"]
    )  # fmt: skip
    def file_mel(
        request: Request, file_id: FileId, start_s: Start = 0.0, end_s: End = None, width: Width = 1000
    ) -> Response:
        """Mel spectrum of an upload for drawing; `X-Mel-Height`, `X-Mel-Width` and `X-Mel-Top-Hz` say its size."""
        return _mel(service, own_file(service, file_id, owner_of(request)), start_s, end_s, width)

    @router.get(
        "/api/v1/jobs/{job_id}/outputs/{number}/analysis",
        response_model=AnalysisView, responses=errors(404, 409) | WORKING, tags=["jobs"],
    )  # fmt: skip
    def output_analysis(request: Request, job_id: JobId, number: Number) -> Any:
        """Beats, tempo, key and loudness of an output."""
        return _analysis(service, output_of(service, request, job_id, number))

    @router.get(
        "/api/v1/files/{file_id}/analysis",
        response_model=AnalysisView, responses=errors(404) | WORKING, tags=["files"],
    )  # fmt: skip
    def file_analysis(request: Request, file_id: FileId) -> Any:
        """Beats, tempo, key and loudness of an upload."""
        return _analysis(service, own_file(service, file_id, owner_of(request)))


def _audio(service: Service, path: FilePath, format: str | None, start_s: float, end_s: float | None) -> Response:
    if start_s or end_s is not None:
        if format not in (None, "wav"):
            raise SettingsError(
                f"format is {format}, but passages are WAV files; leave out format, or start_s and end_s"
            )
        content = ask_helper(service.painter, path, cut_passage, str(path), start_s, end_s)
        return Response(content, media_type="audio/wav")
    if format is None or path.suffix.lower() == f".{format}":
        return send_file(path)
    return _converted(service, path, format)


def _converted(service: Service, path: FilePath, format: str) -> FileResponse:
    """A file in another format, kept beside it for the next time."""
    kept = path.with_name(f".{path.name}.as.{format}")
    if not kept.exists():
        ask_helper(service.painter, path, convert, str(path), str(kept))
    answer = send_file(kept)
    answer.headers["Content-Disposition"] = FileResponse(path, filename=f"{path.stem}.{format}").headers[
        "Content-Disposition"
    ]
    return answer


def _mel(service: Service, path: FilePath, start_s: float, end_s: float | None, width: int) -> Response:
    kept = str(path.with_name(f".{path.name}.mel.npy"))
    made = ask_helper(service.spectra, path, mel_picture, str(path), start_s, end_s, width, kept)
    headers = {
        "X-Mel-Height": str(made["height"]), "X-Mel-Width": str(made["width"]), "X-Mel-Top-Hz": f"{made['top_hz']:g}"
    }  # fmt: skip
    return Response(made["bytes"], media_type="application/octet-stream", headers=headers)


def ask_helper(helper: Probe, path: FilePath, function: Any, *arguments: Any) -> Any:
    """Have a function do something with a file in a helper's process; errors name the file without its folder."""
    try:
        return helper.ask(function, *arguments)
    except VampnetError as error:
        if not path.exists():
            raise HTTPException(404, "this sound is gone: it was deleted") from None
        raise type(error)(str(error).replace(f"{path.parent}/", "")) from None


def _analysis(service: Service, path: FilePath) -> Any:
    found = service.analyses.look(path)
    return JSONResponse(WorkingView().model_dump(), 202) if found is None else AnalysisView(**found)
