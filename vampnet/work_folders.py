"""Folders that appear whole or not at all, and folders for temporary files.

Each is filled under a temporary name, with a lock inside that goes with its writer: so the next writer knows one that
was left over, and removes it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vampnet.errors import StorageError
from vampnet.storage import (
    HEX,
    ErrorKind,
    StrPath,
    guarded,
    is_left_over,
    make_folder,
    stem_of,
    sync_folder,
    try_lock_folder,
)


@contextlib.contextmanager
def whole_folder(path: StrPath, kind: ErrorKind = StorageError) -> Iterator[Path]:
    """A work folder to fill; after the block it takes the place of `path`, after an error it is removed.

    A folder that was there is kept until the new one stands in its place. Work folders of writers that are gone are
    removed, and a folder that one of them had moved away is put back.
    """
    target = Path(path)
    make_folder(target.parent, kind)
    with guarded(target, kind), _work_folder(target, kind) as scratch:
        yield scratch
        _put_in_place(scratch, target)
        with contextlib.suppress(OSError):
            (target / ".lock").unlink()


@contextlib.contextmanager
def scratch_folder(kind: ErrorKind = StorageError) -> Iterator[Path]:
    """A folder for temporary files, removed after the block; those of processes that were killed are removed too."""
    base = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as stack:
        with guarded(base, kind, "make a folder for temporary files in"):
            scratch = stack.enter_context(_work_folder(base / "vampnet", kind))
        yield scratch


@contextlib.contextmanager
def _work_folder(target: Path, kind: ErrorKind) -> Iterator[Path]:
    """A locked folder beside the target; it is removed, if it was not renamed, as are left-over ones."""
    _remove_left_over_folders(target)
    handle, is_shared = None, _is_shared(target.parent)
    while handle is None:  # another process may take one that is not locked yet for a left-over one
        scratch = target.with_name(f".{stem_of(target)}.{secrets.token_hex(6)}.work")
        scratch.mkdir(0o700 if is_shared else 0o777)
        try:
            handle = try_lock_folder(scratch, kind)
        except BaseException:
            _remove_folder(scratch)
            raise
    try:
        yield scratch
    finally:
        _remove_folder(scratch)
        os.close(handle)


def _put_in_place(scratch: Path, target: Path) -> None:
    old = scratch.with_name(f"{scratch.name}.old")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(scratch, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
    sync_folder(target.parent)
    _remove_folder(old)


def _remove_left_over_folders(target: Path) -> None:
    """Remove work folders of this target whose writers are gone; a target that one moved away is put back."""
    name = f".{glob.escape(stem_of(target))}.{HEX}.work"
    for old in target.parent.glob(f"{name}.old"):
        lock = old.with_suffix("") / ".lock"
        with contextlib.suppress(OSError):
            if not lock.exists() or is_left_over(lock):
                _remove_folder(old) if target.exists() else os.replace(old, target)
    for scratch in target.parent.glob(name):
        with contextlib.suppress(OSError):
            facts, is_empty = os.lstat(scratch), not any(scratch.iterdir())
            is_ours = not _is_shared(target.parent) or facts.st_uid == os.getuid()
            is_old = is_empty and time.time() - facts.st_mtime > 3600  # left before it was locked
            if is_ours and stat.S_ISDIR(facts.st_mode) and (is_old or is_left_over(scratch / ".lock")):
                _remove_folder(scratch)


def _is_shared(folder: Path) -> bool:
    """Whether a folder is one such as /tmp, where others have files that they may put in place of one another."""
    return hasattr(os, "getuid") and bool(folder.stat().st_mode & stat.S_ISVTX)


def _remove_folder(folder: Path) -> None:
    """Remove a folder, its lock last: until then others see that it is in use, or left over."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (folder / ".lock").unlink(missing_ok=True)
        folder.rmdir()
