"""Model processes for tests: quick ones, and ones that crash, hang or answer late."""

from __future__ import annotations

import os
import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from vampnet.apps.live.model_process import serve_one
from vampnet.errors import VampnetError


class _Progress:
    share = 0.5


def _serve(pipe: Any, names: list[str], control: Any, slots: Any, make: Any) -> None:
    memory = [SharedMemory(name=name) for name in names]
    pipe.send(("loaded", "test"))
    try:
        while True:
            serve_one(pipe, memory, control, slots, make)
    except (EOFError, OSError):
        return


def quick(pipe: Any, names: list[str], control: Any, slots: Any, config: Any) -> None:
    """Halves what it gets; a prompt of 'nothing' is refused."""

    def make(samples: Any, rate_hz: int, recipe: Any, *, report: Any, **_: Any) -> Any:
        report(_Progress)
        if recipe.prompt == "nothing":
            raise VampnetError("it keeps nothing")
        return samples / 2, np.full((1, 2, 3), recipe.sampling.seed, np.int32), np.ones((2, 3), bool)

    _serve(pipe, names, control, slots, make)


def crash_once(pipe: Any, names: list[str], control: Any, slots: Any, config: Any) -> None:
    """Ends itself at the first request of a session; the file says whether that was."""

    def make(samples: Any, rate_hz: int, recipe: Any, **_: Any) -> Any:
        mark = config.model.bundle
        if not os.path.exists(mark):
            open(mark, "w").close()
            os._exit(9)
        return samples / 2, None, None

    _serve(pipe, names, control, slots, make)


def hang(pipe: Any, names: list[str], control: Any, slots: Any, config: Any) -> None:
    """Never answers."""

    def make(*_: Any, **__: Any) -> Any:
        time.sleep(1000)

    _serve(pipe, names, control, slots, make)


def refuse(pipe: Any, names: list[str], control: Any, slots: Any, config: Any) -> None:
    """Has no model."""
    pipe.send(("refused", "no such bundle"))
    time.sleep(1)
