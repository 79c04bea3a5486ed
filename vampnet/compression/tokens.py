"""Kept tokens <-> a .vamp file: cut into blocks, coded, checked.

Axis letters: N channel, C codebook of the codec, K kept codebook, T frame, F kept frame (every P-th).
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.units import resampled_length, samples_to_frames
from vampnet.codec.base import Codec
from vampnet.compression.adaptive import MAX_VOCAB, AdaptiveCoder
from vampnet.compression.container import MAX_BLOCK_TOKENS, Header, VampReader, VampWriter
from vampnet.compression.entropy import Codes, FlatCoder, StaticCoder, TokenCoder, levels_of, pack_levels, unpack_levels
from vampnet.errors import VampFileError

BLOCK_S, SPARSE_BLOCK_S = 10.0, 60.0
"""Length of a block, seconds; up to the second where tokens are few, since each block costs about ten bytes."""
_FEW_TOKENS = 4096


def block_frames_of(codec: Codec, channels: int, codebooks: int, period: int) -> int:
    """Kept frames per block."""
    kept_per_s, per_frame = codec.frames_per_s / period, channels * codebooks
    wanted = max(math.ceil(BLOCK_S * kept_per_s), _FEW_TOKENS // per_frame)
    return max(1, min(wanted, math.ceil(SPARSE_BLOCK_S * kept_per_s), MAX_BLOCK_TOKENS // per_frame))


def n_frames_of(header: Header, codec: Codec) -> int:
    """Frames of the whole material, kept and generated."""
    n_codec = resampled_length(header.n_samples, header.sample_rate_hz, codec.sample_rate_hz)
    return samples_to_frames(n_codec, codec.hop)


def write_tokens(
    file: BinaryIO,
    header: Header,
    codes_NCT: Tensor,
    codec: Codec,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the tokens that the header keeps of all codes (N, C, T). `progress` is told (kept frames coded, of all)."""
    kept_FNK = kept_tokens(codes_NCT, header)
    _write(file, header, _encoded(kept_FNK, header, codec, progress), kept_FNK)


def choose_entropy(codec: Codec) -> str:
    """The coder of new files: adaptive, or flat for codebooks that are too large for it."""
    return "adaptive" if codec.codebook_size <= MAX_VOCAB else "flat"


def n_kept_of(header: Header, codec: Codec) -> int:
    """Frames whose tokens are in the file."""
    return -(-n_frames_of(header, codec) // header.period)


def read_tokens(reader: VampReader, codec: Codec, progress: Callable[[int, int], None] | None = None) -> Tensor:
    """The kept tokens of a file as int32 codes (N, K, F), all at once; see `read_blocks`."""
    header = reader.header
    blocks = read_blocks(reader, codec, progress)
    first = next(blocks)
    codes_NKF = torch.empty(header.channels, header.codebooks, n_kept_of(header, codec), dtype=torch.int32)
    start = 0
    for block_NKF in itertools.chain([first], blocks):
        codes_NKF[:, :, start : start + block_NKF.shape[2]] = block_NKF
        start += block_NKF.shape[2]
    return codes_NKF


def read_blocks(
    reader: VampReader, codec: Codec, progress: Callable[[int, int], None] | None = None
) -> Iterator[Tensor]:
    """The kept tokens of a file, block by block, as int32 codes (N, K, F). Raises VampFileError, also for another
    codec's file, and after the last block where the checksum of all tokens does not fit.

    `progress` is told (kept frames decoded, of all).
    """
    header = reader.header
    if header.codec_id != codec.id:
        raise reader.fail(f"made with codec {header.codec_id}, but the bundle has codec {codec.id}; choose its bundle")
    if header.codebooks > codec.n_codebooks:
        raise reader.fail(f"damaged: keeps {header.codebooks} codebooks, but its codec has {codec.n_codebooks}")
    n_kept = n_kept_of(header, codec)
    per_frame, table_entries = header.channels * header.codebooks, header.codebooks * codec.codebook_size
    n_full, rest = divmod(n_kept, header.block_frames)
    static = header.entropy == "static"
    blocks = [(n_full, header.block_frames * per_frame), (int(rest > 0), rest * per_frame)]
    reader.expect([(int(static), table_entries), *blocks])
    crc = 0
    try:
        levels = None
        if static:
            levels = unpack_levels(reader.block(table_entries), header.codebooks, codec.codebook_size)
        coder = _coder(header, codec, levels)
        for start in range(0, n_kept, header.block_frames):
            size = min(header.block_frames, n_kept - start)
            codes_FNK = coder.decode(reader.block(size * per_frame), size).astype("<u2")
            crc = zlib.crc32(codes_FNK.tobytes(), crc)
            if progress is not None:
                progress(start + size, n_kept)
            yield torch.from_numpy(codes_FNK.astype(np.int32)).permute(1, 2, 0)
    except VampFileError as error:
        raise error if str(error).startswith("cannot read") else reader.fail(str(error)) from None
    if reader.end() != crc:
        raise reader.fail("damaged, or coded by another version of the range coder: its tokens' checksum does not fit")


def kept_tokens(codes_NCT: Tensor, header: Header) -> Codes:
    """The tokens (F, N, K) of all codes that a file keeps."""
    kept_NKF = codes_NCT[:, : header.codebooks, :: header.period]
    return kept_NKF.permute(2, 0, 1).to("cpu", torch.int64).numpy()


def _encoded(kept_FNK: Codes, header: Header, codec: Codec, progress: Callable[[int, int], None] | None) -> list[bytes]:
    """Payloads of all blocks, the static coder's table first."""
    levels = levels_of(kept_FNK, codec.codebook_size) if header.entropy == "static" else None
    coder = _coder(header, codec, levels)
    payloads = [] if levels is None else [pack_levels(levels)]
    for start in range(0, len(kept_FNK), header.block_frames):
        payloads.append(coder.encode(kept_FNK[start : start + header.block_frames]))
        if progress is not None:
            progress(min(start + header.block_frames, len(kept_FNK)), len(kept_FNK))
    return payloads


def _coder(header: Header, codec: Codec, levels: Codes | None) -> TokenCoder:
    if levels is not None:
        return StaticCoder(header.channels, levels)
    if header.entropy == "flat":
        return FlatCoder(header.channels, header.codebooks, codec.codebook_size)
    return AdaptiveCoder(codec.codebooks()[: header.codebooks].cpu().numpy(), header.channels)


def _write(file: BinaryIO, header: Header, payloads: list[bytes], kept_FNK: Codes) -> None:
    writer = VampWriter(file, header)
    for payload in payloads:
        writer.block(payload)
    crc = 0
    for start in range(0, len(kept_FNK), header.block_frames):
        crc = zlib.crc32(kept_FNK[start : start + header.block_frames].astype("<u2").tobytes(), crc)
    writer.end(crc)
