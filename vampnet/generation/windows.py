"""Generation window by window, in bounded memory: which window is to be filled next, and which frames are finished.

Windows of the coarse model and of the coarse-to-fine model take turns, so that finished frames come out while the rest
of the material has not even been encoded. Each window but the first begins with frames that are already generated and
sees them as context, so what is continued knows what came before and there is no seam. Which frames a window has, and
its seed, depend on the material's length alone, so the result is the same in whatever order windows are filled.

Axis letters: V variation, N channel, B = V * N item (channels of the first variation first), C codebook, T frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vampnet.generation.reference_mode import reference_chunk, reference_windows
from vampnet.generation.sampling import TokenNetwork
from vampnet.generation.spans import Window, windows


@dataclass(frozen=True, eq=False)
class Stage:
    """One of the two models and how it runs over long material."""

    name: str
    """"coarse" or "c2f"."""
    model: TokenNetwork
    steps: int
    """Passes per window."""
    window_frames: int
    context_frames: int
    """Frames at the start of a window that are generated already."""
    like_reference: bool = False
    """Cut as the authors' code does (see `vampnet.generation.reference_mode`)."""

    def spans(self, n_frames: int) -> list[Window]:
        if self.like_reference:
            return reference_windows(n_frames, self.window_frames)
        return windows(n_frames, self.window_frames, self.context_frames)


@dataclass(frozen=True, eq=False)
class Request:
    """A window that is to be filled."""

    stage: Stage
    number: int
    """Of the window, within its stage."""
    n_windows: int
    codes_BCT: Tensor
    """int64; codebooks that the stage's model reads."""
    mask_BCT: Tensor
    """bool, True = regenerate."""
    seeds: tuple[int, ...]
    """One per item."""

    @property
    def kind(self) -> tuple[str, int, int]:
        """Requests of one kind can be filled as one batch."""
        return self.stage.name, self.stage.steps, self.codes_BCT.shape[2]


@dataclass
class _Progress:
    """How far one stage is."""

    stage: Stage
    spans: list[Window]
    n_done: int = 0
    """Windows filled."""
    reached: int = field(init=False)
    """Frames that are final for this stage."""

    def __post_init__(self) -> None:
        self.reached = self.spans[self.n_done - 1].stop if self.n_done else 0

    @property
    def next_span(self) -> Window | None:
        return self.spans[self.n_done] if self.n_done < len(self.spans) else None


class Generation:
    """Codes of one input on their way through both models.

    Codes are added from the left, `request` says what is to be filled next, `accept` takes the result, `codes` gives
    finished frames, `forget` lets go of those that were used. Only what is between is held.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        masks_VCT: Tensor,
        n_channels: int,
        seeds: Sequence[int],
        n_done: Sequence[int] = (0, 0),
        codes_BCT: Tensor | None = None,
        first: int = 0,
    ) -> None:
        """The last three restore what `n_done`, `held` and `first` were before."""
        self.n_frames, self.n_channels, self.seeds = masks_VCT.shape[2], n_channels, tuple(seeds)
        self._masks_VCT = masks_VCT
        plans = [stage.spans(self.n_frames) for stage in stages]
        self._coarse, self._c2f = (_Progress(s, p, n) for s, p, n in zip(stages, plans, n_done, strict=True))
        self.first = first
        """Frame with which the held codes begin."""
        self.held: Tensor | None = codes_BCT
        """Codes (B, C, t), int32, from frame `first` on."""

    @property
    def known(self) -> int:
        """Frames of the input that were added."""
        return self.first + (self.held.shape[2] if self.held is not None else 0)

    @property
    def finished(self) -> int:
        """Frames whose codes are final."""
        return self._c2f.reached

    @property
    def n_done(self) -> tuple[int, int]:
        """Windows filled by the coarse and by the coarse-to-fine model."""
        return self._coarse.n_done, self._c2f.n_done

    @property
    def needed(self) -> int:
        """Frames that must be known before the next request."""
        turn = self._turn()
        return turn.spans[turn.n_done].stop if turn is not None else 0

    def add(self, codes_NCT: Tensor) -> None:
        """The next frames of the input; all variations begin with them."""
        block_BCT = codes_NCT.repeat(len(self.seeds), 1, 1)
        self.held = block_BCT if self.held is None else torch.cat([self.held, block_BCT], dim=2)

    def request(self) -> Request | None:
        """The next window; None when all are filled."""
        turn = self._turn()
        if turn is None:
            return None
        stage, span = turn.stage, turn.spans[turn.n_done]
        n_read = stage.model.config.n_codebooks
        codes_BCT = self.codes(span.start, span.stop)[:, :n_read].long()
        mask_VCT = self._masks_VCT[:, :n_read, span.start : span.stop].clone()
        # What earlier windows generated is context now, as much as what the prompt keeps.
        mask_VCT[:, :, : span.n_context] = False
        mask_BCT = mask_VCT.repeat_interleave(self.n_channels, dim=0)
        if stage.like_reference:
            n_given = stage.model.config.n_conditioning_codebooks
            codes_BCT, mask_BCT = reference_chunk(codes_BCT, mask_BCT, n_given, stage.window_frames)
        drawn = [derive_seed(seed, stage.name, turn.n_done) for seed in self.seeds]
        seeds = tuple(seed for seed in drawn for _ in range(self.n_channels))
        return Request(stage, turn.n_done, len(turn.spans), codes_BCT, mask_BCT, seeds)

    def accept(self, filled_BCT: Tensor) -> None:
        """The filled codes of the last request."""
        turn = self._turn()
        assert turn is not None and self.held is not None
        span = turn.spans[turn.n_done]
        place = slice(span.start - self.first, span.stop - self.first)
        held = self.held.clone()  # what was given out before stays as it was
        held[:, : filled_BCT.shape[1], place] = filled_BCT[:, :, : span.n_frames].to("cpu", torch.int32)
        self.held = held
        turn.n_done, turn.reached = turn.n_done + 1, span.stop

    def codes(self, start: int, stop: int) -> Tensor:
        """Codes (B, C, stop - start) as they are now."""
        assert self.held is not None and self.first <= start <= stop <= self.known
        return self.held[:, :, start - self.first : stop - self.first]

    def forget(self, before: int) -> None:
        """Let go of frames before this one, but for those that windows to come still need."""
        for progress in (self._coarse, self._c2f):
            if progress.next_span is not None:
                before = min(before, progress.next_span.start)
        if self.held is not None and before > self.first:
            self.held = self.held[:, :, before - self.first :].clone()
            self.first = before

    def _turn(self) -> _Progress | None:
        """The stage whose window comes next: coarse-to-fine wherever the coarse codes are there."""
        span = self._c2f.next_span
        if span is None:
            return None
        return self._c2f if span.stop <= self._coarse.reached else self._coarse


def derive_seed(seed: int, stage: str, number: int) -> int:
    """A seed of its own for each stage and window: equal windows of a file shall not come out equal."""
    words = (seed, *stage.encode(), number)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
