"""Keys, limits and slow callers of the HTTP service; a server that starts again."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from pathlib import Path

import httpx2
import pytest

from tests.integration.test_http import WAV, send, sentence, vamp
from tests.support.server import ended_job, running_server, wait_for
from vampnet.apps.http import guard
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.keys import KeyRing, add_key
from vampnet.errors import ServerError
from vampnet.jobs.table_schema import TableError


def test_keys_separate_callers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    keys = tmp_path / "keys"
    ann, bob = add_key(str(keys), "ann"), add_key(str(keys), "bob")
    assert ann not in keys.read_text()
    with running_server(ServerConfig(data=str(tmp_path / "data"), keys=str(keys))) as (address, _):
        anyone = httpx2.Client(base_url=address, timeout=60)
        assert anyone.get("/health").status_code == 200
        for path in ("/api/v1/jobs", "/metrics", "/api/v1/openapi.json", "/nothing", "/gradio_api/file=x"):
            answer = anyone.get(path)
            assert "an API key is needed" in sentence(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        sentence(anyone.get("/api/v1/jobs", headers={"Authorization": f"Bearer {ann}x"}), 401)
        sentence(anyone.get("/api/v1/jobs", headers={"Authorization": f"Basic {ann}"}), 401)

        first = httpx2.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {ann}"})
        other = httpx2.Client(base_url=address, timeout=60, headers={"X-API-Key": bob})
        job = ended_job(first, send(first, vamp(), headers={"Idempotency-Key": "1"}).json()["id"])
        assert job["state"] == "done"
        assert other.get("/api/v1/jobs").json()["jobs"] == []
        for answer in (
            other.get(f"/api/v1/jobs/{job['id']}"), other.delete(f"/api/v1/jobs/{job['id']}"),
            other.post(f"/api/v1/jobs/{job['id']}/cancel"), other.get(job["outputs"][0]["audio"]),
            other.get(f"/api/v1/jobs/{job['id']}/events"),
        ):  # fmt: skip
            assert "there is no job" in sentence(answer, 404)
        file = first.post("/api/v1/files", files={"audio": ("a.wav", WAV)}).json()
        sentence(other.get(f"/api/v1/files/{file['id']}"), 404)
        sentence(other.post("/api/v1/jobs", json=vamp(input=f"file:{file['id']}")), 422)
        sentence(other.post("/api/v1/jobs", json=vamp(input=f"job:{job['id']}/1")), 404)
        assert send(other, vamp(), headers={"Idempotency-Key": "1"}).json()["id"] != job["id"]

        keys.write_text("".join(line for line in keys.open() if not line.startswith("ann")))  # taken back at once
        sentence(first.get("/api/v1/jobs"), 401)
        for client in (anyone, first, other):
            client.close()
    assert ann not in caplog.text and bob not in caplog.text


def test_bad_keys_files_and_names(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with pytest.raises(ServerError, match="cannot be read"):
        KeyRing(str(path))
    path.write_text("# a comment\n\nann notahash\n")
    with pytest.raises(ServerError, match="line 3: expected NAME SHA256"):
        KeyRing(str(path))
    path.write_text("")
    with pytest.raises(ServerError, match="a key's name"):
        add_key(str(path), "ann smith")
    key = add_key(str(path), "ann")
    with pytest.raises(ServerError, match="already"):
        add_key(str(path), "ann")
    assert KeyRing(str(path)).owner(key) == "ann"
    assert KeyRing(str(path)).owner("\udcff") is None


def test_queue_and_rate_limits_say_when_to_come_back(tmp_path: Path) -> None:
    config = ServerConfig(data=str(tmp_path / "data"), max_queue=1, rate=6)
    with running_server(config, step_s=0.2) as (address, _), httpx2.Client(base_url=address, timeout=60) as http:
        first = send(http, vamp(steps=500)).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/jobs/{first}").json()["state"] == "running")
        waiting = send(http, vamp()).json()
        assert (waiting["state"], waiting["position"]) == ("queued", 0)
        full = send(http, vamp())
        assert "1 jobs are waiting" in sentence(full, 429) and int(full.headers["retry-after"]) > 0
        cancelled = http.post(f"/api/v1/jobs/{waiting['id']}/cancel").json()
        assert cancelled["state"] == "cancelled"  # one that waits is cancelled at once
        http.post(f"/api/v1/jobs/{first}/cancel")
        assert http.post(f"/api/v1/jobs/{first}/cancel").status_code == 200
        many = http.post(f"/api/v1/jobs/{first}/cancel")
        assert "too many calls" in sentence(many, 429) and int(many.headers["retry-after"]) <= 61
        assert http.get("/api/v1/jobs").status_code == 200  # looking is free


def test_slow_callers_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vampnet.apps.http.server._HEADER_S", 0.3)
    config = ServerConfig(data=str(tmp_path / "data"), body_timeout_s=0.3)
    with running_server(config) as (address, _):
        port = int(address.rsplit(":", 1)[1])
        silent = socket.create_connection(("127.0.0.1", port), timeout=60)
        silent.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        assert silent.recv(100) == b""  # closed
        slow = socket.create_connection(("127.0.0.1", port), timeout=60)
        slow.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
        with httpx2.Client(base_url=address) as http:
            assert http.get("/health").status_code == 200


def test_jobs_wait_for_the_next_start(tmp_path: Path) -> None:
    config = ServerConfig(data=str(tmp_path / "data"), grace_s=0.0)
    with running_server(config, step_s=0.1) as (address, _), httpx2.Client(base_url=address, timeout=60) as http:
        running, waiting = (send(http, vamp(seed=seed, steps=20)).json()["id"] for seed in (1, 2))
        wait_for(lambda: http.get(f"/api/v1/jobs/{running}").json()["state"] == "running")
    with running_server(config) as (address, _), httpx2.Client(base_url=address, timeout=60) as http:
        for job_id, seed in ((running, 1), (waiting, 2)):
            job = ended_job(http, job_id)
            assert (job["state"], job["tries"], job["result"]["outputs"][0]["seed"]) == ("done", 1, seed)


def test_unforeseen_errors_have_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(ServerConfig(data=str(tmp_path / "data"))) as (address, service):
        monkeypatch.setattr(type(service), "model_state", lambda self: 1 / 0)
        with httpx2.Client(base_url=address) as http:
            assert "an internal error" in sentence(http.get("/health"), 500)


def test_log_shows_no_key_and_no_control_characters() -> None:
    assert guard._without_key("/harp/vn_secret/gradio_api/upload") == "/harp/KEY/gradio_api/upload"
    assert "\n" not in guard._without_key("/a\nb")


def test_large_json_is_refused(tmp_path: Path) -> None:
    with running_server(ServerConfig(data=str(tmp_path / "data"))) as (address, _):
        body = json.dumps(vamp(input="x" * 2_000_000)).encode()
        with httpx2.Client(base_url=address, timeout=60) as http:
            answer = http.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
            assert "1 MB of JSON" in sentence(answer, 413)


def test_connections_of_ended_threads_are_closed(tmp_path: Path) -> None:
    with running_server(ServerConfig(data=str(tmp_path / "data"))) as (_, service):
        before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
        for _ in range(20):
            thread = threading.Thread(target=lambda: service.table.counts())
            thread.start()
            thread.join()
        assert len(service._opened) <= 5
        if before:
            assert len(list(Path("/proc/self/fd").iterdir())) < before + 20


def test_a_full_disk_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        running_server(ServerConfig(data=str(tmp_path / "data"))) as (address, service),
        httpx2.Client(base_url=address, timeout=60) as http,
    ):
        with monkeypatch.context() as patch:
            patch.setattr("vampnet.apps.http.uploads.shutil.copyfileobj", no_space)
            answer = http.post("/api/v1/files", files={"audio": ("a.wav", WAV)})
            assert "free some disk space" in sentence(answer, 507)
            assert list(service.folder.files.iterdir()) == []
        with monkeypatch.context() as patch:
            error = TableError("the job table cannot be used: database or disk is full")
            patch.setattr(type(service.table), "submit", lambda *_, **__: (_ for _ in ()).throw(error))
            assert "disk is full" in sentence(send(http, vamp()), 503)
        assert ended_job(http, send(http, vamp()).json()["id"])["state"] == "done"
    assert "Traceback" not in caplog.text
