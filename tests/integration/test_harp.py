"""HARP's contract, driven as HARP 3.0.1 and its newer client do, with workers that need no model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.support import fake_worker
from tests.support.harp_driver import HarpDriver, HarpError
from tests.support.server import PATIENCE_S, running_server, wait_for
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.harp import calls
from vampnet.apps.harp.controls import INPUTS
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.keys import add_key
from vampnet.apps.http.service import Service

WAV = wav_bytes(0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    data = tmp_path_factory.mktemp("harp")
    with running_server(ServerConfig(data=str(data), max_upload_mb=1.0, workers=2, lease_s=2.0)) as running:
        yield running


@pytest.fixture(params=["old", "new"])
def harp(server: tuple[str, Service], request: pytest.FixtureRequest) -> Iterator[HarpDriver]:
    driver = HarpDriver(server[0], parser=request.param)
    yield driver
    driver.close()


def test_controls_come_before_the_model(tmp_path: Path) -> None:
    with running_server(ServerConfig(data=str(tmp_path)), step_s=0.01) as (address, service):
        service.crew.stop()  # no worker will ever load a model
        driver = HarpDriver(address)
        assert driver.load()["card"]["name"] == "VampNet"
        driver.close()


def test_a_run(harp: HarpDriver) -> None:
    path = harp.upload("Süße Schleife 1.wav", WAV)
    audio, name, labels = harp.process(harp.values(path, Seed="7", Steps=3))
    assert audio == wav_bytes(0.1, 7)
    assert name == "Süße Schleife 1-vamp.wav"
    assert [label["label"] for label in labels] == ["generated", "beat", "beat", "seed 7, 50% of the tokens kept"]
    assert labels[-1]["label_type"] == "OutputLabel" and "vampnet vamp" in labels[-1]["description"]


def test_a_name_with_the_words_the_old_client_looks_for(harp: HarpDriver) -> None:
    path = harp.upload("complete error.wav", WAV)
    assert harp.process(harp.values(path))[1] == "complete error-vamp.wav"


def test_empty_seed_takes_a_new_one_each_time(harp: HarpDriver) -> None:
    path = harp.upload("loop.wav", WAV)
    first, second = (harp.process(harp.values(path))[2][-1]["label"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("task", "sent"),
    [
        ("vary", {"task": "vamp"}),
        ("vary as a loop", {"task": "loop"}),
        ("fill a passage", {"task": "inpaint", "regions": [[0.1, 0.3]]}),
        ("go on after the end", {"task": "outpaint", "after_s": 2.0}),
        ("stretch", {"task": "stretch", "factor": 1.5}),
        ("drums from tapping", {"task": "tap"}),
        ("lead from humming", {"task": "hum"}),
    ],
)
def test_tasks_become_requests(server: tuple[str, Service], task: str, sent: dict) -> None:
    driver = HarpDriver(server[0])
    values = driver.values(
        driver.upload("loop.wav", WAV), Task=task, Seed="1", **{"From (s)": 0.1, "To (s)": 0.3, "Seconds to add": 2}
    )
    job_id = driver.start("process", values)
    driver.wait("process", job_id)
    request = httpx2.get(f"{server[0]}/api/v1/jobs/{job_id}").json()["request"]
    assert {key: request.get(key) for key in sent} == sent
    assert request["sampling"]["seed"] == 1
    driver.close()


def test_candidates_follow_if_asked(server: tuple[str, Service]) -> None:
    driver = HarpDriver(server[0])
    values = driver.values(driver.upload("a.wav", WAV), Follow="beats, chords", **{"Best of": 3.0})
    job_id = driver.start("process", values)
    driver.wait("process", job_id)
    request = httpx2.get(f"{server[0]}/api/v1/jobs/{job_id}").json()["request"]
    assert request["steering"] == {"follow": "beats, chords", "best_of": 3}
    driver.close()


def test_the_beat_is_kept_if_asked(server: tuple[str, Service]) -> None:
    driver = HarpDriver(server[0])
    job_id = driver.start("process", driver.values(driver.upload("a.wav", WAV), **{"Keep the beat": True}))
    driver.wait("process", job_id)
    request = httpx2.get(f"{server[0]}/api/v1/jobs/{job_id}").json()["request"]
    assert request["prompt"] == "periodic(7) | beats(after=75ms)"
    driver.close()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"Keep": "periodic(x)"}, "periodic"),
        ({"Task": "sing"}, "Task is 'sing'"),
        ({"Steps": 65}, "Steps is 65, but must lie in 1 to 64"),
        ({"Steps": float("nan")}, "Steps is 'nan', but must be a number"),
        ({"Seed": "-1"}, "Seed is '-1'"),
        ({"Seed": str(fake_worker.REFUSES)}, "loop.wav: has no samples"),
        ({"Seed": str(fake_worker.CRASHES)}, "an internal error (ValueError)"),
        ({"Task": "fill a passage", "From (s)": 0.4, "To (s)": 0.2}, "must begin at 0 s or later"),
    ],
)
def test_errors_are_sentences_and_never_read_as_a_quota(harp: HarpDriver, changed: dict, says: str) -> None:
    values = harp.values(harp.upload("loop.wav", WAV), **changed)
    with pytest.raises(HarpError) as shown:
        harp.process(values)
    assert says in str(shown.value)
    assert "quota" not in str(shown.value).lower() and "Traceback" not in str(shown.value)


def test_wrong_values_are_sentences(harp: HarpDriver) -> None:
    for values, says in (
        ([], "0 values came"),
        (harp.values(None), "Input is empty"),
        (harp.values("/etc/passwd"), "no such upload"),
        (harp.values("../../jobs.db"), "no such upload"),
        (harp.values("0" * 24 + "/a.wav"), "no such upload"),
    ):
        with pytest.raises(HarpError, match=says):
            harp.process(values)
    with pytest.raises(HarpError, match="not known any more"):
        harp.wait("process", "f" * 32)
    with pytest.raises(HarpError, match=r"cannot read 'loop\.wav'"):
        harp.upload("loop.wav", b"no audio")
    with pytest.raises(HarpError, match="may have 1 MB"):
        harp.upload("loop.wav", b"\0" * 3_000_000)


@pytest.mark.parametrize("parser", ["old", "new"])
def test_cancel_stops_the_job_and_ends_its_stream(tmp_path: Path, parser: str) -> None:
    with running_server(ServerConfig(data=str(tmp_path), workers=2), step_s=0.5) as (address, service):
        harp = HarpDriver(address, parser=parser)
        values = harp.values(harp.upload("loop.wav", WAV), Steps=64)
        first, second = harp.start("process", values), harp.start("process", values)
        api = httpx2.post(f"{address}/api/v1/jobs", json={"task": "generate", "sampling": {"steps": 2}}).json()["id"]
        shown: list[str] = []

        def wait() -> None:
            try:
                harp.wait("process", first)
            except HarpError as error:
                shown.append(str(error))

        thread = threading.Thread(target=wait)
        thread.start()
        wait_for(lambda: service.table.get(first).share > 0)
        harp.cancel()
        thread.join(PATIENCE_S)
        assert shown == ["Cancelled: the run was cancelled"]
        wait_for(lambda: service.table.get(second).is_finished and service.table.get(api).is_finished)
        assert service.table.get(second).state == "cancelled"
        assert service.table.get(api).state == "done"  # not HARP's
        steps = service.folder.path / "steps"
        stood = steps.stat().st_size
        time.sleep(1.0)
        assert steps.stat().st_size == stood
        harp.close()


def test_another_token_is_another_client(server: tuple[str, Service]) -> None:
    one, two = HarpDriver(server[0], token="hf_one"), HarpDriver(server[0], token="hf_two")
    event_id = one.start("process", one.values(one.upload("loop.wav", WAV), Steps=30))
    two.cancel()
    one.wait("process", event_id)
    assert "hf_one" not in server[1].table.get(event_id).client
    one.close()
    two.close()


def test_heartbeats_come_while_a_job_runs(server: tuple[str, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls.HEARTBEAT_S <= 5.0  # JUCE's time-out may cut a stream that is silent for longer
    monkeypatch.setattr(calls, "HEARTBEAT_S", 0.1)
    for parser in ("old", "new"):
        driver = HarpDriver(server[0], parser=parser)
        driver.process(driver.values(driver.upload("loop.wav", WAV), Steps=64))
        assert driver.heartbeats >= 2
        driver.close()


def test_dropped_stream_cancels_the_job(server: tuple[str, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(calls, "CANCEL_GRACE_S", 0.2)
    driver = HarpDriver(server[0])
    service = server[1]
    blocking = [driver.start("process", driver.values(driver.upload("a.wav", WAV), Steps=64)) for _ in range(4)]
    next(driver.lines("process", blocking[-1]))  # one line, then the window is closed
    driver.close()
    wait_for(lambda: service.table.get(blocking[-1]).state == "cancelled")
    for job_id in blocking[:-1]:
        wait_for(lambda job_id=job_id: service.table.get(job_id).state == "done")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../jobs.db", "jobs.db", "..%2f..%2fjobs.db", "jobs/../../jobs.db", "jobs/x/1/a", "",
        "jobs/" + "0" * 24 + "/1/a.wav", "jobs/" + "0" * 24 + "/99999999999999/a.wav", "\0", "//etc/passwd",
    ],
)  # fmt: skip
def test_no_other_file_is_handed_out(server: tuple[str, Service], path: str) -> None:
    answer = httpx2.get(f"{server[0]}/gradio_api/file={quote(path, safe='%')}")
    assert answer.status_code in (404, 422) and "root:" not in answer.text


def test_unknown_calls_and_bad_bodies(server: tuple[str, Service]) -> None:
    assert httpx2.post(f"{server[0]}/gradio_api/call/other", json={"data": []}).status_code == 404
    assert httpx2.get(f"{server[0]}/gradio_api/call/other/1").status_code == 404
    assert httpx2.post(f"{server[0]}/gradio_api/call/process", content=b"{").status_code == 400
    assert httpx2.post(f"{server[0]}/gradio_api/upload", files={"other": ("a", b"b")}).status_code == 422
    driver = HarpDriver(server[0])
    for body in ([], "x", {"data": "x"}, {"data": [None] * len(INPUTS)}, {}):
        event_id = driver.http.post(f"{server[0]}/gradio_api/call/process", json=body).json()["event_id"]
        with pytest.raises(HarpError, match="Cannot vamp"):
            driver.wait("process", event_id)
    driver.close()


def test_with_keys_the_address_holds_the_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    key, other = add_key(str(keys), "daw"), add_key(str(keys), "other")
    with running_server(ServerConfig(data=str(tmp_path / "data"), keys=str(keys))) as (address, service):
        driver = HarpDriver(f"{address}/harp/{key}", token="hf_of_the_user")
        audio, _, _ = driver.process(driver.values(driver.upload("loop.wav", WAV), Seed="3"))
        assert audio == wav_bytes(0.1, 3)
        (job,) = service.table.list()
        assert job.owner == "daw"
        theirs = httpx2.get(f"{address}/harp/{other}/gradio_api/file=jobs/{job.id}/1/{Path(job.outputs[0]).name}")
        assert theirs.status_code == 404
        for wrong in (f"{address}/harp/{key}x", address):
            assert httpx2.post(f"{wrong}/gradio_api/call/controls", json={"data": []}).status_code == 401
        driver.close()


def test_run_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    config = ServerConfig(data=str(tmp_path / "data"), grace_s=0.0)
    with running_server(config, step_s=0.1) as (address, _):
        driver = HarpDriver(address)
        event_id = driver.start("process", driver.values(driver.upload("loop.wav", WAV), Steps=20, Seed="4"))
        driver.close()
    with running_server(config) as (address, _):
        driver = HarpDriver(address)
        driver.wait("process", event_id)
        driver.close()
