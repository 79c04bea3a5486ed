"""The codec interface: waveform <-> codes. Base class that states shapes; families implement it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from vampnet.codec.config import DacConfig, MagnitudeConfig


class Codec(nn.Module):
    """Mono waveform <-> residual codes.

    Axis letters: B batch, S samples, C codebook, T frame, V entry, K codebook dimension.
    """

    config: MagnitudeConfig | DacConfig
    sample_rate_hz: int
    hop: int
    n_codebooks: int
    codebook_size: int
    decoder_context: int
    """Frames of context on each side that make a span's waveform independent of where it was cut."""
    decoder_block: int
    """Frames decoded at once: fewer take less memory, but each block is decoded together with its context."""

    @property
    def id(self) -> str:
        """Hex digest that identifies what the codes mean: equal for codecs that share their codebooks."""
        raise NotImplementedError

    def encode(self, audio_BS: Tensor) -> Tensor:
        """Float waveform at `sample_rate_hz` -> int64 codes (B, C, ceil(S / hop)); the end is padded with silence."""
        raise NotImplementedError

    def decode(self, codes_BCT: Tensor) -> Tensor:
        """Codes of the first C' <= n_codebooks codebooks -> float waveform (B, T * hop).

        In each frame, codebooks from the first mask token (`codebook_size`) on are ignored; a frame that begins with
        the mask token decodes as silence.
        """
        raise NotImplementedError

    def codebooks(self) -> Tensor:
        """Codebook vectors (C, V, K), float32: what the masked network embeds."""
        raise NotImplementedError

    def encode_blocks(self, blocks_BS: Iterable[Tensor], skip_blocks: int = 0) -> Iterator[Tensor]:
        """Encode a stream of waveform blocks of any lengths; the codes, joined, are those of one `encode`.

        They come in blocks of `chunked.BLOCK_FRAMES` frames, of which the first `skip_blocks` are left out.
        """
        raise NotImplementedError

    def decode_blocks(self, codes_BCT: Tensor, block_frames: int | None = None) -> Iterator[Tensor]:
        """Decode in bounded memory, by default `decoder_block` frames at once.

        The waveform blocks, joined, are those of one `decode`.
        """
        raise NotImplementedError

    def decode_part(self, codes_BCT: Tensor, first: int, n_frames: int) -> Tensor:
        """Waveform (B, n_frames * hop) of `n_frames` frames from frame `first` of the codes on.

        Equals that part of the whole if the codes go on for `decoder_context` frames, or to the end, on both sides.
        """
        raise NotImplementedError

    def in_format(self, dtype: torch.dtype) -> Codec:
        """This codec as it decodes fastest on hardware that computes `dtype`; itself where there is nothing to gain."""
        return self

    @property
    def frames_per_s(self) -> float:
        """Codec frames per second."""
        return self.sample_rate_hz / self.hop

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device
