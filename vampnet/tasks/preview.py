"""Preview: the tokens that a task would keep, found by running the task itself with nothing encoded or generated.

`MaskRecorder` stands in for a session: it counts frames where a session encodes, notes the mask where a session
generates, and hands silence on. So a preview cannot differ from what the task does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vampnet.audio.files import BLOCK_SAMPLES, Samples
from vampnet.audio.output_format import OutputFormat
from vampnet.audio.sources import Source
from vampnet.audio.splice import Slice
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig
from vampnet.errors import PromptError
from vampnet.generation.coded import OutputGrid, count_frames
from vampnet.generation.config import SamplingConfig
from vampnet.generation.run import Run
from vampnet.generation.tokens import TokenStream
from vampnet.prompts.context import TokenGrid, keep_tokens
from vampnet.tasks.inpaint import Span
from vampnet.tasks.task import Session, Variation, Workspace
from vampnet.tasks.theme import RegionTheme, Theme, find_region_theme, find_theme

Beats = Events | TrackerConfig | None


@dataclass(frozen=True)
class CodecGrid:
    """Size and time base of a codec's tokens, without its weights."""

    n_codebooks: int
    sample_rate_hz: int
    hop: int

    @property
    def frames_per_s(self) -> float:
        """Codec frames per second."""
        return self.sample_rate_hz / self.hop


class EventsUnknown(PromptError):
    """Raised where a preview needs beats or onsets that nobody has looked for yet."""


class SilentSource:
    """Silence that stands where a task would have new audio."""

    def __init__(self, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        self.sample_rate_hz, self.channels, self.n_samples = sample_rate_hz, channels, n_samples
        self.spool: Any = self

    def blocks(self, first: int = 0, exact: bool = False) -> Iterator[Samples]:
        """Blocks (channels, samples) of zeros from sample `first` on."""
        for start in range(first, self.n_samples, BLOCK_SAMPLES):
            yield np.zeros((self.channels, min(BLOCK_SAMPLES, self.n_samples - start)), np.float32)

    def read(self, first: int, stop: int) -> Samples:
        """Samples `first` to `stop` - 1, (channels, n)."""
        return np.zeros((self.channels, stop - first), np.float32)


@dataclass(frozen=True, eq=False)
class RecordedMask:
    """Keep mask of one generation of a task."""

    keep_CT: Tensor
    """bool, True where a token stays."""
    first: int
    """First sample of the excerpt that it belongs to, within the output."""


class _GridModel:
    """Interface of a model to a session, without weights."""

    compat = ""
    hears: tuple[str, ...] = ()

    def __init__(self, codec: TokenGrid) -> None:
        self.codec = codec

    def keep(self, prompt: Any, n_frames: int, seed: int, find_events: Any = None, start_frame: int = 0) -> Tensor:
        return keep_tokens(prompt, self.codec, n_frames, seed, find_events, start_frame)


class _QuietWorkspace(Workspace):
    """A workspace in which nothing is found out for the result of a job."""

    def note_once(self, name: str, note: Callable[[], object]) -> None:
        """Leave facts alone: finding them takes longer than a preview may."""

    def tokens(self, source: Source) -> TokenStream:
        return count_tokens(source, self.model.codec)


class MaskRecorder(Session):
    """A session that notes what would be kept; see the module."""

    def __init__(
        self,
        codec: TokenGrid,
        sampling: SamplingConfig,
        number: int,
        find_events: Callable[[Source, Events | TrackerConfig | None], EventFinder],
        find_bars: Callable[[Source, bool], Theme] = find_theme,
        find_region: Callable[[Source, Span, Beats], RegionTheme | None] = find_region_theme,
    ) -> None:
        """`number`: of the variation; the others ask whoever remembers what was heard before."""
        space = _QuietWorkspace(_GridModel(codec), sampling)  # type: ignore[arg-type]
        made = space.session(number)
        super().__init__(space, made.seed, number)
        self._find_events, self._find_bars, self._find_region = find_events, find_bars, find_region
        self._first = 0
        self.masks: list[RecordedMask] = []

    def events(self, source: Source, beats: Events | TrackerConfig | None = None) -> EventFinder:
        """Events of a source, from whoever remembers them."""
        return self._find_events(source, beats)

    def theme(self, source: Source, at_end: bool) -> Theme:
        """The last (or first) bars of a source, from whoever remembers them."""
        return self._find_bars(source, at_end)

    def region_theme(self, source: Source, span: Span, beats: Beats) -> RegionTheme | None:
        """The bars beside a region, from whoever remembers its beats."""
        return self._find_region(source, span, beats)

    def tokens(self, source: Source) -> TokenStream:
        """A token stream of the source's length that nobody may read."""
        return count_tokens(source, self.model.codec)

    def excerpt_tokens(self, source: Source) -> TokenStream:
        """The same for an excerpt, whose place is noted."""
        self._first = getattr(source, "first", 0)
        return count_tokens(source, self.model.codec)

    def grid_tokens(self, grid: OutputGrid | None, excerpt: Slice, fresh_T: Tensor | None = None) -> TokenStream:
        """A token stream of an excerpt's length; on a grid, too, nothing is encoded."""
        return self.excerpt_tokens(excerpt)

    def generate(
        self,
        tokens: TokenStream,
        keep_CT: Tensor,
        *,
        seed: int | None = None,
        draft: Callable[[Source], Source] | None = None,
        heard: Any = None,
        wanted_s: tuple[float, float] | None = None,
    ) -> Run[Variation]:
        """Note the mask; nothing is generated."""
        self.masks.append(RecordedMask(keep_CT, self._first))
        yield from ()  # a generator
        output = tokens.output
        silence = SilentSource(output.sample_rate_hz, output.channels, output.n_samples)
        return self.variation(silence, keep_CT, seed=seed)

    def spooled(self, sound: Source, first: int = 0, stop: int | None = None) -> Any:
        """Silence of the length that would be spooled."""
        last = sound.n_samples if stop is None else min(stop, sound.n_samples)
        return SilentSource(sound.sample_rate_hz, sound.channels, max(last - first, 0))


def count_tokens(source: Source, codec: TokenGrid) -> TokenStream:
    """A token stream of a source that has a length and an output format, and no tokens."""
    output = OutputFormat(source.sample_rate_hz, source.channels, source.n_samples)
    return TokenStream(count_frames(source, codec), source.channels, lambda: iter(()), output)


def whole_mask(made: Variation, masks: Sequence[RecordedMask], spans: Sequence[tuple[int, int]]) -> Tensor:
    """keep_CT of a whole output of which only spans (samples) were generated, each with its own mask, in order."""
    whole_CT = made.keep_CT.clone()
    per_sample = made.frames_per_s / made.sound.sample_rate_hz
    for mask, (start, stop) in zip(masks, spans, strict=True):
        begin, end = math.floor(start * per_sample), min(math.ceil(stop * per_sample), whole_CT.shape[1])
        place = round(mask.first * per_sample)
        width = min(end, place + mask.keep_CT.shape[1]) - begin
        whole_CT[:, begin : begin + width] = mask.keep_CT[:, begin - place : begin - place + width]
    return whole_CT


def finish(run: Run[Variation]) -> Variation:
    """Result of a recorder's run, which asks for no window."""
    try:
        next(run)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a preview generates nothing")
