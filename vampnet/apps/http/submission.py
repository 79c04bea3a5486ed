"""Submissions: from a request as it was sent to a job that a worker can run.

A request names its audio as `file:ID` (an upload), `job:ID/N` (output N of a finished job) or by a path below the
allowed root; or it comes along as an upload of its own. No other path is let through, neither by `..` nor by a link.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vampnet.apps.http.probe import check_work
from vampnet.apps.http.service import Service
from vampnet.controls.config import ReshapeConfig
from vampnet.errors import JobError, SettingsError, VampnetError
from vampnet.generation.config import variation_seed
from vampnet.jobs.data_folder import harmless_name, tokens_path
from vampnet.jobs.request import (
    CompressRequest,
    DecompressRequest,
    GenerateRequest,
    InpaintRequest,
    LoopRequest,
    OutpaintRequest,
    Request,
    StretchRequest,
    TelephoneRequest,
    VampRequest,
    request_from_json,
    request_to_json,
    steering_of,
)
from vampnet.jobs.table import DONE, FINETUNING, JobRow, NewJob, new_id
from vampnet.tasks.defaults import NEW_S

_JOB_OUTPUT = re.compile(r"job:([0-9a-f]{24})/([0-9]{1,4})")
_WRITABLE = (".wav", ".flac", ".aif", ".aiff", ".ogg", ".oga", ".opus", ".mp3")
_TRACKERS = ("", "learned", "librosa")
LONGEST_CODED_S = 600.0
"""Uploads up to here are encoded whole where a region is filled, so that takes go on from tokens, seconds."""


class Conflict(JobError):
    """A call that does not fit the state of a job."""


def make_job(
    service: Service, data: Any, *, owner: str, client: str = "api", upload: Path | None = None,
    idempotency: str | None = None, goes_on: bool = False,
) -> NewJob:  # fmt: skip
    """The job of a request (JSON data), checked. Raises VampnetError naming what is wrong.

    `upload`: audio that came with it; `goes_on`: other jobs will go on from its outputs, so all their tokens are kept.
    """
    data = _with_upload(data, upload)
    request = request_from_json(data)
    _check_size(service, request)
    work = resolve(service, request, owner, upload, goes_on)
    job_id = new_id()
    if not isinstance(work, DecompressRequest):
        _check_audio(service, work)
    outputs = _checked_outputs(service, work, job_id)
    shown = request_to_json(request)
    if upload is not None:
        shown[_audio_field(request.task)] = upload.name
    return NewJob(
        id=job_id,
        request=shown,
        work=request_to_json(work),
        outputs=outputs,
        owner=owner,
        client=client,
        model=json.dumps([dataclasses.asdict(work.model), getattr(work, "compat", "")]),
        idempotency=idempotency,
    )


def resolve(service: Service, request: Request, owner: str, upload: Path | None, goes_on: bool) -> Request:
    """A request as a worker runs it: with this machine's paths, the server's model, and tokens where they are kept.

    An output of an earlier job is gone on from by its tokens, not by its sound. Raises SettingsError, Conflict.
    """
    work = dataclasses.replace(
        request, **resolve_files(service, request, owner, upload), model=choose_model(service, request, owner)
    )
    if request.tokens:
        return dataclasses.replace(work, tokens=str(_allowed(service, request.tokens, "tokens")))
    changes: dict[str, Any] = {}
    if tokens := _kept_tokens(service, request, work, owner):
        changes["tokens"] = tokens
    is_within = isinstance(request, _WITHIN) and (bool(tokens) or (goes_on and not _is_long(Path(work.input))))
    if isinstance(request, _WHOLE) or is_within:
        changes["output"] = dataclasses.replace(request.output, tokens=True)
    return dataclasses.replace(work, **changes)


_WHOLE = (VampRequest, LoopRequest, StretchRequest, TelephoneRequest, GenerateRequest)
"""Tasks that make all tokens of their outputs anyway, so that it costs nothing to keep them."""
_WITHIN = (InpaintRequest, OutpaintRequest)
"""Tasks that encode all of their input, not only what lies near the new music, where tokens are kept."""


def _is_long(path: Path) -> bool:
    """Whether an upload is so long that encoding all of it would keep a musician waiting."""
    try:
        return (json.loads((path.parent / ".facts.json").read_text("utf-8")).get("seconds") or 0.0) > LONGEST_CODED_S
    except (OSError, ValueError):
        return False


def _kept_tokens(service: Service, request: Request, work: Request, owner: str) -> str:
    """Tokens of the output that a request names as its input; empty where there are none that it could go on from."""
    match = _JOB_OUTPUT.fullmatch(request.input)
    as_it_is = not getattr(request, "bars", 0) and getattr(request, "reshape", ReshapeConfig()) == ReshapeConfig()
    goes_on = isinstance(request, (*_WHOLE, *_WITHIN)) and not getattr(request, "compat", "")
    if match is None or not as_it_is or not goes_on:
        return ""
    made_with = own_job(service, match[1], owner).work.get("model", {}).get("bundle", "default")
    path = tokens_path(work.input)
    return str(path) if path.is_file() and made_with == work.model.bundle else ""


def submit(service: Service, job: NewJob) -> tuple[JobRow, bool]:
    """Put a job into the table; the same idempotency key with another request is refused.

    Raises Conflict, QueueFull.
    """
    service.folder.job_folder(job.id).mkdir(mode=0o700, exist_ok=True)
    row, is_new = None, False
    try:
        row, is_new = service.table.submit(job, max_queued=service.config.max_queue)
    finally:
        if not is_new:
            service.folder.delete_job(job.id)
    if not is_new and row.request != job.request:
        raise Conflict("this idempotency key came with another request before; take a new key")
    return row, is_new


def _audio_field(task: str) -> str:
    return "like" if task == "generate" else "input"


def _with_upload(data: Any, upload: Path | None) -> Any:
    """The request with the upload standing where its audio belongs, so that it is checked as one that has audio."""
    if upload is None or not isinstance(data, dict):
        return data
    field = _audio_field(str(data.get("task")))
    if data.get(field):
        raise SettingsError(f"{field} names audio, and audio came with the request; leave one of them away")
    return {**data, field: f"file:{upload.parent.name}"}


def _check_size(service: Service, request: Request) -> None:
    config = service.config
    if len(request.numbers) > config.max_variations:
        raise SettingsError(
            f"variations is {request.variations}, but this server makes at most {config.max_variations}"
        )
    steering = steering_of(request)
    if steering.best_of > config.max_variations:
        raise SettingsError(
            f"steering.best_of is {steering.best_of}, but this server makes at most {config.max_variations}"
        )
    if request.needs_input and not request.input:
        raise SettingsError("input is missing: send a file as `audio`, or name an upload as file:ID")
    for name, seconds in _new_seconds(request):
        if seconds > config.max_seconds:
            raise SettingsError(f"{name} is {seconds:g}, but this server makes at most {config.max_seconds:g} s")


def _new_seconds(request: Request) -> Iterator[tuple[str, float]]:
    """Names and seconds of the new audio that a request asks for, by its fields or by its defaults."""
    if isinstance(request, OutpaintRequest):
        yield from (("before_s", request.before_s), ("after_s", request.after_s))
    elif isinstance(request, GenerateRequest):
        if request.seconds is not None:
            yield "seconds", request.seconds
        elif request.words.is_empty:
            yield "length without `seconds`", NEW_S
        else:
            from vampnet.controls.sketching import sketch_length_s  # with numpy; the server starts without it

            seeds = (variation_seed(request.sampling.seed, number - 1) for number in request.numbers)
            yield "length of the words in seconds", max(sketch_length_s(request.words, seed) for seed in seeds)


def choose_model(service: Service, request: Request, owner: str) -> Any:
    """The request's model with the server's defaults. Raises SettingsError for one that is not offered."""
    choice, config = request.model, service.config
    offered = ("default", config.bundle, *config.allowed_model)
    if choice.bundle not in offered:
        raise SettingsError(f"model.bundle is {choice.bundle[:100]!r}, but this server has {', '.join(offered[1:])}")
    if choice.device not in ("auto", config.device):
        raise SettingsError(f"model.device is {choice.device[:100]!r}, but this server computes on {config.device}")
    bundle = config.bundle if choice.bundle == "default" else choice.bundle
    lora = tuple(_adapter(service, text, owner) for text in choice.lora)
    return dataclasses.replace(choice, bundle=bundle, device=config.device, lora=lora)


def _adapter(service: Service, text: str, owner: str) -> str:
    name, colon, strength = text.rpartition(":")
    if colon and re.fullmatch(r"-?[0-9.]+", strength):
        return f"{_lora_file(service, name, owner)}:{strength}"
    return str(_lora_file(service, text, owner))


def _lora_file(service: Service, name: str, owner: str) -> Path:
    """An adapter that an owner may use by its name, or one below the allowed root."""
    known = service.folder.usable_loras(owner)
    if path := known.get(name.removesuffix(".safetensors")):
        return path
    if service.config.allowed_root:
        return _allowed(service, name, "model.lora")
    there = f"it has {', '.join(known)}" if known else "it has none yet"
    raise SettingsError(f"model.lora is {name[:100]!r}, but this server has no such adapter; {there}")


def resolve_files(service: Service, request: Request, owner: str, upload: Path | None) -> dict[str, Any]:
    """Fields of a request that name files, with the paths of this machine."""
    fields: dict[str, Any] = {}
    for name in ("input", "like"):
        text = getattr(request, name, "")
        if text:
            own = upload is not None and text == f"file:{upload.parent.name}"
            fields[name] = str(upload if own else find_audio(service, text, owner, name))
    beats = getattr(request, "beats", None)
    if beats is not None:
        changes: dict[str, Any] = {}
        if beats.tracker not in _TRACKERS:
            changes["tracker"] = str(_allowed(service, beats.tracker, "beats.tracker"))
        if beats.file:
            changes["file"] = str(_allowed(service, beats.file, "beats.file"))
        fields["beats"] = dataclasses.replace(beats, **changes)
    steering = steering_of(request)
    if steering.n_candidates(hears=False) > service.config.max_variations:  # not stated: as many as there may be
        steering = fields["steering"] = dataclasses.replace(steering, best_of=service.config.max_variations)
    if followed := steering.split()[0]:
        path = find_audio(service, followed, owner, "steering.follow")
        fields["steering"] = dataclasses.replace(steering, follow=f"{path}:{','.join(steering.split()[1])}")
    return fields


def _audio_of(request: Request) -> list[str]:
    """Paths of all audio that a request with this machine's paths reads."""
    paths = (request.input, getattr(request, "like", ""), steering_of(request).split()[0])
    return [path for path in paths if path]


def find_audio(service: Service, text: str, owner: str, field: str = "input") -> Path:
    """The file that `file:ID`, `job:ID/N` or a path below the allowed root names. Raises SettingsError, Conflict."""
    if text.startswith("file:"):
        path = service.folder.file(text.removeprefix("file:"))
        if path is None or file_owner(path) != owner:
            raise SettingsError(f"{field} is {text[:100]!r}, but there is no such upload; it may have expired")
        return path
    match = _JOB_OUTPUT.fullmatch(text)
    if match is not None:
        return output_path(own_job(service, match[1], owner), int(match[2]))
    return _allowed(service, text, field)


def own_job(service: Service, job_id: str, owner: str) -> JobRow:
    """A job of this owner; others' look as if they were not there. Raises UnknownJob."""
    job = service.table.get(job_id)
    return job if job.owner == owner else service.table.get("")


def forget_job(service: Service, job: JobRow) -> None:
    """Delete a job and what it made, the adapter of a fine-tuning too; one that runs stops."""
    if job.model == FINETUNING and job.result is not None:
        adapter = service.folder.own_loras(job.owner) / f"{job.result['facts']['lora']}.safetensors"
        adapter.unlink(missing_ok=True)
    service.table.delete(job.id)
    service.folder.delete_job(job.id)


def output_path(job: JobRow, number: int) -> Path:
    """File of output N of a job, from 1. Raises Conflict while there is none."""
    if job.state != DONE:
        raise Conflict(f"job {job.id} is {job.state}; its outputs are there when it is done")
    if not 1 <= number <= len(job.outputs):
        raise SettingsError(f"output {number} of job {job.id}: it has {len(job.outputs)}, counted from 1")
    return Path(job.outputs[number - 1])


def file_owner(path: Path) -> str:
    """Name of the key that a file was uploaded with."""
    try:
        return json.loads((path.parent / ".facts.json").read_text("utf-8")).get("owner", "")
    except (OSError, ValueError):
        return ""


def _allowed(service: Service, text: str, field: str) -> Path:
    """A path below the allowed root. Raises SettingsError; whether another path exists is not told."""
    refused = SettingsError(
        f"{field} is {text[:100]!r}, but this server takes no such path"
        + ("; name a file below its allowed root" if service.config.allowed_root else "; upload the file")
    )
    if not service.config.allowed_root or "\0" in text or not text.isprintable():
        raise refused
    root = os.path.realpath(service.config.allowed_root)
    try:
        path = Path(os.path.realpath(os.path.join(root, text)))
        if not path.is_relative_to(root) or not path.is_file():
            raise refused
    except (OSError, ValueError):
        raise refused from None
    return path


def _checked_outputs(service: Service, request: Request, job_id: str) -> list[str]:
    """Check the job and make its folder; returns where its outputs go: INPUT-TASK.ENDING, numbered if several."""
    source = Path(request.input or getattr(request, "like", "") or "vampnet")
    if isinstance(request, CompressRequest):
        ending = ".vamp"
    elif request.output.format:
        ending = f".{request.output.format.lower()}"
    else:
        ending = source.suffix.lower() if source.suffix.lower() in _WRITABLE else ".wav"
    if ending not in (*_WRITABLE, ".vamp"):
        formats = ", ".join(known[1:] for known in _WRITABLE)
        raise SettingsError(f"output.format is {request.output.format[:20]!r}, but must be one of {formats}")
    folder = service.folder.job_folder(job_id)
    output = folder / f"{harmless_name(source.stem)}-{request.task}{ending}"
    try:
        return service.probe.ask(check_work, request_to_json(request), str(output))
    except VampnetError as error:
        service.folder.delete_job(job_id)
        raise type(error)(without_folders(service, request, str(error))) from None


def without_folders(service: Service, request: Request, message: str) -> str:
    """A message in which files have their names and no folders of the server."""
    for path in (*_audio_of(request), service.config.allowed_root):
        folder = str(Path(path).parent)
        if path and folder != "/":
            message = message.replace(folder + os.sep, "")
    return re.sub(re.escape(str(service.folder.path)) + r"/\w+/\w+/", "", message)


def _check_audio(service: Service, request: Request) -> None:
    """Check length and kind of the audio that a request names."""
    for path in _audio_of(request):
        try:
            facts = service.probe.facts(Path(path))
        except VampnetError as error:
            raise type(error)(without_folders(service, request, str(error))) from None
        check_length(service, facts)


def check_length(service: Service, facts: dict[str, Any]) -> None:
    """Raises SettingsError for audio that is too long for this server."""
    if facts["seconds"] > service.config.max_seconds:
        raise SettingsError(f"the audio has {facts['seconds']:.1f} s, but this server takes at most "
                            f"{service.config.max_seconds:g} s; cut it")  # fmt: skip
