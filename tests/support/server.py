"""A server in a thread of the test, with workers that need no model."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx2
import uvicorn

from tests.support import fake_finetuner, fake_worker
from vampnet.apps.http.app import make_app
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.server import _listen, _Protocol
from vampnet.apps.http.service import Service
from vampnet.jobs.finetune_worker import FinetuneWorkerConfig
from vampnet.jobs.worker import WorkerConfig

PATIENCE_S = 120.0
ROOT = Path(__file__).parents[2]


def fake_command(step_s: float = 0.01) -> Callable[[WorkerConfig], Sequence[str]]:
    """Command line of a worker whose steps take this long."""

    def command(settings: WorkerConfig) -> Sequence[str]:
        return [sys.executable, fake_worker.__file__, json.dumps(dataclasses.asdict(settings)), str(step_s)]

    return command


def fake_finetune_command(step_s: float = 0.01) -> Callable[[FinetuneWorkerConfig], Sequence[str]]:
    """Command line of a process that fine-tunes nothing, in steps that take this long."""

    def command(settings: FinetuneWorkerConfig) -> Sequence[str]:
        return [sys.executable, fake_finetuner.__file__, json.dumps(dataclasses.asdict(settings)), str(step_s)]

    return command


@contextlib.contextmanager
def running_server(
    config: ServerConfig, *, step_s: float = 0.01, port: int = 0, with_model: bool = False
) -> Iterator[tuple[str, Service]]:
    """Address and service of a server that lives while the block runs; port 0 takes a free one."""
    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), path])
    try:
        listener = _listen("127.0.0.1", port)
        stand_ins = {} if with_model else {"worker": fake_command(step_s), "finetuner": fake_finetune_command(step_s)}
        service = Service(config, **stand_ins)  # type: ignore[arg-type]
        settings = uvicorn.Config(make_app(service), http=_Protocol, ws="none", log_config=None, access_log=False,
                                  server_header=False)  # fmt: skip
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", service
    finally:
        service.watcher.closed = True
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        os.environ["PYTHONPATH"] = path


def wait_for(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def ended_job(http: httpx2.Client, job_id: str) -> dict:
    """A job, once it has ended."""
    job: dict = {}

    def is_ended() -> bool:
        job.update(http.get(f"/api/v1/jobs/{job_id}").json())
        return job["state"] in ("done", "failed", "cancelled")

    wait_for(is_ended)
    return job
