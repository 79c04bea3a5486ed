"""Token streams: audio that is encoded block by block, when a window needs it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.files import Samples, resample_blocks
from vampnet.audio.loudness import LoudnessMeter, gain_to
from vampnet.audio.output_format import OutputFormat, to_rate
from vampnet.audio.sources import Source
from vampnet.audio.units import resampled_length, samples_to_frames
from vampnet.codec.base import Codec
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.generation.token_memory import TokenMemory


class TokenStream:
    """Codes of some material, in blocks, and the output format that their result is brought to.

    Several readers share one encoding: each gets all blocks, and a block is let go when all have read it.
    """

    def __init__(
        self,
        n_frames: int,
        n_items: int,
        encode: Callable[[], Iterator[Tensor]],
        output: OutputFormat,
        n_readers: int = 1,
    ) -> None:
        """`encode` begins an encoding: int32 blocks (B, C, t) of `n_items` channels, `n_frames` frames in all."""
        self.n_frames, self.n_items, self.output = n_frames, n_items, output
        self._encode, self._n_readers = encode, n_readers
        self._copies: list[Iterator[Tensor]] = []

    def blocks(self) -> Iterator[Tensor]:
        """The codes from the start, int32 (B, C, t)."""
        if not self._copies:
            self._copies = list(itertools.tee(self._encode(), self._n_readers))
        return self._copies.pop()

    def with_output(self, output: OutputFormat) -> TokenStream:
        """The same tokens, whose result is brought to another format."""
        return TokenStream(self.n_frames, self.n_items, self.blocks, output)

    def codes(self) -> Tensor:
        """All codes at once, int32 (B, C, T)."""
        return torch.cat(list(self.blocks()), dim=2)


def tokens_of(source: Source, codec: Codec, n_readers: int = 1, memory: TokenMemory | None = None) -> TokenStream:
    """The tokens of a source, one item per channel: measured now, encoded as they are asked for.

    memory: holds tokens of files that were encoded before.
    """
    meter = LoudnessMeter(source.sample_rate_hz, source.channels)
    for block in source.blocks():
        meter.add(block)
    lufs, peak = meter.integrated_lufs, meter.level.peak
    gain = min(gain_to(lufs), 1.0 / peak) if peak > 0 else 1.0
    n_codec = resampled_length(source.n_samples, source.sample_rate_hz, codec.sample_rate_hz)
    if (known := getattr(source, "codes_NCT", None)) is not None:  # a vampnet.generation.coded.CodedSource
        output = OutputFormat(source.sample_rate_hz, source.channels, source.n_samples, source.gain, lufs, meter=meter)  # type: ignore[attr-defined]
        assert known is not None
        return tokens_of_codes(source.linear_codes(codec).int(), output, n_readers)  # type: ignore[attr-defined]

    n_frames = samples_to_frames(n_codec, codec.hop)

    def encode() -> Iterator[Tensor]:
        if memory is not None:
            return memory.blocks(source, n_frames, lambda: _encoded(source, codec, gain, n_codec))
        return _encoded(source, codec, gain, n_codec)

    output = OutputFormat(source.sample_rate_hz, source.channels, source.n_samples, gain, lufs, meter=meter)
    return TokenStream(n_frames, source.channels, encode, output, n_readers)


def _encoded(source: Source, codec: Codec, gain: float, n_codec: int) -> Iterator[Tensor]:
    resampled = resample_blocks(source.blocks(), source.sample_rate_hz, codec.sample_rate_hz, n_codec)
    levelled = (torch.from_numpy(np.ascontiguousarray(block)) * gain for block in resampled)
    return (part.to("cpu", torch.int32) for part in codec.encode_blocks(levelled))


def encode_at(source: Source, codec: Codec, gain: float) -> Tensor:
    """Codes (N, C, T), int32, of a source that is brought to the codec's level by a given factor."""
    n_codec = resampled_length(source.n_samples, source.sample_rate_hz, codec.sample_rate_hz)
    return torch.cat(list(_encoded(source, codec, gain, n_codec)), dim=2)


def tokens_of_codes(codes_BCT: Tensor, output: OutputFormat, n_readers: int = 1) -> TokenStream:
    """Tokens that are known already, int32."""
    blocks = codes_BCT.split(BLOCK_FRAMES, dim=2)
    return TokenStream(codes_BCT.shape[2], len(codes_BCT), lambda: iter(blocks), output, n_readers)


@dataclass(frozen=True)
class Encoded:
    """Codes of a source and what is needed to give the result its rate, length and level."""

    codes_NCT: Tensor
    """int32 codes (channels, C, T), one item per channel."""
    sample_rate_hz: int
    n_samples: int
    lufs: float
    """The source's loudness; -inf for silence."""
    gain: float
    """Factor that was applied before encoding."""


def encode(
    source: Source,
    codec: Codec,
    progress: Callable[[int, int], None] | None = None,
    memory: TokenMemory | None = None,
) -> Encoded:
    """Encode every channel of a source. `progress` is told (frames done, of all); `memory` as in `tokens_of`."""
    tokens, parts = tokens_of(source, codec, memory=memory), []
    for codes in tokens.blocks():
        parts.append(codes)
        if progress is not None:
            progress(sum(p.shape[2] for p in parts), tokens.n_frames)
    lufs, gain = tokens.output.lufs, tokens.output.gain
    assert lufs is not None
    return Encoded(torch.cat(parts, dim=2), source.sample_rate_hz, source.n_samples, lufs, gain)


def decode_blocks(codes_NCT: Tensor, codec: Codec, sample_rate_hz: int, n_samples: int) -> Iterator[Samples]:
    """Codes, one item per channel -> blocks (channels, n) at `sample_rate_hz`, exactly `n_samples` in all."""
    decoded = (block.float().cpu().numpy() for block in codec.decode_blocks(codes_NCT.long()))
    return to_rate(decoded, codec.sample_rate_hz, sample_rate_hz, n_samples)
