"""A device that may be lost in the middle of the music, such as an interface that is unplugged, and is opened again."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vampnet.apps.live.devices import Device, DeviceConfig
from vampnet.audio.samples import Samples
from vampnet.errors import SettingsError, VampnetError

LOST_S = 1.5
"""A device that plays nothing of what is written for so long is lost."""
RETRY_S = 2.0
"""Pause between attempts to open it again."""
CLOSE_S = 2.0
"""So long is waited for a lost device to be closed; its audio thread may never answer."""


class WatchedDevice:
    """A device that is opened again when it is lost.

    Meanwhile nothing is played or rendered: the music stands still, and goes on where it stopped. Counts go on too.
    """

    def __init__(
        self,
        open_device: Callable[[DeviceConfig], Device],
        config: DeviceConfig,
        *,
        refresh: Callable[[], Any] = lambda: None,
    ) -> None:
        """Open the device. Raises VampnetError as `open_device` does; `refresh`: look for devices that have come."""
        self._open, self._refresh, self.config = open_device, refresh, config
        self._device = open_device(config)
        self.sample_rate_hz, self.latency = self._device.sample_rate_hz, self._device.latency
        self.output_latency = self._device.output_latency
        self.text = ""
        """Trouble with the device, for the display; empty when all is well."""
        self.n_losses = 0
        """Number of times that it was lost."""
        self._before = {"n_empty": 0, "n_xruns": 0, "n_starts": 0}
        self._is_lost = False
        self._fill, self._moved_at = -1, time.monotonic()
        self._closed, self._lock = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def n_empty(self) -> int:
        """Number of times that the ring ran empty."""
        return self._before["n_empty"] + self._device.n_empty

    @property
    def n_xruns(self) -> int:
        """Late blocks that the device has counted."""
        return self._before["n_xruns"] + self._device.n_xruns

    @property
    def n_starts(self) -> int:
        """Number of times that playing began."""
        return self._before["n_starts"] + self._device.n_starts

    def fill(self) -> int:
        """Output samples that are written and not yet played; those of a lost device stay."""
        if not self._is_lost:
            n = self._try(lambda: self._device.fill(), self._fill)
            now = time.monotonic()
            if n != self._fill or n <= 0:
                self._fill, self._moved_at = n, now
            elif now - self._moved_at > LOST_S:
                self._lose("plays nothing")
        return max(self._fill, 0)

    def write(self, block: Samples) -> None:
        """Append output; nothing while it is lost."""
        if not self._is_lost:
            self._try(lambda: self._device.write(block), None)

    def read(self) -> Samples:
        """Input that came since the last call."""
        nothing = np.zeros((self.config.channels, 0), np.float32)
        return nothing if self._is_lost else self._try(lambda: self._device.read(), nothing)

    def flush(self) -> int:
        """Drop output that is not played yet."""
        return 0 if self._is_lost else self._try(lambda: self._device.flush(), 0)

    def close(self) -> None:
        """Release the device, and try no longer to open it."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S + RETRY_S)
        if not self._is_lost:
            self._device.close()

    def _try(self, act: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return act()
        except Exception as error:  # PortAudio's and rtmixer's own errors: whatever it says, it does not play
            self._lose(str(error).splitlines()[0] if str(error) else type(error).__name__)
            return otherwise

    def _lose(self, why: str) -> None:
        with self._lock:
            if self._is_lost:
                return
            self._is_lost = True
        self.n_losses += 1
        self.text = f"the sound device is lost ({why}); it is opened again when it is back; `save` works meanwhile"
        self._thread = threading.Thread(target=self._revive, name="vampnet-live-device", daemon=True)
        self._thread.start()

    def _revive(self) -> None:
        """Close the lost device and open it again, at the same rate; blocks."""
        old = self._device
        closing = threading.Thread(target=_close_quietly, args=(old,), daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        config = dataclasses.replace(self.config, sample_rate_hz=self.sample_rate_hz)
        while not self._closed.is_set():
            try:
                if not closing.is_alive():  # PortAudio may still wait for it, as for a JACK server that ended
                    self._refresh()
                new = self._reopen(config)
            except Exception as error:  # PortAudio's own errors too
                told = error if isinstance(error, VampnetError) else f"{type(error).__name__} {error}"
                self.text = f"the sound device is lost; tried to open it again: {told}".splitlines()[0]
                self._closed.wait(RETRY_S)
                continue
            for name in self._before:
                self._before[name] += getattr(old, name)
            self._device, self.output_latency = new, new.output_latency
            self._fill, self._moved_at, self.text = new.fill(), time.monotonic(), ""
            self._is_lost = False
            return

    def _reopen(self, config: DeviceConfig) -> Device:
        """The device again. Raises VampnetError, also for one at another rate than the loops have."""
        new = self._open(config)
        if new.sample_rate_hz == self.sample_rate_hz:
            return new
        _close_quietly(new)
        raise SettingsError(f"it runs at {new.sample_rate_hz} Hz now, but the loops have {self.sample_rate_hz} Hz")


def _close_quietly(device: Device) -> None:
    try:
        device.close()
    except Exception:  # it is gone
        return
