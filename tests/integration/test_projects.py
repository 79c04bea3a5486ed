"""Projects and takes over real sockets, with workers that need no model; kept over a restart, exported, imported."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.support.server import ended_job, running_server
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.service import Service
from vampnet.generation.token_file import TokenFacts, write_tokens
from vampnet.jobs.data_folder import ExpiryConfig, expire, tokens_path

WAV = wav_bytes(0.5)
VAMP = {"task": "vamp", "prompt": "periodic(5)", "sampling": {"steps": 2, "seed": 3}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    with running_server(ServerConfig(data=str(tmp_path_factory.mktemp("data")), rate=100000)) as running:
        yield running


@pytest.fixture
def http(server: tuple[str, Service]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server[0], timeout=60) as client:
        yield client


def new_project(http: httpx2.Client, name: str = "Song") -> dict:
    file = http.post("/api/v1/files", files={"audio": ("loop.wav", WAV)}).json()
    answer = http.post("/api/v1/projects", json={"name": name, "input": f"file:{file['id']}"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def make_take(http: httpx2.Client, project: dict, source: str = "", parent: str | None = None, **fields) -> dict:
    """The newest take of a project, made by a job that is waited for."""
    params = {"project": project["id"], **({"parent": parent} if parent else {})}
    answer = http.post("/api/v1/jobs", params=params, json={**VAMP, "input": source or project["input"], **fields})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["project"], answer.json()["parent"]) == (project["id"], parent)
    assert ended_job(http, answer.json()["id"])["state"] == "done"
    return http.get(f"/api/v1/projects/{project['id']}").json()["takes"][-1]


def test_jobs_of_a_project_become_takes_by_themselves(http: httpx2.Client) -> None:
    project = new_project(http)
    first = make_take(http, project)
    assert (first["parent"], first["number"], first["seed"], first["pinned"]) == (None, 1, 3, False)
    assert first["summary"] == "vamp, periodic(5), seed 3" and first["command"].startswith("vampnet vamp")
    assert "model.vamp('loop.wav', prompt='periodic(5)'" in first["python"] and first["kept_share"] == 0.5
    second = make_take(http, project, f"job:{first['job']}/1", first["id"], variations=2)
    takes = http.get(f"/api/v1/projects/{project['id']}").json()["takes"]
    assert [take["parent"] for take in takes] == [None, first["id"], first["id"]] and second["number"] == 2
    code = http.get(f"/api/v1/jobs/{first['job']}/outputs/1/code").json()
    assert code["json"]["task"] == "vamp" and code["python"] == first["python"]
    url = f"/api/v1/projects/{project['id']}/takes/{first['id']}"
    assert http.patch(url, json={"name": "  keep\nthis ", "pinned": True}).json()["name"] == "keep this"
    assert http.delete(url).status_code == 204  # those made from it stay, and hang on its parent
    assert [t["parent"] for t in http.get(f"/api/v1/projects/{project['id']}").json()["takes"]] == [None, None]
    again = http.post(f"/api/v1/projects/{project['id']}/takes", json={"job": first["job"], "number": 1})
    assert again.status_code == 201 and again.json()["job"] == first["job"]


def test_failed_jobs_leave_no_takes(http: httpx2.Client) -> None:
    project = new_project(http)
    params = {"project": project["id"]}
    job = http.post("/api/v1/jobs", params=params, json={**VAMP, "input": project["input"], "sampling": {"seed": 1003}})
    assert ended_job(http, job.json()["id"])["state"] == "failed"
    assert http.get(f"/api/v1/projects/{project['id']}").json()["takes"] == []
    refused = http.post("/api/v1/jobs", params={"project": "0" * 24}, json={**VAMP, "input": project["input"]})
    assert refused.status_code == 404 and "no project" in refused.json()["error"]
    refused = http.post("/api/v1/jobs", params={**params, "parent": "0" * 16}, json={**VAMP, "input": project["input"]})
    assert refused.status_code == 404 and "no take" in refused.json()["error"]


def test_state_is_kept_and_bounded(http: httpx2.Client) -> None:
    project = new_project(http, "State")
    url = f"/api/v1/projects/{project['id']}"
    assert http.patch(url, json={"state": {"zoom": 2, "wörter": ["ß"]}}).json()["state"] == {"zoom": 2, "wörter": ["ß"]}
    assert http.patch(url, json={"name": "Other"}).json()["state"]["zoom"] == 2
    assert http.patch(url, json={"input": None}).json()["input"] is None
    assert http.patch(url, json={"state": {"x": "y" * 70_000}}).status_code == 422
    assert (
        http.patch(url, content=b'{"state": {"x": NaN}}', headers={"Content-Type": "application/json"}).status_code
        == 422
    )
    assert http.patch(
        url, content=b'{"name": "\\ud800"}', headers={"Content-Type": "application/json"}
    ).status_code in (200, 422)
    assert http.post("/api/v1/projects", json={"input": "file:" + "0" * 24}).status_code == 404
    assert http.delete(url).status_code == 204 and http.get(url).status_code == 404


def test_takes_do_not_expire(http: httpx2.Client, server: tuple[str, Service]) -> None:
    project = new_project(http, "Kept")
    take = make_take(http, project)
    other = http.post("/api/v1/jobs", json={**VAMP, "input": project["input"]}).json()["id"]
    ended_job(http, other)
    gone = expire(server[1].folder, server[1].table, ExpiryConfig(keep_hours=0, keep_gb=0))
    assert other in gone and take["job"] not in gone
    assert http.get(f"/api/v1/jobs/{take['job']}/outputs/1/audio").status_code == 200
    assert http.get(f"/api/v1/files/{project['input'][5:]}/audio").content == WAV


def test_a_project_goes_into_one_file_and_comes_back(http: httpx2.Client, tmp_path: Path) -> None:
    project = new_project(http, "Süße")
    first = make_take(http, project)
    make_take(http, project, f"job:{first['job']}/1", first["id"])
    http.patch(f"/api/v1/projects/{project['id']}", json={"state": {"shown": f"job:{first['job']}/1"}})
    exported = http.get(f"/api/v1/projects/{project['id']}/export")
    assert exported.headers["content-type"] == "application/zip"
    with running_server(ServerConfig(data=str(tmp_path))) as (address, _), httpx2.Client(base_url=address) as elsewhere:
        answer = elsewhere.post("/api/v1/projects/import", files={"file": ("one.zip", exported.content)})
        assert answer.status_code == 201, answer.text
        copy = answer.json()
        assert (copy["name"], len(copy["takes"])) == ("Süße", 2)
        assert copy["takes"][1]["parent"] == copy["takes"][0]["id"]
        assert copy["state"] == {"shown": f"job:{copy['takes'][0]['job']}/1"}
        for ours, theirs in zip(
            http.get(f"/api/v1/projects/{project['id']}").json()["takes"], copy["takes"], strict=True
        ):
            audio = [client.get(f"/api/v1/jobs/{take['job']}/outputs/1/audio").content
                     for client, take in ((http, ours), (elsewhere, theirs))]  # fmt: skip
            assert audio[0] == audio[1] and ours["seed"] == theirs["seed"] and ours["python"] == theirs["python"]
        assert elsewhere.get(f"/api/v1/files/{copy['input'][5:]}/audio").content == WAV
        assert elsewhere.delete("/api/v1/data").status_code == 204
        assert elsewhere.get("/api/v1/projects").json() == {"projects": []}
        assert elsewhere.get("/api/v1/jobs").json()["jobs"] == []
        assert not any((tmp_path / "files").iterdir()) and not any((tmp_path / "jobs").iterdir())


def test_damaged_and_hostile_archives_are_refused(http: httpx2.Client, server: tuple[str, Service]) -> None:
    def packed(described: object, **members: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("project.json", json.dumps(described))
            for name, content in members.items():
                archive.writestr(name, content)
        return file.getvalue()

    job = {"request": {**VAMP, "input": "x.wav"}, "outputs": ["../../evil.wav"]}
    described = {"format": 1, "name": "x", "jobs": {"a": job}, "takes": [{"id": "1", "job": "a", "number": 1}]}
    for content, says in (
        (b"no zip", "no project"),
        (packed([]), "says nothing"),
        (packed({**described, "format": 9}), "format 9"),
        (packed(described), "is missing"),
        (packed({**described, "jobs": {"a": {**job, "request": {"task": "sing"}}}}), "task is 'sing'"),
        (packed(described, **{"jobs/a/../../evil.wav": b"RIFF"}), "cannot read"),
    ):
        answer = http.post("/api/v1/projects/import", files={"file": ("one.zip", content)})
        assert answer.status_code == 422 and says in answer.json()["error"], answer.text
    assert not list(server[1].folder.path.parent.rglob("evil.wav"))[1:]


def test_projects_outlive_a_restart(tmp_path: Path) -> None:
    config = ServerConfig(data=str(tmp_path))
    with running_server(config) as (address, _), httpx2.Client(base_url=address) as http:
        project = new_project(http)
        take = make_take(http, project)
    with running_server(config) as (address, _), httpx2.Client(base_url=address) as http:
        assert http.get("/api/v1/projects").json()["projects"][0]["id"] == project["id"]
        assert http.get(f"/api/v1/projects/{project['id']}").json()["takes"] == [take]


def test_an_earlier_output_is_gone_on_from_by_its_tokens(
    http: httpx2.Client, server: tuple[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project(http, "Tokens")
    first = make_take(http, project)
    service = server[1]
    output = Path(service.table.get(first["job"]).outputs[0])
    assert service.table.get(first["job"]).work["output"] == {"tokens": True}
    facts = TokenFacts("0" * 16, 44100, 4410, 1.0, False)
    write_tokens(tokens_path(output), np.zeros((1, 14, 6), np.int32), facts)  # what a real worker would leave there
    region = {"task": "inpaint", "regions": [[0, None]]}
    for fields, wants in (({}, True), ({"task": "loop", "bars": 1}, False), (region, True)):
        data = {**VAMP, "input": f"job:{first['job']}/1", **fields}
        data.pop("prompt", None)
        job = http.post("/api/v1/jobs", json=data).json()
        work = service.table.get(job["id"]).work
        assert work.get("tokens") == (str(tokens_path(output)) if wants else None), fields
        assert work["output"] == {"tokens": True} and "output" not in job["request"]
    plain = http.post("/api/v1/jobs", json={**VAMP, **region, "input": project["input"]})
    assert "output" not in service.table.get(plain.json()["id"]).work
    fill = {"task": "inpaint", "input": project["input"], "regions": [[0.1, 0.2]]}
    for longest_s, keeps in ((600.0, True), (0.1, False)):
        monkeypatch.setattr("vampnet.apps.http.submission.LONGEST_CODED_S", longest_s)
        job = http.post("/api/v1/jobs", params={"project": project["id"]}, json=fill).json()["id"]
        assert ("output" in service.table.get(job).work) == keeps  # an hour is not encoded for a second that is filled
    refused = http.post("/api/v1/jobs", json={**VAMP, "input": project["input"], "tokens": "/etc/passwd"})
    assert refused.status_code == 422 and "takes no such path" in refused.json()["error"]
    exported = http.get(f"/api/v1/projects/{project['id']}/export").content
    assert f"jobs/{first['job']}/{output.name}.tokens" in zipfile.ZipFile(io.BytesIO(exported)).namelist()
    copy = http.post("/api/v1/projects/import", files={"file": ("one.zip", exported)}).json()
    copied = Path(service.table.get(copy["takes"][0]["job"]).outputs[0])
    assert tokens_path(copied).read_bytes() == tokens_path(output).read_bytes()


def test_models_and_adapters_of_the_server(http: httpx2.Client, server: tuple[str, Service]) -> None:
    assert http.get("/api/v1/models").json() == {"models": [{"name": "default", "is_default": True}]}
    assert http.get("/api/v1/loras").json() == {"loras": []}
    file = server[1].folder.loras / "jazz.safetensors"
    file.write_bytes(b"adapter")
    assert [lora["name"] for lora in http.get("/api/v1/loras").json()["loras"]] == ["jazz"]
    source = http.post("/api/v1/files", files={"audio": ("loop.wav", WAV)}).json()["id"]
    for text, is_known in (("jazz", True), ("jazz:0.5", True), ("rock", False), ("../jobs", False)):
        answer = http.post("/api/v1/jobs", json={**VAMP, "input": f"file:{source}", "model": {"lora": [text]}})
        assert (answer.status_code == 202) == is_known, answer.text
        if is_known:
            work = server[1].table.get(answer.json()["id"]).work
            assert work["model"]["lora"] == [text.replace("jazz", str(file))]
