"""A read-only file put together from pieces of another one and from bytes in memory.

Decoders are handed the sound alone: without the tags in front of a container, the pages of other streams between its
own, or a header that says something wrong.
"""

from __future__ import annotations

import bisect
import io
import itertools
import os
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, cast


class Extent(NamedTuple):
    """Bytes `start` to `stop` - 1 of the file beneath."""

    start: int
    stop: int


class PiecedFile(io.RawIOBase):
    """Pieces of a file read as one file. The underlying file stays open when this one is closed.

    Errors of the system end the file and are kept in `errors`: decoders in C would hear of none, and print it.
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[bytes | Extent], errors: list[OSError]) -> None:
        self._file, self._errors = file, errors
        self._pieces = [piece for piece in _merged(pieces) if _length(piece)]
        self._starts = [0, *itertools.accumulate(_length(piece) for piece in self._pieces)]
        self._position = 0

    def readable(self) -> bool:
        """True: the file can be read."""
        return True

    def seekable(self) -> bool:
        """True: the position can be set."""
        return True

    def tell(self) -> int:
        """Position, bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, as `io.IOBase.seek`."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; returns the number of bytes read."""
        done = 0
        while done < len(buffer) and self._position < self._starts[-1]:
            number = bisect.bisect_right(self._starts, self._position) - 1
            part = self._read_piece(number, self._position - self._starts[number], len(buffer) - done)
            if not part:  # the file beneath became shorter meanwhile
                break
            buffer[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return done

    def _read_piece(self, number: int, offset: int, n_bytes: int) -> bytes:
        piece = self._pieces[number]
        if isinstance(piece, bytes):
            return piece[offset : offset + n_bytes]
        try:
            self._file.seek(piece.start + offset)
            return self._file.read(min(n_bytes, piece.stop - piece.start - offset))
        except OSError as error:
            self._errors.append(error)
            return b""


def pieced(file: BinaryIO, pieces: Sequence[bytes | Extent], errors: list[OSError]) -> BinaryIO:
    """A PiecedFile, as the type that readers of files ask for; `errors` takes those of reading."""
    return cast(BinaryIO, PiecedFile(file, pieces, errors))


def _length(piece: bytes | Extent) -> int:
    return piece.stop - piece.start if isinstance(piece, Extent) else len(piece)


def _merged(pieces: Sequence[bytes | Extent]) -> list[bytes | Extent]:
    """The same with adjoining extents as one."""
    merged: list[bytes | Extent] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, Extent) and isinstance(last, Extent) and last.stop == piece.start:
            merged[-1] = Extent(last.start, piece.stop)
        else:
            merged.append(piece)
    return merged
