"""Data folder of a server: the job table, files that were handed over, and what jobs made of them.

    FOLDER/jobs.db             the table
    FOLDER/files/ID/NAME       a file that was uploaded
    FOLDER/jobs/ID/NAME        outputs of a job
    FOLDER/loras/NAME          adapters that everyone may use; those of an API key's owner lie in a folder below

Ids are random hexadecimal numbers and names are reduced to harmless characters, so no request can name another file.
Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from vampnet.config import check_settings, setting
from vampnet.errors import JobError
from vampnet.jobs.table import JobTable
from vampnet.storage import cause

_ID = re.compile(r"[0-9a-f]{24}")
_MAX_NAME = 100
_HARMLESS = re.compile(r"[^\w .()\[\]+,=@-]")


@dataclass(frozen=True)
class ExpiryConfig:
    """When finished jobs and files are deleted."""

    keep_hours: float = setting(168.0, low=0.0, high=87600.0)
    """Hours that a finished job and its outputs are kept, 0 to 87600."""
    keep_gb: float = setting(20.0, low=0.0, high=1e6)
    """Gigabytes of outputs and files that are kept, 0 to 1e6; the oldest go first."""

    def __post_init__(self) -> None:
        check_settings(self)


class DataFolder:
    """The files of one server."""

    def __init__(self, path: str | Path) -> None:
        """Make the folder where it is missing. Raises JobError where that is not possible."""
        self.path = Path(path).absolute()
        try:
            for folder in (self.path, self.files, self.jobs):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise JobError(f"data folder {str(path)!r} cannot be made: {cause(error)}; name another one") from None

    @property
    def files(self) -> Path:
        """Folder of the files that were sent in or made."""
        return self.path / "files"

    @property
    def jobs(self) -> Path:
        """Folder of the jobs' working folders."""
        return self.path / "jobs"

    def table(self) -> JobTable:
        """The job table; every thread opens its own."""
        return JobTable(self.path / "jobs.db")

    def file(self, file_id: str) -> Path | None:
        """An uploaded file by its id; None where there is none."""
        if not _ID.fullmatch(file_id):
            return None
        return next(iter(entry for entry in _entries(self.files / file_id) if not entry.name.startswith(".")), None)

    def job_folder(self, job_id: str) -> Path:
        """Folder of a job's outputs."""
        return self.jobs / job_id

    def delete_job(self, job_id: str) -> None:
        """Delete a job's outputs."""
        if _ID.fullmatch(job_id):
            shutil.rmtree(self.jobs / job_id, ignore_errors=True)

    @property
    def loras(self) -> Path:
        """Folder of the adapters that requests may name, made where it is missing."""
        folder = self.path / "loras"
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def own_loras(self, owner: str) -> Path:
        """Folder of the adapters that an owner made; without keys, that of all adapters."""
        folder = self.loras
        if owner:
            folder /= hashlib.sha256(owner.encode()).hexdigest()[:16]
            folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def usable_loras(self, owner: str) -> dict[str, Path]:
        """Adapters that an owner may use, by their names: those of everyone and one's own."""
        folders = dict.fromkeys((self.loras, self.own_loras(owner)))
        return {
            path.stem: path for folder in folders for path in sorted(folder.glob("*.safetensors")) if path.is_file()
        }

    def delete_file(self, file_id: str) -> None:
        """Delete an uploaded file."""
        if _ID.fullmatch(file_id):
            shutil.rmtree(self.files / file_id, ignore_errors=True)

    def size_bytes(self) -> int:
        """Bytes of all outputs and files."""
        return sum(_folder_bytes(folder) for top in (self.files, self.jobs) for folder in _entries(top))


def expire(folder: DataFolder, table: JobTable, config: ExpiryConfig, *, now: float | None = None) -> list[str]:
    """Delete finished jobs that are too old or take too much room, then files that no job needs; returns the jobs' ids.

    A file is kept as long as a job or a project names it, and for as long as a job is kept after it came. Takes of
    projects do not expire, and do not count.
    """
    now = time.time() if now is None else now
    oldest, gone = now - 3600 * config.keep_hours, list[str]()
    size, most = folder.size_bytes(), config.keep_gb * 1e9
    size -= sum(_folder_bytes(folder.job_folder(job_id)) for job_id in table.kept_ids())
    for job_id, ended in table.ends():
        if size <= most and ended >= oldest:
            break
        size -= _folder_bytes(folder.job_folder(job_id))
        table.delete(job_id)
        folder.delete_job(job_id)
        gone.append(job_id)
    for entry in sorted(_entries(folder.files), key=_modified):
        if (_modified(entry) >= oldest and size <= most) or table.is_named(entry.name):
            continue
        size -= _folder_bytes(entry)
        folder.delete_file(entry.name)
    known = table.ids()
    for entry in _entries(folder.jobs):
        if entry.name not in known and _modified(entry) < now - 3600:
            folder.delete_job(entry.name)
    return gone


def tokens_path(output: str | Path) -> Path:
    """Where the tokens of an output are kept: song.wav -> song.wav.tokens."""
    path = Path(output)
    return path.with_name(f"{path.name}.tokens")


def harmless_name(name: str, default: str = "audio") -> str:
    """A file name without folders, control characters and anything that a shell or header could mistake."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/")).rsplit("/", 1)[-1]
    name = _HARMLESS.sub("_", name).strip(". ")
    stem, ending = os.path.splitext(name)
    ending = ending[:12]
    while len((stem + ending).encode()) > _MAX_NAME:
        stem = stem[:-1]
    return (stem or default) + ending


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _folder_bytes(folder: Path) -> int:
    total = 0
    for entry in folder.rglob("*") if folder.is_dir() else ():
        try:
            total += entry.stat().st_size if entry.is_file() else 0
        except OSError:
            continue  # deleted meanwhile
    return total


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
