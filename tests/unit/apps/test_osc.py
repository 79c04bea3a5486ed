"""The OSC service: messages become jobs, answers come back, and nothing that is sent breaks it."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support import fake_worker
from vampnet.apps.osc.messages import TASKS, parse_job
from vampnet.apps.osc.service import OscService
from vampnet.apps.osc.table_worker import TableWorker, running_server
from vampnet.apps.osc.unloop import build_prompt, parse_process
from vampnet.apps.osc.worker import JobWorker
from vampnet.audio.files import probe, read, write
from vampnet.audio.samples import Audio
from vampnet.errors import AudioError, Cancelled, VampnetError
from vampnet.jobs.crew import Crew
from vampnet.jobs.data_folder import DataFolder
from vampnet.jobs.request import GenerateRequest, InpaintRequest, LoopRequest, OutpaintRequest, VampRequest
from vampnet.prompts.grammar import parse_prompt

pytest.importorskip("pythonosc", reason="needs the extra `live`")
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

ROOT = Path(__file__).resolve().parents[3]
UNLOOP = (132, "vampnet", "a.wav", "default", 7, 0.1, 1958, 500.0, 1, 0.15, 64, 4, 0, 32, 1.0, 0.8, 40.0, 1)
"""A message as unloop's patch sends it, all dials in use."""


def fake_run(request: Any, outputs: list[Path], *, model: Any, report: Any, cancelled: Any) -> Any:
    """Copies the input and takes as long as a few steps."""
    if request.input and not Path(request.input).is_file():
        raise AudioError(f"cannot read '{request.input}'")
    for step in range(5):
        if cancelled():
            raise Cancelled("cancelled")
        report(SimpleNamespace(share=(step + 1) / 5))
        time.sleep(0.002)
    made = []
    for number, path in enumerate(outputs):
        write(path, read(request.input) if request.input else Audio(np.zeros((1, 100), np.float32), 8000))
        made.append(SimpleNamespace(file=str(path), seed=request.sampling.seed + number, seconds=1.0))
    return SimpleNamespace(outputs=made)


class Patch:
    """A patch: sends messages to the service and collects its answers."""

    def __init__(self, service: OscService, answers: socket.socket) -> None:
        self.service, self._answers = service, answers
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.got: list[tuple[str, list[Any]]] = []

    def send(self, address: str, *values: Any) -> None:
        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        self.send_bytes(builder.build().dgram)

    def send_bytes(self, data: bytes) -> None:
        self._out.sendto(data, ("127.0.0.1", self.service.port))

    def close(self) -> None:
        """Let go of the sockets."""
        self._out.close()
        self._answers.close()

    def everything(self, address: str) -> list[list[Any]]:
        """The values of all answers of an address that have come."""
        self._answers.settimeout(0.5)
        try:
            while True:
                self._take(self._answers.recv(1 << 16))
        except TimeoutError:
            return [values for name, values in self.got if name == address]

    def _take(self, data: bytes) -> None:
        self.got += [(m.message.address, list(m.message.params)) for m in OscPacket(data).messages]

    def wait(self, address: str, n: int = 1, seconds: float = 20.0) -> list[list[Any]]:
        """The values of the first `n` answers of an address."""
        end = time.monotonic() + seconds
        while (found := [v for a, v in self.got if a == address]) is not None and len(found) < n:
            self._answers.settimeout(max(end - time.monotonic(), 0.01))
            try:
                data = self._answers.recv(1 << 16)
            except TimeoutError:
                pytest.fail(f"no {address} within {seconds} s; got {self.got}")
            self._take(data)
        return found[:n]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 8000)).astype(np.float32)
    write(tmp_path / "a.wav", Audio(noise, 8000))
    return tmp_path


@pytest.fixture
def patch(folder: Path) -> Iterator[Patch]:
    answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answers.bind(("127.0.0.1", 0))
    service = OscService(
        folder, port=0, reply_port=answers.getsockname()[1], unloop=True, worker=JobWorker(fake_run, limit=100)
    )
    thread = threading.Thread(target=service.serve, daemon=True)
    thread.start()
    while service._server is None:
        time.sleep(0.01)
    made = Patch(service, answers)
    yield made
    made.close()
    service.close()
    thread.join(10)
    answers.close()


# --- messages --------------------------------------------------------------------------------------------------------


def test_keys_are_those_of_the_json_flat(folder: Path) -> None:
    sent = (1.0, "a.wav", "prompt", "subtle", "steps", 12.0, "seed", "123456789012", "bpm", 90.0, "variations", 2.0)
    message = parse_job("vamp", sent, folder)
    request = message.request
    assert isinstance(request, VampRequest)
    assert (request.prompt, request.sampling.steps, request.sampling.seed) == ("subtle", 12, 123456789012)
    assert (request.beats.bpm, request.variations, message.id, message.key) == (90.0, 2, 1.0, "1")
    assert request.input == str(folder / "a.wav") and message.output == folder / "a-vamp-1.wav"
    region = parse_job("inpaint", ("x", "a.wav", 0.25, 0.5), folder).request
    assert isinstance(region, InpaintRequest) and region.regions == ((0.25, 0.5),)
    further = parse_job("continue", (1, "a.wav", "seconds", 3), folder).request
    assert isinstance(further, OutpaintRequest) and further.after_s == 3
    assert parse_job("generate", (1, "new.wav", "seconds", 2), folder).output == folder / "new.wav"
    assert isinstance(parse_job("loop", (1, "a.wav", "bars", 1, "join", 1), folder).request, LoopRequest)


def test_every_setting_of_a_request_is_a_key(folder: Path) -> None:
    sent = (
        1,
        "new.wav",
        "bpm",
        96.0,
        "key",
        "D minor",
        "bars",
        8.0,
        "chords",
        "Dm7 | G7",
        "instruments",
        "piano, bass",
    )
    words = parse_job("generate", (*sent, "style", "funk"), folder).request
    assert isinstance(words, GenerateRequest)
    assert str(words.words) == "bpm(96), key(D minor), chords(Dm7 | G7), bars(8), style(funk), instruments(piano, bass)"
    chosen = parse_job("vamp", (1, "a.wav", "follow", "b.wav:beats,chords", "best_of", 8.0), folder).request
    assert isinstance(chosen, VampRequest)
    assert (chosen.steering.follow, chosen.steering.best_of) == (f"{folder / 'b.wav'}:beats,chords", 8)
    own = parse_job("vamp", (1, "a.wav", "follow", "beats", "file", "beats.txt"), folder).request
    assert isinstance(own, VampRequest) and (own.steering.follow, own.beats.file) == (
        "beats",
        str(folder / "beats.txt"),
    )
    adapted = parse_job("loop", (1, "a.wav", "lora", "mine.safetensors:0.5, other.safetensors"), folder).request
    assert adapted.model.lora == (f"{folder / 'mine.safetensors'}:0.5", f"{folder / 'other.safetensors'}:1")


@pytest.mark.parametrize(
    ("task", "sent", "named"),
    [
        ("vamp", (), "arguments"),
        ("vamp", (1,), "send /vamp id path"),
        ("vamp", (1, "a.wav", "prompt"), "arguments"),
        ("vamp", (1, "../a.wav"), "inside"),
        ("vamp", (1, "/etc/passwd"), "inside"),
        ("vamp", (1, ""), "inside"),
        ("vamp", (1, "a\0.wav"), "zero byte"),
        ("vamp", (1, "a.wav", "output", "../b.wav"), "inside"),
        ("vamp", (1, "a.wav", "promt", "vary"), "did you mean prompt"),
        ("vamp", (1, "a.wav", "steps", 1.5), "whole number"),
        ("vamp", (1, "a.wav", "steps", 0), "must lie in 1 to 1000"),
        ("vamp", (1, "a.wav", "steps", "many"), "must be a number"),
        ("vamp", (1, "a.wav", "seed", 1, "seed", 2), "given twice"),
        ("vamp", (1, "a.wav", 7, 7), "key is 7"),
        ("vamp", (1, "a.wav", "input", "b.wav"), "no key"),
        ("vamp", (1, "a.wav", "sampling", 3), "no key"),
        ("vamp", (1, "a.wav", "steering", "beats"), "no key"),
        ("vamp", (1, "a.wav", "follow", "/etc/passwd:beats"), "inside"),
        ("vamp", (1, "a.wav", "file", "../beats.txt"), "inside"),
        ("vamp", (1, "a.wav", "tracker", "/tmp/x.ckpt"), "inside"),
        ("vamp", (1, "a.wav", "lora", "../mine.safetensors:0.5"), "inside"),
        ("vamp", (1, "a.wav", "reply_port", 99999), "1 to 65535"),
        ("vamp", (1, "a.wav", "temperature", float("nan")), "no number"),
        ("vamp", (1, "a.wav", "prompt", "x" * 2000), "characters"),
        ("vamp", tuple(range(200)), "at most 64"),
        ("inpaint", (1, "a.wav", 2, 1), "region 2:1"),
        ("generate", (1, "x.wav", "like", "../../secret.wav"), "inside"),
    ],
)
def test_wrong_messages_are_named(folder: Path, task: str, sent: tuple[Any, ...], named: str) -> None:
    with pytest.raises(VampnetError, match=named):
        parse_job(task, sent, folder)


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.wav"
    shutil.copy(folder / "a.wav", outside)
    (folder / "link.wav").symlink_to(outside)
    with pytest.raises(VampnetError, match="inside"):
        parse_job("vamp", (1, "link.wav"), folder)


def test_unloops_dials_are_a_prompt(folder: Path) -> None:
    message, loop_s = parse_process(UNLOOP, folder)
    request = message.request
    assert isinstance(request, LoopRequest) and loop_s == 0.5 and request.variations == 2
    assert request.prompt == "((periodic(7) | beats(after=40ms)) & drop(0.1)) & codebooks(4)"
    assert (request.sampling.seed, request.sampling.typical_mass, request.sampling.top_p) == (1958, 0.15, 0.8)
    for dials in ((0, 0, 0, 0, 0), (7, 0, 0, 2, 0), (0, 0.5, 3, 0, 80)):
        parse_prompt(build_prompt(*dials))
    with pytest.raises(VampnetError, match="18"):
        parse_process(UNLOOP[:-1], folder)
    with pytest.raises(VampnetError, match="sketch2sound"):
        parse_process((1, "sketch2sound", *UNLOOP[2:]), folder)


# --- the service -----------------------------------------------------------------------------------------------------


def test_a_job_from_message_to_answer(patch: Patch, folder: Path) -> None:
    patch.send("/vamp", 1.0, "a.wav", "seed", 5.0)
    assert patch.wait("/queued") == [[1.0, 0]]
    assert patch.wait("/done") == [[1.0, "a-vamp-1.wav", 5, 1.0]]
    shares = [v[1] for a, v in patch.got if a == "/progress"]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert (folder / "a-vamp-1.wav").exists()


def test_a_repeated_message_is_the_same_job(patch: Patch) -> None:
    for _ in range(3):
        patch.send("/vamp", "take", "a.wav", "variations", 2)
    first = patch.wait("/done", 2)
    assert [path for _, path, _, _ in first] == ["a-vamp-take-1.wav", "a-vamp-take-2.wav"]
    patch.send("/vamp", "take", "a.wav", "variations", 2)
    assert patch.wait("/done", 4)[2:] == first
    assert sum(a == "/queued" for a, _ in patch.got) == 3


def test_cancel_status_ping_and_lists(patch: Patch) -> None:
    for number in range(20):
        patch.send("/vamp", number, "a.wav")
    patch.wait("/queued", 20)
    patch.send("/cancel", 19)
    assert patch.wait("/error")[0] == [19, "cancelled"]
    patch.send("/ping", 3)
    assert patch.wait("/pong") == [[3]]
    patch.send("/status")
    patch.send("/prompts")
    patch.send("/models")
    assert len(patch.wait("/status")[0]) == 2
    assert "periodic(7)" in patch.wait("/prompts")[0]
    assert patch.wait("/models") == [["default"]]
    assert len({v[0] for v in patch.wait("/done", 19)}) == 19
    patch.send("/cancel", 500)
    assert "no job" in patch.wait("/error", 2)[1][1]


def test_unloop_plays_with_its_own_messages(patch: Patch, folder: Path) -> None:
    patch.send("/heartbeat")
    assert patch.wait("/heartbeat") == [["pong"]]
    patch.send("/process", *UNLOOP)
    id_, first, second = patch.wait("/process-result")[0]
    assert id_ == 132
    assert [132, "Status.FINISHED"] in [v for a, v in patch.got if a == "/progress"]
    for path in (first, second):  # the loop is a copy here, and the rest is glued behind it
        assert probe(path).n_samples == probe(folder / "a.wav").n_samples
        assert np.allclose(read(path).samples[:, 4000:], read(folder / "a.wav").samples[:, 4000:], atol=1e-4)
    patch.send("/cleanup", str(folder / "a.wav"))
    assert "no output of this service" in patch.wait("/error")[0][0]
    patch.send("/cleanup", first)
    patch.send("/heartbeat")
    patch.wait("/heartbeat", 2)
    assert not Path(first).exists() and (folder / "a.wav").exists()


def test_nothing_that_is_sent_breaks_it(patch: Patch) -> None:
    rng = random.Random(0)
    words = ["vamp", "loop", "inpaint", "generate", "process", "cancel", "cleanup", "status", "x" * 60, ""]

    def atom() -> Any:
        kinds = [rng.randint(-(2**31), 2**31 - 1), rng.random() * 10 ** rng.randint(-5, 30), "a.wav", "prompt", "steps",
                 "".join(rng.choices(string.printable, k=rng.randint(0, 30))), True, None, b"b", "../x"]  # fmt: skip
        return rng.choice(kinds)

    for _ in range(400):
        kind = rng.random()
        if kind < 0.2:
            patch.send_bytes(rng.randbytes(rng.randint(0, 200)))
        elif kind < 0.25:
            patch.send_bytes(b"/vamp\0\0\0,s\0\0" + b"a" * 20000)
        else:
            patch.send("/" + rng.choice(words), *(atom() for _ in range(rng.randint(0, 20))))
    deadline = time.monotonic() + 60.0  # packets can be lost where many come at once, and a busy machine takes its time
    while [77] not in patch.everything("/pong"):
        assert time.monotonic() < deadline
        patch.send("/ping", 77)
        time.sleep(0.02)
    while [4711, "a-vamp-4711.wav", 0, 1.0] not in patch.everything("/done"):  # a repeated message is the same job
        assert time.monotonic() < deadline
        patch.send("/vamp", 4711, "a.wav")
        time.sleep(0.05)


def test_ten_thousand_messages_are_each_answered_or_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = OscService(folder, unloop=True, worker=JobWorker(fake_run, limit=20))
    sent = [0]
    monkeypatch.setattr(service, "send", lambda *_: sent.__setitem__(0, sent[0] + 1))
    rng = random.Random(1)
    names = [*TASKS, "process", "cleanup", "heartbeat", "status", "ping", "prompts", "models", "nothing", "", "/" * 50]
    keys = ["prompt", "steps", "seed", "output", "reply_port", "bpm", "variations", "temperature", "x"]
    odd = [
        None,
        True,
        b"b",
        float("nan"),
        float("inf"),
        -1,
        2**31 - 1,
        1e30,
        0.5,
        "",
        "../a",
        "a.wav",
        "x" * 5000,
        "\0",
    ]
    for _ in range(10_000):
        if rng.random() < 0.3:
            values = ("a", "a.wav", *(v for _ in range(rng.randint(0, 4)) for v in (rng.choice(keys), rng.choice(odd))))
        else:
            values = tuple(rng.choice([*odd, *keys]) for _ in range(rng.choice([0, 1, 2, 3, 4, 18, 100])))
        before = sent[0] + service.n_refused
        service.handle("/" + rng.choice(names), values)
        assert sent[0] + service.n_refused > before, values
    assert service.n_refused == 0, "each was answered, and none broke anything"
    service.close()


def test_fifty_voices_at_once(patch: Patch) -> None:
    for voice in range(50):
        patch.send("/vamp", voice, "a.wav", "seed", voice)
    done = patch.wait("/done", 50, 60)
    assert sorted(v[0] for v in done) == list(range(50)) and all(v[2] == v[0] for v in done)


def test_jobs_go_to_the_table_of_a_running_server(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path_factory.mktemp("data")
    assert not running_server(data)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    settings = {"data": str(data), "lease_s": 2.0}
    crew = Crew(lambda k: [sys.executable, fake_worker.__file__, json.dumps(settings | {"name": f"w{k}"}), "0.01"], 1)
    DataFolder(data).table().close()
    crew.start()
    heard: list[tuple[str, list[Any]]] = []
    try:
        deadline = time.monotonic() + 60
        while not running_server(data):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        service = OscService(folder, worker=TableWorker(data))
        monkeypatch.setattr(service, "send", lambda to, address, values: heard.append((address, values)))
        for voice in range(4):
            service.handle("/vamp", (voice, "a.wav", "seed", voice, "steps", 3))
        service.handle("/vamp", (9, "a.wav", "steps", 1000))
        service.handle("/vamp", (10, "a.wav", "seed", fake_worker.REFUSES))
        service.handle("/cancel", (9,))
        while len([a for a, _ in heard if a == "/done"]) < 4 or len([a for a, _ in heard if a == "/error"]) < 2:
            assert time.monotonic() < deadline, heard
            time.sleep(0.05)
        service.close()
    finally:
        crew.stop()
    done = {v[0]: v[1:] for a, v in heard if a == "/done"}
    assert done[2][:2] == ["a-vamp-2.wav", 2] and (folder / "a-vamp-2.wav").exists()
    assert [9, "cancelled"] in [v for a, v in heard if a == "/error"]
    assert any(a == "/progress" for a, _ in heard) and not running_server(data)


EXAMPLES = ROOT / "examples"
PURE_DATA = """#N canvas 0 0 600 400 12;
#X obj 20 20 loadbang;
#X obj 20 60 delay 400;
#X msg 20 100 vamp 1 a.wav prompt subtle steps 12;
#X obj 20 140 vampnet {port} {reply};
#X obj 20 180 route done;
#X obj 20 220 t b a;
#X obj 80 260 print done;
#X obj 20 260 delay 200;
#X msg 20 300 \\; pd quit;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 2 0 3 0;
#X connect 3 0 4 0;
#X connect 4 0 5 0;
#X connect 5 0 7 0;
#X connect 5 1 6 0;
#X connect 7 0 8 0;
"""
SUPERCOLLIDER = """(
fork {{
  var v = VampNet("127.0.0.1", {port}, {reply});
  v.onError = {{ |id, text| ("error" + id + text).postln; 1.exit }};
  0.3.wait;
  v.vamp("a.wav", (prompt: "subtle", steps: 12), {{ |path, seed| ("done" + path + seed).postln; 0.exit }});
  40.wait; 1.exit;
}};
)
"""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.skipif(shutil.which("pd") is None, reason="needs Pure Data (Debian's puredata-core)")
def test_pure_data_round_trip(patch: Patch, folder: Path) -> None:
    port = patch.service.reply_port = free_port()
    (folder / "t.pd").write_text(PURE_DATA.format(port=patch.service.port, reply=port))
    command = ["pd", "-nogui", "-noaudio", "-nomidi", "-stderr", "-path", str(EXAMPLES / "puredata")]
    done = subprocess.run(
        [*command, "-open", str(folder / "t.pd")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "done: 1 a-vamp-1.wav" in done.stderr
    quit_at_once = ["-send", "pd quit"]
    opened = subprocess.run(
        [*command, "-open", str(EXAMPLES / "puredata" / "example.pd"), *quit_at_once],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "couldn't create" not in opened.stderr and "no such object" not in opened.stderr


@pytest.mark.skipif(shutil.which("sclang") is None, reason="needs SuperCollider (Debian's supercollider-language)")
def test_supercollider_round_trip(patch: Patch, folder: Path) -> None:
    port = patch.service.reply_port = free_port()
    (folder / "t.scd").write_text(SUPERCOLLIDER.format(port=patch.service.port, reply=port))
    (folder / "classes.yaml").write_text(f"includePaths: [{EXAMPLES / 'supercollider'}]\nexcludePaths: []\n")
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    screenless = {
        "QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_DISABLE_SANDBOX": "1",
        "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox", "XDG_RUNTIME_DIR": str(runtime),
    }  # fmt: skip
    done = subprocess.run(
        ["sclang", "-i", "none", "-l", str(folder / "classes.yaml"), str(folder / "t.scd")],
        env=os.environ | screenless, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "a-vamp-" in done.stdout and done.returncode == 0, done.stdout[-2000:]


def test_the_max_patch_is_whole() -> None:
    patcher = json.loads((EXAMPLES / "max" / "vampnet.maxpat").read_text())["patcher"]
    boxes = {entry["box"]["id"]: entry["box"] for entry in patcher["boxes"]}
    assert len(boxes) == len(patcher["boxes"])
    for line in patcher["lines"]:
        (source, outlet), (target, inlet) = line["patchline"]["source"], line["patchline"]["destination"]
        assert outlet < boxes[source]["numoutlets"] and inlet < boxes[target]["numinlets"]
    messages = [box["text"] for box in boxes.values() if box.get("text", "").startswith("/")]
    for message in messages:
        task, *values = message.replace("$1", "1").split()
        parse_job(task[1:], [int(v) if v.isdecimal() else v for v in values], Path("."))
    assert messages
