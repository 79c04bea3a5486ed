"""The bytes of a .vamp file: a header, blocks, and a check of the tokens. docs/reference/vamp-format.md describes them.

Nothing here knows audio or tokens. Reading is strict: every field is bounded before anything is allocated, every byte
is under a checksum, and each block's checksum takes in all that came before, so none can be lost, swapped or repeated.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vampnet.audio.files import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ
from vampnet.audio.integrity import quoted, reason
from vampnet.compression.entropy import MAX_TOKENS_PER_BYTE
from vampnet.config import check
from vampnet.errors import SettingsError, VampFileError
from vampnet.generation.config import SamplingConfig

MAGIC = b"VAMP"
VERSIONS = (1, 2)
"""Version 2 adds order and re-masking of generated tokens; a file that has the defaults of both is of version 1."""
ENTROPIES = ("flat", "static", "adaptive")
"""Entropy coders; the place in this list is the id in the file."""
MAX_DURATION_S = 48 * 3600
MAX_CHANNEL_S = 96 * 3600
"""Duration times channels, seconds: 48 hours of stereo. All tokens of a file are held in memory when it is opened."""
MAX_BLOCK_TOKENS = 1 << 20
MAX_CODEBOOKS = 64

_HEAD = struct.Struct("<4sBBBHIQHffI8sB")
_GENERATION = struct.Struct("<8sHHddddHQ")
_ORDER = struct.Struct("<Bd")
_ORDERS = ("confidence", "levels", "halton", "random")
"""Unmasking orders that files of version 2 may name."""
_CRC = struct.Struct("<I")
_SAMPLING = (
    *("steps", "c2f_steps", "temperature", "mask_temperature", "top_p", "typical_mass", "typical_min_tokens", "seed"),
)


@dataclass(frozen=True)
class Generation:
    """Model and settings that generate the tokens which the file does not hold."""

    model_id: str
    """Digest of the weights of the coarse and the coarse-to-fine model, 16 hexadecimal digits."""
    sampling: SamplingConfig


@dataclass(frozen=True)
class Header:
    """Header of a .vamp file."""

    entropy: str
    """Name of the entropy coder, one of ENTROPIES."""
    codebooks: int
    """Kept codebooks N_k, 1 to 64."""
    period: int
    """Every P-th frame is kept, from the first on; 1 to 65535."""
    sample_rate_hz: int
    n_samples: int
    """Samples per channel."""
    channels: int
    lufs: float
    """Loudness of the input, LUFS; -inf for silence."""
    gain: float
    """Factor that was applied before encoding."""
    block_frames: int
    """Kept frames in each block but the last."""
    codec_id: str
    """16 hexadecimal digits."""
    generation: Generation | None
    """None: all tokens are in the file."""

    def __post_init__(self) -> None:
        if self.entropy not in ENTROPIES:
            raise SettingsError(f"entropy coder is {self.entropy!r}; known: {', '.join(ENTROPIES)}")
        check("number of kept codebooks", self.codebooks, 1, MAX_CODEBOOKS)
        check("period", self.period, 1, 65535)
        check("sample rate in Hz", self.sample_rate_hz, MIN_RATE_HZ, MAX_RATE_HZ)
        check("number of samples", self.n_samples, 1, MAX_DURATION_S * self.sample_rate_hz)
        check("number of channels", self.channels, 1, MAX_CHANNELS)
        longest = MAX_CHANNEL_S * self.sample_rate_hz // self.channels
        check(f"number of samples with {self.channels} channels", self.n_samples, 1, longest, "split the recording")
        if self.lufs != -math.inf:
            check("loudness in LUFS", self.lufs, -1000, 1000)
        check("gain", self.gain, 1e-30, 1e30)
        check("frames per block", self.block_frames, 1, MAX_BLOCK_TOKENS // (self.channels * self.codebooks))

    @property
    def duration_s(self) -> float:
        """Length of the recording, seconds."""
        return self.n_samples / self.sample_rate_hz


def pack_header(header: Header) -> bytes:
    """The header's bytes, its checksum at the end."""
    made = header.generation
    packed = _HEAD.pack(
        MAGIC,
        VERSIONS[0],
        ENTROPIES.index(header.entropy),
        header.codebooks,
        header.period,
        header.sample_rate_hz,
        header.n_samples,
        header.channels,
        header.lufs,
        header.gain,
        header.block_frames,
        bytes.fromhex(header.codec_id),
        made is not None,
    )
    if made is not None:
        settings = (getattr(made.sampling, name) for name in _SAMPLING)
        packed += _GENERATION.pack(bytes.fromhex(made.model_id), *settings)
    return packed + _CRC.pack(zlib.crc32(packed))


class VampWriter:
    """Writes header, blocks and end to a binary file: `writer.block(payload)` ..., then `writer.end(crc)`."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        packed = pack_header(header)
        file.write(packed)
        self._chain = zlib.crc32(packed)

    def block(self, payload: bytes) -> None:
        """Append a block with its checksum."""
        framed = _varint(len(payload)) + payload
        self._chain = zlib.crc32(framed, self._chain)
        self._file.write(framed + _CRC.pack(self._chain))

    def end(self, tokens_crc: int) -> None:
        """The checksum of all tokens: it finds a decoder that disagrees with the encoder."""
        self._file.write(_CRC.pack(tokens_crc))


class VampReader:
    """Reads what VampWriter wrote; every difference is a VampFileError with the file's name.

    Use: `header`, then `expect([(n_blocks, n_tokens), ...])`, `block(n_tokens)` for each of them, `end()`.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.header = self._read_header()

    def fail(self, cause: str) -> VampFileError:
        """Error that names the file and the cause."""
        return VampFileError(f"cannot read {self.name}: {cause}")

    def expect(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Check that the rest of the file is long enough for `blocks`, pairs (number, tokens of each).

        They are counted, not listed: a damaged header may claim millions of them.
        """
        least = _CRC.size
        for n_blocks, n_tokens in blocks:
            least += n_blocks * (1 + max(1, -(-n_tokens // MAX_TOKENS_PER_BYTE)) + _CRC.size)
        left = self.size - self._file.tell()
        if left < least:
            raise self.fail(f"it is cut short, at least {least - left} bytes are missing at its end")

    def block(self, n_tokens: int) -> bytes:
        """Payload of the next block, which holds `n_tokens` tokens."""
        framed, length = b"", 0
        for shift in (0, 7, 14, 21):
            byte = self._take(1)
            framed += byte
            length |= (byte[0] & 127) << shift
            if byte[0] < 128:
                break
        most = 4 * n_tokens + 8
        if not -(-n_tokens // MAX_TOKENS_PER_BYTE) <= length <= most:
            raise self.fail(f"damaged at byte {self._file.tell()}: a block of {n_tokens} tokens in {length} bytes")
        payload = self._take(length)
        self._chain = zlib.crc32(framed + payload, self._chain)
        if self._crc() != self._chain:
            raise self.fail(f"damaged before byte {self._file.tell()}: a block's checksum does not fit")
        return payload

    def end(self) -> int:
        """The checksum of all tokens; nothing may follow it."""
        crc = self._crc()
        if self._file.tell() != self.size:
            raise self.fail(f"damaged: {self.size - self._file.tell()} bytes follow its end")
        return crc

    def _read_header(self) -> Header:
        magic = self._file.read(5)
        if magic[:4] != MAGIC:
            raise self.fail("not a .vamp file, or damaged at its beginning")
        if len(magic) == 5 and magic[4] not in VERSIONS:
            known = " or ".join(map(str, VERSIONS))
            raise self.fail(f"format version {magic[4]} is not {known}, which this vampnet reads; or it is damaged")
        packed = magic + self._take(_HEAD.size - len(magic))
        if packed[-1] == 1:
            packed += self._take(_GENERATION.size + (_ORDER.size if packed[4] == 2 else 0))
        if self._crc() != zlib.crc32(packed):
            raise self.fail("damaged: the checksum of its header does not fit")
        self._chain = zlib.crc32(packed + _CRC.pack(zlib.crc32(packed)))
        try:
            return _unpack(packed)
        except SettingsError as error:
            raise self.fail(f"damaged: {error}") from None

    def _crc(self) -> int:
        return _CRC.unpack(self._take(_CRC.size))[0]

    def _take(self, n_bytes: int) -> bytes:
        data = self._file.read(n_bytes)
        if len(data) < n_bytes:
            raise self.fail(f"it is cut short, at least {n_bytes - len(data)} bytes are missing at its end")
        return data


def _unpack(packed: bytes) -> Header:
    """Header of packed bytes whose checksum fits. Raises SettingsError for values out of range."""
    _, version, entropy, *fields, codec_id, generates = _HEAD.unpack(packed[: _HEAD.size])
    check("entropy coder", entropy, 0, len(ENTROPIES) - 1)
    check("mark of generated tokens", generates, 0, 1)
    made = None
    if generates:
        end = _HEAD.size + _GENERATION.size
        model_id, *settings = _GENERATION.unpack(packed[_HEAD.size : end])
        order, remask = _ORDER.unpack(packed[end:]) if version == 2 else (0, 0.0)
        check("order of generated tokens", order, 0, len(_ORDERS) - 1)
        if order or remask:
            raise SettingsError(
                f"its tokens are to be generated in the order {_ORDERS[order]!r}, re-masking {remask:g} of them, which "
                "this version cannot do (0.1.0 could)"
            )
        sampling = SamplingConfig(**dict(zip(_SAMPLING, settings, strict=True)))
        made = Generation(model_id.hex(), sampling)
    # The fields between are in the same order in file and header.
    return Header(ENTROPIES[entropy], *fields, codec_id=codec_id.hex(), generation=made)


def _varint(value: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first, the high bit where more follow."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def open_vamp(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading. Raises VampFileError naming it."""
    name = quoted(path)
    try:
        if not Path(path).is_file():
            raise VampFileError(f"cannot read {name}: {'not a file' if Path(path).exists() else 'no such file'}")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise VampFileError(f"cannot read {name}: {reason(error)}") from None


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of a file alone. Raises VampFileError."""
    with open_vamp(path) as file:
        return VampReader(file, quoted(path)).header
