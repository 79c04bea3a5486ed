"""The player on a simulated device: nothing runs empty, input and output belong together, panic, calibration."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.looper import FADE, RATE, noise
from vampnet.apps.live.calibration import measure_latency
from vampnet.apps.live.commands import make_command, parse_command
from vampnet.apps.live.config import LiveConfig, SessionFiles
from vampnet.apps.live.devices import SimulatedDevice, portaudio
from vampnet.apps.live.display import DeviceState, mask_text, state_lines
from vampnet.apps.live.keyboard import Keyboard
from vampnet.apps.live.looper import Looper, LooperConfig
from vampnet.apps.live.making import MakerStatus
from vampnet.apps.live.performance import Performance, PerformanceRecord, replay
from vampnet.apps.live.player import BLOCK, Player
from vampnet.apps.live.session import LiveSession
from vampnet.apps.live.simulation import InputBlocks
from vampnet.audio.files import AudioReader, read, write
from vampnet.audio.samples import Audio
from vampnet.errors import AudioError, DependencyError, VampnetError

AHEAD = 2000


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Player, SimulatedDevice, Callable[[int], np.ndarray]]]:
    """A player on a device that hears itself, and what lets samples pass; the wall clock is the device's."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def make(latency: int = 0, hears: float = 1.0) -> tuple[Player, SimulatedDevice, Callable[[int], np.ndarray]]:
        device = SimulatedDevice(RATE, 1, latency=latency, hears_itself=hears)
        core = Looper(LooperConfig(sample_rate_hz=RATE, channels=1, delay=AHEAD + BLOCK + 800, latency=latency))
        player = Player(Performance(core, None), device, ahead=AHEAD)

        def go(n: int) -> np.ndarray:
            start = len(device.played)
            while n > 0:
                player.tick()
                k = min(80, n)
                device.advance(k)
                clock[0] += k / RATE
                n -= k
            return np.concatenate(device.played[start:], axis=1)

        return player, device, go

    return make


def test_the_ring_is_never_empty_and_what_was_played_is_recorded(rig) -> None:
    player, device, go = rig(latency=300)
    turn = noise(8000)
    player.performance.looper.load(1, turn)
    player.performance.looper.grid.beat = 2000.0
    assert np.array_equal(go(8000), turn)
    player.do(parse_command("select 2"))
    player.do(parse_command("click 0"))
    player.do(parse_command("record 1"))
    go(32000)
    take = player.performance.looper.tracks[1].current
    assert take is not None and take.is_complete
    start = take.origin % 8000
    assert np.allclose(take.samples[0, FADE:-FADE], np.roll(turn[0], -start)[FADE:-FADE], atol=1e-6)
    assert device.n_empty == 0 and player.n_lost == 0 and player.lowest > AHEAD // 2


def test_commands_count_from_what_is_heard_and_panic_is_silence_at_once(rig) -> None:
    player, device, go = rig()
    player.performance.looper.load(1, noise(8000))
    go(4000)
    assert abs(player.heard() - 4000) <= 80
    player.do(make_command("panic"))
    player.tick()
    assert not go(3000).any()
    player.do(make_command("start"))
    assert go(6000)[:, -2000:].any() and device.n_empty == 0


def test_calibration_finds_the_way_of_a_sound() -> None:
    device = SimulatedDevice(RATE, 1, latency=123, hears_itself=0.3)
    assert measure_latency(device, 1, device.advance) == (123, 0)
    early = SimulatedDevice(RATE, 1, latency=3600, hears_itself=0.3)  # a click comes back 400 samples before the next
    assert measure_latency(early, 1, early.advance)[0] == -400
    deaf = SimulatedDevice(RATE, 1)
    with pytest.raises(AudioError, match="did not come back"):
        measure_latency(deaf, 1, deaf.advance)


def test_the_display_shows_loops_mask_and_the_model() -> None:
    core = Looper(LooperConfig(sample_rate_hz=RATE, channels=1, delay=256))
    assert "no tempo" in state_lines(core, MakerStatus("loading"), DeviceState())[0]
    take = core.load(1, noise(8000), bars=1)
    take.kept = np.arange(40)[None].repeat(2, 0) % 20 < 10
    core.grid.beat = 2000.0
    core.do(make_command("vary", [1]))
    core.ask()
    status = MakerStatus("working", "", 0.4, 1.2)
    text = "\n".join(state_lines(core, status, DeviceState(3, 7, 350, 340), message="hello", n_repeats=2, bpm=300))
    for part in ("240.0 bpm", "next variation in 1.2 s", "3 dropouts, 7 late blocks", "2 turns repeated", "! hello",
                 "1.00 s", "seed 0", "clock 300.0"):  # fmt: skip
        assert part in text
    assert mask_text(take.kept, 4) == "█ █ "


def test_keys_are_commands(rig) -> None:
    given: list = []
    keys = Keyboard(given.append, lambda: -3.0)
    for key in ["r", "2", "+", ":", *"gain -6 2", "\n", ":", "x", "\x7f", "\x1b", "?", ":", *"nonsense", "\n"]:
        keys.press(key)
    assert [(c.name, c.values) for c in given] == [
        ("record", (-1, 0)), ("select", (2,)), ("gain", (-2.0, 0)), ("gain", (-6.0, 2))
    ]  # fmt: skip
    assert "no command" in keys.error


class PacedDevice(SimulatedDevice):
    """A simulated device that plays a little whenever it is asked how much is left."""

    def fill(self) -> int:
        if threading.current_thread().name == "vampnet-live-feeder":
            self.advance(min(160, max(super().fill() - 400, 0)))
        return super().fill()


def test_a_session_from_start_to_end(tmp_path: Path) -> None:
    write(tmp_path / "turn.wav", Audio(noise(4000), RATE), "FLOAT")
    files = SessionFiles(
        loops=(tmp_path / "turn.wav",), write=tmp_path / "out.wav", record=tmp_path / "show.json",
        sets=tmp_path / "sets",
    )  # fmt: skip
    session = LiveSession(
        LiveConfig(channels=1, ahead=0.1),
        files,
        None,
        open_device=lambda _: PacedDevice(RATE, 1, latency=50, hears_itself=0.2),
    )
    shown: list[list[str]] = []

    def show(lines: list[str]) -> None:
        shown.append(lines)
        if len(shown) == 3:
            for text in ("save one", "take mine", "overdub"):
                session.give(parse_command(text))
        if len(shown) == 5:
            session.give(parse_command("overdub"))  # ends it: a loop that hears itself grows
        if len(shown) == 7:
            session.give(parse_command("recall ../none"))
        if len(shown) == 12:
            session.give(parse_command("quit"))

    session.run(show, seconds=20)
    assert session.summary()["seconds"] > 0.5 and session.messages()[0][0] == "/live/loop"
    assert np.array_equal(soundfile.read(tmp_path / "out.wav", dtype="float32")[0][:4000], noise(4000)[0])
    assert (tmp_path / "sets" / "one" / "set.json").exists() and (tmp_path / "sets" / "mine.wav").exists()
    assert any("none" in line or "cannot" in line for lines in shown for line in lines if line.startswith("!"))
    assert (tmp_path / "show.json").exists() and read(tmp_path / "show.input.wav").n_samples > 4000
    with pytest.raises(VampnetError):
        session.give(parse_command("learn nonsense"))
    again: list[np.ndarray] = []
    with AudioReader(tmp_path / "show.input.wav") as reader:
        record = PerformanceRecord.load(tmp_path / "show.json")
        assert not replay(record, InputBlocks(reader, 1).take, lambda request: None, again.append)  # type: ignore[arg-type, return-value]
    assert np.array_equal(np.concatenate(again, axis=1), read(tmp_path / "out.wav").samples)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DependencyError, match="extra `live`"):
        portaudio()
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice")
    with pytest.raises(DependencyError, match="apt install libportaudio2"):
        portaudio()
