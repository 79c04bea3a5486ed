"""librosa, imported by one process at a time.

Its compiled functions are put into numba's cache when it is imported for the first time. Two processes that fill the
cache at once damage it for good: every process after them crashes with a segmentation fault. So the import that fills
the cache is done under a lock between processes; a mark in the cache says that it is filled, and then nothing waits for
anything. Where the cache can be written neither beside librosa nor in the user's home, as in a
service with a read-only system, importing it would fail: there the cache goes into the folder of temporary files.
Import librosa from here.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib
import importlib.metadata
import importlib.util
import os
import stat
import sys
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


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _temporary_cache() -> str:
    """A folder for the cache that is this user's alone: what lies in it is executed."""
    if hasattr(os, "getuid"):
        folder = Path(tempfile.gettempdir()) / f"vampnet-numba-{os.getuid()}"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            facts = folder.lstat()
            if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077:
                return str(folder)
    return tempfile.mkdtemp(prefix="vampnet-numba-")


def _cache_folder() -> Path | None:
    """Folder of numba's cache, which is named to numba where it would find none; None where there can be none."""
    spec = importlib.util.find_spec("librosa")
    if spec is None or spec.origin is None:
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache")
    for folder in (os.environ.get("NUMBA_CACHE_DIR"), Path(spec.origin).parent / "__pycache__", home / "numba"):
        if folder and _can_write(Path(folder)):
            return Path(folder)
    if os.environ.get("NUMBA_CACHE_DIR"):
        return None  # whoever set it shall hear of it
    with contextlib.suppress(OSError):
        os.environ["NUMBA_CACHE_DIR"] = _temporary_cache()
        return Path(os.environ["NUMBA_CACHE_DIR"])
    return None


def _mark() -> Path | None:
    """File that is there once the cache is filled by this Python, numba and librosa."""
    folder, spec = _cache_folder(), importlib.util.find_spec("librosa")
    if folder is None or spec is None or spec.origin is None:
        return None
    versions = "-".join(importlib.metadata.version(name) for name in ("librosa", "numba"))
    return folder / f".vampnet-{sys.implementation.cache_tag}-{versions}-{os.stat(spec.origin).st_mtime_ns}"


_filled = _mark()
if _filled is not None and _filled.exists():
    import librosa as librosa  # its submodules are imported when they are used: beats alone take two seconds
else:
    with _alone():
        import librosa as librosa

        for _part in ("beat", "core.audio", "core.pitch", "onset", "util.utils"):
            importlib.import_module(f"librosa.{_part}")  # compiles the functions that have signatures
        if _filled is not None:
            with contextlib.suppress(OSError):
                _filled.touch()
