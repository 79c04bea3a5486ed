"""Previews of jobs: the tokens that the job of a request would keep, without its model."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vampnet.audio.files import Audio, read
from vampnet.audio.sources import FileSource, MemorySource, Source
from vampnet.audio.units import seconds_to_samples
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig
from vampnet.controls.config import ReshapeConfig, SteeringConfig
from vampnet.errors import SettingsError
from vampnet.generation.coded import CodedSource, count_frames
from vampnet.jobs.request import (
    CompressRequest,
    DecompressRequest,
    GenerateRequest,
    HumRequest,
    InpaintRequest,
    LoopRequest,
    OutpaintRequest,
    Request,
    TapRequest,
    TelephoneRequest,
    steering_of,
)
from vampnet.jobs.reshaped import reshape_input
from vampnet.jobs.task_runs import find_beats, run_task
from vampnet.prompts.grammar import parse_prompt
from vampnet.tasks.compress import kept_prompt
from vampnet.tasks.defaults import SKETCH_PROMPT
from vampnet.tasks.inpaint import Span, region_spans
from vampnet.tasks.loop import MAX_LOOP_S, cut_bars, events_of, turn_frames
from vampnet.tasks.preview import Beats, CodecGrid, EventsUnknown, MaskRecorder, finish, whole_mask
from vampnet.tasks.sketched import events_of_sketch, sketch_words
from vampnet.tasks.theme import RegionTheme, Theme, find_region_theme, find_theme


@dataclass(frozen=True, eq=False)
class MaskPreview:
    """Tokens that a job would keep of its output."""

    keep_CT: Tensor
    """bool, True where a token of the input stays."""
    start_s: float = 0.0
    """Where the first frame lies, seconds from the start of the input; negative where music is added before it."""
    exact: bool = True
    """False where it rests on events of the input's first minutes alone, or on bars beside a region that the job will
    listen to anew."""


@dataclass(frozen=True)
class Heard:
    """Events of a request's input that were found before."""

    events: Events
    whole: bool = True
    """Whether all of the input was listened to."""


class _Ear:
    """Gives a recorder its events: those heard before, or those of an earlier preview of the same file."""

    def __init__(self, request: Request, heard: Heard | None) -> None:
        self._request, self._heard, self.guessed = request, heard, False

    def find(self, source: Source, beats: Events | TrackerConfig | None) -> EventFinder:
        """An event finder of a source."""
        tracker = beats.tracker if isinstance(beats, TrackerConfig) else "learned" if beats is None else ""
        if tracker == "learned" and _is_input(source, self._request):
            return _HeardEvents(source, self, self._heard)
        key = (_stamp(self._request.input), type(source).__name__, source.n_samples, repr(beats))
        finder = _finders.pop(key, None) or EventFinder(source, beats)
        _finders[key] = finder
        while len(_finders) > _MOST_FINDERS:
            _finders.pop(next(iter(_finders)))
        return finder

    def find_bars(self, source: Source, at_end: bool) -> Theme:
        """The bars at the end (or beginning) of a source."""
        if not _is_input(source, self._request):
            return find_theme(source, at_end)
        return _bars_of(self._request.input, _stamp(self._request.input), at_end)

    def find_region(self, source: Source, span: Span, beats: Beats) -> RegionTheme | None:
        """The bars beside a region, by the beats that are known: tracking them anew takes longer than a preview may."""
        if isinstance(beats, Events):
            return find_region_theme(source, span, beats)
        if self._heard is None:
            raise EventsUnknown("the beats of the audio are not known yet")
        self.guessed = True
        return find_region_theme(source, span, self._heard.events)


_finders: dict[Any, EventFinder] = {}
_MOST_FINDERS = 32


class _HeardEvents(EventFinder):
    """Events that were heard before, and nothing is listened to here."""

    def __init__(self, source: Source, ear: _Ear, heard: Heard | None) -> None:
        super().__init__(source, None if heard is None else heard.events)
        self._ear, self._heard = ear, heard

    def events(self, kind: str) -> Any:
        """Moments of a kind. Raises EventsUnknown where nobody has listened yet."""
        if self._heard is None:
            raise EventsUnknown(f"the {kind} of the audio are not known yet")
        self._ear.guessed |= not self._heard.whole
        return self._heard.events.events(kind)


def make_preview(request: Request, grid: CodecGrid, heard: Heard | None = None) -> MaskPreview:
    """The tokens that the job of a request keeps: of its first variation, or of `request.variation`.

    heard: the input's events by the default tracker, where they are known.

    Raises VampnetError as the job would, SettingsError for a task that keeps no tokens, EventsUnknown where the prompt
    needs events of the input and `heard` is None.
    """
    if getattr(request, "compat", ""):
        raise SettingsError("compat has no preview: the authors' code cuts audio in another way; leave it out")
    if steering_of(request) != SteeringConfig():  # what is followed keeps no token, and choosing keeps as many
        request = replace(request, steering=SteeringConfig())  # type: ignore[call-arg]
    ear = _Ear(request, heard)
    number = request.numbers[0]
    session = MaskRecorder(grid, request.sampling, number, ear.find, ear.find_bars, ear.find_region)
    keep_CT, start_s = _mask(request, session, grid)
    return MaskPreview(keep_CT, start_s, not ear.guessed)


def _mask(request: Request, session: MaskRecorder, grid: CodecGrid) -> tuple[Tensor, float]:
    """The mask of an output, and where it begins within the input, seconds."""
    if isinstance(request, GenerateRequest) and not request.words.is_empty and request.sketch != "only":
        return _of_words(request, session, grid), 0.0
    if isinstance(request, GenerateRequest) and not request.sketch:
        return finish(run_task(session, request, None)).keep_CT, 0.0
    if isinstance(request, (GenerateRequest, DecompressRequest, TapRequest, HumRequest)):
        raise SettingsError(f"{request.task} keeps no tokens of its input, so there is nothing to preview")
    source = FileSource(request.input)
    if isinstance(request, LoopRequest):
        return _of_loop(request, session, source, grid), 0.0
    if isinstance(request, CompressRequest):
        prompt = kept_prompt(request.compression.codebooks, request.compression.period)
        return session.keep(prompt, count_frames(source, grid)), 0.0
    if isinstance(request, TelephoneRequest):
        request = replace(request, rounds=1)  # later rounds hear what nobody has heard yet
    known: Source = source
    if isinstance(request, (InpaintRequest, OutpaintRequest)) and (request.tokens or request.output.tokens):
        blank_NCT = torch.zeros(1, grid.n_codebooks, count_frames(source, grid), dtype=torch.int32)
        known = CodedSource(source, blank_NCT, 1.0)  # where the frames of excerpts lie is all that counts here
    made = finish(run_task(session, request, known))
    if isinstance(request, InpaintRequest):
        return whole_mask(made, session.masks, region_spans(request.regions, source)), 0.0
    if isinstance(request, OutpaintRequest):
        n_after = seconds_to_samples(request.after_s, source.sample_rate_hz)
        n_before = made.sound.n_samples - source.n_samples - n_after
        end = n_before + source.n_samples
        spans = [span for span in ((end, end + n_after), (0, n_before)) if span[1] > span[0]]
        return whole_mask(made, session.masks, spans), -n_before / source.sample_rate_hz
    return made.keep_CT, 0.0


def _of_loop(request: LoopRequest, session: MaskRecorder, source: FileSource, grid: CodecGrid) -> Tensor:
    beats = find_beats(request.beats, source)
    if request.reshape != ReshapeConfig() and not request.bars:
        audio, given = reshape_input(read(request.input), request.reshape, beats, loops=True)
        prompt, finder = parse_prompt(request.prompt), EventFinder(MemorySource(audio), given)
        return session.keep(prompt, turn_frames(audio, grid), finder)
    if not request.bars:
        n_frames = turn_frames(source, grid)
        parse_prompt(request.prompt).check_fits(source.n_samples / source.sample_rate_hz)
        return session.keep(parse_prompt(request.prompt), n_frames, session.events(source, beats))
    audio, finder = _cut(request.input, _stamp(request.input), request.bars, beats)
    if request.reshape != ReshapeConfig():
        audio, _ = reshape_input(audio, request.reshape, None, loops=True)
        finder = EventFinder(MemorySource(audio), None)
    parse_prompt(request.prompt).check_fits(audio.duration_s)
    return session.keep(parse_prompt(request.prompt), turn_frames(audio, grid), finder)


def _of_words(request: GenerateRequest, session: MaskRecorder, grid: CodecGrid) -> Tensor:
    made = sketch_words(session, request.words, request.seconds)
    source, events = MemorySource(made.audio), events_of_sketch(made)
    prompt = parse_prompt(request.prompt or SKETCH_PROMPT)
    prompt.check_fits(made.audio.duration_s)
    if made.loops and made.audio.duration_s <= MAX_LOOP_S:
        return session.keep(prompt, turn_frames(made.audio, grid), EventFinder(source, events))
    return session.keep(prompt, session.tokens(source).n_frames, EventFinder(source, events))


@functools.lru_cache(maxsize=4)
def _cut(
    path: str, stamp: tuple[int, ...], bars: int, beats: Events | TrackerConfig | None
) -> tuple[Audio, EventFinder]:
    """So many bars of a file, and a finder of their events."""
    audio = read(path)
    turn = cut_bars(audio, events_of(audio, beats), bars)
    return turn, EventFinder(MemorySource(turn), None)


@functools.lru_cache(maxsize=16)
def _bars_of(path: str, stamp: tuple[int, ...], at_end: bool) -> Theme:
    """The bars at the end (or beginning) of a file."""
    return find_theme(FileSource(path), at_end)


def _is_input(source: Source, request: Request) -> bool:
    return isinstance(source, FileSource | CodedSource) and str(source.path) == request.input


def _stamp(path: str) -> tuple[int, ...]:
    """Fingerprint of a file; it changes when somebody writes to it."""
    if not path or not os.path.exists(path):
        return ()
    found = os.stat(path)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
