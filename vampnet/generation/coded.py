"""Sources whose tokens are known, and the tokens of an output that is made of them, all on one grid of frames.

A job that goes on from an earlier output takes its tokens as they are: what is kept stays the same token for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.files import Samples
from vampnet.audio.output_format import OutputFormat
from vampnet.audio.sources import Source
from vampnet.audio.units import resampled_length, samples_to_frames
from vampnet.codec.base import Codec
from vampnet.errors import SettingsError
from vampnet.generation.token_file import read_tokens
from vampnet.generation.token_memory import TokenMemory
from vampnet.generation.tokens import TokenStream, encode, tokens_of_codes
from vampnet.prompts.context import TokenGrid

_SLACK_FRAMES = 16
"""A stretched output has up to so many frames more than its samples take."""


class CodedSource:
    """A source and its tokens."""

    def __init__(self, source: Source, codes_NCT: Tensor, gain: float, *, is_loop: bool = False) -> None:
        """`gain`: factor that brings the source to the level of its tokens; `is_loop`: its frames are a circle."""
        self.source, self.codes_NCT, self.gain, self.is_loop = source, codes_NCT, gain, is_loop
        self.sample_rate_hz, self.channels, self.n_samples = source.sample_rate_hz, source.channels, source.n_samples
        self.path = getattr(source, "path", "")

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) from sample `first` on; `exact`: float64 where that alone holds them."""
        return self.source.blocks(first, exact)

    def linear_codes(self, grid: TokenGrid) -> Tensor:
        """Codes (N, C, T) of as many frames as the source's samples take.

        Of a loop, whose frames are up to half a frame shorter or longer in all, the last one may be left out, or the
        first one follow once more.
        """
        return _fitted(self.codes_NCT, count_frames(self, grid))

    def loop_codes(self, n_frames: int) -> Tensor:
        """Codes (N, C, n_frames) of one turn of a loop."""
        return _fitted(self.codes_NCT, n_frames)


def code_source(source: Source, codec: Codec, memory: TokenMemory | None = None) -> CodedSource:
    """A source with the tokens that the codec makes of it, or made of it before."""
    made = encode(source, codec, memory=memory)
    return CodedSource(source, made.codes_NCT, made.gain)


def read_coded(path: str, source: Source, codec: Codec) -> CodedSource:
    """A source with the tokens of a file. Raises VampFileError, SettingsError for tokens of other audio or codec."""
    facts, codes = read_tokens(path)
    if facts.codec_id != codec.id:
        raise SettingsError(
            f"tokens: {Path(path).name} was made with codec {facts.codec_id}, but the model has {codec.id}; choose the "
            "model that made it, or leave the tokens out"
        )
    codes_NCT = torch.from_numpy(codes)
    check_codes(codes_NCT, source, codec)
    return CodedSource(source, codes_NCT, facts.gain, is_loop=facts.is_loop)


def count_frames(source: Source, grid: TokenGrid) -> int:
    """Frames that a source's samples take."""
    n_codec = resampled_length(source.n_samples, source.sample_rate_hz, grid.sample_rate_hz)
    return samples_to_frames(n_codec, grid.hop)


def check_codes(codes_NCT: Tensor, source: Source, codec: Codec) -> None:
    """Raise SettingsError for tokens that this codec and this source cannot have."""
    channels, n_codebooks, n_frames = codes_NCT.shape
    wanted = (source.channels, codec.n_codebooks)
    if (channels, n_codebooks) != wanted or abs(n_frames - count_frames(source, codec)) > _SLACK_FRAMES:
        raise SettingsError(
            f"tokens have {channels} channels, {n_codebooks} codebooks and {n_frames} frames, but input and model have "
            f"{wanted[0]}, {wanted[1]} and {count_frames(source, codec)}; leave the tokens out"
        )
    if codes_NCT.min() < 0 or codes_NCT.max() >= codec.codebook_size:
        raise SettingsError(f"tokens must lie in 0 to {codec.codebook_size - 1}; the file is damaged")


class OutputGrid:
    """Tokens of an output whose source's tokens are known: those, and what is made around or within them."""

    def __init__(self, source: CodedSource, grid: TokenGrid, n_before: int = 0, n_after: int = 0) -> None:
        """`n_before`, `n_after`: samples added; those before are rounded to whole frames, see `n_before`."""
        self._per_sample = grid.frames_per_s / source.sample_rate_hz
        self._source, self._grid = source, grid
        self.first_frame = max(round(n_before * self._per_sample), 1) if n_before else 0
        self.n_before = round(self.first_frame / self._per_sample)
        """Samples before the source."""
        codes_NCT = source.linear_codes(grid)
        n_codec = resampled_length(source.n_samples + n_after, source.sample_rate_hz, grid.sample_rate_hz)
        n_frames = self.first_frame + samples_to_frames(n_codec, grid.hop)
        self.codes_NCT = torch.zeros(*codes_NCT.shape[:2], n_frames, dtype=torch.int32)
        """All tokens of the output, as far as they are known."""
        stop = self.first_frame + codes_NCT.shape[2]
        self.codes_NCT[:, :, self.first_frame : stop] = codes_NCT
        self.known_T = torch.zeros(n_frames, dtype=torch.bool)
        """Frames that are the source's alone."""
        n_whole = source.n_samples * self._per_sample
        self.known_T[self.first_frame : self.first_frame + int(n_whole + 1e-6) if n_after else stop] = True

    def align(self, sample: int) -> int:
        """The sample at which the frame begins that contains a sample of the output."""
        return round(int(sample * self._per_sample + 1e-3) / self._per_sample)

    def frame_of(self, first: int) -> int:
        """The frame that begins at an aligned sample."""
        return round(first * self._per_sample)

    @property
    def gain(self) -> float:
        """Factor that brings the output to the level of its tokens."""
        return self._source.gain

    def tokens(
        self, excerpt: Source, first: int, heard_NCT: Tensor | None = None, fresh_T: Tensor | None = None
    ) -> TokenStream:
        """Tokens of an excerpt of the output that begins with the aligned sample `first`.

        heard_NCT: what the codec makes of the excerpt's own sound, for frames where `fresh_T` is True.
        """
        start, n_frames = self.frame_of(first), count_frames(excerpt, self._grid)
        codes_NCT = torch.zeros(*self.codes_NCT.shape[:2], n_frames, dtype=torch.int32)
        known_NCT = self.codes_NCT[:, :, start : start + n_frames]
        codes_NCT[:, :, : known_NCT.shape[2]] = known_NCT
        if heard_NCT is not None and fresh_T is not None:
            codes_NCT = torch.where(fresh_T, heard_NCT, codes_NCT)
        output = OutputFormat(excerpt.sample_rate_hz, excerpt.channels, excerpt.n_samples, self.gain)
        return tokens_of_codes(codes_NCT, output)

    def known(self, first: int, n_frames: int) -> Tensor:
        """Mask of an excerpt's frames that are the source's alone, bool (T,)."""
        known_T = torch.zeros(n_frames, dtype=torch.bool)
        part_T = self.known_T[self.frame_of(first) :][:n_frames]
        known_T[: len(part_T)] = part_T
        return known_T

    def put(self, first: int, codes_NCT: Tensor | None) -> None:
        """Note the tokens that were made of an excerpt; None, of a preview, changes nothing."""
        if codes_NCT is not None:
            start = self.frame_of(first)
            n_left = self.codes_NCT.shape[2] - start
            self.codes_NCT[:, :, start : start + codes_NCT.shape[2]] = codes_NCT[:, :, :n_left]


def level_of(sound: Source) -> float | None:
    """Factor from what the codec decodes to a sound; None where the sound is not decoded as a whole."""
    level = getattr(sound, "level", None)
    return None if level is None or not np.isfinite(level) or level <= 0 else float(level)


def _fitted(codes_NCT: Tensor, n_frames: int) -> Tensor:
    """Codes of so many frames: too many are cut off, missing ones are the first again."""
    repeats = -(-n_frames // codes_NCT.shape[2])
    return codes_NCT.repeat(1, 1, repeats)[:, :, :n_frames] if repeats > 1 else codes_NCT[:, :, :n_frames]
