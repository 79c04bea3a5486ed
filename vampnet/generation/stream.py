"""A job: one input on its way through codec and models, window by window, its decoded audio going to spools.

Every part of it is bounded in memory: input is encoded when a window needs it, frames are decoded as soon as they and
their context are final, and codes that were used are let go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vampnet.audio.spool import Spool
from vampnet.codec.base import Codec
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.generation.timings import Clock, Progress
from vampnet.generation.tokens import Material
from vampnet.generation.windows import Generation, Request


class Job:
    """Codes of one input in, codes and decoded audio of its variations out.

    Until `request` gives None: have the request filled, give the result to `accept`.
    """

    def __init__(
        self,
        material: Material,
        generation: Generation,
        codec: Codec,
        spools: Sequence[Spool],
        clock: Clock,
        progress: Progress | None = None,
        keep_codes: bool = False,
        after_window: Callable[[], None] | None = None,
    ) -> None:
        """`spools`: one per variation; none, and nothing is decoded. What they hold already is gone on from.

        `keep_codes` collects all finished codes. `after_window` is called when a window and what it made possible
        are done.
        """
        self.material, self.generation = material, generation
        self._codec, self._spools, self._clock, self._progress = codec, spools, clock, progress
        self._kept: list[Tensor] | None = [] if keep_codes else None
        self._n_kept, self._after_window = 0, after_window
        self.decoded = spools[0].n_samples // codec.hop if spools else 0
        """Frames that are in the spools."""
        self._blocks = material.codes(-(-generation.known // BLOCK_FRAMES))

    def request(self) -> Request | None:
        """The next window to be filled; None when the job is done."""
        with self._clock.stage("encode"):
            while self.generation.known < self.generation.needed:
                self.generation.add(next(self._blocks))
                self._report("encode", self.generation.known)
        return self.generation.request()

    def accept(self, filled_BCT: Tensor) -> None:
        """The filled codes of the last request."""
        self.generation.accept(filled_BCT)
        if self._kept is not None:
            self._kept.append(self.generation.codes(self._n_kept, self.generation.finished))
            self._n_kept = self.generation.finished
        with self._clock.stage("decode"):
            self._decode()
        used = self.generation.finished
        if self._spools:
            used = min(used, self.decoded - self._codec.decoder_context)
        self.generation.forget(used)
        if self._after_window is not None:
            self._after_window()

    def codes(self) -> Tensor:
        """All codes (V, N, C, T), of a job that keeps them."""
        assert self._kept is not None
        return torch.cat(self._kept, dim=2).unflatten(0, (-1, self.generation.n_channels))

    def _decode(self) -> None:
        """Decode what is final, in the blocks that the codec would cut."""
        context, n_frames = self._codec.decoder_context, self.generation.n_frames
        while self._spools and self.decoded < n_frames:
            stop = min(self.decoded + self._codec.decoder_block, n_frames)
            right = min(stop + context, n_frames)
            if right > self.generation.finished:
                return
            left = max(self.decoded - context, 0)
            codes_BCT = self.generation.codes(left, right).long()
            parts = codes_BCT.split(self.generation.n_channels)
            for spool, codes_NCT in zip(self._spools, parts, strict=True):
                audio_NS = self._codec.decode_part(codes_NCT, self.decoded - left, stop - self.decoded)
                spool.add(audio_NS.float().cpu().numpy())
            self.decoded = stop
            self._report("decode", stop)

    def _report(self, stage: str, done: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, self.generation.n_frames)
