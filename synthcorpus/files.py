"""Files of a corpus: written whole or not at all, and errors of the file system as one line."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from synthcorpus.errors import CompositionError

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; there nothing is locked
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial"
"""Ending of a file that is being written."""


@contextlib.contextmanager
def guarded(path: Path, action: str = "write") -> Iterator[None]:
    """Turn errors of the file system inside the block into one line that names the file."""
    try:
        yield
    except OSError as error:
        hint = "; free some disk space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        cause = (error.strerror or str(error)).lower()
        raise CompositionError(f"cannot {action} {os.fspath(path)!r}: {cause}{hint}") from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing. Raises CompositionError."""
    with guarded(path, "make folder"):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Path of a temporary file to write; after the block it takes the place of `path`, after an error it is removed.

    It is forced onto the disk before it is renamed. Raises CompositionError.
    """
    temporary = path.with_name(path.name + PARTIAL)
    with guarded(path):
        try:
            yield temporary
            handle = os.open(temporary, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file; it appears whole or not at all. Raises CompositionError."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_left_over(folder: Path) -> None:
    """Remove what writers that were killed left. Only for a folder that no other process writes to."""
    for old in folder.glob(f"*{PARTIAL}"):
        with contextlib.suppress(OSError):
            old.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, which ends with it. Raises CompositionError where another process holds it."""
    path = folder / ".lock"
    with guarded(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _lock(handle, path):
            raise CompositionError(
                f"{folder}: another process works on this corpus; wait for it, or choose another folder"
            )
        yield
        with contextlib.suppress(OSError):
            path.unlink()
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> bool:
    """True if this process now holds the lock of an open file, or the file system has none."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.stat(path), os.fstat(handle))  # not removed meanwhile by the one who held it
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:
        return True
