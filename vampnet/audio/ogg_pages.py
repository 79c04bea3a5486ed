"""Pages of OGG files: streams that are chained or interleaved, pages lost, damaged or cut (RFC 3533).

libsndfile stops at the end of the first link of a chain, and refuses files in which a picture is interleaved with the
sound. Every page has a checksum; a page that fails it was changed after writing.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from vampnet.audio.byte_pieces import Extent
from vampnet.audio.chunk_formats import SoundPieces
from vampnet.errors import AudioError

_HEAD_BYTES = 27
_BEGIN, _END = 2, 4
_SOUND_MAGICS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    """One page: bytes `start` to `stop` - 1."""

    start: int
    stop: int
    flags: int
    serial: int
    number: int
    body: int
    """Where its packets begin."""


def find_ogg_sound(file: BinaryIO, start: int, size: int, name: str) -> SoundPieces:
    """The pages of the first sound stream of each link of the chain, one part per link."""
    links: list[list[Page]] = []
    serial: int | None = None
    in_headers = False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for page in _pages(data, start, size, name):
            if page.flags & _BEGIN:
                if not in_headers:  # streams that begin together are interleaved, later ones are the next link
                    serial, in_headers = None, True
                if serial is None and data[page.body : page.stop].startswith(_SOUND_MAGICS):
                    serial = page.serial
                    links.append([])
            else:
                in_headers = False
            if page.serial == serial:
                _check_order(links[-1], page, name)
                links[-1].append(page)
    if not links:
        raise AudioError(f"cannot read {name}: not an audio file (an OGG file without Vorbis, Opus, FLAC or Speex)")
    warnings = []
    if any(not link[-1].flags & _END for link in links):
        warnings.append("its last page does not say that it is the last; its end may be missing")
    return SoundPieces([_link_pieces(file, link) for link in links], warnings)


def _link_pieces(file: BinaryIO, link: list[Page]) -> list[bytes | Extent]:
    """The pages of a link, the last one of Vorbis without its mark of the end.

    libvorbis drops the last packet where that mark stands and the first sample's number is not 0; the number of samples
    is known without it.
    """
    pieces: list[bytes | Extent] = [Extent(page.start, page.stop) for page in link]
    file.seek(link[0].body)
    if file.read(7) == b"\x01vorbis" and link[-1].flags & _END:
        last = link[-1]
        file.seek(last.start)
        page = bytearray(file.read(last.stop - last.start))
        page[5] &= ~_END
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", ogg_checksum(bytes(page)))
        pieces[-1] = bytes(page)
    return pieces


def _pages(data: mmap.mmap, start: int, size: int, name: str) -> Iterator[Page]:
    """All pages, one behind the other, each with its checksum checked."""
    position = start
    while position < size:
        head = data[position : position + _HEAD_BYTES]
        if not head.startswith(b"OggS"[: len(head)]):
            if head[:3] in (b"TAG", b"ID3", b"APE") or not data[position:].strip(b"\0"):
                return
            raise AudioError(f"cannot read {name}: it is damaged at byte {position} of {size}")
        if len(head) < _HEAD_BYTES:
            raise AudioError(f"cannot read {name}: {_cut(_HEAD_BYTES - len(head))}")
        body = position + _HEAD_BYTES + head[26]
        stop = body + sum(data[position + _HEAD_BYTES : body])
        if body > size or stop > size:
            raise AudioError(f"cannot read {name}: {_cut(max(stop, body) - size)}")
        serial, number, checksum = struct.unpack("<III", head[14:26])
        if ogg_checksum(head[:22] + bytes(4) + head[26:] + data[position + _HEAD_BYTES : stop]) != checksum:
            raise AudioError(
                f"cannot read {name}: it is damaged at byte {position} of {size} (the checksum of a page is wrong)"
            )
        yield Page(position, stop, head[5], serial, number, body)
        position = stop


def ogg_checksum(page: bytes) -> int:
    """CRC of a page with zeros in the place of its checksum.

    OGG shifts bits out at the other end than zlib does; zlib over the bytes with their bits reversed gives the same
    remainder, reversed.
    """
    remainder = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{remainder:032b}"[::-1], 2)


def _check_order(before: list[Page], page: Page, name: str) -> None:
    if before and page.number != before[-1].number + 1:
        raise AudioError(
            f"cannot read {name}: it is damaged before byte {page.start} (page {before[-1].number + 1} of its sound is"
            f" missing, page {page.number} follows)"
        )


def _cut(n_bytes: int) -> str:
    return f"it is truncated (bytes missing at its end: at least {n_bytes})"
