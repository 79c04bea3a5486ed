"""API keys: random texts of which the server keeps the SHA-256 alone.

A keys file has one line per key, `NAME SHA256`; `#` begins a comment. It is read again when it changes.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from vampnet.errors import ServerError

_LINE = re.compile(r"([A-Za-z0-9_.-]{1,64})\s+([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class KeyRing:
    """The keys of a file; without a file every caller is let in."""

    def __init__(self, path: str) -> None:
        """Raises ServerError for a file that cannot be read or has a bad line."""
        self._path = Path(path) if path else None
        self._stamp: tuple[int, int] | None = None
        self._hashes: dict[str, bytes] = {}
        if self._path is not None:
            self._read(self._path)

    @property
    def asks(self) -> bool:
        """Whether a key is needed."""
        return self._path is not None

    def owner(self, key: str) -> str | None:
        """Name of a key; None for one that is not known. Takes as long for any key."""
        if self._path is None:
            return ""
        self._refresh()
        given, found = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest(), None
        for name, expected in self._hashes.items():
            if hmac.compare_digest(given, expected):
                found = name
        return found

    def _refresh(self) -> None:
        """Read the file again when it changed; a file that went bad leaves the keys as they were."""
        assert self._path is not None
        try:
            status = self._path.stat()
            if (status.st_mtime_ns, status.st_size) != self._stamp:
                self._read(self._path)
        except (OSError, ServerError):
            return

    def _read(self, path: Path) -> None:
        try:
            status, text = path.stat(), path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ServerError(f"keys file {str(path)!r} cannot be read: {error}") from None
        hashes = {}
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise ServerError(f"{path}, line {number}: expected NAME SHA256; `vampnet serve --add-key` makes lines")
            hashes[match[1]] = bytes.fromhex(match[2])
        self._hashes, self._stamp = hashes, (status.st_mtime_ns, status.st_size)


def add_key(path: str, name: str) -> str:
    """Make a key, add its hash to a file (made where it is missing) and return it: it is not kept anywhere."""
    if not _NAME.fullmatch(name):
        raise ServerError(f"a key's name is {name!r}, but must be 1 to 64 of A-Z a-z 0-9 _ . -")
    if not path:
        raise ServerError("name the file of the keys: --keys FILE")
    file = Path(path)
    if file.exists() and name in KeyRing(path)._hashes:
        raise ServerError(f"{path} has a key named {name!r} already; remove its line first")
    key = "vn_" + secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as opened:
            opened.write(line)
    except OSError as error:
        raise ServerError(f"{path} cannot be written: {error.strerror}") from None
    return key
