"""Long material, window by window, in bounded memory: which window is filled next, and which frames are final.

Windows of the coarse and of the coarse-to-fine model take turns, so that final frames come out while the rest of the
material has not even been encoded. Each window but the first begins with frames that are generated already and sees
them as context, so there is no seam. The windows and their seeds depend on the material's length alone.

Axis letters: B item (channel), C codebook, T frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vampnet.generation.reference_mode import reference_chunk
from vampnet.generation.run import Run, Stage, Watcher, WindowRequest
from vampnet.generation.spans import Window
from vampnet.generation.tokens import TokenStream
from vampnet.models.conditioning import HeardControls
from vampnet.seeds import stream_seed


@dataclass(frozen=True, eq=False)
class Plan:
    """Plan of one variation: keep mask, seed and settings."""

    stages: tuple[Stage, Stage]
    """Coarse and coarse-to-fine."""
    settings: Any
    """SamplingConfig."""
    keep_CT: Tensor
    """bool, True where a token stays."""
    seed: int
    """Seed of the variation."""
    watcher: Watcher | None = None
    heard: HeardControls | None = None
    """Controls that the coarse network follows, over all of the material."""


class _HeldCodes:
    """Codes of the material between the last frame that is used up and the last one that is encoded."""

    def __init__(self, tokens: TokenStream) -> None:
        self._blocks = tokens.blocks()
        self.first = 0
        """Frame with which the held codes begin."""
        self._codes_BCT: Tensor | None = None

    @property
    def stop(self) -> int:
        """One past the last frame that is held."""
        return self.first + (0 if self._codes_BCT is None else self._codes_BCT.shape[2])

    def get(self, start: int, stop: int) -> Tensor:
        """Codes (B, C, stop - start), int32, as they are now; encodes as far as needed."""
        while self.stop < stop:
            block = next(self._blocks)
            self._codes_BCT = block if self._codes_BCT is None else torch.cat([self._codes_BCT, block], dim=2)
        assert self._codes_BCT is not None and self.first <= start
        return self._codes_BCT[:, :, start - self.first : stop - self.first]

    def put(self, start: int, codes_BCT: Tensor) -> None:
        """Replace the leading codebooks of the frames from `start` on."""
        assert self._codes_BCT is not None
        held = self._codes_BCT.clone()  # what was given out before stays as it was
        first = start - self.first
        held[:, : codes_BCT.shape[1], first : first + codes_BCT.shape[2]] = codes_BCT.to("cpu", torch.int32)
        self._codes_BCT = held

    def drop(self, before: int) -> None:
        """Let go of the frames before this one."""
        if self._codes_BCT is not None and before > self.first:
            self._codes_BCT = self._codes_BCT[:, :, before - self.first :].clone()
            self.first = before


def generate_codes(tokens: TokenStream, plan: Plan, emit: Callable[[Tensor], None]) -> Run[None]:
    """Fill in all tokens that are not kept: a run that yields windows; `emit` gets final frames (B, C, t) in order."""
    spans = [stage.spans(tokens.n_frames) for stage in plan.stages]
    held, n_done, emitted = _HeldCodes(tokens), [0, 0], 0
    while n_done[1] < len(spans[1]):
        reached = spans[0][n_done[0] - 1].stop if n_done[0] else 0
        which = 1 if spans[1][n_done[1]].stop <= reached else 0  # coarse-to-fine wherever the coarse codes are there
        stage, span = plan.stages[which], spans[which][n_done[which]]
        n_read = stage.model.config.n_codebooks
        codes_BCT = held.get(span.start, span.stop)[:, :n_read].long()
        request = _request(stage, n_done[which], span, codes_BCT, plan)
        filled_BCT = yield request
        held.put(span.start, filled_BCT[:, :, : span.n_frames])
        if plan.watcher is not None:
            plan.watcher.advanced(request)
        n_done[which] += 1
        if which == 1:
            emit(held.get(emitted, span.stop))
            emitted = span.stop
        upcoming = [of[done].start for of, done in zip(spans, n_done, strict=True) if done < len(of)]
        held.drop(min([emitted, *upcoming]))


def _request(stage: Stage, number: int, span: Window, codes_BCT: Tensor, plan: Plan) -> WindowRequest:
    """The request for one window of one stage."""
    keep_CT = plan.keep_CT[: codes_BCT.shape[1], span.start : span.stop].clone()
    # What earlier windows generated is context now, as much as what the prompt keeps.
    keep_CT[:, : span.n_context] = True
    keep_BCT = keep_CT.repeat(len(codes_BCT), 1, 1)
    if stage.is_reference:
        n_given = stage.model.config.n_conditioning_codebooks
        codes_BCT, keep_BCT = reference_chunk(codes_BCT, keep_BCT, n_given, stage.window_frames)
    seeds = (stream_seed(plan.seed, stage.name, number),) * len(codes_BCT)
    heard = plan.heard.slice(span.start, span.stop) if plan.heard is not None and stage.name == "coarse" else None
    return WindowRequest(stage, number, codes_BCT, keep_BCT, seeds, plan.settings, plan.watcher, heard)


def count_steps(stages: tuple[Stage, Stage], n_frames: int) -> int:
    """Decoding steps that material of so many frames takes, weighted by the frames of their windows."""
    return sum(stage.steps * span.n_frames for stage in stages for span in stage.spans(n_frames))
