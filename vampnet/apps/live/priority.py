"""Priority of threads that must not be late."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

PRIORITY = 5
"""Real-time priority, below that of audio servers."""


def hurry() -> None:
    """Let this thread run before others where the system allows it, as it does for members of the group audio."""
    with contextlib.suppress(OSError, AttributeError):
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(PRIORITY))


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """`hurry` while the block runs. A thread that waits for Python's lock runs no sooner than the one that holds it."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
    except (OSError, AttributeError):
        yield
        return
    hurry()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, *before)
