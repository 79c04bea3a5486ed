"""Uploads: files that callers hand over, kept in the data folder under random ids."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from vampnet.apps.http.service import Service
from vampnet.apps.http.submission import check_length, file_owner
from vampnet.errors import JobError, VampnetError
from vampnet.jobs.data_folder import harmless_name
from vampnet.jobs.table import new_id
from vampnet.storage import write_whole

_VAMP_FILE = b"VAMP"


class UnknownFile(JobError):
    """A file that is not there."""


def store_upload(service: Service, name: str, content: BinaryIO, owner: str) -> Path:
    """Keep a file that was handed over, if it is audio (or a .vamp file) and not too long. Raises VampnetError."""
    folder = service.folder.files / new_id()
    folder.mkdir(mode=0o700)
    path = folder / harmless_name(name)
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        facts = _facts(service, path)
        facts |= {"id": folder.name, "name": path.name, "bytes": path.stat().st_size, "owner": owner}
        write_whole(folder / ".facts.json", json.dumps(facts))
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, VampnetError):
            raise type(error)(str(error).replace(str(folder) + os.sep, "")) from None
        raise
    return path


def own_file(service: Service, file_id: str, owner: str) -> Path:
    """An upload of this owner. Raises UnknownFile."""
    path = service.folder.file(file_id)
    if path is None or file_owner(path) != owner:
        raise UnknownFile(f"there is no file {file_id[:40]!r}; it may have expired or been deleted")
    return path


def file_facts(path: Path) -> dict[str, Any]:
    """Facts of an upload."""
    return json.loads((path.parent / ".facts.json").read_text("utf-8"))


def _facts(service: Service, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        if file.read(4) == _VAMP_FILE:
            return {"format": "VAMP"}
    facts = service.probe.facts(path)
    check_length(service, facts)
    return facts
