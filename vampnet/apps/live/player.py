"""Player: feeds a device from a performance, ahead of what is heard, in a thread of its own."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from vampnet.apps.live.commands import LiveCommand
from vampnet.apps.live.devices import Device
from vampnet.apps.live.performance import Performance
from vampnet.apps.live.priority import hurry
from vampnet.audio.samples import Samples
from vampnet.errors import VampnetError

TICK_S = 0.01
BLOCK = 512
"""Samples that are rendered at once."""


class Player:
    """Keeps a device's ring filled. Commands are given from any thread by `do`."""

    def __init__(
        self,
        performance: Performance,
        device: Device,
        *,
        ahead: int,
        sinks: tuple[Callable[[Samples, Samples], Any], ...] = (),
    ) -> None:
        """`ahead`: samples that the ring is kept filled with; `sinks` take each block of input and output."""
        self.performance, self.device, self.ahead = performance, device, ahead
        self.lowest = ahead
        """Lowest fill of the ring so far, samples."""
        self.n_lost = 0
        """Input samples that were missing."""
        self.slowest_s = 0.0
        """Longest tick so far."""
        self._sinks = sinks
        self._commands: queue.SimpleQueue[tuple[LiveCommand, float]] = queue.SimpleQueue()
        self._calls: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._input: deque[Samples] = deque()
        self._first = 0  # number of the first sample in `_input`
        self._known = 0  # number of the sample that comes in next
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._primed = False
        self._starts = 0
        self._offsets: deque[tuple[float, float]] = deque(maxlen=150)
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin to play."""
        gc.collect()
        gc.freeze()
        self._thread = threading.Thread(target=self._run, name="vampnet-live-feeder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. The device stays open."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(5)
        gc.unfreeze()

    def do(self, command: LiveCommand) -> None:
        """Give a command, as of now."""
        self._commands.put((command, time.monotonic()))

    def call(self, action: Callable[[], Any]) -> None:
        """Have something done between two blocks, in the feeder's thread."""
        self._calls.put(action)

    def tick(self) -> None:
        """Do what is due: take input and commands, fill the ring."""
        began = time.perf_counter()
        if self._primed:
            now = time.monotonic()
            played = self.performance.looper.now - self.device.fill()
            self._offsets.append((now, played - now * self.performance.looper.config.sample_rate_hz))
            self._keep_input()
            self.lowest = min(self.lowest, self.device.fill())
        self._obey()
        self.performance.tend()
        looper = self.performance.looper
        while self.device.fill() < self.ahead:
            block = self._input_block(looper.now - looper.config.delay, BLOCK)
            out = self.performance.render(block)
            for sink in self._sinks:
                sink(block, out)
            before = self.device.fill()
            self.device.write(out)
            if self.device.n_starts != self._starts:
                self._starts = self.device.n_starts
                self._begin_input(looper.now - BLOCK - before)
        self._primed = True
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)

    def heard(self, at: float | None = None) -> int:
        """Output sample that is heard now, or was at a time of `time.monotonic`.

        A device empties the ring in blocks; the line through the latest moments of the last second knows better than
        the present fill.
        """
        looper, at = self.performance.looper, time.monotonic() if at is None else at
        offset = max((offset for _, offset in self._offsets), default=0.0)
        sample = round(offset + at * looper.config.sample_rate_hz) if self._offsets else 0
        return min(max(sample - self.device.output_latency, 0), looper.now)

    def _run(self) -> None:
        hurry()
        try:
            while not self._stopped.is_set():
                self.tick()
                self._stopped.wait(TICK_S)
        except BaseException as error:
            self.error = error
            self._stopped.set()

    def _obey(self) -> None:
        while not self._calls.empty():
            try:
                self._calls.get_nowait()()
            except VampnetError as error:
                self.performance.message = str(error).splitlines()[0]
        while True:
            try:
                command, given = self._commands.get_nowait()
            except queue.Empty:
                return
            heard = self.heard(given)
            if command.name == "panic":
                self.device.flush()
                self._offsets.clear()
            self.performance.do(command, heard)

    def _begin_input(self, number: int) -> None:
        """Say which output sample the next input belongs to; what lies between is silence."""
        missing = number - self._known
        if missing > 0:
            self._input.append(np.zeros((self.performance.looper.config.channels, missing), np.float32))
        self._known = max(number, self._known)

    def _keep_input(self) -> None:
        block = self.device.read()
        if block.shape[1]:
            self._input.append(block)
            self._known += block.shape[1]

    def _input_block(self, first: int, n: int) -> Samples:
        """Input samples `first` to `first + n` - 1; what is missing is silence."""
        out = np.zeros((self.performance.looper.config.channels, n), np.float32)
        while self._input and self._first + self._input[0].shape[1] <= first:
            self._first += self._input.popleft().shape[1]
        place = self._first
        for block in self._input:
            low, high = max(first, place), min(first + n, place + block.shape[1])
            if low < high:
                out[:, low - first : high - first] = block[:, low - place : high - place]
            place += block.shape[1]
            if place >= first + n:
                break
        self.n_lost += max(first + n - max(place, first, 0), 0)
        return out
