"""The HTTP service over real sockets, with workers that need no model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support import fake_worker
from tests.support.server import ended_job, running_server, wait_for
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.service import Service

WAV = wav_bytes(0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    root = tmp_path_factory.mktemp("server")
    (root / "music").mkdir()
    (root / "music" / "loop.wav").write_bytes(WAV)
    (root / "secret.wav").write_bytes(WAV)
    (root / "music" / "link.wav").symlink_to(root / "secret.wav")
    config = ServerConfig(
        data=str(root / "data"), allowed_root=str(root / "music"), max_upload_mb=1.0, max_seconds=10.0,
        max_variations=3, rate=100000, max_queue=50, lease_s=2.0,
    )  # fmt: skip
    with running_server(config) as running:
        yield running


@pytest.fixture
def http(server: tuple[str, Service]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server[0], timeout=60) as client:
        yield client


def vamp(seed: int = 3, steps: int = 4, **fields: object) -> dict:
    return {"task": "vamp", "prompt": "periodic(7)", "sampling": {"steps": steps, "seed": seed}, **fields}


def send(http: httpx2.Client, request: dict, audio: bytes = WAV, name: str = "loop.wav", **more: object):
    files = {"audio": (name, audio, "audio/wav")}
    return http.post("/api/v1/jobs", data={"request": json.dumps(request)}, files=files, **more)  # type: ignore[arg-type]


def sentence(response: httpx2.Response, status: int) -> str:
    """The sentence of an error answer."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "request_id"} and body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in body["error"] and "\n" not in body["error"]
    return body["error"]


def test_a_job_from_upload_to_output(http: httpx2.Client) -> None:
    answer = send(http, vamp(seed=5, variations=2))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert job["request"] == {"task": "vamp", "input": "loop.wav", "variations": 2, "sampling": {"steps": 4, "seed": 5}}
    job = ended_job(http, job["id"])
    assert (job["state"], job["progress"]["share"], job["error"]) == ("done", 1.0, None)
    assert [output["name"] for output in job["outputs"]] == ["loop-vamp-1.wav", "loop-vamp-2.wav"]
    assert [output["seed"] for output in job["result"]["outputs"]] == [5, 6]
    assert "/" not in job["result"]["input"]["file"]
    for number, output in enumerate(job["outputs"]):
        audio = http.get(output["audio"])
        assert audio.content == wav_bytes(0.1, 5 + number)
        assert audio.headers["content-type"] == "audio/wav" and "attachment" in audio.headers["content-disposition"]
    part = http.get(job["outputs"][0]["audio"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    peaks = http.get(job["outputs"][0]["peaks"], params={"bins": 10}).json()
    assert len(peaks["low"]) == len(peaks["high"]) == 10 and max(peaks["high"]) == pytest.approx(8000 / 32768, abs=0.01)


def test_an_upload_serves_many_jobs_and_outputs_are_inputs(http: httpx2.Client) -> None:
    file = http.post("/api/v1/files", files={"audio": ("Süße 1.wav", WAV)}).json()
    assert (file["name"], file["sample_rate_hz"], file["channels"], file["seconds"]) == ("Süße 1.wav", 44100, 1, 0.5)
    first = http.post("/api/v1/jobs", json=vamp(input=f"file:{file['id']}")).json()
    assert ended_job(http, first["id"])["state"] == "done"
    second = http.post("/api/v1/jobs", json=vamp(seed=4, input=f"job:{first['id']}/1")).json()
    assert ended_job(http, second["id"])["result"]["input"]["file"] == "Süße 1-vamp.wav"
    assert http.get(f"/api/v1/files/{file['id']}/audio").content == WAV
    assert len(http.get(f"/api/v1/files/{file['id']}/peaks").json()["low"]) == 1000
    assert http.delete(f"/api/v1/files/{file['id']}").status_code == 204
    assert "no file" in sentence(http.get(f"/api/v1/files/{file['id']}"), 404)


def test_files_below_the_allowed_root_alone_may_be_named(http: httpx2.Client, server: tuple[str, Service]) -> None:
    job = http.post("/api/v1/jobs", json=vamp(input="loop.wav"))
    assert ended_job(http, job.json()["id"])["state"] == "done"
    root = Path(server[1].config.allowed_root)
    job = http.post("/api/v1/jobs", json=vamp(input=str(root / "loop.wav")))
    assert job.status_code == 202
    for path in (
        "../secret.wav", str(root.parent / "secret.wav"), "link.wav", "/etc/passwd", "-", "loop.wav\0", ".", "",
        "..\\secret.wav", "\u2025/secret.wav", "%2e%2e/secret.wav", "/proc/self/environ", "x" * 5000, "nothing.wav",
        f"file:../../{root.name}", "file:" + "0" * 24, "job:" + "0" * 24 + "/1", "http://localhost/loop.wav",
    ):  # fmt: skip
        said = sentence(http.post("/api/v1/jobs", json=vamp(input=path)), 404 if path.startswith("job:") else 422)
        assert "secret.wav'" not in said or "no such path" in said
    for fields in (
        {"beats": {"file": "/etc/passwd"}}, {"beats": {"tracker": "/etc/passwd"}},
        {"steering": {"follow": "/etc/passwd:beats"}}, {"steering": {"follow": "../secret.wav:beats"}},
        {"model": {"bundle": "/etc"}}, {"model": {"lora": ["/etc/passwd:0.5"]}}, {"model": {"device": "cuda:7"}},
    ):  # fmt: skip
        sentence(http.post("/api/v1/jobs", json=vamp() | {"input": "loop.wav"} | fields), 422)
    file = http.post("/api/v1/files", files={"audio": ("other.wav", WAV)}).json()["id"]
    for followed in ("loop.wav", f"file:{file}"):
        fields = {"input": "loop.wav", "steering": {"follow": f"{followed}:beats, Chords"}}
        job = http.post("/api/v1/jobs", json=vamp() | fields)
        assert job.status_code == 202 and job.json()["request"]["steering"] == fields["steering"]
        work = server[1].table.get(job.json()["id"]).work["steering"]["follow"]
        assert Path(work.rpartition(":")[0]).is_absolute() and work.endswith(":beats,chords")


def test_events_tell_of_a_job_until_it_ends(http: httpx2.Client) -> None:
    job_id = send(http, vamp(steps=30)).json()["id"]
    names, shares, last = [], [], ""
    with http.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line[7:])
            elif line.startswith("id: "):
                last = line[4:]
            elif line.startswith("data: "):
                shares.append(json.loads(line[6:])["progress"]["share"])
    assert names[-1] == "done" and set(names) <= {"queued", "progress", "done"} and "progress" in names
    assert shares == sorted(shares) and shares[-1] == 1.0
    again = http.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last}).text
    assert again.count("event: ") == 1 and "event: done" in again


def test_events_of_all_jobs(http: httpx2.Client) -> None:
    seen: set[tuple[str, str]] = set()
    with http.stream("GET", "/api/v1/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        job_id = send(http, vamp()).json()["id"]
        for line in lines:
            if line.startswith("data: "):
                job = json.loads(line[6:])
                seen.add((job["id"], job["state"]))
                if (job_id, "done") in seen:
                    break
    assert (job_id, "done") in seen


def test_cancel_stops_a_running_job(http: httpx2.Client, server: tuple[str, Service]) -> None:
    job_id = send(http, vamp(steps=1000)).json()["id"]
    wait_for(lambda: http.get(f"/api/v1/jobs/{job_id}").json()["progress"]["share"] > 0)
    answer = http.post(f"/api/v1/jobs/{job_id}/cancel")
    assert answer.status_code == 200 and answer.json()["cancel_requested"]
    assert ended_job(http, job_id)["state"] == "cancelled"
    steps = server[1].folder.path / "steps"
    stood = steps.stat().st_size
    time.sleep(0.2)
    assert steps.stat().st_size == stood
    assert "is cancelled" in sentence(http.get(f"/api/v1/jobs/{job_id}/outputs/1/audio"), 409)


def test_deleted_job_is_gone_with_its_files(http: httpx2.Client, server: tuple[str, Service]) -> None:
    job_id = send(http, vamp()).json()["id"]
    ended_job(http, job_id)
    assert http.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert not server[1].folder.job_folder(job_id).exists()
    for answer in (http.get(f"/api/v1/jobs/{job_id}"), http.delete(f"/api/v1/jobs/{job_id}")):
        assert "no job" in sentence(answer, 404)


def test_failures_are_sentences(http: httpx2.Client) -> None:
    refused = ended_job(http, send(http, vamp(seed=fake_worker.REFUSES)).json()["id"])
    assert (refused["state"], refused["error"]) == ("failed", "loop.wav: has no samples")
    crashed = ended_job(http, send(http, vamp(seed=fake_worker.CRASHES)).json()["id"])
    assert crashed["error"] == "an internal error (ValueError); the server's log says more"


def test_idempotency_key_gives_the_same_job_and_refuses_another_request(http: httpx2.Client) -> None:
    key = {"Idempotency-Key": "take-1"}
    first, again = (send(http, vamp(), headers=key).json()["id"] for _ in range(2))
    assert first == again
    assert "another request" in sentence(send(http, vamp(seed=99), headers=key), 409)


@pytest.mark.parametrize(
    ("request_data", "says"),
    [
        ({"task": "vamp", "sampling": {"steps": 0}}, "steps is 0, but must lie in 1 to 1000"),
        ({"task": "vamp", "stepps": 3}, "unknown setting stepps"),
        ({"task": "sing"}, "task is 'sing'"),
        ({"task": "vamp", "variations": 4}, "this server makes at most 3"),
        ({"task": "vamp", "input": "loop.wav"}, "audio came with the request"),
        ({"task": "outpaint", "after_s": 11}, "this server makes at most 10 s"),
        ({"task": "generate", "seconds": 11}, "this server makes at most 10 s"),
        ({"task": "vamp", "prompt": "periodic(" * 2000}, ""),
        ([], "expected an object"),
        ("vamp", "expected an object"),
    ],
)
def test_bad_requests_say_what_is_wrong(http: httpx2.Client, request_data: dict, says: str) -> None:
    assert says in sentence(send(http, request_data), 422)


def test_new_music_without_seconds_is_measured_too(http: httpx2.Client) -> None:
    words = {"task": "generate", "words": {"bpm": 120, "bars": 16}}
    assert "is 32, but this server makes at most 10 s" in sentence(http.post("/api/v1/jobs", json=words), 422)
    answer = http.post("/api/v1/jobs", json={"task": "generate", "sampling": {"steps": 2}})
    assert answer.status_code == 202 and ended_job(http, answer.json()["id"])["state"] == "done"


def test_uploads_that_lie(http: httpx2.Client) -> None:
    wrong = WAV[:40] + b"\xff\xff\x0f\x00" + WAV[44:]
    for audio in (b"", b"RIFF", b"\0" * 1000, b"<html>", WAV[:100], wrong, b"ID3" + b"\xff" * 500, b"fLaC" + WAV):
        assert "cannot read 'loop.wav'" in sentence(send(http, vamp(), audio), 422)
    assert "at most 10 s" in sentence(send(http, vamp(), wav_bytes(11.0, rate_hz=8000)), 422)
    assert "may have 1 MB" in sentence(send(http, vamp(), b"\0" * 3_000_000), 413)
    assert len(http.get("/api/v1/jobs", params={"limit": 500}).json()["jobs"]) < 500  # and it lives


def test_malformed_bodies(http: httpx2.Client) -> None:
    path = "/api/v1/jobs"
    assert "no JSON" in sentence(http.post(path, content=b"{", headers={"Content-Type": "application/json"}), 400)
    deep = b"[" * 100_000
    sentence(http.post(path, content=deep, headers={"Content-Type": "application/json"}), 400)
    assert "multipart" in sentence(http.post(path, content=b"x", headers={"Content-Type": "text/plain"}), 415)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    sentence(http.post(path, content=b"--y\r\n", headers=form), 400)
    sentence(http.post(path, content=b"x", headers={"Content-Type": "multipart/form-data"}), 400)
    assert "fields request" in sentence(http.post(path, files={"other": ("a", b"b")}), 422)
    assert "input is missing" in sentence(http.post(path, json=vamp()), 422)


def test_health_ready_metrics_and_document(http: httpx2.Client) -> None:
    wait_for(lambda: http.get("/ready").status_code == 200)
    health = http.get("/health").json()
    assert (health["status"], health["model"], health["workers"]) == ("ok", "ready", 1)
    metrics = http.get("/metrics").text
    assert 'vampnet_jobs{state="queued"} 0.0' in metrics and "vampnet_http_requests_total" in metrics
    document = http.get("/api/v1/openapi.json").json()
    assert {"Request", "JobResult", "JobView"} <= set(document["components"]["schemas"])
    assert set(http.get("/api/v1/schema").json()) == {"request", "result"}
    assert "Not Found" in sentence(http.get("/nothing"), 404)


def test_headers_of_every_answer(http: httpx2.Client) -> None:
    answer = http.get("/health", headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    assert http.get("/health", headers={"X-Request-ID": "a b\tc" * 50}).headers["x-request-id"] != "a b\tc" * 50


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),  # a name that was rebound to 127.0.0.1
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "192.168.1.7:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.nip.io"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_hosts_and_origins(http: httpx2.Client, headers: dict[str, str], status: int) -> None:
    assert http.get("/health", headers=headers).status_code == status


def test_own_page_may_post(http: httpx2.Client) -> None:
    assert send(http, vamp(), headers={"Origin": str(http.base_url).rstrip("/")}).status_code == 202
    refused = send(http, vamp(), headers={"Origin": "https://evil.example"})
    assert "other sites" in sentence(refused, 403)
