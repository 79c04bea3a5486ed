"""Prompt context: the material that a prompt is applied to, and the keep masks that prompt parts are built from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from vampnet.audio.units import frame_at, seconds_to_frames
from vampnet.config import check
from vampnet.errors import PromptError
from vampnet.prompts import masks
from vampnet.prompts.parts import Prompt
from vampnet.prompts.time import MAX_FRAMES, Time
from vampnet.seeds import stream_seed


class TokenGrid(Protocol):
    """Interface of a codec to masks; every `Codec` implements it."""

    @property
    def n_codebooks(self) -> int:
        """Codebooks C."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the codec, Hz."""
        ...

    @property
    def hop(self) -> int:
        """Samples per frame."""
        ...

    @property
    def frames_per_s(self) -> float:
        """Codec frames per second."""
        ...


def keep_tokens(
    prompt: Prompt,
    grid: TokenGrid,
    n_frames: int,
    seed: int,
    find_events: Callable[[str], Sequence[float]] | None = None,
    start_frame: int = 0,
) -> Tensor:
    """keep_CT (C, T), bool: what a prompt keeps of material of `n_frames` frames, its draws made with `seed`.

    `find_events` gives the moments (seconds) of "beats", "downbeats" and "onsets" to prompts that need them.
    `start_frame`: the material's first frame within the file that times and periods count from.
    """
    context = PromptContext(
        grid.n_codebooks,
        n_frames,
        grid.sample_rate_hz,
        grid.hop,
        generator=torch.Generator().manual_seed(stream_seed(seed, "prompt")),
        start_frame=start_frame,
        find_events=find_events,
    )
    return prompt.keep(context)


@dataclass(frozen=True)
class PromptContext:
    """Size and time base of the material that a prompt is applied to, its random generator and its events.

    Methods that return a keep mask give keep_CT (C, T), bool, True where the token is kept; | & ~ combine them.
    Frames are counted from the material's first frame. `part` is the name that an error message shows.
    """

    n_codebooks: int
    """Codebooks C of the codes, 1 or more."""
    n_frames: int
    """Frames T of the codes, 0 or more."""
    sample_rate_hz: int
    """Sample rate of the codec, Hz."""
    hop: int
    """Samples per frame of the codec."""
    generator: torch.Generator | None = None
    """CPU generator for parts that draw; parts use it up from left to right. None: such parts raise PromptError."""
    start_frame: int = 0
    """Place of the material's first frame in the file, 0 or more. Times and periods count from the file's start."""
    find_events: Callable[[str], Sequence[float]] | None = None
    """Times in seconds, from the start of the file, ascending, of events named "beats", "downbeats" or "onsets"; called
    only by parts that need them. None: such parts raise PromptError."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        check("n_codebooks", self.n_codebooks, 1, MAX_FRAMES)
        check("n_frames", self.n_frames, 0, MAX_FRAMES)
        check("sample_rate_hz", self.sample_rate_hz, 1, MAX_FRAMES)
        check("hop", self.hop, 1, MAX_FRAMES)
        check("start_frame", self.start_frame, 0, MAX_FRAMES)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (C, T) of every keep mask."""
        return self.n_codebooks, self.n_frames

    @property
    def frames_per_s(self) -> float:
        """Codec frames per second."""
        return self.sample_rate_hz / self.hop

    def all(self) -> Tensor:
        """Keep every token."""
        return torch.ones(self.shape, dtype=torch.bool)

    def none(self) -> Tensor:
        """Keep no token."""
        return torch.zeros(self.shape, dtype=torch.bool)

    def codebooks(self, n: int) -> Tensor:
        """Keep the `n` coarsest codebooks of every frame."""
        return masks.codebooks_keep(self.n_codebooks, n).repeat(1, self.n_frames)

    def regions(self, regions: Iterable[tuple[int, int]]) -> Tensor:
        """Keep frames `start` to `stop` - 1 of each region (start, stop); parts outside the material are ignored."""
        return masks.regions_keep(self.n_frames, regions).repeat(self.n_codebooks, 1)

    def region(self, start: int, stop: int) -> Tensor:
        """Keep frames `start` to `stop` - 1; parts outside the material are ignored."""
        return self.regions([(start, stop)])

    def periodic(self, period: int, width: int = 1, offset: int = 0) -> Tensor:
        """Keep `width` frames around every `period`-th frame of the file, the first of them being frame `offset`."""
        keep_T = masks.periodic_keep(self.start_frame + self.n_frames, period, width, offset)
        return keep_T[self.start_frame :].repeat(self.n_codebooks, 1)

    def random(self, rate: float, part: str) -> Tensor:
        """Keep each token independently with probability `rate`."""
        return masks.random_keep(self.shape, rate, self.require_generator(part))

    def drop(self, keep_CT: Tensor, share: float, part: str) -> Tensor:
        """`keep_CT` without a share 0..1 of its frames, drawn without replacement."""
        return masks.drop_frames(keep_CT, share, self.require_generator(part))

    def random_offset(self, period: int, part: str) -> int:
        """Draw a frame from 0 to `period` - 1; 0 where the period is 0."""
        return int(torch.randint(max(period, 1), (1,), generator=self.require_generator(part)))

    def begin_frame(self, time_s: float) -> int:
        """Frame that contains a moment of the file; negative or beyond the end where the moment lies outside."""
        return frame_at(time_s, self.sample_rate_hz, self.hop) - self.start_frame

    def end_frame(self, time_s: float) -> int:
        """One past the last frame that begins before a moment of the file; inf: the end of the material."""
        if math.isinf(time_s):
            return self.n_frames
        return seconds_to_frames(time_s, self.sample_rate_hz, self.hop) - self.start_frame

    def first_frame(self, time: Time, part: str) -> int:
        """`begin_frame` of a time in any unit."""
        if time.unit == "f" and time.value != math.inf:
            return int(time.value) - self.start_frame
        if time.value == math.inf:
            return self.n_frames
        return self.begin_frame(self.moment_s(time, part))

    def stop_frame(self, time: Time, part: str) -> int:
        """`end_frame` of a time in any unit."""
        if time.unit == "f" and time.value != math.inf:
            return int(time.value) - self.start_frame
        return self.end_frame(self.moment_s(time, part))

    def moment_s(self, time: Time, part: str) -> float:
        """Seconds from the start of the file to a moment; beat 0 is the first one, fractions lie between beats."""
        if time.unit != "b" or time.value == math.inf:
            return time.value / self.frames_per_s if time.unit == "f" else time.value
        beats_s = self.event_times_s("beats", part)
        if len(beats_s) < 2:
            raise PromptError(f"{part} counts in beats, but fewer than two were found; write seconds instead")
        whole = min(int(time.value), len(beats_s) - 2)
        return beats_s[whole] + (time.value - whole) * (beats_s[whole + 1] - beats_s[whole])

    def duration_s(self, time: Time, part: str) -> float:
        """Seconds that a duration lasts; a beat lasts the median of all beats."""
        if time.unit != "b" or time.value == math.inf:
            return time.value / self.frames_per_s if time.unit == "f" else time.value
        beats_s = self.event_times_s("beats", part)
        gaps_s = sorted(later - earlier for earlier, later in pairwise(beats_s))
        if not gaps_s:
            raise PromptError(f"{part} counts in beats, but fewer than two were found; write seconds instead")
        return time.value * gaps_s[len(gaps_s) // 2]

    def require_generator(self, part: str) -> torch.Generator:
        """The generator; PromptError naming `part` if there is none."""
        if self.generator is None:
            raise PromptError(f"{part} draws at random, so it needs a seed; pass a generator to the prompt's context")
        return self.generator

    def event_times_s(self, kind: str, part: str) -> Sequence[float]:
        """Times of the events of a kind, seconds; PromptError naming `part` if the context cannot find any."""
        if self.find_events is None:
            raise PromptError(f"{part} needs the {kind} of the audio; apply it to audio, not to codes alone")
        return self.find_events(kind)
