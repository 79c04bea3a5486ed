"""Frames of MP3 files: counted, since the length in the header may be missing, wrong, or of the first of several files.

A Xing, Info or VBRI tag is a silent frame that tells how many frames follow; LAME's extension of it tells how many
samples the encoder put around the sound, and has a checksum. libmpg123, which libsndfile reads MP3 with, believes all
of it. So frames are counted here, and the tag is rewritten where it says something else. A file in which a second
tag or a second tag of text stands is several files joined: each is a part of its own.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from typing import BinaryIO

from vampnet.audio.byte_pieces import Extent
from vampnet.audio.chunk_formats import SoundPieces
from vampnet.errors import AudioError

_KBPS_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_ALL_FIELDS = 0xF
_FIELD_BYTES = (4, 4, 100, 4)
"""Fields of a tag by their flag: frames, bytes, table of contents, quality."""
_EXTENSION_BYTES = 36


@dataclass(frozen=True)
class MpegFrame:
    """Size of a frame of MPEG layer 3, and what must not change within a part."""

    n_bytes: int
    n_samples: int
    rate_hz: int
    channels: int


@dataclass
class _Part:
    """A run of frames from byte `start` on, of which the first may be a tag."""

    start: int
    header: bytes
    """The first frame's 4 bytes."""
    first: MpegFrame
    tag: bytes
    """The first frame when it is a tag, else nothing."""
    n_frames: int = 0
    """Frames of sound, without the tag."""
    stop: int = 0


def may_be_mp3(head: bytes) -> bool:
    """True if a file's first bytes are an MPEG audio frame header."""
    return mpeg_frame(head[:4]) is not None


def mpeg_frame(header: bytes) -> MpegFrame | None:
    """The frame with this 4-byte header; None if it is no header of MPEG layer 3."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or not 1 <= bitrate <= 14 or rate == 3:
        return None
    kbps = (_KBPS_MPEG1 if version == 3 else _KBPS_MPEG2)[bitrate]
    n_samples, rate_hz = 1152 if version == 3 else 576, _RATES_HZ[version][rate]
    n_bytes = n_samples * 125 * kbps // rate_hz + (header[2] >> 1 & 1)
    return MpegFrame(n_bytes, n_samples, rate_hz, 1 if header[3] >> 6 == 3 else 2)


def find_mp3_sound(file: BinaryIO, start: int, size: int, name: str) -> SoundPieces:
    """Every part of an MP3 file with a tag that tells its true length. Raises AudioError for a cut and for damage."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts = _walk(data, start, size, name)
        old_tag = len(parts) == 1 and data[max(size - 128, 0) : size].startswith(b"TAG")
    warnings: list[str] = []
    pieces = [_with_length(part, name, warnings) for part in parts]
    if old_tag:  # the decoder reads titles there
        pieces[0].append(Extent(size - 128, size))
    return SoundPieces(pieces, warnings)


def skip_tags(data: mmap.mmap, position: int) -> int:
    """Where the container begins: behind ID3v2 tags and the zeros that some writers leave behind them."""
    while data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        a, b, c, d = data[position + 6 : position + 10]
        footer = 10 if data[position + 5] & 0x10 else 0
        position = _skip_zeros(data, min(position + 10 + (a << 21 | b << 14 | c << 7 | d) + footer, len(data)))
    return position


def _skip_zeros(data: mmap.mmap, position: int) -> int:
    while block := data[position : position + (1 << 16)]:
        rest = block.lstrip(b"\0")
        position += len(block) - len(rest)
        if rest:
            break
    return position


def _walk(data: mmap.mmap, position: int, size: int, name: str) -> list[_Part]:
    """All parts, up to the end of the file. Raises AudioError where frames do not follow each other."""
    parts: list[_Part] = []
    fresh = True
    while position < size:
        frame = mpeg_frame(data[position : position + 4])
        if frame is None:
            behind = _skip_trailer(data, position)
            if behind == position:
                if parts and parts[-1].n_frames == _told_frames(parts[-1].tag):
                    break  # all is there; what stands behind it belongs to some other program
                raise AudioError(f"cannot read {name}: it is damaged at byte {position} of {size}")
            position, fresh = behind, True
            continue
        tag = _tag(data[position : position + min(frame.n_bytes, 4096)])
        if fresh or tag or (frame.rate_hz, frame.channels) != (parts[-1].first.rate_hz, parts[-1].first.channels):
            parts.append(_Part(position, data[position : position + 4], frame, tag))
        parts[-1].n_frames += not tag
        position, fresh = position + frame.n_bytes, False
        parts[-1].stop = position
    if parts[-1].stop > size:
        missing = parts[-1].stop - size
        raise AudioError(f"cannot read {name}: it is truncated (bytes missing in its last frame: {missing})")
    return parts


def _skip_trailer(data: mmap.mmap, position: int) -> int:
    """The byte behind a tag of text that stands here; the same byte if none does."""
    head = data[position : position + 32]
    if head.startswith(b"TAG"):
        return min(position + 128, len(data))
    if head.startswith(b"ID3"):
        return min(skip_tags(data, position), len(data))
    if head.startswith(b"APETAGEX") and len(head) == 32:
        n_bytes, _, flags = struct.unpack("<III", head[12:24])
        return min(position + n_bytes + (32 if flags >> 29 & 1 else 0), len(data))
    if head.startswith(b"LYRICSBEGIN"):
        end = data.find(b"LYRICS200", position)
        return end + 9 if end > 0 else len(data)
    for end in (len(data), len(data) - 128):  # an APE tag may have its name at its end alone
        foot = data[max(end - 32, 0) : max(end, 0)]
        if foot.startswith(b"APETAGEX") and end - struct.unpack("<I", foot[12:16])[0] == position:
            return end
    return _skip_zeros(data, position)  # some writers pad between joined files


def _tag(frame: bytes) -> bytes:
    """The frame if it is a tag that tells a length, else nothing."""
    at = _tag_at(frame)
    return frame if frame[at : at + 4] in (b"Xing", b"Info") or frame[36:40] == b"VBRI" else b""


def _tag_at(frame: bytes) -> int:
    """Where a Xing or Info tag stands: behind the side information, whose size the header gives."""
    found = max(frame[:64].find(b"Xing"), frame[:64].find(b"Info"))
    if found >= 0:
        return found
    mpeg1, mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    return 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))


def _told_frames(tag: bytes) -> int:
    """Frames that a Xing or Info tag tells; 0 if it does not."""
    at = _tag_at(tag) if tag else 0
    flags, told = struct.unpack(">II", tag[at + 4 : at + 12].ljust(8, b"\0"))
    return told if flags & 1 and not flags & ~_ALL_FIELDS else 0


def _with_length(part: _Part, name: str, warnings: list[str]) -> list[bytes | Extent]:
    """A part with a tag that tells how many frames it has."""
    sound = Extent(part.start + len(part.tag), part.stop)
    if not part.tag:
        return [_plain_tag(part.header, part.n_frames), sound]
    if part.tag[36:40] == b"VBRI":
        told = struct.unpack(">I", part.tag[50:54].rjust(4, b"\0"))[0]
        _check_count(told, part.n_frames, name, warnings)
        return [_plain_tag(part.header, part.n_frames), sound]
    told = _told_frames(part.tag)
    _check_count(told, part.n_frames, name, warnings)
    extension = _extension(part.tag)
    begin = 4 if part.tag[1] & 1 else 6  # a checksum of the frame's own may stand in front
    silent = not part.tag[begin : _tag_at(part.tag)].strip(b"\0")  # libmpg123 takes it for sound otherwise
    if extension and not _checksum_fits(part, extension) and extension[21:24] != bytes(3):
        warnings.append("the checksum of the tag that tells its length is wrong; it may begin or end 0.1 s off")
    if told == part.n_frames and silent:
        return [Extent(part.start, part.stop)]
    return [_plain_tag(part.header, part.n_frames, extension), sound]


def _check_count(told: int, n_frames: int, name: str, warnings: list[str]) -> None:
    """Compare the number of frames that a tag tells with the number that is there."""
    if told > n_frames:
        raise AudioError(
            f"cannot read {name}: it is truncated, or the tag that tells its length is damaged (it tells {told} frames,"
            f" {n_frames} are there)"
        )
    if 0 < told < n_frames:
        warnings.append(f"its tag tells {told} frames, but {n_frames} are there; all of them were read")


def _extension(tag: bytes) -> bytes:
    """LAME's extension of a tag, with the encoder's delay and padding; empty where there is none."""
    at = _tag_at(tag)
    flags = struct.unpack(">I", tag[at + 4 : at + 8].rjust(4, b"\0"))[0]
    if flags & ~_ALL_FIELDS:  # damaged; encoders write all fields
        flags = _ALL_FIELDS
    begin = at + 8 + sum(n_bytes for bit, n_bytes in enumerate(_FIELD_BYTES) if flags >> bit & 1)
    extension = tag[begin : begin + _EXTENSION_BYTES]
    return extension if len(extension) == _EXTENSION_BYTES and extension[:4].isalnum() else b""


def _checksum_fits(part: _Part, extension: bytes) -> bool:
    """Whether the extension's checksum is that of the tag as it is, or as it is with its head mended."""
    stored = extension[-2:]
    end = part.tag.index(extension) + _EXTENSION_BYTES - 2
    at = _tag_at(part.tag)
    mended = bytearray(part.tag)
    mended[4:at] = bytes(at - 4)
    mended[at + 4 : at + 12] = struct.pack(">II", _ALL_FIELDS, part.n_frames)
    # FFmpeg takes the checksum of 190 bytes, wherever it stands itself, and even beyond the end of a shorter tag.
    if extension.startswith(b"Lav") and len(part.tag) < 190:
        return True
    whole = (part.tag[:end] + bytes(2) + part.tag[end + 2 :])[:190]
    return stored in {struct.pack(">H", _crc16(data)) for data in (part.tag[:end], bytes(mended[:end]), whole)}


def _plain_tag(first: bytes, n_frames: int, extension: bytes = b"") -> bytes:
    """A silent frame that tells how many frames follow, for a stream whose first frame has the header `first`."""
    # The highest bitrate makes room whatever the stream's own is; protection and padding bits are cleared.
    header = bytes([first[0], first[1] | 1, 0xE0 | first[2] & 0x0C, first[3]])
    frame = mpeg_frame(header)
    assert frame is not None
    fields = struct.pack(">II", 1, n_frames)
    if extension:
        fields += extension
    return (header + bytes(_tag_at(header) - 4) + b"Info" + fields).ljust(frame.n_bytes, b"\0")


def _crc16(data: bytes) -> int:
    """CRC-16 (polynomial 0x8005, bits reversed), as LAME writes it."""
    remainder = 0
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0xA001 if remainder & 1 else 0)
    return remainder
