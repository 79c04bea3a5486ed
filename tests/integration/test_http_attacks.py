"""Attacks on the HTTP service besides those of test_http.py and test_http_limits.py: odd bytes on the wire."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.test_http import WAV, send, sentence, vamp
from tests.support.server import ended_job, running_server
from vampnet.apps.http.config import ServerConfig


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = ServerConfig(data=str(tmp_path_factory.mktemp("data")), rate=100000, max_upload_mb=1.0, body_timeout_s=2.0)
    with running_server(config) as (where, _):
        yield where


@pytest.fixture
def http(address: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=address, timeout=60) as client:
        yield client


def raw(address: str, sent: bytes) -> bytes:
    """What a server answers to bytes."""
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=60) as connection:
        connection.sendall(sent)
        answer = b""
        while part := connection.recv(65536):
            answer += part
            if b"\r\n\r\n" in answer:
                break
        return answer


START = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (START + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}", b"400"),
        (START + b"Content-Length: -1\r\n\r\n{}", b"400"),
        (START + b"Content-Length: 99999999999999999999\r\n\r\n{}", b"413"),
        (START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", b"400"),
        (START + b"X: " + b"a" * 100_000 + b"\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b"400"),
        (b"GET /hea\x00lth HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),  # TLS
    ],
)
def test_broken_requests(address: str, http: httpx2.Client, sent: bytes, status: bytes) -> None:
    assert raw(address, sent).split(b" ", 2)[1] == status
    assert http.get("/health").status_code == 200


def test_a_chunked_body_that_also_names_a_length_is_one_request(address: str) -> None:
    inner = b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = raw(address, START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + inner)
    assert answer.startswith(b"HTTP/1.1 4") and b"vampnet_jobs" not in answer


def test_web_sockets_and_other_methods_are_refused(http: httpx2.Client) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x" * 24,
        "Sec-WebSocket-Version": "13",
    }
    assert http.get("/api/v1/events/ws", headers=upgrade).status_code == 404
    for method in ("PUT", "PATCH", "TRACE", "FOO"):
        assert http.request(method, "/api/v1/jobs").status_code == 405


@pytest.mark.parametrize(
    "path", ["//evil.example/%2e%2e/health", "/api/v1/jobs/%00", "/api/v1/jobs/..%2f..", "/" + "a/" * 3000]
)
def test_odd_paths(http: httpx2.Client, path: str) -> None:
    assert http.get(path).status_code in (400, 404, 422)


def test_forms_of_many_parts_and_odd_names(http: httpx2.Client) -> None:
    many = [("audio", (f"{n}.wav", b"x")) for n in range(2000)]
    assert 400 <= http.post("/api/v1/jobs", files=many).status_code < 500
    fields = {f"f{n}": "x" for n in range(5000)}
    assert 400 <= http.post("/api/v1/jobs", data=fields, files={"audio": ("a.wav", b"x")}).status_code < 500
    for name in (
        'a"\r\nX-Evil: 1\r\n.wav',
        "../../jobs.db.wav",
        "a;filename=b.wav",
        "\u202ewav.exe.wav",
        "a" * 400 + ".wav",
    ):
        job = ended_job(http, send(http, vamp(), name=name).json()["id"])
        audio = http.get(job["outputs"][0]["audio"])
        assert audio.status_code == 200 and "x-evil" not in audio.headers
        assert "/" not in job["outputs"][0]["name"] and len(job["outputs"][0]["name"]) < 150


def test_odd_numbers_and_encodings_of_json(http: httpx2.Client) -> None:
    json_type = {"Content-Type": "application/json"}
    for text in ('{"task": "generate", "seconds": 1e400}',
                 '{"task": "generate", "seconds": -0.0}', '{"task": "generate", "sampling": {"steps": 1e30}}',
                 '{"task": "generate", "sampling": {"seed": 99999999999999999999999}}',
                 '"generate"', "[]", "null"):  # fmt: skip
        sentence(http.post("/api/v1/jobs", content=text, headers=json_type), 422)
    for text in ('{"task": "generate", "seconds": NaN}', '{"task": "vamp", "task": "generate"}'):
        sentence(http.post("/api/v1/jobs", content=text, headers=json_type), 400)
    for body in (b"\xff\xfe{}", "{}".encode("utf-16"), b"\x1f\x8b\x08\x00" + b"\0" * 20, b"\xed\xa0\x80"):
        answer = http.post("/api/v1/jobs", content=body, headers={**json_type, "Content-Encoding": "gzip"})
        assert answer.status_code in (400, 415, 422)


def test_ranges(http: httpx2.Client) -> None:
    job = ended_job(http, send(http, vamp()).json()["id"])
    url, size = job["outputs"][0]["audio"], len(http.get(job["outputs"][0]["audio"]).content)
    many = "bytes=" + ",".join("0-" for _ in range(2000))
    for value in (
        many,
        "bytes=5-1",
        "bytes=-0",
        f"bytes={size}-",
        "bytes=a-b",
        "bytes=" + "9" * 400 + "-",
        "lines=0-1",
    ):
        answer = http.get(url, headers={"Range": value})
        assert answer.status_code in (200, 206, 400, 416), (value[:40], answer.status_code)
        assert len(answer.content) <= 2 * size + 1000


def test_callers_that_do_not_read_and_open_streams_hold_up_no_one(address: str, http: httpx2.Client) -> None:
    port = int(address.rsplit(":", 1)[1])
    idle = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(150)]
    for connection in idle:
        connection.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert http.get("/health").status_code == 200
    assert ended_job(http, send(http, vamp(), WAV).json()["id"])["state"] == "done"
    for connection in idle:
        connection.close()
    assert json.loads(http.get("/health").content)["status"] == "ok"
