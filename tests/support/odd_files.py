"""Odd audio files made from healthy ones: tags in front, headers that lie, files joined, streams interleaved."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from tests.support.audio_files import RATE_HZ, tone
from vampnet.audio import files as audio
from vampnet.audio.files import Audio
from vampnet.audio.ogg_pages import ogg_checksum


def id3_tag(n_bytes: int = 3000) -> bytes:
    """An ID3v2 tag of zeros, and its size as the format wants it: seven bits to the byte."""
    size = bytes(n_bytes >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + bytes(n_bytes)


def encoded(folder: Path, ending: str, n_samples: int = 30000, channels: int = 1, rate_hz: int = RATE_HZ) -> bytes:
    """The bytes of a healthy file."""
    path = folder / f"healthy.{ending}"
    audio.write(path, Audio(tone(n_samples, channels, rate_hz), rate_hz))
    data = path.read_bytes()
    path.unlink()
    return data


def ogg_page(body: bytes, serial: int, number: int, flags: int = 0, granule: int = 0) -> bytes:
    """One page with one packet of up to 254 bytes."""
    head = b"OggS\0" + struct.pack("<BqII", flags, granule, serial, number)
    lacing = bytes([1, len(body)])
    page = head + bytes(4) + lacing + body
    return page[:22] + struct.pack("<I", ogg_checksum(page)) + page[26:]


def split_pages(data: bytes) -> list[bytes]:
    """The pages of an OGG file."""
    pages, position = [], 0
    while position < len(data):
        body = position + 27 + data[position + 26]
        stop = body + sum(data[position + 27 : body])
        pages.append(data[position:stop])
        position = stop
    return pages


def with_picture_stream(data: bytes) -> bytes:
    """An OGG file with the pages of a Theora stream (a cover picture) between its own."""
    pages = split_pages(data)
    picture = [ogg_page(b"\x80theora picture", 7, 0, flags=2), *(ogg_page(b"part", 7, n) for n in (1, 2))]
    return picture[0] + pages[0] + b"".join(pages[1:3]) + picture[1] + b"".join(pages[3:]) + picture[2]


def write_with_ffmpeg(
    path: Path, samples: np.ndarray, container: str, codec: str, sample_format: str, rate_hz: int = RATE_HZ
) -> Path:
    """A file of any format that FFmpeg writes."""
    import av

    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout=layout)
        stream.codec_context.format = sample_format
        stream.bit_rate = 128000
        resampler = av.AudioResampler(format=sample_format, layout=layout, rate=rate_hz)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(piece))
    return path
