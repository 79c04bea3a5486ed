"""librosa, imported by one process at a time.

Its compiled functions are put into numba's cache when it is imported for the first time. Two processes that fill the
cache at once damage it for good: every process after them crashes with a segmentation fault. So the import is done
under a lock between processes. Import librosa from here.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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


# The submodules compile functions when they are imported; librosa alone would import them when they are first used.
with _alone():
    import librosa as librosa

    for _part in ("beat", "core.audio", "core.pitch", "onset", "util.utils"):
        importlib.import_module(f"librosa.{_part}")
