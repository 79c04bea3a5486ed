"""Fine-tuning over real sockets by a stand-in, and a short real run by the function that the process calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.server import ended_job, running_server, wait_for
from tests.support.tiny import in_float32, tone, write_tiny_bundle
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.keys import add_key
from vampnet.apps.http.service import Service
from vampnet.audio.files import read, write
from vampnet.generation.progress import Progress
from vampnet.jobs.data_folder import ExpiryConfig, expire
from vampnet.jobs.finetune_job import FinetuneRequest, keep_music, run_finetune
from vampnet.models.lora import read_adapter

WAV = wav_bytes(1.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    with running_server(ServerConfig(data=str(tmp_path_factory.mktemp("data")), rate=100000, lease_s=1.0)) as running:
        yield running


@pytest.fixture
def http(server: tuple[str, Service]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server[0], timeout=60) as client:
        yield client


def hand_over(http: httpx2.Client, *names: str) -> list[str]:
    """References of uploads of these names."""
    return [f"file:{http.post('/api/v1/files', files={'audio': (name, WAV)}).json()['id']}" for name in names]


def begin(http: httpx2.Client, name: str, **fields) -> dict:
    body = {"name": name, "files": hand_over(http, "one.wav", "two.wav"), "steps": 5, **fields}
    answer = http.post("/api/v1/finetunes", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_an_adapter_is_made_used_and_deleted(http: httpx2.Client, server: tuple[str, Service]) -> None:
    service = server[1]
    files = hand_over(http, "same.wav", "same.wav")
    job = begin(http, "my music", files=files)
    for file in files:  # what was handed over is no longer needed
        http.delete(f"/api/v1/files/{file[5:]}")
    assert job["task"] == "finetune" and job["request"]["seconds"] == 3.0 and job["tries"] <= 1
    done = ended_job(http, job["id"])
    assert done["state"] == "done", done
    facts = done["result"]["facts"]
    assert facts["lora"] == "my music" and facts["train_files"] + facts["held_out_files"] == [
        "same (2).wav",
        "same.wav",
    ]
    assert [output["name"] for output in done["outputs"]] == [
        "my music-original.wav", "my music-without.wav", "my music-with.wav"
    ]  # fmt: skip
    assert all(http.get(output["audio"]).content[:4] == b"RIFF" for output in done["outputs"])
    assert http.get("/api/v1/finetunes").json()["finetunes"][0]["id"] == job["id"]
    assert http.get("/api/v1/loras").json()["loras"][0]["name"] == "my music"
    folder = service.folder.job_folder(job["id"])
    assert not (folder / "music").exists() and not (folder / "run").exists()
    request = {"task": "vamp", "input": hand_over(http, "x.wav")[0], "model": {"lora": ["my music:0.5"]}}
    vamp = http.post("/api/v1/jobs", json=request).json()
    assert vamp["position"] in (0, None) and ended_job(http, vamp["id"])["state"] == "done"
    gone = expire(service.folder, service.table, ExpiryConfig(keep_hours=0, keep_gb=0))
    assert vamp["id"] in gone and job["id"] not in gone
    assert http.delete(f"/api/v1/finetunes/{job['id']}").status_code == 204
    assert http.get("/api/v1/loras").json() == {"loras": []} and not folder.exists()
    assert http.get(f"/api/v1/finetunes/{job['id']}").status_code == 404


def test_what_cannot_be_learned_from_is_refused(http: httpx2.Client) -> None:
    files = hand_over(http, "one.wav")
    short = http.post("/api/v1/files", files={"audio": ("short.wav", wav_bytes(0.2))}).json()["id"]
    for fields, words in (
        ({"name": "../evil"}, "must begin with a letter"),
        ({"name": "a:0.5"}, "must begin with a letter"),
        ({"files": ["file:" + "0" * 24]}, "no file"),
        ({"files": [f"file:{short}"]}, "shorter than a second"),
        ({"bundle": "other"}, "this server has default"),
        ({"steps": 0}, "steps"),
        ({"files": []}, "files"),
    ):
        answer = http.post("/api/v1/finetunes", json={"name": "x", "files": files, "steps": 5, **fields})
        assert answer.status_code in (404, 422) and words in answer.json()["error"], (fields, answer.text)
    vamp = http.post("/api/v1/jobs", json={"task": "vamp", "input": files[0]}).json()
    assert http.get(f"/api/v1/finetunes/{vamp['id']}").status_code == 404
    assert http.get("/api/v1/finetunes").json() == {"finetunes": []}


def test_failures_are_sentences_without_folders(http: httpx2.Client, server: tuple[str, Service]) -> None:
    failed = ended_job(http, begin(http, "fails")["id"])
    assert failed["state"] == "failed" and failed["error"] == "one.wav: cannot be read"
    crashed = ended_job(http, begin(http, "crashes")["id"])
    assert crashed["error"] == "an internal error (ValueError); the server's log says more"
    assert not server[1].folder.job_folder(crashed["id"]).exists()
    project = http.post("/api/v1/projects", json={}).json()["id"]
    done = ended_job(http, begin(http, "no take")["id"])
    answer = http.post(f"/api/v1/projects/{project}/takes", json={"job": done["id"], "number": 1})
    assert answer.status_code == 422 and "cannot become takes" in answer.json()["error"]
    again = http.post("/api/v1/finetunes", json={"name": "No Take", "files": hand_over(http, "one.wav")})
    assert again.status_code == 422 and "there is an adapter 'No Take' already" in again.json()["error"]
    assert http.delete(f"/api/v1/jobs/{done['id']}").status_code == 204
    assert http.get("/api/v1/loras").json() == {"loras": []}


def test_cancelled_deleted_killed_and_restarted(tmp_path: Path) -> None:
    config = ServerConfig(data=str(tmp_path / "data"), rate=100000, lease_s=0.5, grace_s=5.0)
    with running_server(config, step_s=0.05) as (address, service), httpx2.Client(base_url=address) as http:
        waits_behind = begin(http, "first", steps=5000), begin(http, "second", steps=5000)
        first, second = waits_behind
        wait_for(lambda: http.get(f"/api/v1/finetunes/{first['id']}").json()["progress"]["done"] > 1)
        assert http.get(f"/api/v1/finetunes/{second['id']}").json()["position"] == 0
        assert http.post(f"/api/v1/finetunes/{second['id']}/cancel").json()["state"] == "cancelled"
        http.post(f"/api/v1/finetunes/{first['id']}/cancel")
        assert ended_job(http, first["id"])["state"] == "cancelled"
        wait_for(lambda: service.finetuner.pid is None)
        assert not any(service.folder.job_folder(job["id"]).exists() for job in waits_behind)
        killed = ended_job(http, begin(http, "dies once")["id"])
        assert killed["state"] == "done" and killed["tries"] == 2 and killed["result"]["facts"]["processes"] == 2
        deleted = begin(http, "deleted", steps=5000)["id"]
        wait_for(lambda: http.get(f"/api/v1/finetunes/{deleted}").json()["state"] == "running")
        http.delete(f"/api/v1/finetunes/{deleted}")
        wait_for(lambda: service.finetuner.pid is None)
        assert not service.folder.job_folder(deleted).exists()
        last = begin(http, "goes on", steps=20)["id"]
        wait_for(lambda: http.get(f"/api/v1/finetunes/{last}").json()["progress"]["done"] > 1)
    with running_server(config, step_s=0.01) as (address, _), httpx2.Client(base_url=address) as http:
        done = ended_job(http, last)
        assert done["state"] == "done" and done["tries"] == 1 and done["result"]["facts"]["processes"] == 2


def test_adapters_are_those_of_a_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    secrets = [add_key(str(keys), name) for name in ("ann", "ben")]
    config = ServerConfig(data=str(tmp_path / "data"), keys=str(keys), rate=100000)
    with running_server(config) as (address, _):
        ann, ben = (
            httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {secret}"}) for secret in secrets
        )
        job = begin(ann, "mine")
        assert ended_job(ann, job["id"])["state"] == "done"
        assert [lora["name"] for lora in ann.get("/api/v1/loras").json()["loras"]] == ["mine"]
        assert (
            ben.get("/api/v1/loras").json()
            == {"loras": []}
            == {"loras": ben.get("/api/v1/finetunes").json()["finetunes"]}
        )
        assert ben.delete(f"/api/v1/finetunes/{job['id']}").status_code == 404
        request = {"task": "vamp", "input": hand_over(ben, "x.wav")[0], "model": {"lora": ["mine"]}}
        assert ben.post("/api/v1/jobs", json=request).status_code == 422
        assert ann.delete("/api/v1/data").status_code == 204
        assert ann.get("/api/v1/loras").json() == {"loras": []}


def test_a_short_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model learns two steps from three files; one that is too short is left out and named."""
    in_float32(monkeypatch)
    files = []
    for k, seconds in enumerate((2.0, 2.5, 0.4)):
        files.append(tmp_path / f"tone {k}.wav")
        write(files[-1], tone(seconds, seed=k))
    folder = tmp_path / "job"
    keep_music(folder, files)
    request = FinetuneRequest(
        name="tones", files=("a",), bundle=str(write_tiny_bundle(tmp_path / "tiny")), steps=2, rank=2
    )
    outputs, told = [tmp_path / f"{name}.wav" for name in ("original", "without", "with")], list[Progress]()
    result, made = run_finetune(request, folder, outputs, "cpu", told.append)
    facts = result.facts
    assert len(facts["train_files"]) == len(facts["held_out_files"]) == 1
    assert facts["left_out"] == ["tone 2.wav: shorter than 1 s"] and set(facts["nats"]) == {"coarse", "c2f"}
    assert read_adapter(made).factors
    lengths = {read(path).samples.shape for path in outputs}
    assert len(lengths) == 1 and result.outputs[0].seconds > 1.9
    stages = list(dict.fromkeys(progress.stage for progress in told))
    assert stages == ["load", "encode", "train coarse", "train c2f", "samples"]
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and shares[-1] < 1
