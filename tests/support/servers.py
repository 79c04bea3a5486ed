"""Commands that serve, each with a client that asks for something of every kind and then ends the server by SIGTERM."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.commands import Command
from tests.support.listening import rated, result_of
from tests.support.wav_bytes import wav_bytes

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
_VAMP = {"task": "vamp", "prompt": "periodic(5)", "sampling": {"steps": 2, "c2f_steps": 1, "seed": 3}}
_PORTS: dict[str, int] = {}


def _free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _client(work: Callable[[Path], None]) -> Callable[[Path, bool], None]:
    """The thread of a client: does the work and ends the server. Without faults, what it does not get is a failure."""

    def run(outputs: Path, strict: bool) -> None:
        try:
            work(outputs)
        except Exception as error:
            if strict:
                print(f"client: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(71)
        os.kill(os.getpid(), signal.SIGTERM)

    return run


def _http(port: int) -> Any:
    import httpx2

    client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False)
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return client
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.02)


def _json(answer: Any) -> Any:
    """The JSON of an answer; errors are one sentence."""
    if answer.status_code >= 400:
        text = answer.json()["error"]
        if "\n" in text or "Traceback" in text:
            print(f"Traceback in an answer: {text}", file=sys.stderr, flush=True)
        raise AssertionError(text)
    return answer.json() if answer.content else None


def _ended(http: Any, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 4 * PATIENCE_S
    while (job := _json(http.get(f"/api/v1/jobs/{job_id}")))["state"] not in ("done", "failed", "cancelled"):
        assert time.monotonic() < deadline, f"the job does not end: {job}"
        time.sleep(0.03)
    assert job["state"] == "done", job
    return job


def _ask_server(outputs: Path) -> None:
    http = _http(_PORTS["http"])
    file = _json(http.post("/api/v1/files", files={"audio": ("loop.wav", wav_bytes(0.5))}))
    job = _ended(http, _json(http.post("/api/v1/jobs", json=_VAMP | {"input": f"file:{file['id']}"}))["id"])
    assert http.get(job["outputs"][0]["audio"]).content[:4] == b"RIFF"
    _json(http.get(job["outputs"][0]["peaks"]))
    _json(http.delete(f"/api/v1/jobs/{job['id']}"))


def _ask_studio(outputs: Path) -> None:
    http = _http(_PORTS["http"])
    assert b"<html" in http.get("/studio/").content
    file = _json(http.post("/api/v1/files", files={"audio": ("loop.wav", wav_bytes(0.5))}))["id"]
    project = _json(http.post("/api/v1/projects", json={"name": "Song", "input": f"file:{file}"}))["id"]
    answer = http.post("/api/v1/jobs", params={"project": project}, json=_VAMP | {"input": f"file:{file}"})
    _ended(http, _json(answer)["id"])
    take = _json(http.get(f"/api/v1/projects/{project}"))["takes"][-1]["id"]
    _json(http.patch(f"/api/v1/projects/{project}/takes/{take}", json={"name": "this one", "pinned": True}))
    exported = http.get(f"/api/v1/projects/{project}/export")
    assert exported.status_code == 200, exported.text
    copy = _json(http.post("/api/v1/projects/import", files={"file": ("one.zip", exported.content)}))
    _json(http.delete(f"/api/v1/projects/{copy['id']}"))


def _serve(name: str, *words: str, with_model: bool = False) -> Callable[[Path, Path], list[str]]:
    def arguments(inputs: Path, outputs: Path) -> list[str]:
        os.environ["PYTHONPATH"] = str(ROOT)
        if not with_model:
            import vampnet.apps.http.service as service
            from tests.support.server import fake_command

            service.worker_command = fake_command()
        line = [name, "--port", str(_PORTS["http"]), "--data", f"{outputs}/data", "--bundle", f"{inputs}/bundle"]
        return [*line, "--device", "cpu", "--grace-s", "1", *words]

    return arguments


def _ask_listening(outputs: Path) -> None:
    from vampnet.evaluation.listening.design import load_test

    http, test = _http(_PORTS["listen"]), load_test(outputs / "test")
    assert b"<html" in http.get("/").content
    for number in range(1, 4):
        result = result_of(test, number, rated(test, {stimulus.condition: 50 for stimulus in test.stimuli}))
        answer = http.post("/results", content=json.dumps(result), headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 201), answer.text


def _ask_osc(outputs: Path) -> None:
    from pythonosc.osc_message_builder import OscMessageBuilder

    answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answers.bind(("127.0.0.1", _PORTS["reply"]))
    answers.settimeout(0.5)
    builder = OscMessageBuilder("/vamp")
    values = ("one", "in.wav", "steps", 1, "c2f_steps", 1, "bundle", str(outputs.parents[1] / "inputs" / "bundle"))
    for value in values:
        builder.add_arg(value)
    deadline = time.monotonic() + 4 * PATIENCE_S
    while time.monotonic() < deadline:
        answers.sendto(builder.build().dgram, ("127.0.0.1", _PORTS["osc"]))  # again and again, as packets are lost
        with contextlib.suppress(TimeoutError):
            said = answers.recv(1 << 16)
            assert not said.startswith(b"/error"), said
            if said.startswith(b"/done"):
                return
    raise AssertionError("no answer")


def _copied(*names: str) -> Callable[[Path, Path], None]:
    def copy(inputs: Path, outputs: Path) -> None:
        for name in names:
            source, target = inputs / name, outputs / Path(name).name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)

    return copy


def _choose_ports(inputs: Path, outputs: Path) -> None:
    _PORTS.update(http=_free_port(), listen=_free_port(), osc=_free_port(socket.SOCK_DGRAM))
    _PORTS.update(reply=_free_port(socket.SOCK_DGRAM))


def _after_ports(seed: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def both(inputs: Path, outputs: Path) -> None:
        _choose_ports(inputs, outputs)
        seed(inputs, outputs)

    return both


_DATA = ("data/*", "test/results.sqlite*")
SERVERS = (
    Command("serve", _serve("serve"), _choose_ports, loose=_DATA, client=_client(_ask_server)),
    Command(
        "serve, its model",
        _serve("serve", with_model=True),
        _choose_ports,
        is_slow=True,
        loose=_DATA,
        client=_client(_ask_server),
    ),
    Command(
        "studio",
        _serve("studio", "--no-browser"),
        _choose_ports,
        is_slow=True,
        loose=_DATA,
        client=_client(_ask_studio),
    ),
    Command(
        "listen serve",
        lambda i, o: ["listen", "serve", f"{o}/test", "--port", str(_PORTS["listen"])],
        _after_ports(_copied("listening/test")),
        loose=_DATA,
        client=_client(_ask_listening),
    ),
    Command(
        "osc",
        lambda i, o: [
            *("osc", "--alone", "--folder", f"{o}/songs", "--data", f"{o}/data"),
            *("--port", str(_PORTS["osc"]), "--reply-port", str(_PORTS["reply"])),
        ],
        _after_ports(lambda i, o: ((o / "songs").mkdir(), shutil.copy(i / "in.wav", o / "songs"))[0]),
        loose=_DATA,
        client=_client(_ask_osc),
    ),
)
"""Servers of jobs have workers that need no model, but where their name says so."""
