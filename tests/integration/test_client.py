"""The Python client against a server whose workers need no model."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import fake_worker
from tests.support.server import running_server, wait_for
from tests.support.wav_bytes import wav_bytes
from vampnet import Audio, Client, SamplingConfig
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.service import Service
from vampnet.controls.config import HumConfig, ReshapeConfig, SteeringConfig, TapConfig
from vampnet.controls.words import ControlWords
from vampnet.errors import Cancelled, ServerError, SettingsError
from vampnet.generation.progress import Progress


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    with running_server(ServerConfig(data=str(tmp_path_factory.mktemp("client"))), step_s=0.02) as running:
        yield running


@pytest.fixture
def client(server: tuple[str, Service]) -> Iterator[Client]:
    with Client(server[0]) as client:
        yield client


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    path = tmp_path / "loop.wav"
    path.write_bytes(wav_bytes(0.5))
    return path


def test_variations_of_a_file(client: Client, loop: Path, tmp_path: Path) -> None:
    heard: list[Progress] = []
    first, second = client.vamp(loop, n=2, sampling=SamplingConfig(seed=5), report=heard.append)
    assert (first.seed, second.seed, first.kept_share) == (5, 6, 0.5)
    assert first.content == wav_bytes(0.1, 5)
    assert second.save(tmp_path / "out.wav").read_bytes() == wav_bytes(0.1, 6)
    assert (first.audio.channels, first.audio.n_samples, first.audio.sample_rate_hz) == (1, 4410, 44100)
    assert heard and [p.share for p in heard] == sorted(p.share for p in heard)


def test_each_task_sends_its_request(client: Client, loop: Path) -> None:
    client.inpaint(loop, regions=[(0.1, 0.2), (0.3, None)])
    client.outpaint(loop, before_s=1, after_s=2)
    client.continue_(loop, seconds=3)
    client.loop(loop, bars=1)
    client.stretch(loop, factor=1.5)
    client.telephone(loop, rounds=2)
    client.generate(seconds=4)
    client.generate(seconds=4, like=loop, prompt="periodic(8)")
    sent = [job["request"] for job in client.jobs()][:8][::-1]
    assert [request["task"] for request in sent] == [
        "inpaint", "outpaint", "outpaint", "loop", "stretch", "telephone", "generate", "generate",
    ]  # fmt: skip
    assert sent[0]["regions"] == [[0.1, 0.2], [0.3, None]]
    assert (sent[1]["before_s"], sent[1]["after_s"], sent[2]["after_s"]) == (1.0, 2.0, 3.0)
    assert (sent[3]["bars"], sent[4]["factor"], sent[5]["rounds"], sent[6]["seconds"]) == (1, 1.5, 2, 4.0)
    assert sent[7] == {"task": "generate", "seconds": 4.0, "like": "loop.wav", "prompt": "periodic(8)"}


def test_words_and_played_lines_are_sent(client: Client, loop: Path) -> None:
    client.generate(words="bpm(96), chords(Dm7 | G7)", sketch="keep", sampling=SamplingConfig(seed=2))
    client.generate(words=ControlWords(key="h-moll"), steering=SteeringConfig("beats", 2))
    client.tap(loop, config=TapConfig(bpm=96, tightness=0.5))
    client.hum(loop, config=HumConfig(instrument="flute"), prompt="periodic(7)")
    client.vamp(loop, reshape=ReshapeConfig(key="Dm"), steering=SteeringConfig("beats"))
    client.loop(loop, reshape=ReshapeConfig(tempo=96))
    sent = [job["request"] for job in client.jobs()][:6][::-1]
    assert sent[0]["words"] == {"bpm": 96.0, "chords": "Dm7 | G7"} and "seconds" not in sent[0]
    assert sent[0]["sketch"] == "keep" and sent[1]["words"] == {"key": "B minor"}
    assert (sent[2]["tap"], sent[3]["hum"]) == ({"bpm": 96, "tightness": 0.5}, {"instrument": "flute"})
    assert (sent[4]["reshape"], sent[5]["reshape"]) == ({"key": "D minor"}, {"tempo": 96.0})
    with pytest.raises(SettingsError, match="leave one out"):
        client.generate(words="bpm(96)", like=loop)
    with pytest.raises(SettingsError, match="unknown control"):
        client.generate(words="tempo(96)")


def test_samples_and_earlier_variations_are_inputs(client: Client) -> None:
    samples = np.zeros((2, 4410), np.float32)
    first = client.vamp(Audio(samples, 22050))
    again = client.vamp(first, sampling=SamplingConfig(seed=9))
    assert again.seed == 9
    assert client.job(again.job_id).describe()["request"]["input"] == first.reference
    assert client.vamp((samples, 22050)).name == "audio-vamp.wav"


def test_errors_are_those_of_the_server(client: Client, loop: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"loop\.wav: has no samples"):
        client.vamp(loop, sampling=SamplingConfig(seed=fake_worker.REFUSES))
    with pytest.raises(ServerError, match="must begin within"):
        client.inpaint(loop, regions=[(2.0, 3.0)])
    with pytest.raises(SettingsError, match="none given"):
        client.inpaint(loop, regions=[])
    (tmp_path / "no.wav").write_text("no audio")
    with pytest.raises(ServerError, match=r"cannot read 'no\.wav'"):
        client.vamp(tmp_path / "no.wav")
    with pytest.raises(ServerError, match="there is no job"):
        client.job("0" * 24).wait()


def test_what_report_raises_cancels_the_job(client: Client, loop: Path, server: tuple[str, Service]) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.vamp(loop, sampling=SamplingConfig(steps=1000), report=stop)
    (newest,) = client.jobs()[:1]
    wait_for(lambda: server[1].table.get(newest["id"]).state == "cancelled")


def test_cancelled_elsewhere(client: Client, loop: Path) -> None:
    job = client.submit({"task": "vamp", "sampling": {"steps": 1000}}, loop)
    timer = threading.Timer(0.2, job.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        job.wait()
    job.delete()
    with pytest.raises(ServerError, match="there is no job"):
        job.describe()


def test_no_server() -> None:
    client = Client("http://127.0.0.1:9")
    with pytest.raises(ServerError, match=r"no server answers at http://127\.0\.0\.1:9"):
        client.jobs()


def test_client_and_web_process_import_no_torch() -> None:
    code = (
        "import sys; from vampnet import Client; import vampnet.apps.http.server, vampnet.apps.harp.router; "
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False False\n"
