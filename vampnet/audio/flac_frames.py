"""First and last frame of a FLAC file against its header: how long it really is, at which rate (RFC 9639).

The header's length may be 0 (a writer that could not go back) or wrong; each frame says where it lies, and is protected
by a checksum of its own.
"""

from __future__ import annotations

import mmap
from typing import BinaryIO, NamedTuple

from vampnet.audio.byte_pieces import Extent
from vampnet.audio.chunk_formats import SoundPieces
from vampnet.errors import AudioError

_TAIL_BYTES = 1 << 16
_RATES_HZ = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_BITS = (0, 8, 12, 0, 16, 20, 24, 32)
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(1 << power for power in range(8, 16)))


class StreamInfo(NamedTuple):
    """STREAMINFO block of a FLAC header."""

    smallest_block: int
    largest_block: int
    rate_hz: int
    channels: int
    bits: int
    n_samples: int
    """0 where the header does not say."""


class Frame(NamedTuple):
    """Header of a frame."""

    first: int
    """Number of its first sample."""
    n_samples: int
    rate_hz: int
    """0: as in the header."""
    channels: int
    bits: int
    """0: as in the header."""


def find_flac_sound(file: BinaryIO, start: int, size: int, name: str) -> SoundPieces:
    """The sound of a FLAC file, with the number of samples that its last frame tells.

    Raises AudioError for a cut and for a header that its frames contradict.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        first_frame = _skip_metadata(data, start)
        if start + 42 > size or first_frame >= size:
            raise AudioError(f"cannot read {name}: it is truncated (it ends before its sound begins)")
        info = _stream_info(data[start + 8 : start + 42])
        parts: list[list[bytes | Extent]] = []
        appended = data.find(b"fLaC\0\0\0\x22", first_frame)
        stop = appended if appended > 0 else size
        frame = frame_at(data, first_frame, info)
        if frame is None:
            raise AudioError(
                f"cannot read {name}: it is damaged at byte {first_frame} (no frame of sound begins there)"
            )
        _check_agreement(frame, info, name)
        last = _last_frame(data, first_frame, stop, info)
    n_samples = last.first + last.n_samples - frame.first
    warnings = []
    if info.n_samples > n_samples:
        raise AudioError(
            f"cannot read {name}: truncated, or its header is damaged (it says {info.n_samples} samples, its last frame"
            f" ends after {n_samples})"
        )
    if 0 < info.n_samples < n_samples:
        warnings.append(f"its header says {info.n_samples} samples, but {n_samples} are there; all of them were read")
    parts.append(_pieces(file, start, stop, info, n_samples))
    if appended > 0:
        rest = find_flac_sound(file, appended, size, name)
        return SoundPieces(parts + rest.parts, warnings + rest.warnings)
    return SoundPieces(parts, warnings)


def frame_at(data: mmap.mmap, position: int, info: StreamInfo) -> Frame | None:
    """The frame whose header stands at a byte; None where none does, by its checksum."""
    head = data[position : position + 16]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    block_code, rate_code = head[2] >> 4, head[2] & 15
    channel_code, bits_code = head[3] >> 4, head[3] >> 1 & 7
    number, length = _coded_number(head[4:])
    if number is None or not block_code or rate_code == 15 or channel_code > 10 or bits_code == 3:
        return None
    at = 4 + length
    n_samples = _BLOCKS[block_code]
    if block_code in (6, 7):
        n_bytes = block_code - 5
        n_samples = int.from_bytes(head[at : at + n_bytes], "big") + 1
        at += n_bytes
    rate_hz = _RATES_HZ[rate_code] if rate_code < 12 else 0
    if rate_code >= 12:
        n_bytes = 1 if rate_code == 12 else 2
        value = int.from_bytes(head[at : at + n_bytes], "big")
        rate_hz = value * (1000 if rate_code == 12 else 10 if rate_code == 14 else 1)
        at += n_bytes
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    fixed = not head[1] & 1
    first = number * info.largest_block if fixed else number
    return Frame(first, n_samples, rate_hz, channel_code + 1 if channel_code < 8 else 2, _BITS[bits_code])


def _last_frame(data: mmap.mmap, first_frame: int, stop: int, info: StreamInfo) -> Frame:
    """The last frame before byte `stop`; the search goes backwards, twice as far each time."""
    n_bytes = _TAIL_BYTES
    while True:
        low = max(first_frame, stop - n_bytes)
        found: Frame | None = None
        position = data.rfind(b"\xff", low, stop)
        while position >= 0:
            frame = frame_at(data, position, info)
            # Sound may look like a header by chance; one that agrees with the file's header is believed at once.
            if frame is not None and frame.channels == info.channels and frame.bits in (0, info.bits):
                if frame.first + frame.n_samples == info.n_samples:
                    return frame
                found = found or frame
            position = data.rfind(b"\xff", low, position)
        if found is not None:
            return found
        n_bytes *= 2


def _check_agreement(frame: Frame, info: StreamInfo, name: str) -> None:
    if frame.n_samples > info.largest_block:
        raise AudioError(
            f"cannot read {name}: damaged, its header says blocks of {info.largest_block} samples at most, its first"
            f" frame has {frame.n_samples}"
        )
    for what, ours, theirs in (
        ("Hz", info.rate_hz, frame.rate_hz or info.rate_hz),
        ("channels", info.channels, frame.channels),
        ("bits", info.bits, frame.bits or info.bits),
    ):
        if ours != theirs:
            raise AudioError(f"cannot read {name}: damaged, its header says {ours} {what}, its first frame {theirs}")


def _skip_metadata(data: mmap.mmap, start: int) -> int:
    """Where the first frame stands: behind all blocks of metadata."""
    position = start + 4
    while position + 4 <= len(data):
        kind, n_bytes = data[position], int.from_bytes(data[position + 1 : position + 4], "big")
        position += 4 + n_bytes
        if kind & 0x80:
            break
    return position


def _stream_info(block: bytes) -> StreamInfo:
    packed = int.from_bytes(block[10:18], "big")
    return StreamInfo(
        smallest_block=int.from_bytes(block[:2], "big"),
        largest_block=int.from_bytes(block[2:4], "big"),
        rate_hz=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        n_samples=packed & (1 << 36) - 1,
    )


def _pieces(file: BinaryIO, start: int, stop: int, info: StreamInfo, n_samples: int) -> list[bytes | Extent]:
    """The file with the true number of samples in its header."""
    if n_samples == info.n_samples:
        return [Extent(start, stop)]
    file.seek(start)
    head = bytearray(file.read(42))
    packed = int.from_bytes(head[18:26], "big")
    head[18:26] = (packed >> 36 << 36 | n_samples).to_bytes(8, "big")
    return [bytes(head), Extent(start + 42, stop)]


def _coded_number(text: bytes) -> tuple[int | None, int]:
    """A frame's or sample's number, written as UTF-8 writes characters, and how many bytes it takes."""
    lead = text[0]
    if lead < 0x80:
        return lead, 1
    length = next((n for n in range(2, 8) if lead & (0xFF << (7 - n) & 0xFF) == 0xFF << (8 - n) & 0xFF), 0)
    if not length or len(text) < length or any(byte & 0xC0 != 0x80 for byte in text[1:length]):
        return None, 0
    value = lead & 0x7F >> length
    for byte in text[1:length]:
        value = value << 6 | byte & 0x3F
    return value, length


def _crc8(data: bytes) -> int:
    remainder = 0
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x07 if remainder & 0x80 else 0)) & 0xFF
    return remainder
