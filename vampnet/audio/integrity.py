"""Integrity of audio files: leading tags stripped, the stated length compared with the data, joined parts found.

libsndfile decodes a WAV, AIFF or OGG file that was cut short without a word, believes lengths in headers, and stops at
the end of the first of several files joined. So files are looked at here before decoding.

| format | what is looked at | a cut is found by |
|---|---|---|
| WAV, RF64, BW64, AIFF | chunks, pad bytes, block size, files appended | the size of the sound chunk |
| W64, CAF, AU | the sound chunk | its size |
| OGG (Vorbis, Opus, FLAC, Speex) | every page and its checksum; chained and interleaved streams | an incomplete page |
| MP3 | every frame; the length tag and its checksum; files joined | the number of frames, an incomplete one |
| MP4, Matroska, ASF | sizes at the top level | the same |
| FLAC | first and last frame, files joined | the last frame, and the decoder |

Damage inside a file is found for OGG and FLAC (checksums), for MP3 if frames do not follow each other, and for the
others only if samples go missing.
"""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass, field
from typing import BinaryIO

from vampnet.audio import box_formats, chunk_formats
from vampnet.audio.byte_pieces import pieced
from vampnet.audio.chunk_formats import SoundPieces
from vampnet.audio.flac_frames import find_flac_sound
from vampnet.audio.mpeg_frames import find_mp3_sound, may_be_mp3, skip_tags
from vampnet.audio.ogg_pages import find_ogg_sound
from vampnet.errors import AudioError


@dataclass(frozen=True)
class CheckedFile:
    """A file that was looked at: what decoders are to read."""

    file: BinaryIO
    """The file itself; close it when the parts are done with."""
    parts: list[BinaryIO]
    """One binary file per recording in it, in order; together they are its sound."""
    warnings: tuple[str, ...] = ()
    """Warnings about the file, for its user."""
    offset: int = 0
    """Bytes of tags in front of the container."""
    errors: list[OSError] = field(default_factory=list)
    """Errors of the system while the parts were read; they have to be looked for, since decoders hear of none."""

    def check(self, name: str) -> None:
        """Raise AudioError if something could not be read."""
        if self.errors:
            raise AudioError(f"cannot read {name}: {reason(self.errors[0])}")


def open_checked(path: str | os.PathLike[str]) -> CheckedFile:
    """Open an audio file for decoding, after checking that it is a file, not empty and not cut short.

    Raises AudioError, one line with the file's name and the cause.
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
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise AudioError(f"cannot read {name}: the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = skip_tags(data, 0)
        sound = _find_sound(file, start, size, name)
        errors: list[OSError] = []
        parts = [pieced(file, part, errors) for part in sound.parts]
        return CheckedFile(file, parts, tuple(sound.warnings), start, errors)
    except OSError as error:
        file.close()
        raise AudioError(f"cannot read {name}: {reason(error)}") from None
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


def _find_sound(file: BinaryIO, start: int, size: int, name: str) -> SoundPieces:
    """The pieces to decode, by the container's first bytes; the whole of a container that is not looked into."""
    if start >= size:
        raise AudioError(f"cannot read {name}: it is truncated (it holds nothing but a tag)")
    file.seek(start)
    head = file.read(12)
    layout = chunk_formats.layout_of(head)
    if layout in (chunk_formats.WAV, chunk_formats.RIFX):
        return chunk_formats.find_wav_sound(file, start, size, name, layout)
    if layout is chunk_formats.AIFF:
        return chunk_formats.find_aiff_sound(file, start, size, name)
    if layout is not None:
        return chunk_formats.find_other_sound(file, start, size, name, layout)
    if head[:4] in (b".snd", b"dns."):
        return chunk_formats.find_au_sound(file, start, size, name)
    if head[:4] == b"OggS":
        return find_ogg_sound(file, start, size, name)
    if head[:4] == b"fLaC":
        return find_flac_sound(file, start, size, name)
    if box_formats.is_box_format(head):
        return box_formats.find_box_sound(file, start, size, name)
    if may_be_mp3(head):
        return find_mp3_sound(file, start, size, name)
    return SoundPieces([[chunk_formats.Extent(start, size)]], [])
