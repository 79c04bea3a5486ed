"""A device that is lost in the middle of the music: said, opened again, and the music goes on where it stopped."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from tests.support.looper import RATE, noise
from vampnet.apps.live import watched_device
from vampnet.apps.live.commands import parse_command
from vampnet.apps.live.devices import DeviceConfig, SimulatedDevice
from vampnet.apps.live.looper import Looper, LooperConfig
from vampnet.apps.live.performance import Performance
from vampnet.apps.live.player import Player
from vampnet.apps.live.watched_device import WatchedDevice
from vampnet.errors import SettingsError


class FragileDevice(SimulatedDevice):
    """A device that can be unplugged; then it raises, or plays no more."""

    error: Exception | None = None

    def fill(self) -> int:
        if self.error is not None:
            raise self.error
        return super().fill()


def wait_until(passes) -> None:
    until = time.monotonic() + 10
    while not passes():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("error", [None, OSError("unplugged")], ids=["silent", "raising"])
def test_music_goes_on_where_a_lost_device_stopped(error, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_device, "LOST_S", 0.03)
    monkeypatch.setattr(watched_device, "RETRY_S", 0.01)
    opened: list[FragileDevice] = []
    is_back = threading.Event()

    def open_device(config: DeviceConfig) -> FragileDevice:
        if opened and not is_back.is_set():
            raise SettingsError("no output device 'USB'")
        assert not opened or config.sample_rate_hz == RATE
        opened.append(FragileDevice(RATE, 1))
        return opened[-1]

    device = WatchedDevice(open_device, DeviceConfig(channels=1))
    core = Looper(LooperConfig(sample_rate_hz=RATE, channels=1, delay=4000))
    core.load(1, noise(8000))
    player = Player(Performance(core, None), device, ahead=2000)
    for _ in range(50):
        player.tick()
        opened[0].advance(100)
    opened[0].error = error
    unheard = opened[0].fill() if error is None else 0

    def is_told() -> bool:
        player.tick()
        return "sound device is lost" in device.text

    wait_until(is_told)
    stood, now = np.concatenate(opened[0].played, axis=1), core.now
    player.do(parse_command("panic"))  # which has to wait for no audio thread that is gone
    player.do(parse_command("start"))
    player.tick()
    assert core.now == now and device.flush() == 0 and not device.read().size
    player.do(parse_command("gain -6"))
    is_back.set()
    wait_until(lambda: len(opened) == 2 and not device.text)
    for _ in range(50):
        player.tick()
        opened[1].advance(100)
    assert device.n_losses == 1 and device.n_empty == 0 and device.n_starts == 2
    went_on = np.concatenate(opened[1].played, axis=1)
    assert np.abs(stood).max() > 0.1 and np.abs(went_on[:, 500:]).max() > 0.05
    assert core.now >= now + 4000 and unheard >= 0
    device.close()


def test_a_device_at_another_rate_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_device, "RETRY_S", 0.01)
    rates = [RATE, 2 * RATE, RATE]
    opened: list[FragileDevice] = []

    def open_device(config: DeviceConfig) -> FragileDevice:
        opened.append(FragileDevice(rates[len(opened)], 1))
        return opened[-1]

    device = WatchedDevice(open_device, DeviceConfig(channels=1))
    opened[0].error = OSError("gone")
    device.fill()
    wait_until(lambda: not device.text and len(opened) == 3)
    assert device.sample_rate_hz == RATE and device.fill() == 0
    device.close()
