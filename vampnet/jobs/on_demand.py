"""A process that is started while there is work for it, and ends by itself when there is none."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

log = logging.getLogger("vampnet.crew")

_LOOK_EVERY_S = 0.5
_LONGEST_WAIT_S = 30.0


class OnDemandProcess:
    """Keeps one process at work as long as `is_wanted` says so; one that fails is started again, ever later."""

    def __init__(
        self, command: Callable[[], Sequence[str]], is_wanted: Callable[[], bool], *, grace_s: float = 15.0
    ) -> None:
        """`grace_s`: time that it gets to stop, seconds."""
        self._command, self._is_wanted, self._grace_s = command, is_wanted, grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Watch from now on; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    @property
    def pid(self) -> int | None:
        """Process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def stop(self) -> None:
        """SIGTERM, time to give the work back, then SIGKILL."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self._grace_s)
        if process.poll() is None:
            process.kill()
            process.wait()

    def _watch(self) -> None:
        wait_s, not_before = 0.0, 0.0
        while not self._stopping.is_set():
            process = self._process
            if process is not None and process.poll() is not None:
                if process.returncode:
                    log.warning("a process on demand (pid %d) ended with %d", process.pid, process.returncode)
                    wait_s = min(2 * wait_s + 1.0, _LONGEST_WAIT_S)
                    not_before = time.monotonic() + wait_s
                else:
                    wait_s = 0.0
                process = self._process = None
            if process is None and time.monotonic() >= not_before and self._asks():
                self._process = subprocess.Popen(list(self._command()), stdin=subprocess.DEVNULL)
            self._woken.wait(_LOOK_EVERY_S)
            self._woken.clear()

    def _asks(self) -> bool:
        try:
            return self._is_wanted()
        except Exception:  # a busy or broken table: the next look tells
            log.exception("it cannot be said whether there is work; looking again")
            return False
