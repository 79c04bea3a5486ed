"""Reproducible files: header fields that differ from run to run are set to fixed values; equal samples, equal bytes.

libsndfile gives OGG streams a serial number that it draws from the clock, and writes the time into the PEAK chunk of
WAV, RF64 and AIFF files of floats.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from vampnet.audio.ogg_pages import ogg_checksum

OGG_SERIAL = 1
_OGG_HEAD_BYTES = 27
_CHUNKED = {b"RIFF": "<I", b"RF64": "<I", b"FORM": ">I"}
"""Beginnings of files whose chunks may hold the time, and struct's code of a chunk's size."""
_SOUND_IDS = (b"data", b"SSND")


def make_repeatable(path: Path) -> None:
    """Set the serial number of a written OGG file, or the time in a PEAK chunk, to a fixed value; others stay."""
    with open(path, "r+b") as file:
        first = file.read(4)
        if first == b"OggS":
            _set_serials(file)
        elif first in _CHUNKED:
            _clear_peak_time(file, _CHUNKED[first])


def _set_serials(file: BinaryIO) -> None:
    file.seek(0)
    while len(head := file.read(_OGG_HEAD_BYTES)) == _OGG_HEAD_BYTES:
        start = file.tell() - _OGG_HEAD_BYTES
        lengths = file.read(head[26])
        body = file.read(sum(lengths))
        plain = head[:14] + struct.pack("<I", OGG_SERIAL) + head[18:22] + bytes(4) + head[26:]
        checksum = ogg_checksum(plain + lengths + body)
        file.seek(start)
        file.write(plain[:22] + struct.pack("<I", checksum))
        file.seek(start + len(head) + len(lengths) + len(body))


def _clear_peak_time(file: BinaryIO, size_code: str) -> None:
    file.seek(12)
    while len(head := file.read(8)) == 8 and head[:4] not in _SOUND_IDS:
        if head[:4] == b"PEAK":
            file.seek(4, 1)  # its version; the time follows
            file.write(bytes(4))
            return
        (size,) = struct.unpack(size_code, head[4:])
        file.seek(size + size % 2, 1)
