from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vampnet.errors import JobError
from vampnet.jobs.data_folder import DataFolder, ExpiryConfig, expire, harmless_name
from vampnet.jobs.table import DONE, JobRow, JobTable, NewJob, new_id


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def done_job(folder: DataFolder, table: JobTable, n_bytes: int = 1000, upload: str = "") -> JobRow:
    job_id = new_id()
    output = folder.job_folder(job_id) / "out.wav"
    output.parent.mkdir()
    output.write_bytes(b"x" * n_bytes)
    work = {"task": "vamp", "input": str(folder.files / upload / "in.wav")}
    table.submit(NewJob(id=job_id, request={}, work=work, outputs=[str(output)]))
    (job,) = table.claim("w", 10)
    table.finish(job, DONE, result={})
    return table.get(job_id)


def put_file(folder: DataFolder, n_bytes: int = 10, age_s: float = 0.0) -> str:
    file_id = new_id()
    path = folder.files / file_id / "in.wav"
    path.parent.mkdir()
    path.write_bytes(b"x" * n_bytes)
    os.utime(path.parent, (time.time() - age_s, time.time() - age_s))
    return file_id


def test_old_jobs_go_with_their_outputs(folder: DataFolder) -> None:
    table = folder.table()
    job = done_job(folder, table)
    config = ExpiryConfig(keep_hours=1)
    assert expire(folder, table, config) == []
    assert expire(folder, table, config, now=time.time() + 3700) == [job.id]
    assert not folder.job_folder(job.id).exists()
    assert table.list() == []


def test_oldest_jobs_go_when_there_is_too_much(folder: DataFolder) -> None:
    table = folder.table()
    first, second = done_job(folder, table), done_job(folder, table)
    assert expire(folder, table, ExpiryConfig(keep_gb=1500e-9)) == [first.id]
    assert Path(second.outputs[0]).exists()


def test_unfinished_jobs_never_expire(folder: DataFolder) -> None:
    table = folder.table()
    table.submit(NewJob(id=new_id(), request={}, work={}, outputs=[]))
    assert expire(folder, table, ExpiryConfig(keep_hours=0, keep_gb=0), now=time.time() + 1e6) == []
    assert len(table.list()) == 1


def test_file_is_kept_while_a_job_names_it(folder: DataFolder) -> None:
    table = folder.table()
    named, unnamed = put_file(folder, age_s=7200), put_file(folder, age_s=7200)
    done_job(folder, table, upload=named)
    expire(folder, table, ExpiryConfig(keep_hours=1))
    assert folder.file(named) is not None
    assert folder.file(unnamed) is None


@pytest.mark.parametrize("file_id", ["", "..", "../jobs.db", "x" * 24, "a" * 23, "0" * 24 + "\n", "0" * 24])
def test_ids_of_another_form_name_no_file(folder: DataFolder, file_id: str) -> None:
    assert folder.file(file_id) is None


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("loop.wav", "loop.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\music\\Süße Schleife 1.wav", "Süße Schleife 1.wav"),
        ("", "audio"),
        ("..", "audio"),
        (".wav", "wav"),
        ("a\0b\nc'd\"e$(f).wav", "a_b_c_d_e_(f).wav"),
        ("u\u0308.wav", "ü.wav"),
        ("\u202egnp.wav", "_gnp.wav"),
    ],
)
def test_harmless_names(name: str, harmless: str) -> None:
    assert harmless_name(name) == harmless


def test_long_names_are_cut_and_keep_their_ending() -> None:
    name = harmless_name("ü" * 500 + ".flac")
    assert name.endswith("ü.flac") and len(name.encode()) <= 106


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match="cannot be made"):
        DataFolder(tmp_path / "file" / "data")
