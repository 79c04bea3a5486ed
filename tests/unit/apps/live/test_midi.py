"""MIDI: clocks that jitter and drift, our own clock, foot switches, dials and learning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.looper import RATE, looper, noise
from vampnet.apps.live.commands import LiveCommand, make_command
from vampnet.apps.live.midi import MidiControls
from vampnet.apps.live.midi_clock import ClockReader, ClockSender
from vampnet.errors import SettingsError

mido = pytest.importorskip("mido")


@pytest.mark.parametrize("bpm", [60.0, 120.0, 174.0])
def test_a_jittery_clock_is_read_within_a_percent(bpm: float) -> None:
    rng = np.random.default_rng(0)
    reader, worst, phase = ClockReader(), 0.0, 0.0
    for k in range(24 * 64):
        late = abs(rng.normal(0, 0.002)) + (0.015 if rng.random() < 0.02 else 0.0)
        time_s = k * 60 / bpm / 24 + late
        reader.tick(time_s)
        if k > 48:
            read = reader.read(time_s)
            assert read is not None
            worst = max(worst, abs(read[0] / bpm - 1))
            phase = max(phase, abs(read[1] - time_s * bpm / 60))
    assert worst < 0.01 and phase < 0.05


def follow_drift(seconds: float, drift: float, jitter_s: float) -> float:
    """Largest difference, in beats, between a loop at 120 bpm and a clock that drifts around it, after 10 s."""
    core = looper()
    core.load(1, noise(16000), bars=1)
    core.grid.beat, core.grid.zero = 4000.0, 0.0
    rng = np.random.default_rng(1)
    time_s = np.arange(0, seconds, 0.001)
    beats = np.cumsum(2 * (1 + drift * np.sin(2 * np.pi * time_s / 40))) * 0.001
    ticks_s = np.interp(np.arange(0, beats[-1] * 24) / 24, beats, time_s)
    late_s = ticks_s + np.abs(rng.normal(0, jitter_s, len(ticks_s)))
    now_s = [0.0]
    controls = MidiControls(lambda command: core.do(command, heard=round(now_s[0] * RATE)), follow=True)
    worst, ahead = 0.0, 2000
    core.render(np.zeros((1, ahead), np.float32))
    for tick_s in late_s:
        n = round(tick_s * RATE) + ahead - core.now
        if n > 0:
            core.render(np.zeros((1, n), np.float32))
        now_s[0] = tick_s
        controls.handle(mido.Message("clock"), tick_s)
        if tick_s > 10:
            error = core.transport.song_at(tick_s * RATE) / 4000 - np.interp(tick_s, time_s, beats)
            worst = max(worst, abs(error - round(error)))
    return worst


def test_a_loop_stays_in_phase_with_a_clock_that_drifts() -> None:
    assert follow_drift(60, 0.005, 0.001) < 0.03  # of a beat: 15 ms


def test_our_clock_ticks_24_times_per_beat_each_once() -> None:
    sender, found = ClockSender(), []
    for k in range(1000):
        now = k * 0.01
        found += [now + wait for wait in sender.due(now * 2, 2.0, 0.03)]
    gaps = np.diff(found)
    assert len(found) == pytest.approx(10.03 * 48, abs=2) and np.allclose(gaps, 1 / 48, atol=1e-6)


def test_switches_dials_and_learning(tmp_path: Path) -> None:
    given: list[LiveCommand] = []
    path = tmp_path / "map.json"
    controls = MidiControls(given.append, path=path)
    message = mido.Message
    controls.learn("record 0 1")
    controls.handle(message("control_change", channel=0, control=64, value=127))
    controls.learn("gain * 2")
    controls.handle(message("control_change", channel=0, control=7, value=1))
    controls.learn("set temperature *")
    controls.handle(message("control_change", channel=3, control=8, value=1))
    controls.learn("next")
    controls.handle(message("note_on", channel=1, note=60, velocity=1))
    assert not given and json.loads(path.read_text())["cc 1 64"] == "record 0 1"
    again = MidiControls(given.append, path=path)
    for value in (127, 127, 0, 127):
        again.handle(message("control_change", channel=0, control=64, value=value))
    again.handle(message("control_change", channel=0, control=7, value=0))
    again.handle(message("control_change", channel=3, control=8, value=127))
    again.handle(message("note_on", channel=1, note=60, velocity=9))
    again.handle(message("note_off", channel=1, note=60))
    again.handle(message("note_on", channel=1, note=61, velocity=9))
    assert [c.as_list() for c in given] == [
        ["record", 0, 1], ["record", 0, 1], ["gain", -60.0, 2], ["set", "temperature", 2.0, 0], ["next", 0]
    ]  # fmt: skip
    for wrong in ("gain", "nonsense", "set * *", "gain * * *"):
        with pytest.raises(SettingsError):
            controls.learn(wrong)
    path.write_text("[]")
    with pytest.raises(SettingsError, match="no file of MIDI bindings"):
        MidiControls(given.append, path=path)


def test_start_stop_and_song_position() -> None:
    given: list[LiveCommand] = []
    controls = MidiControls(given.append, follow=True)
    controls.handle(mido.Message("start"), 0.0)
    for k in range(49):
        controls.handle(mido.Message("clock"), 1 + k / 48)
    controls.handle(mido.Message("stop"), 3.0)
    assert given[0] == make_command("start") and given[-1] == make_command("stop")
    clock = [c for c in given if c.name == "clock"]
    assert clock[-1].values == pytest.approx((120.0, 2.0), abs=1e-6)
    given.clear()
    controls.handle(mido.Message("songpos", pos=16), 4.0)
    controls.handle(mido.Message("continue"), 4.0)
    for k in range(25):
        controls.handle(mido.Message("clock"), 5 + k / 48)
    assert [c for c in given if c.name == "clock"][-1].values[1] == pytest.approx(5.0, abs=1e-6)
    deaf = MidiControls(given.append)
    given.clear()
    deaf.handle(mido.Message("start"), 0.0)
    assert not given
