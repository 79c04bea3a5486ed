"""Workspace of a job, session of one variation, and the variation that comes out: shared by all tasks."""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import io
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import torch
from torch import Tensor

from vampnet.audio.files import Audio, write
from vampnet.audio.output_format import OutputFormat, RestoredSource
from vampnet.audio.sources import MemorySource, Source
from vampnet.audio.splice import Slice
from vampnet.audio.spool import Spool, SpoolSource
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig, tempo_of
from vampnet.errors import Cancelled
from vampnet.generation.coded import CodedSource, OutputGrid
from vampnet.generation.config import SamplingConfig, variation_seed
from vampnet.generation.decoding import DecodeStream, frames_around
from vampnet.generation.pipeline import Pipeline
from vampnet.generation.progress import Clock, Progress, Report
from vampnet.generation.run import Run
from vampnet.generation.tokens import TokenStream, encode_at, tokens_of_codes
from vampnet.generation.windows import Plan, count_steps, generate_codes
from vampnet.models.conditioning import HeardControls
from vampnet.prompts.masks import kept_runs
from vampnet.prompts.parts import Prompt
from vampnet.tasks.progress import DecodedSoFar, SessionWatcher, TimedTokens
from vampnet.tasks.theme import RegionTheme, Theme, find_region_theme, find_theme

T = TypeVar("T")

log = logging.getLogger("vampnet")


_PASSAGE_S = 0.1


@dataclass(frozen=True, eq=False)
class Variation:
    """Output of a task: audio, seed, keep mask and tokens."""

    sound: Source
    """The audio, as a source; of a job that is still open it may lie in a temporary file."""
    seed: int
    """Seed that it was drawn with."""
    keep_CT: Tensor
    """bool, True where the input's tokens were kept; its frames begin with the sound."""
    codes_NCT: Tensor | None = None
    """Its tokens, int32, one item per channel; None where the task does not make all of them: inpaint and outpaint do
    so only of a source whose tokens are known."""
    number: int = 1
    """Number among the job's variations, from 1."""
    frames_per_s: float = 0.0
    """Token frames per second."""
    level: float | None = None
    """Factor from what the codec decodes from the tokens to the sound; None where the sound is not all of that."""

    @functools.cached_property
    def audio(self) -> Audio:
        """The audio in memory."""
        if isinstance(self.sound, MemorySource):
            return self.sound.audio
        return Audio(np.concatenate(list(self.sound.blocks()), axis=1), self.sound.sample_rate_hz)

    @property
    def codes(self) -> Tensor | None:
        """Its tokens, int32 (channels, codebooks, frames); None where the task does not make all of them."""
        return self.codes_NCT

    @property
    def kept_share(self) -> float:
        """Share of the tokens that were kept, 0 to 1."""
        return float(self.keep_CT.float().mean()) if self.keep_CT.numel() else 0.0

    @property
    def kept_s(self) -> tuple[tuple[float, float], ...]:
        """Passages of 0.1 s and longer of which every token was kept, as (start, end) in seconds."""
        rate_hz = self.frames_per_s
        if not rate_hz:
            return ()
        end_s = self.sound.n_samples / self.sound.sample_rate_hz
        runs = [(start / rate_hz, min(stop / rate_hz, end_s)) for start, stop in kept_runs(self.keep_CT)]
        return tuple((round(start, 4), round(stop, 4)) for start, stop in runs if stop - start >= _PASSAGE_S)

    def save(self, path: str | os.PathLike[str], *, subtype: str | None = None) -> None:
        """Write the audio; the ending names the format. Raises AudioError."""
        write(path, self.audio, subtype)

    def in_memory(self) -> Variation:
        """The same with its audio in memory, so that it outlives its job."""
        return Variation(
            MemorySource(self.audio),
            self.seed,
            self.keep_CT,
            self.codes_NCT,
            self.number,
            self.frames_per_s,
            self.level,
        )

    def __repr__(self) -> str:
        sound = self.sound
        seconds = sound.n_samples / sound.sample_rate_hz
        return (
            f"Variation({seconds:.2f} s, {sound.channels} channels, {sound.sample_rate_hz} Hz, seed {self.seed}, "
            f"{100 * self.kept_share:.1f} % of tokens kept)"
        )

    def _repr_html_(self) -> str:
        """A player and the kept tokens, for notebooks."""
        wave = io.BytesIO()
        soundfile.write(wave, self.audio.samples.T.clip(-1, 1), self.sound.sample_rate_hz, "PCM_16", format="WAV")
        player = base64.b64encode(wave.getvalue()).decode()
        return (
            f"<figure><figcaption>{html.escape(repr(self))}</figcaption>"
            f'<audio controls src="data:audio/wav;base64,{player}"></audio>{_draw_keep(self.keep_CT)}</figure>'
        )


def _draw_keep(keep_CT: Tensor, width: int = 600) -> str:
    """Kept tokens as a small SVG: one row per codebook, dark where a column's frames keep it."""
    n_codebooks, n_frames = keep_CT.shape
    columns = min(width, max(n_frames, 1))
    edges = torch.linspace(0, n_frames, columns + 1).long()
    rectangles = []
    for c in range(n_codebooks):
        row = [bool(keep_CT[c, edges[k] : max(int(edges[k + 1]), int(edges[k]) + 1)].any()) for k in range(columns)]
        start = None
        for k, kept in enumerate([*row, False]):
            if kept and start is None:
                start = k
            elif not kept and start is not None:
                rectangles.append(f'<rect x="{start}" y="{6 * c}" width="{k - start}" height="5"/>')
                start = None
    height = 6 * n_codebooks
    return (
        f'<svg viewBox="0 0 {columns} {height}" width="{width}" height="{height}" preserveAspectRatio="none" '
        f'role="img" aria-label="kept tokens" fill="#334">{"".join(rectangles)}</svg>'
    )


class Workspace(contextlib.ExitStack):
    """Resources of one job: model, scratch files (deleted when the `with` block ends), clock, progress, cancelling."""

    def __init__(
        self,
        model: Pipeline,
        sampling: SamplingConfig,
        n_variations: int = 1,
        *,
        report: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`cancelled` is asked after every decoding step; `folder` is where scratch files lie."""
        super().__init__()
        self.model, self.sampling, self.folder, self.clock = model, sampling, folder, Clock()
        self.n_variations = n_variations
        self._report, self._cancelled = report, cancelled
        self._shares: dict[int, float] = {}
        self._told = 0.0
        self._tokens: dict[int, TokenStream] = {}
        self._events: dict[int, EventFinder] = {}
        self._shared: dict[str, object] = {}
        self.files = self.enter_context(contextlib.ExitStack())
        """Temporary files; closing it lets go of those so far."""
        self.keeps_tokens = False
        """Whether all tokens of outputs are wanted: what is made from nothing then goes on from its own tokens."""
        self.facts: dict[str, Any] = {}
        """Facts that tasks find, for the job's result: tempo, bars, lengths."""

    def session(self, number: int) -> Session:
        """The session of variation `number`, from 1."""
        return Session(self, variation_seed(self.sampling.seed, number - 1), number)

    def spool(self, channels: int) -> Spool:
        """A temporary file for decoded audio."""
        return self.files.enter_context(Spool(channels, folder=self.folder))

    def tokens(self, source: Source) -> TokenStream:
        """The tokens of a source, encoded on demand, once for all variations."""
        if id(source) not in self._tokens:
            with self.clock.stage("encode"):
                tokens = self.model.tokens(source, self.n_variations)
            if tokens.output.meter is not None:
                for text in tokens.output.meter.level.check(str(getattr(source, "path", "the audio"))):
                    log.warning(text)
            self._tokens[id(source)] = tokens
        return self._tokens[id(source)]

    def events(self, source: Source, beats: Events | TrackerConfig | None) -> EventFinder:
        """Beats, downbeats and onsets of a source, tracked on first use, once for all variations."""
        return self._events.setdefault(id(source), EventFinder(source, beats))

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Value shared by all variations, made on first use."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]  # type: ignore[return-value]

    def note_once(self, name: str, note: Callable[[], object]) -> None:
        """Note facts for the job's result, once for all variations."""
        self.once(name, note)

    def note_tempo(self, found: Events) -> None:
        """Note tempo and bars that a task found, for the job's result."""
        if (bpm := tempo_of(found)) is not None:
            self.facts.setdefault("tempo_bpm", round(bpm, 2))

    def tell(self, number: int, stage: str, done: int, total: int, share: float) -> None:
        """Report the share of variation `number` that is done. Raises Cancelled when the job is to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("cancelled")
        self._shares[number] = max(share, self._shares.get(number, 0.0))
        if self._report is not None:
            self._told = max(self._told, sum(self._shares.values()) / self.n_variations)
            self._report(Progress(stage, done, total, min(self._told, 1.0)))


class Session:
    """Resources of one variation: tokens, prompts and generation with its own seed."""

    def __init__(self, workspace: Workspace, seed: int, number: int) -> None:
        self.workspace, self.model, self.sampling = workspace, workspace.model, workspace.sampling
        self.seed, self.number = seed, number
        self.draft: Callable[[], Source | None] = lambda: None
        """Gives what is final of the output so far, from its start; None while there is nothing."""
        self.counts_as = number
        """Number under which progress is counted; sessions that share their work share it."""
        self._limits = self._span = (0.0, 1.0)

    def limit(self, start: float, stop: float) -> None:
        """Map the progress of what follows to the shares `start` to `stop` of the whole work."""
        self._limits = self._span = (start, stop)

    def span(self, part: int, n_parts: int) -> None:
        """Map the progress of what follows to part `part` (from 0) of `n_parts` equal parts."""
        start, stop = self._limits
        self._span = (start + (stop - start) * part / n_parts, start + (stop - start) * (part + 1) / n_parts)

    def tokens(self, source: Source) -> TokenStream:
        """Audio -> codec tokens, block by block, on demand."""
        return self.workspace.tokens(source)

    def excerpt_tokens(self, source: Source) -> TokenStream:
        """The tokens of audio that this variation alone has."""
        with self.workspace.clock.stage("encode"):
            return self.model.tokens(source)

    def output_grid(self, source: Source, n_before: int = 0, n_after: int = 0) -> OutputGrid | None:
        """The tokens of an output around or within a source whose tokens are known; None for another source."""
        if not isinstance(source, CodedSource):
            return None
        return OutputGrid(source, self.model.codec, n_before, n_after)

    def grid_tokens(self, grid: OutputGrid | None, excerpt: Slice, fresh_T: Tensor | None = None) -> TokenStream:
        """The tokens of an excerpt: those of the grid, and where `fresh_T` is True those of the excerpt's own sound.

        Without a grid, all are those of its sound.
        """
        if grid is None:
            return self.excerpt_tokens(excerpt)
        heard_NCT = None
        if fresh_T is not None:
            with self.workspace.clock.stage("encode"):
                heard_NCT = encode_at(excerpt, self.model.codec, grid.gain)
        return grid.tokens(excerpt, excerpt.first, heard_NCT, fresh_T)

    def events(self, source: Source, beats: Events | TrackerConfig | None = None) -> EventFinder:
        """Beats, downbeats and onsets of a source: those given, or tracked on first use."""
        return self.workspace.events(source, beats)

    def theme(self, source: Source, at_end: bool) -> Theme:
        """The last (or first) bars of a source, which new music beside it keeps tokens of."""
        return find_theme(source, at_end)

    def region_theme(
        self, source: Source, span: tuple[int, int], beats: Events | TrackerConfig | None
    ) -> RegionTheme | None:
        """The bars beside a region (samples) of a source, which its new music keeps tokens of."""
        return find_region_theme(source, span, beats)

    def keep(
        self,
        prompt: Prompt,
        n_frames: int,
        events: EventFinder | None = None,
        *,
        find: Callable[[str], Sequence[float]] | None = None,
        start_frame: int = 0,
        seed: int | None = None,
    ) -> Tensor:
        """keep_CT (C, T), bool: what a prompt keeps of material of `n_frames` frames.

        `start_frame` is the material's first frame within the file that times and periods count from.
        """
        drawn = self.seed if seed is None else seed
        return self.model.keep(
            prompt, n_frames, drawn, find or (events.events if events is not None else None), start_frame
        )

    def generate(
        self,
        tokens: TokenStream,
        keep_CT: Tensor,
        *,
        seed: int | None = None,
        draft: Callable[[Source], Source] | None = None,
        heard: HeardControls | None = None,
        wanted_s: tuple[float, float] | None = None,
    ) -> Run[Variation]:
        """Coarse, then coarse-to-fine, window by window, decoded as frames become final.

        `heard` are controls over all frames of the material that the coarse network follows. `wanted_s` is the part
        whose sound is used, in seconds: far from it the variation may be silent, which saves decoding.

        `draft` turns what is decoded so far into the beginning of the job's output, for a job that is interrupted; None
        leaves `self.draft` alone.
        """
        space, model, drawn = self.workspace, self.model, self.seed if seed is None else seed
        spool = space.spool(tokens.n_items)
        watcher = SessionWatcher(self, count_steps(model.stages(self.sampling), tokens.n_frames))
        around = None if wanted_s is None else frames_around(wanted_s, model.codec.frames_per_s)
        report = functools.partial(watcher.decoded, total=tokens.n_frames)
        decoder = DecodeStream(model.codec, spool, tokens.n_frames, space.clock, report, True, around)
        if draft is not None:
            so_far = DecodedSoFar(decoder, spool, model.codec.sample_rate_hz, model.codec.hop, tokens.output)
            self.draft = lambda: draft(so_far) if so_far.n_samples else None
        plan = Plan(model.stages(self.sampling), self.sampling, keep_CT, drawn, watcher, heard)
        yield from generate_codes(TimedTokens(tokens, space.clock, watcher), plan, decoder.add)
        sound = RestoredSource(spool, model.codec.sample_rate_hz, tokens.output)
        return self.variation(sound, keep_CT, decoder.codes(), seed=drawn)

    def grid_variation(
        self, sound: Source, keep_CT: Tensor, grid: OutputGrid | None, source: Source, *, seed: int | None = None
    ) -> Variation:
        """A finished variation that was made within or around a source, with all its tokens where they are known."""
        if grid is None or not isinstance(source, CodedSource):
            return self.variation(sound, keep_CT, seed=seed)
        return self.variation(sound, keep_CT, grid.codes_NCT, seed=seed, level=1 / source.gain)

    def generate_codes(
        self, codes_NCT: Tensor, keep_CT: Tensor, *, seed: int, heard: HeardControls | None = None
    ) -> Run[Tensor]:
        """New codes, int32 (channels, C, T), of known ones, not decoded; `heard` as in `generate`."""
        codec, n_frames, parts = self.model.codec, codes_NCT.shape[2], list[Tensor]()
        output = OutputFormat(codec.sample_rate_hz, len(codes_NCT), n_frames * codec.hop)
        stages = self.model.stages(self.sampling)
        plan = Plan(stages, self.sampling, keep_CT, seed, SessionWatcher(self, count_steps(stages, n_frames)), heard)
        yield from generate_codes(tokens_of_codes(codes_NCT.int(), output), plan, parts.append)
        return torch.cat(parts, dim=2)

    def variation(
        self,
        sound: Source,
        keep_CT: Tensor,
        codes_NCT: Tensor | None = None,
        *,
        seed: int | None = None,
        level: float | None = None,
    ) -> Variation:
        """A finished variation of this session."""
        own = self.seed if seed is None else seed
        return Variation(sound, own, keep_CT, codes_NCT, self.number, self.model.codec.frames_per_s, level)

    def spooled(self, sound: Source, first: int = 0, stop: int | None = None) -> SpoolSource:
        """Samples `first` to `stop` - 1 of a source, on disk, for reading from anywhere."""
        spool, place = self.workspace.spool(sound.channels), first
        last = sound.n_samples if stop is None else stop
        for block in sound.blocks(first):
            if place >= last:
                break
            spool.add(block[:, : last - place])
            place += block.shape[1]
        return SpoolSource(spool, sound.sample_rate_hz)

    def tell(self, stage: str, done: int, total: int, share: float) -> None:
        """Report progress within the present part of the work."""
        start, stop = self._span
        self.workspace.tell(self.counts_as, stage, done, total, start + (stop - start) * share)
