"""Damaged .vamp files: every one is refused, since every byte is under a checksum; headers with good checksums too."""

from __future__ import annotations

import dataclasses
import functools
import io
import random
import zlib
from pathlib import Path

import torch

from tests.fuzz.mutate import mutated_bytes
from tests.support.tiny import tiny_codec
from vampnet.compression.container import ENTROPIES, Generation, Header, VampReader, pack_header, read_header
from vampnet.compression.tokens import n_frames_of, read_tokens, write_tokens
from vampnet.errors import VampFileError
from vampnet.generation.config import SamplingConfig

CODEC = tiny_codec()
MAX_TOKENS = 96 * 3600 * 58 * 14
HEADER = Header(
    "adaptive", 2, 3, 44100, 60 * 768 - 5, 1, -18.5, 0.5, 8, CODEC.id, Generation("0123456789abcdef", SamplingConfig())
)


@functools.cache
def _packed(entropy: str) -> bytes:
    header = dataclasses.replace(HEADER, entropy=entropy)
    generator = torch.Generator().manual_seed(0)
    shape = (header.channels, CODEC.n_codebooks, n_frames_of(header, CODEC))
    file = io.BytesIO()
    write_tokens(file, header, torch.randint(0, CODEC.codebook_size, shape, generator=generator), CODEC)
    return file.getvalue()


def damaged_file(rng: random.Random, folder: Path) -> None:
    """Bytes at random: refused, or the very bytes that were written."""
    good = _packed(rng.choice(ENTROPIES))
    bad = mutated_bytes(good, rng)
    (folder / "f.vamp").write_bytes(bad)
    try:
        read_header(folder / "f.vamp")
        read_tokens(VampReader(io.BytesIO(bad), "'f.vamp'"), CODEC)
    except VampFileError as error:
        assert "\n" not in str(error)
    else:
        assert bad == good, "a damaged .vamp file was read"


def header_with_checksum(rng: random.Random, folder: Path) -> None:
    """Fields at random under a checksum that fits: an error, or a header within its bounds."""
    head = bytearray(pack_header(HEADER)[:-4])
    for _ in range(rng.choice((1, 2, 6))):
        head[rng.randrange(4, len(head))] = rng.randrange(256)
    data = bytes(head) + zlib.crc32(head).to_bytes(4, "little") + rng.randbytes(rng.randrange(80))
    try:
        reader = VampReader(io.BytesIO(data), "'f.vamp'")
        assert n_frames_of(reader.header, CODEC) * reader.header.channels * CODEC.n_codebooks <= MAX_TOKENS * 2
        read_tokens(reader, CODEC)
    except VampFileError as error:
        assert "\n" not in str(error)
    else:
        raise AssertionError("a header without its tokens was read")


TARGETS = {"vamp bytes": damaged_file, "vamp header": header_with_checksum}
