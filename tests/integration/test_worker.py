"""Worker processes with an engine that needs no model: cancel, kill -9, release, orphans, idle unloading."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import fake_worker
from vampnet.jobs.crew import Crew
from vampnet.jobs.data_folder import DataFolder
from vampnet.jobs.table import CANCELLED, DONE, FAILED, QUEUED, RUNNING, JobRow, JobTable, NewJob, new_id

PATIENCE_S = 120.0


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def command(folder: DataFolder, step_s: float = 0.01, **settings: object) -> list[str]:
    config = {"data": str(folder.path), "lease_s": 1.0} | settings
    return [sys.executable, fake_worker.__file__, json.dumps(config), str(step_s)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    return DataFolder(tmp_path / "data")


@pytest.fixture
def table(folder: DataFolder) -> JobTable:
    return folder.table()


@pytest.fixture
def crew(folder: DataFolder) -> Iterator[Crew]:
    crew = Crew(lambda k: command(folder, name=f"w{k}"), 1)
    crew.start()
    yield crew
    crew.stop()
    assert crew.pids == []


def put(folder: DataFolder, table: JobTable, seed: int = 0, steps: int = 4) -> str:
    job_id = new_id()
    request = {"task": "vamp", "prompt": "periodic(7)", "sampling": {"steps": steps, "seed": seed}}
    work = request | {"input": str(folder.files / "id" / "in.wav")}
    outputs = [str(folder.job_folder(job_id) / "in-vamp.wav")]
    table.submit(NewJob(id=job_id, request=request, work=work, outputs=outputs))
    return job_id


def ended(table: JobTable, job_id: str) -> JobRow:
    wait_for(lambda: table.get(job_id).is_finished)
    return table.get(job_id)


def steps_done(folder: DataFolder) -> int:
    path = folder.path / "steps"
    return path.stat().st_size if path.exists() else 0


def test_jobs_end_as_they_should_and_messages_have_no_folders(folder: DataFolder, table: JobTable, crew: Crew) -> None:
    good = put(folder, table, seed=5)
    crash = put(folder, table, seed=fake_worker.CRASHES)
    refused = put(folder, table, seed=fake_worker.REFUSES)
    once = put(folder, table, seed=fake_worker.DIES_ONCE)
    always = put(folder, table, seed=fake_worker.DIES)

    job = ended(table, good)
    assert job.state == DONE and job.share == 1.0
    assert job.result is not None
    assert job.result["outputs"][0] == {
        "file": "in-vamp.wav", "seed": 5, "variation": 1, "seconds": 0.1, "kept_share": 0.5,
        "command": "vampnet vamp -o in-vamp.wav", "kept_s": [],
    }  # fmt: skip
    assert job.result["input"]["file"] == "in.wav"

    job = ended(table, crash)
    assert job.state == FAILED and job.error == "an internal error (ValueError); the server's log says more"
    job = ended(table, refused)
    assert job.state == FAILED and job.error == "in.wav: has no samples"
    job = ended(table, once)
    assert job.state == DONE and job.tries == 2
    job = ended(table, always)
    assert job.state == FAILED and job.tries == 3 and "3 times" in (job.error or "")
    assert crew.restarts == 4


def test_jobs_of_one_model_run_together(folder: DataFolder, table: JobTable) -> None:
    good, refused, cancelled, crash, last = (
        put(folder, table, seed=seed, steps=steps)
        for seed, steps in ((1, 4), (fake_worker.REFUSES, 4), (2, 100), (fake_worker.CRASHES, 4), (3, 4))
    )
    worker = subprocess.Popen([*command(folder), "8"])
    try:
        wait_for(lambda: table.get(refused).is_finished)
        wait_for(lambda: table.get(cancelled).share > 0)
        table.cancel(cancelled)
        states = [ended(table, job_id).state for job_id in (good, refused, cancelled, crash, last)]
    finally:
        worker.terminate()
        worker.wait()
    assert states == [DONE, FAILED, CANCELLED, FAILED, DONE]
    assert (folder.path / "batches").read_text() == "5 new\n2 resumed\n"  # then the crash, and what is left alone
    result = table.get(last).result
    assert result is not None and result["outputs"][0]["seed"] == 3


def test_cancel_stops_the_work(folder: DataFolder, table: JobTable, crew: Crew) -> None:
    job_id = put(folder, table, steps=1000)
    wait_for(lambda: table.get(job_id).share > 0)
    table.cancel(job_id)
    assert ended(table, job_id).state == CANCELLED
    stood = steps_done(folder)
    time.sleep(0.3)
    assert steps_done(folder) == stood < 1000


def test_deleting_a_running_job_stops_the_work(folder: DataFolder, table: JobTable, crew: Crew) -> None:
    job_id = put(folder, table, steps=1000)
    wait_for(lambda: table.get(job_id).share > 0)
    table.delete(job_id)
    assert ended(table, put(folder, table)).state == DONE
    assert steps_done(folder) < 1000


def test_sigterm_finishes_a_short_job_and_gives_a_long_one_back(folder: DataFolder, table: JobTable) -> None:
    for steps, grace_s, state in ((40, 60.0, DONE), (1000, 0.0, QUEUED)):
        worker = subprocess.Popen(command(folder, grace_s=grace_s))
        job_id = put(folder, table, steps=steps)
        wait_for(lambda job_id=job_id: table.get(job_id).share > 0)
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0
        assert (table.get(job_id).state, table.get(job_id).tries) == (state, int(state == DONE))
    assert table.workers() == []


def test_worker_without_its_server_gives_the_job_back(folder: DataFolder, table: JobTable) -> None:
    script = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(1000)"
    server = subprocess.Popen([sys.executable, "-c", script, *command(folder, grace_s=0.0)])
    job_id = put(folder, table, steps=1000)
    wait_for(lambda: table.get(job_id).state == RUNNING)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    wait_for(lambda: table.get(job_id).state == QUEUED)
    wait_for(lambda: table.workers() == [])


def test_model_is_freed_when_idle(folder: DataFolder, table: JobTable) -> None:
    worker = subprocess.Popen(command(folder, unload_after_s=0.3))
    try:
        wait_for(lambda: [w.state for w in table.workers()] == ["ready"])
        wait_for(lambda: [(w.state, w.model) for w in table.workers()] == [("unloaded", "")])
        assert ended(table, put(folder, table)).state == DONE
    finally:
        worker.terminate()
        worker.wait()


def test_bad_settings_of_a_worker_are_one_line() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "vampnet.jobs.worker", '{"data": "x", "lease_s": 0}'], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stderr == "vampnet worker: worker: lease_s is 0, but must lie in 0.1 to 3600.0\n" or (
        "lease_s is 0" in run.stderr and "Traceback" not in run.stderr
    )
