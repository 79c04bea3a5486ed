"""librosa, imported by one process at a time.

Its compiled functions are put into numba's cache when it is imported for the first time. Two processes that fill the
cache at once damage it for good: every process after them crashes with a segmentation fault. So the import is done
under a lock between processes. Import librosa from here.
"""

from __future__ import annotations

import contextlib
import getpass
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import librosa as librosa

_COMPILED = ("librosa.util.utils", "librosa.core.audio", "librosa.core.pitch", "librosa.beat", "librosa.onset")
"""Modules of librosa that compile functions when they are imported."""


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold a lock between the processes of this user; nothing where there are no locks, or no folder for one."""
    try:
        path = Path(tempfile.gettempdir()) / f".vampnet-librosa-{getpass.getuser()}.lock"
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (closed below)
    except (OSError, KeyError):
        yield
        return
    with file:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


with _alone():
    for _name in _COMPILED:
        import_module(_name)
if not TYPE_CHECKING:
    librosa = import_module("librosa")
