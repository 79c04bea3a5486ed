"""Truncation check of MP4 (m4a, mov), Matroska (mkv, webm) and ASF (wma) files by the sizes that they state.

FFmpeg decodes them, and stops where they stop without a word.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from vampnet.audio.byte_pieces import Extent
from vampnet.audio.chunk_formats import SoundPieces
from vampnet.errors import AudioError

_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_EBML = b"\x1a\x45\xdf\xa3"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def is_box_format(head: bytes) -> bool:
    """True if a file's first bytes are those of MP4, Matroska or ASF."""
    return head[4:8] in _MP4_BOXES or head.startswith((_EBML, _ASF))


def find_box_sound(file: BinaryIO, start: int, size: int, name: str) -> SoundPieces:
    """The whole file. Raises AudioError where it states more bytes than there are."""
    file.seek(start)
    head = file.read(8)
    if head[4:8] in _MP4_BOXES:
        missing = _missing_in_mp4(file, start, size)
    elif head.startswith(_EBML):
        missing = _missing_in_matroska(file, start, size)
    else:
        missing = _missing_in_asf(file, start, size)
    if missing > 0:
        raise AudioError(f"cannot read {name}: it is truncated (bytes missing at its end: at least {missing})")
    return SoundPieces([[Extent(start, size)]], [])


def _missing_in_mp4(file: BinaryIO, position: int, size: int) -> int:
    has_index = False
    while position + 8 <= size:
        file.seek(position)
        n_bytes, kind = struct.unpack(">I4s", file.read(8))
        has_index = has_index or kind == b"moov"
        if n_bytes == 1:
            n_bytes = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0]
        if n_bytes == 0:  # to the end of the file
            return 0
        if n_bytes < 8:
            return 0  # damaged; the decoder will say so
        position += n_bytes
    return position - size if position > size else 0 if has_index else 1


def _missing_in_matroska(file: BinaryIO, position: int, size: int) -> int:
    """Elements of the top level: the head and one segment, whose size may be unknown."""
    while position < size:
        file.seek(position)
        head = file.read(12)
        n_id = 9 - head[0].bit_length()
        if n_id > 4 or len(head) <= n_id:
            return 0
        n_size = 9 - head[n_id].bit_length()
        if n_size > 8 or len(head) < n_id + n_size:
            return 0
        value = int.from_bytes(head[n_id : n_id + n_size], "big") & (1 << 7 * n_size) - 1
        if value == (1 << 7 * n_size) - 1:
            return 0
        position += n_id + n_size + value
    return position - size


def _missing_in_asf(file: BinaryIO, start: int, size: int) -> int:
    file.seek(start)
    head = file.read(1 << 16)
    at = head.find(_ASF_FILE_PROPERTIES)
    stated = struct.unpack("<Q", head[at + 40 : at + 48].ljust(8, b"\0"))[0] if at >= 0 else 0
    return stated - (size - start) if 0 < stated < 2**48 else 0
