"""Range coding of kept tokens: the coders that a .vamp file can choose from.

    flat      every entry as likely as any other: the reference, log2(V) bits per token
    static    one table of frequencies per codebook, which the file carries
    adaptive  learns while it codes (`adaptive.py`); needs no table, but the codec's codebook vectors

Both ends must have bit-identical probabilities, so all of them are computed in whole numbers, and constriction's
models are made with `perfect=False`, whose rounding is plain arithmetic.

Axis letters: F kept frame of a block, N channel, K kept codebook, V entry.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vampnet.errors import VampFileError

Codes = NDArray[np.int64]
"""Tokens (F, N, K)."""
MAX_TOKENS_PER_BYTE = 1024
"""A payload has at least a byte for so many tokens: a few damaged or hostile bytes cannot cost hours of decoding."""
FREQUENCIES = np.array([0] + [math.isqrt(64 << level) for level in range(31)], dtype=np.float64)
"""Relative frequency that each level of a static table stands for: two levels double it."""


class TokenCoder(Protocol):
    """Blocks of tokens <-> payloads, the blocks of a file in their order."""

    def encode(self, codes_FNK: Codes) -> bytes:
        """Tokens, each 0..V-1, as a payload."""
        ...

    def decode(self, payload: bytes, n_frames: int) -> Codes:
        """The tokens of a block. Raises VampFileError for bytes that no encoder wrote, as far as that shows."""
        ...


def _stream() -> Any:
    """constriction's coders and models; imported here, so that the command line starts without it."""
    import constriction

    package: Any = constriction  # an extension module without type information
    return package.stream


def range_encoder() -> Any:
    """A new range encoder."""
    return _stream().queue.RangeEncoder()


def range_decoder(payload: bytes) -> Any:
    """A decoder of a payload; constriction reads zeros behind the end."""
    padded = payload + bytes(-len(payload) % 4)
    return _stream().queue.RangeDecoder(np.frombuffer(padded, "<u4").astype(np.uint32))


def categorical(weights_V: NDArray[np.float64]) -> Any:
    """The model of one distribution; weights are whole numbers below 2**53, any sum."""
    return _stream().model.Categorical(weights_V, perfect=False)


def finish(encoder: Any, n_tokens: int) -> bytes:
    """The encoder's bytes as a payload: without zeros at the end, but not shorter than its tokens need."""
    payload = encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")
    return payload.ljust(least_bytes(n_tokens), b"\0")


def least_bytes(n_tokens: int) -> int:
    """Length of the shortest payload of so many tokens."""
    return -(-n_tokens // MAX_TOKENS_PER_BYTE)


class FlatCoder:
    """Every entry equally likely."""

    def __init__(self, n_channels: int, n_kept: int, vocab_size: int) -> None:
        self._shape = (n_channels, n_kept)
        self._model = _stream().model.Uniform(vocab_size)

    def encode(self, codes_FNK: Codes) -> bytes:
        """Codes (F, N, K) of a block -> bytes."""
        encoder = range_encoder()
        encoder.encode(codes_FNK.astype(np.int32).ravel(), self._model)
        return finish(encoder, codes_FNK.size)

    def decode(self, payload: bytes, n_frames: int) -> Codes:
        """Bytes of a block -> codes (F, N, K)."""
        shape = (n_frames, *self._shape)
        return _decoded(range_decoder(payload), self._model, math.prod(shape)).reshape(shape)


class StaticCoder:
    """One table of frequencies per codebook."""

    def __init__(self, n_channels: int, levels_KV: NDArray[np.int64]) -> None:
        """levels_KV: 0..31, see FREQUENCIES; each row with an entry above 0. Raises VampFileError otherwise."""
        if not levels_KV.any(axis=1).all():
            raise VampFileError("damaged: a table of frequencies is empty")
        self._n_channels = n_channels
        self._models = [categorical(FREQUENCIES[levels_V]) for levels_V in levels_KV]

    def encode(self, codes_FNK: Codes) -> bytes:
        """Codes (F, N, K) of a block -> bytes."""
        encoder = range_encoder()
        for k, model in enumerate(self._models):
            encoder.encode(codes_FNK[:, :, k].astype(np.int32).ravel(), model)
        return finish(encoder, codes_FNK.size)

    def decode(self, payload: bytes, n_frames: int) -> Codes:
        """Bytes of a block -> codes (F, N, K)."""
        decoder, shape = range_decoder(payload), (n_frames, self._n_channels)
        rows = [_decoded(decoder, model, math.prod(shape)).reshape(shape) for model in self._models]
        return np.stack(rows, axis=2)


def levels_of(codes_FNK: Codes, vocab_size: int) -> NDArray[np.int64]:
    """Tables (K, V) of levels that fit these tokens."""
    n_kept = codes_FNK.shape[2]
    counts_KV = np.stack([np.bincount(codes_FNK[:, :, k].ravel(), minlength=vocab_size) for k in range(n_kept)])
    levels_KV = 1 + np.round(2 * np.log2(np.maximum(counts_KV, 1))).astype(np.int64)
    return np.where(counts_KV > 0, np.minimum(levels_KV, len(FREQUENCIES) - 1), 0)


def pack_levels(levels_KV: NDArray[np.int64]) -> bytes:
    """Tables as a payload; the levels are coded with adaptive frequencies of their own."""
    encoder = range_encoder()
    for levels_V in levels_KV:
        counts = np.ones(len(FREQUENCIES))
        for level in levels_V.tolist():
            encoder.encode(level, categorical(counts))
            counts[level] += 8
    return finish(encoder, levels_KV.size)


def unpack_levels(payload: bytes, n_kept: int, vocab_size: int) -> NDArray[np.int64]:
    """The tables of a payload. Raises VampFileError for bytes that cannot be tables."""
    decoder, levels_KV = range_decoder(payload), np.zeros((n_kept, vocab_size), np.int64)
    for levels_V in levels_KV:
        counts = np.ones(len(FREQUENCIES))
        for entry in range(vocab_size):
            level = decoded_symbol(decoder, counts)
            levels_V[entry] = level
            counts[level] += 8
    return levels_KV


def decoded_symbol(decoder: Any, weights_V: NDArray[np.float64]) -> int:
    """The next symbol. Raises VampFileError where the bytes fit no symbol."""
    try:
        return int(decoder.decode(categorical(weights_V)))
    except (AssertionError, ValueError):
        raise VampFileError("damaged: its bytes are no tokens") from None


def _decoded(decoder: Any, model: Any, n: int) -> Codes:
    try:
        return np.asarray(decoder.decode(model, n)).astype(np.int64)
    except (AssertionError, ValueError):
        raise VampFileError("damaged: its bytes are no tokens") from None
