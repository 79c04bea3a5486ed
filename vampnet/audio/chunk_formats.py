"""Sound chunk of WAV, RF64, BW64, AIFF, AIFC, W64, CAF and AU files: its true place and length, if the header is wrong.

libsndfile believes sizes in headers. Here they are compared with the file, with each other and with the block size that
channels and bits give: a cut is refused, a placeholder means "to the end of the file", a header that contradicts itself
is refused, and a chunk without its pad byte is found all the same. What is odd but readable gets a header of its own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from vampnet.audio.byte_pieces import Extent
from vampnet.errors import AudioError

PLACEHOLDER_BYTES = 0x7FFFF000
"""Streaming writers put this or more as a size when they do not know the length yet."""

_KNOWN_IDS = {
    b"data",
    b"fmt ",
    b"fact",
    b"LIST",
    b"bext",
    b"cue ",
    b"smpl",
    b"inst",
    b"PEAK",
    b"id3 ",
    b"ID3 ",
    b"JUNK",
}
_KNOWN_IDS |= {b"iXML", b"_PMX", b"cart", b"axml", b"chna", b"acid", b"strc", b"afsp", b"SSND", b"COMM", b"FVER"}
_KNOWN_IDS |= {b"MARK", b"INST", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"APPL", b"CHAN", b"ds64", b"RIFF"}
_LINEAR_TAGS = (1, 3)  # whole numbers and floats; 0xFFFE says which in its subformat
_LINEAR_AIFC = (b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")


@dataclass(frozen=True)
class Layout:
    """Chunk layout of a family of files."""

    sound_id: bytes
    size_code: str
    """struct's code of the size."""
    id_bytes: int = 4
    first: int = 12
    """Offset of the first chunk."""
    inclusive: bool = False
    """The size counts the chunk's own header too."""
    align: int = 2


WAV = Layout(b"data", "<I")
RIFX = Layout(b"data", ">I")
AIFF = Layout(b"SSND", ">I")
W64 = Layout(b"data", "<Q", id_bytes=16, first=40, inclusive=True, align=8)
CAF = Layout(b"data", ">Q", first=8, align=1)


@dataclass(frozen=True)
class Chunk:
    """One chunk: `n_bytes` from `start` on, as its header says; the file may be shorter."""

    id: bytes
    start: int
    n_bytes: int
    padded: bool
    """A pad byte stands where the format wants one."""

    @property
    def stop(self) -> int:
        """Position after the chunk's last byte."""
        return self.start + self.n_bytes


@dataclass(frozen=True)
class SoundPieces:
    """Pieces of the file that a decoder is to read, one list per recording in it, and what the user should know."""

    parts: list[list[bytes | Extent]]
    warnings: list[str]


def layout_of(head: bytes) -> Layout | None:
    """Layout of a file by its first 12 bytes or more; None for another family."""
    magic, kind = head[:4], head[8:12]
    if magic in (b"RIFF", b"RF64", b"BW64") and kind == b"WAVE":
        return WAV
    if magic == b"RIFX" and kind == b"WAVE":
        return RIFX
    if magic == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return AIFF
    if magic == b"riff":
        return W64
    return CAF if magic == b"caff" else None


def walk(file: BinaryIO, start: int, size: int, layout: Layout) -> list[Chunk]:
    """The chunks of a file whose container begins at byte `start`, up to the one that reaches beyond `size`."""
    chunks: list[Chunk] = []
    position = start + layout.first
    n_head = layout.id_bytes + struct.calcsize(layout.size_code)
    while position + n_head <= size:
        file.seek(position)
        head = file.read(n_head)
        if len(head) < n_head:
            break
        n_bytes = struct.unpack(layout.size_code, head[layout.id_bytes :])[0] - (n_head if layout.inclusive else 0)
        if n_bytes < 0:
            break
        body = position + n_head
        stop = body + n_bytes
        gap = -n_bytes % layout.align
        padded = not gap or layout.align != 2 or _has_pad_byte(file, stop, size)
        chunks.append(Chunk(head[: layout.id_bytes], body, n_bytes, padded))
        position = stop + (gap if padded else 0)
    return chunks


def find_wav_sound(file: BinaryIO, start: int, size: int, name: str, layout: Layout = WAV) -> SoundPieces:
    """The sound of a WAV, RF64 or BW64 file, and of others that were appended to it."""
    file.seek(start)
    head = file.read(12)
    chunks = walk(file, start, size, layout)
    formats = [chunk for chunk in chunks if chunk.id == b"fmt "]
    data = next((chunk for chunk in chunks if chunk.id == b"data"), None)
    if data is None or not formats:
        raise AudioError(f"cannot read {name}: it is truncated (it ends before its sound begins)")
    n_bytes, guessed = _wav_data_bytes(file, chunks, data, size, name)
    warnings = _check_wav_format(file, formats[0], layout, name)
    if guessed:
        warnings.append("its header does not say how long it is; all that follows was read as sound")
    regular = n_bytes == data.n_bytes and all(chunk.padded for chunk in chunks) and head[:4] != b"BW64"
    pieces: list[bytes | Extent] = [Extent(start, size)]
    if not regular or data.n_bytes >= PLACEHOLDER_BYTES:
        pieces = _wav_pieces(file, chunks, data, n_bytes, layout)
    parts = [pieces]
    appended = next((c for c in chunks if c.id == b"RIFF" and c.start > data.start and data.n_bytes), None)
    if appended is not None:
        parts = [_wav_pieces(file, chunks, data, n_bytes, layout)]
        rest = find_wav_sound(file, appended.start - 8, size, name)
        return SoundPieces(parts + rest.parts, warnings + rest.warnings)
    behind = size - _end_of_chunks(chunks, data, size)
    if behind > 8 and not guessed and not _is_trailer(file, size - behind):
        warnings.append(_left_over(behind))
    return SoundPieces(parts, warnings)


def find_aiff_sound(file: BinaryIO, start: int, size: int, name: str) -> SoundPieces:
    """The sound of an AIFF or AIFC file."""
    chunks = walk(file, start, size, AIFF)
    common = next((chunk for chunk in chunks if chunk.id == b"COMM"), None)
    data = next((chunk for chunk in chunks if chunk.id == b"SSND"), None)
    if data is None or common is None or common.n_bytes < 18:
        raise AudioError(f"cannot read {name}: it is truncated (it ends before its sound begins)")
    available = size - data.start
    n_bytes = data.n_bytes
    is_placeholder = n_bytes > available and n_bytes >= PLACEHOLDER_BYTES
    guessed = is_placeholder or (n_bytes <= 8 < available and _is_end(chunks, data))
    if guessed:
        n_bytes = available
    elif n_bytes > available:
        raise AudioError(f"cannot read {name}: {_cut(n_bytes - available)}")
    file.seek(common.start)
    head = file.read(min(common.n_bytes, 22))
    channels, frames, bits = struct.unpack(">HIH", head[:8])
    if not channels or not 1 <= bits <= 64:
        raise AudioError(f"cannot read {name}: its header says {channels} channels of {bits} bits, which cannot be")
    file.seek(start + 8)
    if file.read(4) == b"AIFC" and head[18:22] not in _LINEAR_AIFC:
        return SoundPieces([[Extent(start, size)]], [])
    file.seek(data.start)
    skipped = struct.unpack(">I", file.read(4).rjust(4, b"\0"))[0]
    held = max(n_bytes - 8 - skipped, 0) // (channels * -(-bits // 8))
    if held == frames and not guessed and all(chunk.padded for chunk in chunks):
        return SoundPieces([[Extent(start, size)]], [])
    warnings = []
    if held != frames:
        warnings.append(f"its header says {frames} samples, but {held} are there; all of them were read")
    return SoundPieces([_aiff_pieces(file, start, common, data, held, n_bytes)], warnings)


def find_other_sound(file: BinaryIO, start: int, size: int, name: str, layout: Layout) -> SoundPieces:
    """The sound of a W64 or CAF file, refused where it is cut short."""
    chunks = walk(file, start, size, layout)
    chunk = next((chunk for chunk in chunks if chunk.id[:4] == layout.sound_id), None)
    if chunk is None:
        raise AudioError(f"cannot read {name}: it is truncated (it ends before its sound begins)")
    if layout is not CAF or chunk.n_bytes != 2**64 - 1:  # -1 means "to the end of the file"
        if chunk.stop > size:
            raise AudioError(f"cannot read {name}: {_cut(chunk.stop - size)}")
        behind = size - _end_of_chunks(chunks, chunk, size)
        if chunks[-1] is chunk or behind > 8:  # libsndfile takes what follows for sound, up to the end of the file
            return SoundPieces([[Extent(start, chunk.stop)]], [_left_over(behind)] if behind > 8 else [])
        return SoundPieces([[Extent(start, size)]], [])
    file.seek(start)
    head = file.read(chunk.start - 8 - start)
    return SoundPieces([[head, struct.pack(">Q", size - chunk.start), Extent(chunk.start, size)]], [])


def find_au_sound(file: BinaryIO, start: int, size: int, name: str) -> SoundPieces:
    """The sound of an AU file."""
    file.seek(start)
    head = file.read(24)
    order = ">" if head[:4] == b".snd" else "<"
    if len(head) < 24:
        raise AudioError(f"cannot read {name}: it is truncated (it ends before its sound begins)")
    offset, n_bytes = struct.unpack(f"{order}II", head[4:12])
    available = size - start - offset
    if n_bytes == 0 < available:
        return SoundPieces([[head[:8], b"\xff" * 4, Extent(start + 12, size)]], [])
    if PLACEHOLDER_BYTES > n_bytes > available:
        raise AudioError(f"cannot read {name}: {_cut(n_bytes - available)}")
    if n_bytes + 8 < available:
        return SoundPieces([[Extent(start, start + offset + n_bytes)]], [_left_over(available - n_bytes)])
    return SoundPieces([[Extent(start, size)]], [])


def _left_over(n_bytes: int) -> str:
    return f"{n_bytes} bytes behind its sound belong to nothing that its header names; they were left out"


def _cut(n_bytes: int) -> str:
    return f"it is truncated (bytes missing at its end: at least {n_bytes})"


def _has_pad_byte(file: BinaryIO, stop: int, size: int) -> bool:
    """Whether a pad byte stands behind a chunk of odd length; writers forget it."""
    if stop + 1 >= size:
        return True
    file.seek(stop)
    following = file.read(5)
    with_pad, without = following[1:5], following[:4]
    if with_pad in _KNOWN_IDS or without in _KNOWN_IDS:
        return with_pad in _KNOWN_IDS
    return _is_printable(with_pad) or not _is_printable(without)


def _is_printable(chunk_id: bytes) -> bool:
    return all(32 <= byte < 127 for byte in chunk_id)


def _end_of_chunks(chunks: list[Chunk], data: Chunk, size: int) -> int:
    """Where the last chunk ends that looks like one, from the sound chunk on."""
    end = data.stop
    for chunk in chunks[chunks.index(data) + 1 :]:
        if not _is_printable(chunk.id[:4]) or chunk.stop > size:
            break
        end = chunk.stop
    return min(end, size)


def _is_end(chunks: list[Chunk], data: Chunk) -> bool:
    """Whether no known chunk follows the sound chunk: what stands there is sound then, not another chunk."""
    return not any(chunk.id in _KNOWN_IDS for chunk in chunks[chunks.index(data) + 1 :])


def _wav_data_bytes(file: BinaryIO, chunks: list[Chunk], data: Chunk, size: int, name: str) -> tuple[int, bool]:
    """True size of the data chunk, and whether the header did not say it. Raises AudioError for a cut."""
    available, n_bytes = size - data.start, data.n_bytes
    long_sizes = next((chunk for chunk in chunks if chunk.id == b"ds64"), None)
    if n_bytes == 0xFFFFFFFF and long_sizes is not None:
        file.seek(long_sizes.start + 8)
        n_bytes = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
        if not n_bytes or n_bytes >= 2**62:
            return available, True
    elif (n_bytes >= PLACEHOLDER_BYTES and n_bytes > available) or (
        not n_bytes and available and _is_end(chunks, data)
    ):
        return available, True
    if n_bytes > available:
        raise AudioError(f"cannot read {name}: {_cut(n_bytes - available)}")
    return n_bytes, False


def _check_wav_format(file: BinaryIO, chunk: Chunk, layout: Layout, name: str) -> list[str]:
    """Warnings about the format chunk. Raises AudioError where it contradicts itself."""
    order = layout.size_code[0]
    file.seek(chunk.start)
    body = file.read(min(chunk.n_bytes, 40))
    if len(body) < 16:
        raise AudioError(f"cannot read {name}: its format chunk is damaged ({len(body)} bytes, at least 16 are needed)")
    tag, channels, rate_hz, bytes_per_s, block, bits = struct.unpack(f"{order}HHIIHH", body[:16])
    if tag == 0xFFFE and len(body) >= 26:
        tag = struct.unpack(f"{order}H", body[24:26])[0]
    if tag not in _LINEAR_TAGS:
        return []
    if not channels or not 1 <= bits <= 64 or block != channels * -(-bits // 8):
        raise AudioError(
            f"cannot read {name}: its header contradicts itself ({channels} channels of {bits} bits do not make blocks"
            f" of {block} bytes)"
        )
    if bytes_per_s not in (0, rate_hz * block):
        return [f"its header contradicts itself: {rate_hz} Hz in blocks of {block} bytes are not {bytes_per_s} bytes/s"]
    return []


def _wav_pieces(file: BinaryIO, chunks: list[Chunk], data: Chunk, n_bytes: int, layout: Layout) -> list[bytes | Extent]:
    """A WAV file of the format chunk and the sound alone; RF64 where it is longer than WAV can say."""
    body = b""
    for chunk in chunks:
        if chunk.id == b"fmt " or (chunk.id == b"fact" and chunk.n_bytes <= 64 and chunk.start < data.start):
            file.seek(chunk.start)
            content = file.read(min(chunk.n_bytes, 1024))
            body += chunk.id + struct.pack(layout.size_code, len(content)) + content + bytes(len(content) % 2)
    if n_bytes + len(body) + 20 >= PLACEHOLDER_BYTES * 2:
        sizes = struct.pack("<QQQI", n_bytes + len(body) + 56, n_bytes, 0, 0)
        head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", len(sizes)) + sizes + body + b"data\xff\xff\xff\xff"
    else:
        magic = b"RIFX" if layout is RIFX else b"RIFF"
        head = magic + struct.pack(layout.size_code, n_bytes + len(body) + 12) + b"WAVE" + body
        head += b"data" + struct.pack(layout.size_code, n_bytes)
    return [head, Extent(data.start, data.start + n_bytes)]


def _aiff_pieces(
    file: BinaryIO, start: int, common: Chunk, data: Chunk, frames: int, n_bytes: int
) -> list[bytes | Extent]:
    """An AIFF file of the common chunk, with its number of samples mended, and the sound alone."""
    file.seek(start + 8)
    kind = file.read(4)
    file.seek(common.start)
    content = file.read(min(common.n_bytes, 1024))
    content = content[:2] + struct.pack(">I", frames) + content[6:]
    body = b"COMM" + struct.pack(">I", len(content)) + content + bytes(len(content) % 2)
    head = b"FORM" + struct.pack(">I", min(n_bytes + len(body) + 12, 0xFFFFFFFF)) + kind + body
    return [head, b"SSND" + struct.pack(">I", min(n_bytes, 0xFFFFFFFF)), Extent(data.start, data.start + n_bytes)]


def _is_trailer(file: BinaryIO, position: int) -> bool:
    """Whether only a tag of another kind, or zeros, stand at the end."""
    file.seek(position)
    rest = file.read(4096)
    return rest.startswith((b"TAG", b"APETAGEX", b"ID3", b"LYRICS")) or not rest.strip(b"\0")
