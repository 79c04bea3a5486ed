"""Codecs that work through long audio in blocks with context, in bounded memory.

Every frame of these codecs depends on a known number of frames around it. So a block is encoded or decoded together
with that many frames on each side, and these are cut off again. Encoding always cuts on the same grid, whatever blocks
came in; a stream and one pass then do the same arithmetic and give the same codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from vampnet.codec.base import Codec

BLOCK_FRAMES = 256
"""Frames encoded at once; also the grid on which one pass and a stream do the same arithmetic."""


class BlockwiseCodec(Codec):
    """A codec that says how to encode and decode one span, and how much context a span needs."""

    encoder_context: int
    """Frames of context on each side that make a span's codes independent of where it was cut."""
    decoder_block: int = BLOCK_FRAMES

    def encode_span(self, audio_BS: Tensor) -> Tensor:
        """Waveform on the codec's device, its length a multiple of the hop -> int64 codes (B, C, S / hop)."""
        raise NotImplementedError

    def decode_span(self, codes_BCT: Tensor) -> Tensor:
        """int64 codes on the codec's device, mask tokens among them -> waveform (B, T * hop)."""
        raise NotImplementedError

    def encode(self, audio_BS: Tensor) -> Tensor:
        """Waveform (B, S) -> codes (B, C, T), int64."""
        return torch.cat(list(self.encode_blocks([audio_BS])), dim=2)

    def decode(self, codes_BCT: Tensor) -> Tensor:
        """Codes (B, C, T) -> waveform (B, T * hop)."""
        return torch.cat(list(self.decode_blocks(codes_BCT)), dim=1)

    @torch.no_grad()
    def encode_blocks(self, blocks_BS: Iterable[Tensor], skip_blocks: int = 0) -> Iterator[Tensor]:
        """Blocks of any length in; codes come out in blocks of BLOCK_FRAMES, cut alike whatever came in."""
        span, context = BLOCK_FRAMES * self.hop, self.encoder_context * self.hop
        pending, start = None, 0  # `pending` begins `start` samples before the next block's first sample
        for block_BS in blocks_BS:
            pending = block_BS if pending is None else torch.cat([pending, block_BS], dim=1)
            while pending.shape[1] >= start + span + context:
                if skip_blocks > 0:
                    skip_blocks -= 1
                else:
                    yield self._encode_part(pending[:, : start + span + context], start, span)
                cut = max(start + span - context, 0)
                pending, start = pending[:, cut:], start + span - cut
        while pending is not None and pending.shape[1] > start:
            length = min(span, -(-(pending.shape[1] - start) // self.hop) * self.hop)
            padded = F.pad(pending, (0, max(start + length - pending.shape[1], 0)))
            if skip_blocks > 0:
                skip_blocks -= 1
            else:
                yield self._encode_part(padded[:, : start + length + context], start, length)
            cut = max(start + length - context, 0)
            pending, start = padded[:, cut:], start + length - cut

    def _encode_part(self, audio_BS: Tensor, start: int, length: int) -> Tensor:
        audio_BS = F.pad(audio_BS, (0, -audio_BS.shape[1] % self.hop)).to(self.device)
        return self.encode_span(audio_BS)[:, :, start // self.hop : (start + length) // self.hop]

    @torch.no_grad()
    def decode_blocks(self, codes_BCT: Tensor, block_frames: int | None = None) -> Iterator[Tensor]:
        """Waveform blocks (B, block_frames * hop); the last one is shorter."""
        block_frames = block_frames or self.decoder_block
        context, n_frames = self.decoder_context, codes_BCT.shape[2]
        for first in range(0, n_frames, block_frames):
            left, right = max(first - context, 0), min(first + block_frames + context, n_frames)
            n_wanted = min(first + block_frames, n_frames) - first
            yield self.decode_part(codes_BCT[:, :, left:right], first - left, n_wanted)

    @torch.no_grad()
    def decode_part(self, codes_BCT: Tensor, first: int, n_frames: int) -> Tensor:
        """Waveform (B, n_frames * hop) of the frames from `first` on, as in the whole decoded at once."""
        audio_BS = self.decode_span(codes_BCT.to(self.device))
        return audio_BS[:, first * self.hop : (first + n_frames) * self.hop]
