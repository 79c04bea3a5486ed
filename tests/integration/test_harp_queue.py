"""Calls of the HARP contract by gradio's queue: raw, and by gradio_client where it is installed.

HARP's repository has a harness for that (model_validation): it asks for the calls, reads the controls, fills them with
their defaults, runs the model, and checks the outputs. Its checks are repeated here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import soundfile

from tests.support import fake_worker
from tests.support.server import running_server, wait_for
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.harp import calls
from vampnet.apps.harp.controls import INPUTS
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.keys import add_key
from vampnet.apps.http.service import Service

WAV = wav_bytes(2.0)
PROCESS = calls.CALLS.index("process")
SLACK_S = 0.05
"""By how much HARP lets a label lie outside the audio."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    with running_server(ServerConfig(data=str(tmp_path_factory.mktemp("queue")))) as running:
        yield running


def messages(http: httpx2.Client, session: str) -> Iterator[dict[str, Any]]:
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        assert stream.status_code == 200
        for line in stream.iter_lines():
            if line:
                yield json.loads(line.removeprefix("data: "))


def join(http: httpx2.Client, session: str, name: str, data: list[Any]) -> str:
    body = {"data": data, "fn_index": calls.CALLS.index(name), "session_hash": session}
    return http.post("/gradio_api/queue/join", json=body).json()["event_id"]


def values(http: httpx2.Client, **changed: Any) -> list[Any]:
    path = http.post("/gradio_api/upload", files={"files": ("Süße 1.wav", WAV)}).json()[0]
    track = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return [track, *(changed.get(control["label"], control["value"]) for control in INPUTS[1:])]


def test_two_calls_of_one_session(server: tuple[str, Service]) -> None:
    with httpx2.Client(base_url=server[0], timeout=60) as http:
        good = join(http, "s1", "process", values(http, Seed="7"))
        bad = join(http, "s1", "process", values(http, Keep="periodic(x)"))
        told = list(messages(http, "s1"))
        ends = {message["event_id"]: message for message in told if message["msg"] == "process_completed"}
        assert ends[good]["success"] and not ends[bad]["success"]
        assert "periodic" in ends[bad]["output"]["error"]
        assert told[-1]["msg"] == "close_stream"
        file, labels = ends[good]["output"]["data"]
        assert http.get(file["url"]).content == wav_bytes(0.1, 7) and labels["labels"]
        assert list(messages(http, "s1")) == [{"msg": "close_stream", "event_id": None}]


def test_cancel_by_id_and_by_leaving(server: tuple[str, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(calls, "CANCEL_GRACE_S", 0.1)
    table = server[1].table
    with httpx2.Client(base_url=server[0], timeout=60) as http:
        named = join(http, "s2", "process", values(http, Steps=64))
        http.post("/gradio_api/cancel", json={"event_id": named, "session_hash": "s2", "fn_index": PROCESS})
        assert [m["output"]["title"] for m in messages(http, "s2") if m["msg"] == "process_completed"] == ["Cancelled"]
        left = join(http, "s3", "process", values(http, Steps=64))
        seen = messages(http, "s3")
        while next(seen)["msg"] != "heartbeat":
            pass
        seen.close()  # type: ignore[attr-defined]
        wait_for(lambda: table.get(left).state == "cancelled")


def test_wrong_calls(server: tuple[str, Service]) -> None:
    with httpx2.Client(base_url=server[0], timeout=60) as http:
        for body in ({}, {"fn_index": 3, "session_hash": "a"}, {"fn_index": True, "session_hash": "a"},
                     {"fn_index": 0, "session_hash": "a/b"}, {"fn_index": 0, "session_hash": 3}, []):  # fmt: skip
            assert http.post("/gradio_api/queue/join", json=body).status_code == 422
        assert http.get("/gradio_api/queue/data", params={"session_hash": "\0"}).status_code == 422
        assert http.post("/gradio_api/cancel", json={"event_id": "x"}).status_code == 200  # nothing to stop


def test_other_keys_see_nothing_of_a_session(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    one, two = add_key(str(keys), "one"), add_key(str(keys), "two")
    with running_server(ServerConfig(data=str(tmp_path / "data"), keys=str(keys))) as (address, service):
        ours = httpx2.Client(base_url=f"{address}/harp/{one}", timeout=60)
        theirs = httpx2.Client(base_url=f"{address}/harp/{two}", timeout=60)
        assert ours.get("/config").json()["title"] == "VampNet"
        assert httpx2.get(f"{address}/config").status_code == 401
        event_id = join(ours, "s", "process", values(ours))
        theirs.post("/gradio_api/cancel", json={"event_id": event_id})
        assert [message["msg"] for message in messages(theirs, "s")] == ["close_stream"]
        assert list(messages(ours, "s"))[-2]["success"] and service.table.get(event_id).state == "done"
        ours.close()
        theirs.close()


@pytest.mark.parametrize("key", [False, True])
def test_gradio_client_and_the_checks_of_harp(tmp_path: Path, key: bool) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    keys = tmp_path / "keys"
    config = ServerConfig(data=str(tmp_path / "data"), keys=str(keys) if key else "")
    secret = add_key(str(keys), "daw") if key else ""
    sent = tmp_path / "test input.wav"
    sent.write_bytes(WAV)
    with running_server(config) as (address, service):
        client = gradio_client.Client(
            f"{address}/harp/{secret}" if key else address, verbose=False, analytics_enabled=False,
            download_files=str(tmp_path / "downloads"),
        )  # fmt: skip
        try:
            assert {"/controls", "/process"} <= set(client.view_api(return_format="dict")["named_endpoints"])
            controls = client.predict(api_name="/controls")
            assert {"card", "inputs", "outputs"} <= set(controls)
            arguments = [
                gradio_client.handle_file(str(sent)) if spec["type"] == "audio_track"
                else spec["value"] or "test" if spec["type"] == "text_box" and spec["label"] not in ("Seed", "Follow")
                else spec["value"]
                for spec in controls["inputs"]
            ]  # fmt: skip
            output, labels = client.submit(*arguments, api_name="/process").result(timeout=60)
            check_outputs(controls, output, labels)
            by_name = client.predict(gradio_client.handle_file(str(sent)), seed="5", steps=3, api_name="/process")
            assert Path(by_name[0]).read_bytes() == wav_bytes(0.1, 5)
            for changed, says in (
                ({"keep": "periodic(x)"}, "periodic"),
                ({"seed": str(fake_worker.REFUSES)}, "has no"),
            ):
                with pytest.raises(gradio_client.exceptions.AppError, match=says):
                    client.predict(gradio_client.handle_file(str(sent)), **changed, api_name="/process")
            job = client.submit(gradio_client.handle_file(str(sent)), steps=64, api_name="/process")
            wait_for(lambda: service.table.counts()["running"])
            job.cancel()
            wait_for(lambda: service.table.counts()["cancelled"] == 1)
        finally:
            client.close()


def check_outputs(controls: dict[str, Any], output: str, labels: dict[str, Any]) -> None:
    """What HARP's harness asks of outputs: a file that is no husk, sound, and labels that lie within it."""
    assert [spec["type"] for spec in controls["outputs"]] == ["audio_track", "json"]
    assert output.endswith(".wav") and Path(output).stat().st_size >= 100
    sound, rate_hz = soundfile.read(output, always_2d=True)
    seconds = len(sound) / rate_hz
    assert (sound**2).mean() ** 0.5 > 10 ** (-60 / 20) and abs(sound).max() < 10 ** (-0.1 / 20)
    assert len(labels["labels"]) >= 1
    for label in labels["labels"]:
        assert -SLACK_S <= label["t"] <= seconds + SLACK_S
        assert label["t"] + label["duration"] <= seconds + SLACK_S
