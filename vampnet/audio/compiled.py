"""librosa, imported by one process at a time.

Its compiled functions are put into numba's cache when it is imported for the first time. Two processes that fill the
cache at once damage it for good: every process after them crashes with a segmentation fault. So the import is done
under a lock between processes, and only when something of it is used. Import librosa from here.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


class _Librosa:
    """librosa, imported when something of it is first used: that takes seconds, and most work needs none of it."""

    def __init__(self) -> None:
        self._module: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._module is None:
            # The submodules compile functions when they are imported; librosa alone would import them at first use.
            with _alone():
                module = importlib.import_module("librosa")
                for part in ("beat", "core.audio", "core.pitch", "onset", "util.utils"):
                    importlib.import_module(f"librosa.{part}")
            self._module = module
        return getattr(self._module, name)


if TYPE_CHECKING:
    import librosa as librosa
else:
    librosa = _Librosa()
