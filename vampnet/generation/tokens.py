"""Token streams: audio encoded block by block, when a window needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.files import Samples, resample_blocks
from vampnet.audio.loudness import LoudnessMeter, gain_to
from vampnet.audio.output_format import Target, to_rate
from vampnet.audio.sources import Source
from vampnet.audio.units import resampled_length, samples_to_frames
from vampnet.codec.base import Codec
from vampnet.codec.chunked import BLOCK_FRAMES


@dataclass(frozen=True, eq=False)
class Material:
    """Codes to begin with, as a stream, and what their result is brought to."""

    n_frames: int
    n_items: int
    """Channels N that are encoded: one item of codes each."""
    codes: Callable[[int], Iterator[Tensor]]
    """Given a number of blocks to leave out: the others, int32 (N, C, t), in order."""
    target: Target


def material_of(source: Source, codec: Codec) -> Material:
    """Measure a source; its codes are computed as they are asked for."""
    meter, peak = LoudnessMeter(source.sample_rate_hz, source.channels), 0.0
    for block in source.blocks():
        meter.add(block)
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    lufs = meter.integrated_lufs
    gain = min(gain_to(lufs), 1.0 / peak) if peak > 0 else 1.0
    n_codec = resampled_length(source.n_samples, source.sample_rate_hz, codec.sample_rate_hz)

    def codes(skip_blocks: int) -> Iterator[Tensor]:
        resampled = resample_blocks(source.blocks(), source.sample_rate_hz, codec.sample_rate_hz, n_codec)
        levelled = (torch.from_numpy(np.ascontiguousarray(block)) * gain for block in resampled)
        return (part.to("cpu", torch.int32) for part in codec.encode_blocks(levelled, skip_blocks))

    target = Target(source.sample_rate_hz, source.channels, source.n_samples, gain, lufs, meter=meter)
    return Material(samples_to_frames(n_codec, codec.hop), source.channels, codes, target)


def material_of_codes(codes_NCT: Tensor, target: Target) -> Material:
    """Material whose codes, int32, are known."""
    blocks = codes_NCT.split(BLOCK_FRAMES, dim=2)
    return Material(codes_NCT.shape[2], len(codes_NCT), lambda skip_blocks: iter(blocks[skip_blocks:]), target)


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


def encode(source: Source, codec: Codec, progress: Callable[[int, int], None] | None = None) -> Encoded:
    """Encode every channel of a source. `progress` is told (frames done, of all)."""
    material, parts = material_of(source, codec), []
    for codes in material.codes(0):
        parts.append(codes)
        if progress is not None:
            progress(sum(p.shape[2] for p in parts), material.n_frames)
    lufs, gain = material.target.lufs, material.target.gain
    assert lufs is not None
    return Encoded(torch.cat(parts, dim=2), source.sample_rate_hz, source.n_samples, lufs, gain)


def decode_blocks(codes_NCT: Tensor, codec: Codec, sample_rate_hz: int, n_samples: int) -> Iterator[Samples]:
    """Codes, one item per channel -> blocks (channels, n) at `sample_rate_hz`, exactly `n_samples` in all."""
    decoded = (block.float().cpu().numpy() for block in codec.decode_blocks(codes_NCT.long()))
    return to_rate(decoded, codec.sample_rate_hz, sample_rate_hz, n_samples)
