"""Tags, channel mask, cue points and loops of audio files: read, written, and a list of what a format cannot hold.

WAV keeps all of it, in chunks that are copied as they are; AIFF keeps tags and cue points; FLAC, OGG, MP3 and CAF keep
tags. Positions beyond the end of a shorter output are left out.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vampnet.audio import chunk_formats
from vampnet.audio.chunk_formats import AIFF, WAV, Chunk

TAG_NAMES = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright", "license")
"""Tags that are handed on, by libsndfile's names; the encoder's own name is not."""

_COPIED = (b"bext", b"iXML", b"cart", b"acid", b"inst", b"id3 ", b"ID3 ", b"axml", b"chna", b"_PMX")
_MOST_BYTES = 1 << 24
_MOST_CUES = 10_000
_NOT_HELD = {
    "WAV": ("license",),
    "WAVEX": ("license",),
    "RF64": ("license",),
    "AIFF": ("album", "date", "genre", "tracknumber", "license"),
    "MP3": ("license",),
    "AU": TAG_NAMES,
    "W64": TAG_NAMES,
    "M4A": ("license",),
}
"""Tags that a format has no place for, or that libsndfile does not write there."""
_ID3_TAGS = {
    b"TIT2": "title",
    b"TPE1": "artist",
    b"TALB": "album",
    b"TDRC": "date",
    b"TCON": "genre",
    b"TRCK": "tracknumber",
    b"COMM": "comment",
    b"TCOP": "copyright",
}
_ID3_CODES = ("latin-1", "utf-16", "utf-16-be", "utf-8")


@dataclass(frozen=True)
class CuePoint:
    """A marked place."""

    sample: int
    label: str = ""


@dataclass(frozen=True)
class Loop:
    """A stretch that a sampler repeats: samples `first` to `last`, both in it."""

    first: int
    last: int
    kind: int = 0
    """0 forward, 1 back and forth, 2 backward."""


@dataclass(frozen=True)
class Metadata:
    """Metadata of a file: tags, channel mask, cue points, loops."""

    tags: dict[str, str] = field(default_factory=dict)
    """By libsndfile's names, see TAG_NAMES."""
    channel_mask: int = 0
    """Loudspeakers of the channels as WAV numbers them (1 left, 2 right, 4 centre, ...); 0: not said."""
    cue_points: tuple[CuePoint, ...] = ()
    loops: tuple[Loop, ...] = ()
    unity_note: int = 60
    """MIDI note that loops sound at as they are."""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Other chunks of a WAV file that are copied as they are: (id, content)."""
    has_picture: bool = False


def read_metadata(file: BinaryIO, start: int, tags: dict[str, str]) -> Metadata:
    """The metadata of a file whose container begins at byte `start`; `tags` are what its decoder found.

    Damaged metadata counts as none: the sound is what was asked for.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(start)
    head = file.read(1 << 16)
    front = _id3_tags(file, start)
    known = {name: value for name, value in {**front, **_renamed(tags)}.items() if name in TAG_NAMES and value.strip()}
    picture = any(mark in head for mark in (b"METADATA_BLOCK_PICTURE", b"\x80theora", b"image/jpeg", b"image/png"))
    picture = picture or "picture" in front
    layout = chunk_formats.layout_of(head)
    try:
        if layout is WAV:
            return _wav_metadata(file, chunk_formats.walk(file, start, size, WAV), known, picture)
        if layout is AIFF:
            chunks = chunk_formats.walk(file, start, size, AIFF)
            markers = _content(file, chunks, b"MARK")
            return Metadata(known, cue_points=_aiff_markers(markers), has_picture=picture)
    except (struct.error, ValueError, IndexError):
        pass
    return Metadata(known, has_picture=picture)


def held_tags(format_: str) -> tuple[str, ...]:
    """Names of the tags that can be written to a format."""
    return tuple(name for name in TAG_NAMES if name not in _NOT_HELD.get(format_, ()))


def find_losses(metadata: Metadata, format_: str, n_samples: int | None = None) -> list[str]:
    """Metadata that this format cannot hold, a line each; `n_samples` is the output's length where it is known."""
    lost = []
    no_place = [name for name in metadata.tags if name not in held_tags(format_)]
    if no_place:
        lost.append(f"{format_} does not hold these tags: {', '.join(no_place)}")
    if metadata.channel_mask and metadata.channel_mask not in (3, 4) and format_ not in ("WAV", "WAVEX"):
        lost.append(f"{format_} does not say which loudspeaker each channel is for; the input's order is kept")
    if metadata.cue_points and format_ not in ("WAV", "WAVEX", "AIFF"):
        lost.append(f"{format_} holds no cue points: {len(metadata.cue_points)} are left out")
    if metadata.loops and format_ not in ("WAV", "WAVEX"):
        lost.append(f"{format_} holds no loop points: {len(metadata.loops)} are left out")
    if metadata.chunks and format_ not in ("WAV", "WAVEX"):
        names = ", ".join(chunk_id.decode("ascii", "replace").strip() for chunk_id, _ in metadata.chunks)
        lost.append(f"{format_} does not hold these parts of a WAV file: {names}")
    if metadata.has_picture:
        lost.append("the picture in the input is left out")
    if n_samples is not None:
        n_late = sum(cue.sample > n_samples for cue in metadata.cue_points)
        n_late += sum(loop.last >= n_samples for loop in metadata.loops)
        if n_late:
            lost.append(f"{n_late} cue or loop points lie behind the output's end and are left out")
    return lost


def append_metadata(path: str | Path, metadata: Metadata, n_samples: int, sample_rate_hz: int) -> None:
    """Add cue points, loops and copied chunks to a finished WAV or AIFF file, and its channel mask to a WAV one."""
    with open(path, "r+b") as file:
        head = file.read(12)
        cues = tuple(cue for cue in metadata.cue_points if cue.sample <= n_samples)
        if chunk_formats.layout_of(head) is AIFF:
            added = [(b"MARK", _aiff_marker_chunk(cues))] if cues else []
        elif chunk_formats.layout_of(head) is WAV:
            loops = tuple(loop for loop in metadata.loops if loop.last < n_samples)
            added = _wav_chunks(cues, loops, metadata, sample_rate_hz)
            _set_channel_mask(file, metadata.channel_mask)
        else:
            return
        append_chunks(file, added, ">" if head[:4] == b"FORM" else "<")


def prepend_id3(path: str | Path, tags: dict[str, str]) -> None:
    """Put an ID3v2 tag in front of a finished MP3 file."""
    frames = b""
    for frame, name in _ID3_TAGS.items():
        if name in tags:
            language = b"XXX\0" if frame == b"COMM" else b""
            content = b"\3" + language + tags[name].encode()
            frames += frame + _syncsafe(len(content)) + bytes(2) + content
    with open(path, "r+b") as file:
        sound = file.read()
        file.seek(0)
        file.write(b"ID3\4\0\0" + _syncsafe(len(frames)) + frames + sound)


def _syncsafe(value: int) -> bytes:
    """A size as ID3 writes it: seven bits to the byte."""
    return bytes(value >> shift & 127 for shift in (21, 14, 7, 0))


def append_chunks(file: BinaryIO, chunks: Sequence[tuple[bytes, bytes]], order: str) -> None:
    """Add chunks at the end of a RIFF or FORM file that is open for reading and writing, and correct its size."""
    file.seek(0, os.SEEK_END)
    if file.tell() % 2:
        file.write(b"\0")
    for chunk_id, content in chunks:
        file.write(chunk_id + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2))
    size = file.tell() - 8
    file.seek(4)
    file.write(struct.pack(f"{order}I", min(size, 0xFFFFFFFF)))


def sampler_chunk(loops: Sequence[Loop], sample_rate_hz: int, unity_note: int = 60) -> bytes:
    """Content of a `smpl` chunk, which samplers and DAWs read loops from."""
    content = struct.pack("<9I", 0, 0, round(1e9 / sample_rate_hz), unity_note, 0, 0, 0, len(loops), 0)
    for number, loop in enumerate(loops):
        content += struct.pack("<6I", number, loop.kind, loop.first, loop.last, 0, 0)
    return content


def _renamed(tags: dict[str, str]) -> dict[str, str]:
    """Tags of FFmpeg by libsndfile's names."""
    lowered = {key.lower(): value for key, value in tags.items()}
    return {"tracknumber": lowered.pop("track", lowered.get("tracknumber", "")), **lowered}


def _id3_tags(file: BinaryIO, stop: int) -> dict[str, str]:
    """Tags from an ID3v2 tag in the first `stop` bytes, and "picture" if there is one."""
    file.seek(0)
    data = file.read(min(stop, _MOST_BYTES))
    tags: dict[str, str] = {}
    if data[:3] != b"ID3" or data[3:4] not in (b"\3", b"\4"):
        return {"picture": "yes"} if data[10:13] == b"PIC" else {}
    position = 10
    while position + 10 <= len(data) and data[position] and len(tags) < len(_ID3_TAGS) + 1:
        frame, size = data[position : position + 4], data[position + 4 : position + 8]
        n_bytes = sum(byte << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))
        if data[3] == 3:
            n_bytes = int.from_bytes(size, "big")
        content = data[position + 10 : position + 10 + n_bytes]
        position += 10 + n_bytes
        if frame == b"APIC":
            tags["picture"] = "yes"
            continue
        frame = b"TDRC" if frame == b"TYER" else frame  # the year, before version 4
        if frame in _ID3_TAGS and content and content[0] < len(_ID3_CODES):
            text = content[4:] if frame == b"COMM" else content[1:]
            text = text.decode(_ID3_CODES[content[0]], "replace").replace("\ufeff", "")
            text = text.split("\0")[-1] if frame == b"COMM" else text.split("\0")[0]
            tags.setdefault(_ID3_TAGS[frame], text)
    return tags


def _content(file: BinaryIO, chunks: Sequence[Chunk], chunk_id: bytes) -> bytes:
    found = next((chunk for chunk in chunks if chunk.id == chunk_id and chunk.n_bytes <= _MOST_BYTES), None)
    if found is None:
        return b""
    file.seek(found.start)
    return file.read(found.n_bytes)


def _wav_metadata(file: BinaryIO, chunks: list[Chunk], tags: dict[str, str], picture: bool) -> Metadata:
    labels: dict[int, str] = {}
    for chunk in chunks:
        if chunk.id == b"LIST" and 4 <= chunk.n_bytes <= _MOST_BYTES:
            file.seek(chunk.start)
            content = file.read(chunk.n_bytes)
            if content[:4] == b"adtl":
                labels |= _labels(content)
    format_ = _content(file, chunks, b"fmt ")
    extensible = len(format_) >= 24 and struct.unpack("<H", format_[:2])[0] == 0xFFFE
    note, loops = _sampler_loops(_content(file, chunks, b"smpl"))
    kept = {chunk.id: _content(file, chunks, chunk.id) for chunk in chunks if chunk.id in _COPIED}
    return Metadata(
        tags=tags,
        channel_mask=struct.unpack("<I", format_[20:24])[0] if extensible else 0,
        cue_points=_wav_cues(_content(file, chunks, b"cue "), labels),
        loops=loops,
        unity_note=note,
        chunks=tuple((chunk_id, content) for chunk_id, content in kept.items() if content),
        has_picture=picture and b"id3 " not in kept and b"ID3 " not in kept,
    )


def _labels(content: bytes) -> dict[int, str]:
    """Names of cue points by number, from an `adtl` list."""
    labels, position = {}, 4
    while position + 12 <= len(content):
        n_bytes = struct.unpack("<I", content[position + 4 : position + 8])[0]
        if content[position : position + 4] == b"labl":
            number = struct.unpack("<I", content[position + 8 : position + 12])[0]
            labels[number] = content[position + 12 : position + 8 + n_bytes].split(b"\0")[0].decode("utf-8", "replace")
        position += 8 + n_bytes + n_bytes % 2
    return labels


def _wav_cues(content: bytes, labels: dict[int, str]) -> tuple[CuePoint, ...]:
    if len(content) < 4:
        return ()
    n_cues = min(struct.unpack("<I", content[:4])[0], (len(content) - 4) // 24, _MOST_CUES)
    rows = (struct.unpack("<II4sIII", content[4 + 24 * n : 28 + 24 * n]) for n in range(n_cues))
    return tuple(CuePoint(row[5], labels.get(row[0], "")) for row in rows)


def _sampler_loops(content: bytes) -> tuple[int, tuple[Loop, ...]]:
    if len(content) < 36:
        return 60, ()
    note, n_loops = struct.unpack("<I", content[12:16])[0], struct.unpack("<I", content[28:32])[0]
    n_loops = min(n_loops, (len(content) - 36) // 24)
    rows = (struct.unpack("<6I", content[36 + 24 * n : 60 + 24 * n]) for n in range(n_loops))
    return min(note, 127), tuple(Loop(row[2], row[3], row[1]) for row in rows if row[2] <= row[3])


def _aiff_markers(content: bytes) -> tuple[CuePoint, ...]:
    if len(content) < 2:
        return ()
    cues, position = [], 2
    for _ in range(min(struct.unpack(">H", content[:2])[0], _MOST_CUES)):
        _, sample, n_name = struct.unpack(">HIB", content[position : position + 7])
        cues.append(CuePoint(sample, content[position + 7 : position + 7 + n_name].decode("utf-8", "replace")))
        position += 7 + n_name + (n_name + 1) % 2
    return tuple(cues)


def _aiff_marker_chunk(cues: Sequence[CuePoint]) -> bytes:
    content = struct.pack(">H", len(cues))
    for number, cue in enumerate(cues, 1):
        label = cue.label.encode()[:255]
        content += struct.pack(">HIB", number, cue.sample, len(label)) + label + bytes((len(label) + 1) % 2)
    return content


def _wav_chunks(
    cues: Sequence[CuePoint], loops: Sequence[Loop], metadata: Metadata, sample_rate_hz: int
) -> list[tuple[bytes, bytes]]:
    added = []
    if cues:
        rows = (struct.pack("<II4sIII", n, cue.sample, b"data", 0, 0, cue.sample) for n, cue in enumerate(cues, 1))
        added.append((b"cue ", struct.pack("<I", len(cues)) + b"".join(rows)))
        labels = b""
        for number, cue in enumerate(cues, 1):
            text = cue.label.encode() + b"\0"
            if cue.label:
                labels += b"labl" + struct.pack("<II", 4 + len(text), number) + text + bytes(len(text) % 2)
        if labels:
            added.append((b"LIST", b"adtl" + labels))
    if loops:
        added.append((b"smpl", sampler_chunk(loops, sample_rate_hz, metadata.unity_note)))
    return [*added, *metadata.chunks]


def _set_channel_mask(file: BinaryIO, mask: int) -> None:
    """Write the channel mask into the format chunk of a WAV file that has a place for it."""
    file.seek(0, os.SEEK_END)
    chunks = chunk_formats.walk(file, 0, file.tell(), WAV)
    found = next((chunk for chunk in chunks if chunk.id == b"fmt "), None)
    if not mask or found is None or found.n_bytes < 24:
        return
    file.seek(found.start)
    if struct.unpack("<H", file.read(2))[0] == 0xFFFE:
        file.seek(found.start + 20)
        file.write(struct.pack("<I", mask))
