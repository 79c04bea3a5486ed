"""The server's part of the studio over real sockets: sound, analysis, prompts, exact previews, examples."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile

from tests.support.server import running_server
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.service import Service
from vampnet.apps.studio.ear import codec_grid
from vampnet.audio.sources import FileSource
from vampnet.beats.tracking import track_events
from vampnet.generation.config import SamplingConfig
from vampnet.prompts.context import keep_tokens
from vampnet.prompts.grammar import parse_prompt


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    config = ServerConfig(data=str(tmp_path_factory.mktemp("studio")), rate=100000)
    with running_server(config) as running:
        yield running


@pytest.fixture
def http(server: tuple[str, Service]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server[0], timeout=300) as client:
        yield client


def upload(http: httpx2.Client, samples: np.ndarray, rate_hz: int = 44100, name: str = "one.wav") -> str:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV")
    answer = http.post("/api/v1/files", files={"audio": (name, file.getvalue())})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture(scope="module")
def loop(server: tuple[str, Service]) -> str:
    """File id of the first seconds of the example."""
    with httpx2.Client(base_url=server[0], timeout=300) as http:
        assert [e["name"] for e in http.get("/api/v1/examples").json()["examples"]] == ["loop"]
        whole = http.post("/api/v1/examples/loop").json()
        assert (whole["seconds"], whole["channels"]) == (16.0, 2)
        passage = http.get(f"/api/v1/files/{whole['id']}/audio", params={"start_s": 0, "end_s": 4.0})
        answer = http.post("/api/v1/files", files={"audio": ("loop.wav", passage.content)})
        return answer.json()["id"]


def asked(http: httpx2.Client, method: str, path: str, **more) -> dict:
    """The answer once it is there."""
    for _ in range(1200):  # minutes where many processes import librosa at once
        answer = http.request(method, path, **more)
        assert answer.status_code in (200, 202), answer.text
        if answer.status_code == 200:
            return answer.json()
        time.sleep(0.25)
    raise AssertionError("it was not there in time")


def unpacked(view: dict) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(view["mask"]), np.uint8), bitorder="little")
    shape = view["n_codebooks"], view["mask_frames"]
    return bits[: shape[0] * shape[1]].reshape(shape).astype(bool)


def test_root_leads_browsers_to_the_page_and_programs_elsewhere(http: httpx2.Client) -> None:
    answer = http.get("/", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/studio/")
    assert http.get("/", headers={"Accept": "*/*"}).status_code == 404
    page = http.get("/studio/")
    assert page.status_code == 200 and "script-src 'self'" in page.headers["content-security-policy"]


def test_mel_of_odd_files(http: httpx2.Client, server: tuple[str, Service]) -> None:
    rng = np.random.default_rng(0)
    sweep = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    for samples, rate_hz in (
        (0.1 * rng.standard_normal((441, 1)), 44100),  # 10 ms
        (0.1 * rng.standard_normal((22050, 4)), 44100),
        (np.zeros((8000, 1)), 8000),
        (sweep[:, None], 44100),
    ):
        file = upload(http, samples, rate_hz)
        answer = http.get(f"/api/v1/files/{file}/mel", params={"width": 50})
        height, width = (int(answer.headers[f"x-mel-{side}"]) for side in ("height", "width"))
        picture = np.frombuffer(answer.content, np.uint8).reshape(height, width)
        assert width == 50 and picture.any() == bool(samples.any())
    band = picture[:, 25].argmax()
    top_mel = 2595 * np.log10(1 + float(answer.headers["x-mel-top-hz"]) / 700)
    wanted = 2595 * np.log10(1 + 1000 / 700) / top_mel * (height + 1) - 1
    assert abs(band - wanted) <= 1 and picture[:, 25].max() >= 250
    assert picture[80:, 5:45].max() < 40  # nothing at 10 kHz
    coarse = np.frombuffer(http.get(f"/api/v1/files/{file}/mel", params={"width": 5}).content, np.uint8)
    assert abs(int(coarse.reshape(height, 5)[:, 2].argmax()) - band) <= 1
    answer = http.get(f"/api/v1/files/{file}/mel", params={"start_s": 2})
    assert answer.status_code == 422 and "start_s is 2" in answer.json()["error"]


def test_peaks_and_passages_of_a_stretch(http: httpx2.Client) -> None:
    samples = np.repeat([0.1, 0.5, 0.25, 0.0], 1000)[:, None]
    file = upload(http, samples, 8000)
    peaks = http.get(f"/api/v1/files/{file}/peaks", params={"bins": 2, "start_s": 0.125, "end_s": 0.375}).json()
    assert peaks["high"] == pytest.approx([0.5, 0.25], abs=1e-3) and peaks["seconds"] == 0.25
    passage = http.get(f"/api/v1/files/{file}/audio", params={"start_s": 0.125, "end_s": 0.25})
    read, rate_hz = soundfile.read(io.BytesIO(passage.content), dtype="int16")
    whole = soundfile.read(io.BytesIO(http.get(f"/api/v1/files/{file}/audio").content), dtype="int16")[0]
    assert rate_hz == 8000 and np.array_equal(read, whole[1000:2000])


def test_other_formats(http: httpx2.Client, loop: str) -> None:
    whole = http.get(f"/api/v1/files/{loop}/audio").content
    samples, rate_hz = soundfile.read(io.BytesIO(whole), dtype="int16")
    for format, kind in (("flac", "audio/flac"), ("ogg", "audio/ogg"), ("mp3", "audio/mpeg"), ("wav", "audio/wav")):
        answer = http.get(f"/api/v1/files/{loop}/audio", params={"format": format})
        assert answer.headers["content-type"] == kind and f'loop.{format}"' in answer.headers["content-disposition"]
        if format == "flac":
            assert np.array_equal(soundfile.read(io.BytesIO(answer.content), dtype="int16")[0], samples)
    assert answer.content == whole and rate_hz == 44100
    assert http.get(f"/api/v1/files/{loop}/audio", params={"format": "exe"}).status_code == 422


def test_analysis_and_exact_previews(http: httpx2.Client, server: tuple[str, Service], loop: str) -> None:
    path = server[1].folder.file(loop)
    assert path is not None
    source, grid = FileSource(path), codec_grid("default")
    request: dict[str, Any] = {
        "task": "vamp",
        "prompt": "(beats(after=75ms) | paint(1-3@40f:52f) | random(0.1)) & drop(0.2)",
    }
    request["sampling"] = {"seed": 11}
    asking = {"file": f"file:{loop}", "request": request}
    view = asked(http, "POST", "/api/v1/preview", json=asking)  # the beats are looked for by itself
    found = asked(http, "GET", f"/api/v1/files/{loop}/analysis")
    events = track_events(source.blocks(), source.sample_rate_hz, source.n_samples)
    assert found["beats_s"] == pytest.approx(events.beats_s, abs=1e-3)
    assert found["tempo_bpm"] == pytest.approx(120, abs=1) and found["seconds"] == 4.0 and found["channels"] == 2
    assert -40 < found["loudness_lufs"] < 0 and found["n_frames"] == view["n_frames"] == 230
    keep_CT = keep_tokens(parse_prompt(str(request["prompt"])), grid, 230, SamplingConfig(seed=11).seed, events.events)
    assert view["exact"] and np.array_equal(unpacked(view), keep_CT.numpy())
    part = http.post("/api/v1/preview", json={**asking, "from_s": 1.0, "to_s": 2.0}).json()
    first = part["first_frame"]
    assert first == 57 and np.array_equal(unpacked(part), keep_CT.numpy()[:, first : first + part["mask_frames"]])
    started = time.perf_counter()
    for period in range(2, 12):
        http.post("/api/v1/preview", json={**asking, "request": {"task": "vamp", "prompt": f"periodic({period})"}})
    assert time.perf_counter() - started < 30  # measured in benchmarks; here only that nothing is analysed again


def test_previews_of_refused_requests_say_why(http: httpx2.Client, loop: str) -> None:
    for request, says in (
        ({"task": "vamp", "prompt": "periodik(7)"}, "did you mean periodic"),
        ({"task": "vamp", "prompt": "keep(100, 110)"}, "lies outside the recording"),
        ({"task": "inpaint", "regions": [[90, 91]]}, "must begin within"),
        ({"task": "tap"}, "nothing to preview"),
        ({"task": "sing"}, "task is 'sing'"),
        ({"task": "vamp", "input": "/etc/passwd"}, "different audio"),
    ):
        answer = http.post("/api/v1/preview", json={"file": f"file:{loop}", "request": request})
        assert answer.status_code == 422 and says in answer.json()["error"], answer.text
    assert http.post("/api/v1/preview", json={"request": {"task": "vamp"}}).status_code == 422
    assert http.post("/api/v1/preview", json={"request": {"task": "vamp", "input": "/etc/passwd"}}).status_code == 422


def test_a_prompt_is_taken_apart(http: httpx2.Client) -> None:
    text = "( periodic(7,width=2) | paint(1-2@0.5:1.5, 4@40f:inf) ) & erase(all@2b:3b)"
    view = http.post("/api/v1/prompt", json={"prompt": text}).json()
    assert view["prompt"] == "(periodic(7, width=2) | paint(1-2@0.5:1.5, 4@40f:inf)) & erase(all@2b:3b)"
    assert [part["name"] for part in view["parts"]] == ["periodic", "paint", "erase"]
    assert view["parts"][0]["arguments"] == {"period": 7, "width": 2, "offset": 0}
    assert view["parts"][1]["arguments"] == {"strokes": ["1-2@0.5:1.5", "4@40f:inf"]}
    assert view["tree"]["op"] == "&" and view["tree"]["parts"][0]["op"] == "|"
    assert http.post("/api/v1/prompt", json={"prompt": "beats"}).json()["parts"][0]["arguments"]["after"] == "0.075"
    refused = http.post("/api/v1/prompt", json={"prompt": "periodic(-1)"})
    assert refused.status_code == 422 and "period is -1" in refused.json()["error"]


def test_ranges_of_the_parts_are_those_that_the_language_takes(http: httpx2.Client) -> None:
    offer = http.get("/api/v1/prompts").json()
    assert "vary" in {preset["name"] for preset in offer["presets"]}
    for part in offer["parts"]:
        samples = {"time": "1", "strokes": "1@0:1", "integer": 1, "number": 0.5}
        needed = {a["name"]: samples[a["kind"]] for a in part["arguments"] if a["default"] is None}
        for argument in part["arguments"]:
            if argument["kind"] not in ("integer", "number"):
                continue
            for value, is_taken in (
                (argument["low"], True), (argument["high"], True), (argument["low"] - 1, False),
                (argument["high"] + 1, False),
            ):  # fmt: skip
                value = int(value) if argument["kind"] == "integer" else value
                given = ", ".join(f"{k}={v}" for k, v in {**needed, argument["name"]: value}.items())
                answer = http.post("/api/v1/prompt", json={"prompt": f"{part['name']}({given})"})
                assert (answer.status_code == 200) == is_taken, answer.text


def test_previews_need_no_torch_in_the_web_process(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from vampnet.apps.http.app import make_app; from vampnet.apps.http.service import Service;"
        "from vampnet.apps.http.config import ServerConfig; make_app(Service(ServerConfig(data=sys.argv[1])));"
        "print('torch' in sys.modules, 'librosa' in sys.modules, 'numpy' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False", "False"]
