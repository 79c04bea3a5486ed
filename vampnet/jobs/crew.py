"""Crew: the worker processes of a server, started, watched, replaced when they die and stopped together."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

log = logging.getLogger("vampnet.crew")

_LOOK_EVERY_S = 0.1
_LONGEST_WAIT_S = 10.0
_STEADY_S = 30.0


class Crew:
    """Pool of `size` worker processes; one that ends is restarted, at once if it had lived long."""

    def __init__(self, command: Callable[[int], Sequence[str]], size: int, *, grace_s: float = 15.0) -> None:
        """`command`: the command line of worker number k; `grace_s`: time that workers get to stop, seconds."""
        self._command, self._grace_s = command, grace_s
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * size
        self._started = [0.0] * size
        self._wait_s = [0.0] * size
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.restarts = 0
        """Workers that ended unasked and were replaced."""

    def start(self) -> None:
        """Start the workers; returns at once."""
        for k in range(len(self._processes)):
            self._start_one(k)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        return [process.pid for process in self._processes if process is not None and process.poll() is None]

    def stop(self) -> None:
        """SIGTERM to all, time to finish or release their jobs, then SIGKILL."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        living = [process for process in self._processes if process is not None and process.poll() is None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + self._grace_s
        for process in living:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()

    def _start_one(self, k: int) -> None:
        self._started[k] = time.monotonic()
        self._processes[k] = subprocess.Popen(list(self._command(k)), stdin=subprocess.DEVNULL)

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            for k, process in enumerate(self._processes):
                if process is None or process.poll() is None:
                    continue
                lived_s = time.monotonic() - self._started[k]
                if lived_s < self._wait_s[k]:
                    continue
                log.warning(
                    "worker %d (pid %d) ended with %d; starting another", k + 1, process.pid, process.returncode
                )
                self.restarts += 1
                # One that dies at once would else be started ten times a second.
                self._wait_s[k] = 0.0 if lived_s > _STEADY_S else min(2 * self._wait_s[k] + 0.5, _LONGEST_WAIT_S)
                self._start_one(k)
