"""Decoding of frames as they become final, into a spool on disk, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vampnet.audio.spool import Spool
from vampnet.codec.base import Codec
from vampnet.generation.progress import Clock

REACH_S = 1.0
"""More than the limiter and the resampler look at around a sample, seconds."""


class DecodeStream:
    """Takes final frames in order and decodes them in the blocks that the codec would cut."""

    def __init__(
        self,
        codec: Codec,
        spool: Spool,
        n_frames: int,
        clock: Clock,
        report: Callable[[int], None] | None = None,
        keep_codes: bool = False,
        wanted: tuple[int, int] | None = None,
    ) -> None:
        """`report` is told how many of the `n_frames` frames are decoded. `keep_codes` collects all codes.

        wanted: the first frame whose sound counts, and one past the last; blocks without any are silent, not decoded.
        """
        self._codec, self._spool, self._n_frames, self._clock, self._report = codec, spool, n_frames, clock, report
        self._held_BCT: Tensor | None = None
        self._first = 0
        self._wanted = wanted or (0, n_frames)
        self._keep_codes, self._codes_BCT, self._n_added = keep_codes, torch.empty(0), 0
        self.n_decoded = 0
        """Frames that are in the spool."""

    def add(self, codes_BCT: Tensor) -> None:
        """Take the next final frames, one item per channel."""
        if self._keep_codes:
            self._keep(codes_BCT)
        self._held_BCT = codes_BCT if self._held_BCT is None else torch.cat([self._held_BCT, codes_BCT], dim=2)
        with self._clock.stage("decode"):
            self._decode(self._held_BCT)

    def codes(self) -> Tensor:
        """All codes (B, C, T), int32, of a stream that keeps them."""
        assert self._keep_codes
        return self._codes_BCT.to(torch.int32) & 0xFFFF

    def _keep(self, codes_BCT: Tensor) -> None:
        """Note codes in one tensor, made at once: many small ones would break up the memory between large ones."""
        if not self._n_added:
            self._codes_BCT = torch.empty(*codes_BCT.shape[:2], self._n_frames, dtype=torch.int16)
        stop = self._n_added + codes_BCT.shape[2]
        self._codes_BCT[:, :, self._n_added : stop] = codes_BCT.to(torch.int16)
        self._n_added = stop

    def _decode(self, held_BCT: Tensor) -> None:
        context, known = self._codec.decoder_context, self._first + held_BCT.shape[2]
        while self.n_decoded < self._n_frames:
            stop = min(self.n_decoded + self._codec.decoder_block, self._n_frames)
            right = min(stop + context, self._n_frames)
            if right > known:
                break
            left = max(self.n_decoded - context, 0)
            codes_BCT = held_BCT[:, :, left - self._first : right - self._first].long()
            if self.n_decoded < self._wanted[1] and stop > self._wanted[0]:
                audio_BS = self._codec.decode_part(codes_BCT, self.n_decoded - left, stop - self.n_decoded)
            else:
                audio_BS = torch.zeros(len(codes_BCT), (stop - self.n_decoded) * self._codec.hop)
            self._spool.add(audio_BS.float().cpu().numpy())
            self.n_decoded = stop
            if self._report is not None:
                self._report(stop)
        used = max(self.n_decoded - context, 0)
        if used > self._first:
            self._held_BCT, self._first = held_BCT[:, :, used - self._first :].clone(), used


def frames_around(span_s: tuple[float, float], frames_per_s: float) -> tuple[int, int]:
    """First frame of a part of the sound and one past the last, with what resampling and limiting look at around it."""
    start_s, stop_s = span_s
    return math.floor((start_s - REACH_S) * frames_per_s), math.ceil((stop_s + REACH_S) * frames_per_s)
