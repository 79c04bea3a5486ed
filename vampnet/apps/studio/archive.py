"""Projects as one zip file: project.json, the input, and audio and tokens of every take.

    project.json                 format, name, state, input, jobs, takes
    input/NAME                   the upload that the project began with
    jobs/KEY/NAME                outputs of a job, and their tokens

An archive that is taken in is not trusted: its names are not used as paths, its sizes are bounded before anything is
unpacked, its requests are checked, and its audio is read as any upload is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from vampnet.apps.http.service import Service
from vampnet.apps.http.uploads import store_upload
from vampnet.errors import JobError, VampnetError
from vampnet.jobs.data_folder import harmless_name, tokens_path
from vampnet.jobs.projects import ProjectRow
from vampnet.jobs.request import request_from_json
from vampnet.jobs.table import UnknownJob, new_id
from vampnet.storage import parse_json

FORMAT = 1
_MOST_JSON = 16 << 20
_MOST_JOBS = 5000
_EXPORT_S = 24 * 3600


class ArchiveError(JobError):
    """A file that is no project, or a damaged one."""


def export_project(service: Service, project: ProjectRow) -> Path:
    """Write a project as a zip file; the caller deletes it. Raises JobError where that is not possible."""
    for old in service.folder.path.glob(".export-*.zip"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _EXPORT_S:  # left by a server that was killed
                old.unlink()
    handle, name = tempfile.mkstemp(suffix=".zip", prefix=".export-", dir=service.folder.path)
    try:
        with os.fdopen(handle, "wb") as file:
            _write_archive(file, service, project)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    return Path(name)


def _write_archive(file: BinaryIO, service: Service, project: ProjectRow) -> None:
    takes = service.projects.takes(project)
    jobs: dict[str, Any] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for job_id in dict.fromkeys(take.job for take in takes):
            try:
                job = service.table.get(job_id)
            except UnknownJob:
                continue
            files = [Path(path) for path in job.outputs]
            jobs[job_id] = {
                "request": job.request,
                "result": job.result,
                "outputs": [path.name for path in files],
                "created": job.created,
            }
            for path in [*files, *(tokens_path(path) for path in files)]:
                if path.is_file():
                    archive.write(path, f"jobs/{job_id}/{path.name}")
        source = None
        if project.input is not None:
            path = service.folder.file(project.input.removeprefix("file:"))
            if path is not None:
                source = path.name
                archive.write(path, f"input/{path.name}")
        described = {
            "format": FORMAT,
            "name": project.name,
            "state": project.state,
            "created": project.created,
            "input": project.input,
            "input_name": source,
            "jobs": jobs,
            "takes": [
                {
                    "id": take.id, "parent": take.parent, "job": take.job, "number": take.number, "name": take.name,
                    "pinned": take.pinned,
                }
                for take in takes
                if take.job in jobs
            ],
        }  # fmt: skip
        archive.writestr("project.json", json.dumps(described, indent=1))


def import_project(service: Service, file: BinaryIO, owner: str) -> ProjectRow:
    """Take in an exported project as a new one of this owner. Raises ArchiveError, VampnetError."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _import(service, archive, owner)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ArchiveError(f"this is no project that was exported, or it is damaged ({error})") from None


def _import(service: Service, archive: zipfile.ZipFile, owner: str) -> ProjectRow:
    described = _described(archive)
    most = int(service.config.max_upload_mb * 1e6)
    if sum(entry.file_size for entry in archive.infolist()) > 20 * most:
        raise ArchiveError("the project is too large for this server")
    source = None
    if described.get("input_name"):
        name = str(described["input_name"])
        with _member(archive, f"input/{name}", most) as content:
            source = f"file:{store_upload(service, name, content, owner).parent.name}"
    state = described.get("state")
    text = json.dumps(state if isinstance(state, dict) else {})
    jobs = {old: _import_job(service, archive, old, job, owner, most) for old, job in described["jobs"].items()}
    if isinstance(described.get("input"), str) and source is not None:
        text = text.replace(described["input"], source)
    for old, new in jobs.items():
        text = text.replace(old, new)
    project = service.projects.add(owner, str(described.get("name", "")), source, json.loads(text))
    known: dict[str, str] = {}
    for take in described["takes"]:
        parent = known.get(str(take.get("parent")))
        job = service.table.get(jobs[str(take["job"])])
        number = int(take["number"])
        if not 1 <= number <= len(job.outputs):
            raise ArchiveError(f"the project is damaged: take {take.get('id')!r:.40} names an output that is not there")
        made = service.projects.add_take(
            project, job.id, number, parent, name=str(take.get("name", "")), pinned=bool(take.get("pinned"))
        )
        known[str(take.get("id"))] = made.id
    return project


def _described(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The checked content of project.json."""
    with _member(archive, "project.json", _MOST_JSON) as content:
        try:
            described = parse_json(content.read())
        except (ValueError, RecursionError):
            raise ArchiveError("the project is damaged: its project.json is no JSON") from None
    fits = (
        isinstance(described, dict)
        and isinstance(described.get("jobs"), dict)
        and isinstance(described.get("takes"), list)
        and len(described["jobs"]) <= _MOST_JOBS
        and all(isinstance(job, dict) for job in described["jobs"].values())
        and all(
            isinstance(take, dict) and str(take.get("job")) in described["jobs"] and type(take.get("number")) is int
            for take in described["takes"]
        )
    )
    if not fits:
        raise ArchiveError("the project is damaged: its project.json says nothing of jobs and takes")
    if described.get("format") != FORMAT:
        raise ArchiveError(f"the project is of format {described.get('format')!r:.40}, but this vampnet reads {FORMAT}")
    return described


def _import_job(
    service: Service, archive: zipfile.ZipFile, old: str, job: dict[str, Any], owner: str, most: int
) -> str:
    """A job of an archive as a finished one of this server; its new id."""
    job_id, request = new_id(), job.get("request") or {}
    try:
        request_from_json(request)
    except VampnetError as error:
        raise ArchiveError(f"the project is damaged: {error}") from None
    folder = service.folder.job_folder(job_id)
    folder.mkdir(mode=0o700)
    outputs = []
    names = job.get("outputs")
    for name in names if isinstance(names, list) else []:
        path = folder / harmless_name(str(name))
        with _member(archive, f"jobs/{old}/{name}", most) as content, path.open("xb") as target:
            shutil.copyfileobj(content, target)
        service.probe.facts(path)
        outputs.append(str(path))
        if f"jobs/{old}/{name}.tokens" in archive.namelist():
            with _member(archive, f"jobs/{old}/{name}.tokens", most) as content:
                tokens_path(path).write_bytes(content.read())
    result = job.get("result") if isinstance(job.get("result"), dict) else None
    service.table.add_finished(job_id, request, outputs, result, owner)
    return job_id


def _member(archive: zipfile.ZipFile, name: str, most: int) -> Any:
    """An opened member of an archive. Raises ArchiveError for one that is missing or too large."""
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise ArchiveError(f"the project is damaged: {PurePosixPath(name).name[:100]!r} is missing in it") from None
    if entry.file_size > most:
        raise ArchiveError(f"the project is damaged: {PurePosixPath(name).name[:100]!r} is too large for this server")
    return archive.open(entry)
