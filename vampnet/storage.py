"""Files that are read with a limit, and files that are written whole or not at all.

Every function takes the class of error that its caller's users know. A message names the file and the cause, on one
line. A file is written under a temporary name beside its place, forced onto the disk, and renamed. The temporary file
is locked while its writer lives, so that the next writer of the same file knows a left-over one and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from vampnet.errors import StorageError, VampnetError

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; there nothing is locked and nothing left over is removed
    fcntl = None  # type: ignore[assignment]

ErrorKind = type[VampnetError]
StrPath = str | os.PathLike[str]

MAX_JSON_BYTES = 1 << 24
"""Longest JSON file that is read unless a caller says otherwise."""
MAX_YAML_BYTES = 1 << 20
"""Longest YAML file that is read."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 1 << 20
_OS_ERROR = re.compile(r"\(os error (\d{1,5})\)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
HEX = "[0-9a-f]" * 12


def cause(error: BaseException) -> str:
    """The cause of an error of the system or of a library, on one line; where the disk is full, what to do."""
    text = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
    code = error.errno if isinstance(error, OSError) else None
    if told := _OS_ERROR.search(text):  # of a library written in Rust
        code = int(told[1])
        text = os.strerror(code)
    hint = ""
    if code in _FULL:
        hint = "; free some disk space"
    elif code == errno.EMFILE:
        hint = "; allow more open files (ulimit -n), or do less at once"
    return text[:1].lower() + text[1:200] + hint


def is_full(error: OSError) -> bool:
    """Whether the disk, or this user's share of it, is full."""
    return error.errno in _FULL


@contextlib.contextmanager
def guarded(path: StrPath, kind: ErrorKind = StorageError, action: str = "write") -> Iterator[None]:
    """Turn errors of the file system inside the block into one line that names the file."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "null" not in str(error):  # a path with a zero byte, and nothing else
            raise
        raise kind(f"cannot {action} {os.fspath(path)!r}: {cause(error)}") from None


def open_regular(path: StrPath, kind: ErrorKind = StorageError) -> BinaryIO:
    """Open a regular file for reading; a pipe, device or folder is refused without waiting for it."""
    with guarded(path, kind, "read"):
        # Without O_NONBLOCK opening a pipe would wait for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise kind(f"cannot read {os.fspath(path)!r}: it is not a regular file")
        return os.fdopen(handle, "rb")


def read_bytes(path: StrPath, kind: ErrorKind = StorageError, most: int = MAX_JSON_BYTES) -> bytes:
    """The bytes of a regular file of at most `most` bytes."""
    with open_regular(path, kind) as file, guarded(path, kind, "read"):
        data = file.read(most + 1)
    if len(data) > most:
        raise kind(
            f"cannot read {os.fspath(path)!r}: it has more than {most} bytes, the most that such a file may have"
        )
    return data


def read_json(path: StrPath, kind: ErrorKind = StorageError, most: int = MAX_JSON_BYTES) -> Any:
    """Strict JSON of a regular file: UTF-8, no key twice, no NaN, no endless nesting or numbers."""
    try:
        return parse_json(read_bytes(path, kind, most))
    except (ValueError, RecursionError) as error:
        raise kind(f"{os.fspath(path)}: damaged, not valid JSON ({cause(error)})") from None


def parse_json(data: bytes | str) -> Any:
    """Strict JSON. Raises ValueError for a key that comes twice or a NaN too, and RecursionError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key comes twice")
        return found

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    return json.loads(data, object_pairs_hook=unique, parse_constant=refuse)


def read_text(path: StrPath, kind: ErrorKind = StorageError, most: int = MAX_JSON_BYTES) -> str:
    """The text of a regular UTF-8 file of at most `most` bytes."""
    try:
        return read_bytes(path, kind, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise kind(f"cannot read {os.fspath(path)!r}: it is not a text file (UTF-8)") from None


def parse_yaml(data: bytes) -> Any:
    """Strict YAML: UTF-8, no key twice, no aliases, whose repetitions grow without end. Raises ValueError, of one line,
    and RecursionError."""
    import yaml

    try:
        return yaml.load(data.decode("utf-8-sig"), Loader=_strict_yaml())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(cause(error)) from None


@functools.cache
def _strict_yaml() -> Any:
    import yaml

    class StrictLoader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has an alias (*name); write the value out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            mapping = super().construct_mapping(node, deep)
            if len(mapping) < len(node.value):
                raise yaml.YAMLError("a key comes twice")
            return mapping

    return StrictLoader


def table_cell(value: Any) -> Any:
    """A cell of a CSV file that no spreadsheet takes for a formula: text that begins like one gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def sha256_of_file(path: StrPath, kind: ErrorKind = StorageError) -> str:
    """SHA-256 of a regular file, hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path, kind) as file, guarded(path, kind, "read"):
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def make_folder(path: StrPath, kind: ErrorKind = StorageError) -> Path:
    """Make a folder and those above it where they are missing."""
    with guarded(path, kind, "make folder"):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def write_whole(path: StrPath, data: bytes | str, kind: ErrorKind = StorageError) -> None:
    """Write a file; it appears whole or not at all."""
    with whole_file(path, kind) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def whole_file(path: StrPath, kind: ErrorKind = StorageError) -> Iterator[Path]:
    """Path of a temporary file to write; after the block it takes the place of `path`, after an error it is removed.

    It has the permissions of a new file, and is forced onto the disk before it is renamed: after a power cut there is
    the old file or the new one.
    """
    target = Path(path)
    with guarded(target, kind):
        temporary, handle = open_temporary(target)
        try:
            mode = stat.S_IMODE(temporary.stat().st_mode)
            yield temporary
            temporary.chmod(mode)  # libraries that write for the owner alone
            sync(temporary)
            os.replace(temporary, target)
            sync_folder(target.parent)
        finally:
            remove_temporary(temporary, handle)


def sync(path: StrPath) -> None:
    """Force what was written to a file onto the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: StrPath) -> None:
    """Force a folder's names onto the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked(folder: StrPath, kind: ErrorKind = StorageError, what: str = "folder", name: str = "") -> Iterator[None]:
    """Hold a folder for this process; another one that asks for it meanwhile is refused with one line.

    The lock goes with the process, however it ends. Where a file system has no locks, nothing is held.
    """
    handle = lock_folder(folder, kind, what, name)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # whoever waits for it sees that it is gone, and makes a new one
            (Path(folder) / ".lock").unlink()
        os.close(handle)


def lock_folder(folder: StrPath, kind: ErrorKind = StorageError, what: str = "folder", name: str = "") -> int:
    """A handle that holds a folder until it is closed; `what` and `name` are for the message. See `locked`."""
    handle = try_lock_folder(folder, kind)
    if handle is None:
        which = name or os.fspath(folder)
        raise kind(f"{which}: another process works on this {what}; wait for it, or choose another {what}")
    return handle


def try_lock_folder(folder: StrPath, kind: ErrorKind) -> int | None:
    """A handle that holds a folder; None where another process holds it."""
    path = Path(folder) / ".lock"
    while True:
        make_folder(folder, kind)
        with guarded(path, kind):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        is_held = _lock(handle) is False
        if not is_held and _is_at(handle, path):  # and was not removed by the one who held it before
            return handle
        os.close(handle)
        if is_held:
            return None


def open_temporary(target: Path) -> tuple[Path, int]:
    """An empty file beside the target, locked by the handle that comes with it; left-over ones are removed.

    Both are to be given to `remove_temporary` once the file is renamed or not wanted any more. Raises OSError.
    """
    _remove_left_over(target)
    return _temporary_file(target)


def remove_temporary(temporary: Path, handle: int) -> None:
    """Remove a temporary file, if it was not renamed, and let go of its lock."""
    with contextlib.suppress(OSError):
        os.close(handle)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _temporary_file(target: Path) -> tuple[Path, int]:
    """An empty, locked file beside the target, with the permissions that a new file gets there."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    while True:
        temporary = target.with_name(f".{stem_of(target)}.{secrets.token_hex(6)}.tmp")
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666)
        if fcntl is None:  # Windows renames no open file
            os.close(handle)
            return temporary, -1
        # Between making and locking it, another writer may have taken it for a left-over one.
        if _lock(handle) is not False and _is_at(handle, temporary):
            return temporary, handle
        os.close(handle)


def stem_of(target: Path) -> str:
    """Name of a target within the names of its temporary files."""
    return target.name.encode()[:200].decode(errors="ignore")


def _remove_left_over(target: Path) -> None:
    """Remove temporary files of this target whose writers are gone."""
    for old in target.parent.glob(f".{glob.escape(stem_of(target))}.{HEX}.tmp"):
        if is_left_over(old):
            with contextlib.suppress(OSError):
                old.unlink()


def is_left_over(lock: Path) -> bool:
    """Whether a file is there whose lock nobody holds; False where that cannot be known."""
    with contextlib.suppress(OSError):
        handle = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            return _lock(handle) is True
        finally:
            os.close(handle)
    return False


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still lies under a path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False


def _lock(handle: int) -> bool | None:
    """Whether this process now holds the lock of an open file; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
