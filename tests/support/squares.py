"""A task for pools of processes, in a module that workers import without torch."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from vampnet.errors import CorpusError


class Square:
    """Squares numbers; -1 and -2 kill the worker, always or the first time; 13 is a user's error."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def __call__(self, number: int) -> int:
        mark = self._folder / "died"
        if number == -1 or (number == -2 and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 13:
            raise CorpusError("13 is unlucky")
        return number * number
