"""What an audio file says about its own length, compared with what is there.

libsndfile decodes a WAV, AIFF or OGG file that was cut short without a word, and guesses the length of an MP3 file
without a length header, losing its end when the guess is too short. So files are looked at here before decoding.

| format | a cut is found by |
|---|---|
| WAV, RF64, AIFF | the size of the sound chunk; not if the writer left a placeholder (streams of unknown length) |
| OGG (Vorbis, Opus) | an incomplete last page; not if the cut falls between two pages |
| MP3 with a Xing or Info header | the number of bytes in it |
| MP3 without | an incomplete last frame; not if the cut falls between two frames |
| FLAC | the decoder: it ends before the length in the header, or loses its way |

Damage inside a file is found for FLAC (checksums), for MP3 without a header if frames do not follow each other, and
for the others only if samples go missing.
"""

from __future__ import annotations

import io
import mmap
import os
import stat
import struct
from typing import BinaryIO, cast

from vampnet.errors import AudioError

_PLACEHOLDER_BYTES = 0x7FFFF000  # streaming writers put this or more when they do not know the length yet
_MAX_OGG_PAGE = 27 + 255 + 255 * 255
_KBPS_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_TRAILERS = (b"TAG", b"APETAGEX", b"LYRICS", b"ID3")


def open_checked(path: str | os.PathLike[str]) -> BinaryIO:
    """Open an audio file for decoding, after checking that it is a file, not empty and not cut short.

    Returns a binary file, with a length header put in front if it is an MP3 file without one. Raises AudioError,
    one line with the file's name and the cause.
    """
    name = quoted(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"cannot read {name}: it is a folder, not an audio file")
        if not stat.S_ISREG(mode):
            raise AudioError(f"cannot read {name}: it is a pipe or a device, not a regular file")
        file = open(path, "rb")  # noqa: SIM115 -- the caller closes it
    except FileNotFoundError:
        raise AudioError(f"cannot read {name}: no such file") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"cannot read {name}: {reason(error)}") from None
    try:
        return _checked(file, name)
    except BaseException:
        file.close()
        raise


def quoted(path: str | os.PathLike[str]) -> str:
    """A path for a message: in quotes, on one line."""
    return repr(os.fspath(path))


def reason(error: Exception) -> str:
    """The cause of an operating system's or library's error, in a few words on one line."""
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error)).split()).lower()


def _checked(file: BinaryIO, name: str) -> BinaryIO:
    try:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if not head:
            raise AudioError(f"cannot read {name}: the file is empty")
        missing = _missing_bytes(file, head, size)
        if missing > 0:
            raise AudioError(f"cannot read {name}: it is truncated (bytes missing at its end: at least {missing})")
        file.seek(0)
        return _with_mp3_length(file, size, name) if _may_be_mp3(head) else file
    except OSError as error:
        raise AudioError(f"cannot read {name}: {reason(error)}") from None


def _missing_bytes(file: BinaryIO, head: bytes, size: int) -> int:
    """How many bytes short a WAV, RF64, AIFF or OGG file is; 0 if none or for another format."""
    magic, kind = head[:4], head[8:12]
    if magic in (b"RIFF", b"RF64") and kind == b"WAVE":
        return _missing_in_chunks(file, size, "<", b"data")
    if magic == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return _missing_in_chunks(file, size, ">", b"SSND")
    if magic == b"OggS":
        return _missing_in_ogg(file, size)
    return 0


def _missing_in_chunks(file: BinaryIO, size: int, order: str, sound_chunk: bytes) -> int:
    position, long_size = 12, None
    while position + 8 <= size:
        file.seek(position)
        chunk, n_bytes = struct.unpack(f"{order}4sI", file.read(8))
        if chunk == b"ds64":  # RF64 keeps the true size of its sound chunk here
            long_size = struct.unpack("<Q", file.read(16)[8:].ljust(8, b"\0"))[0]
        if chunk == sound_chunk:
            if n_bytes == 0xFFFFFFFF and long_size:
                n_bytes = long_size
            elif n_bytes >= _PLACEHOLDER_BYTES:
                return 0
            return max(0, position + 8 + n_bytes - size)
        position += 8 + n_bytes + n_bytes % 2
    return max(0, position + 8 - size)  # it ends before the sound chunk began


def _missing_in_ogg(file: BinaryIO, size: int) -> int:
    start = max(0, size - _MAX_OGG_PAGE)
    file.seek(start)
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27:
        return 27 - len(page)
    lacing = page[27 : 27 + page[26]]
    return max(0, 27 + page[26] + sum(lacing) - len(page))


def _may_be_mp3(head: bytes) -> bool:
    return head[:3] == b"ID3" or _mp3_frame(head[:4]) is not None


def _mp3_frame(header: bytes) -> tuple[int, int] | None:
    """Bytes and samples of the MPEG layer 3 frame with this 4-byte header; None if it is no such header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or not 1 <= bitrate <= 14 or rate == 3:
        return None
    kbps = (_KBPS_MPEG1 if version == 3 else _KBPS_MPEG2)[bitrate]
    samples = 1152 if version == 3 else 576
    return samples * 125 * kbps // _MP3_RATES_HZ[version][rate] + (header[2] >> 1 & 1), samples


def _with_mp3_length(file: BinaryIO, size: int, name: str) -> BinaryIO:
    """The file itself if it has a length header (its bytes are counted) or is no MP3 file, else one with a header."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = _first_frame(data)
        first = _mp3_frame(data[start : start + 4])
        if first is None:
            return file
        head = bytes(data[start : start + 64])
        if b"Xing" in head or b"Info" in head or b"VBRI" in head:
            missing = start + _bytes_in_length_header(head) - size
            if missing > 0:
                raise AudioError(f"cannot read {name}: it is truncated (bytes missing at its end: {missing})")
            return file
        n_frames, end = _count_frames(data, start)
        rest = bytes(data[end : end + 8])
        if end > size:
            raise AudioError(f"cannot read {name}: it is truncated (bytes missing in its last frame: {end - size})")
        if rest.strip(b"\0") and not rest.startswith(_TRAILERS):
            raise AudioError(f"cannot read {name}: it is damaged at byte {end} of {size}")
        return cast(BinaryIO, _Prefixed(_length_header(head[:4], n_frames), file, start))


def _first_frame(data: mmap.mmap) -> int:
    """Where the first frame begins: behind ID3 tags and the zeros that some writers leave behind them."""
    position = 0
    while data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        a, b, c, d = data[position + 6 : position + 10]
        position += 10 + (a << 21 | b << 14 | c << 7 | d)
        while position < len(data) and data[position] == 0:
            position += 1
    return position


def _count_frames(data: mmap.mmap, position: int) -> tuple[int, int]:
    """How many frames follow each other from `position`, and where they end, which may be beyond the data."""
    n_frames = 0
    while (frame := _mp3_frame(data[position : position + 4])) is not None:
        position += frame[0]
        n_frames += 1
    return n_frames, position


def _bytes_in_length_header(head: bytes) -> int:
    """The number of bytes from the first frame's begin to the end of the sound, or 0 if the header does not say."""
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at < 0 or len(head) < at + 16:
        return 0
    flags, _, n_bytes = struct.unpack(">III", head[at + 4 : at + 16])
    return n_bytes if flags & 3 == 3 else 0


def _length_header(first: bytes, n_frames: int) -> bytes:
    """A silent frame that says how many frames follow, for a stream whose first frame has the header `first`."""
    # The highest bitrate makes room whatever the stream's own is; protection and padding bits are cleared.
    header = bytes([first[0], first[1] | 1, 0xE0 | first[2] & 0x0C, first[3]])
    frame = _mp3_frame(header)
    assert frame is not None
    mpeg1, mono = first[1] >> 3 & 3 == 3, first[3] >> 6 == 3
    side_bytes = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    return (header + bytes(side_bytes) + b"Info" + struct.pack(">II", 1, n_frames)).ljust(frame[0], b"\0")


class _Prefixed(io.RawIOBase):
    """A read-only file: some bytes, then another file from `start` on, which is closed with it."""

    def __init__(self, prefix: bytes, file: BinaryIO, start: int) -> None:
        self._prefix, self._file, self._start = prefix, file, start
        self._position = 0
        self._size = len(prefix) + os.fstat(file.fileno()).st_size - start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position < len(self._prefix):
            part = self._prefix[self._position : self._position + len(buffer)]
        else:
            self._file.seek(self._start + self._position - len(self._prefix))
            part = self._file.read(len(buffer))
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()
