"""Outpaint: new music before and after a recording, in its tempo and key; `continue` is one that adds after it."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.audio.samples import Audio
from vampnet.audio.sources import Source
from vampnet.audio.splice import Overlay, Slice, Splice
from vampnet.audio.units import seconds_to_samples
from vampnet.config import check
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.errors import SettingsError
from vampnet.generation.coded import OutputGrid
from vampnet.generation.run import Run
from vampnet.generation.tokens import TokenStream
from vampnet.models.conditioning import HeardControls
from vampnet.prompts.parts import Nothing, Prompt
from vampnet.seeds import stream_seed
from vampnet.tasks.defaults import MAX_NEW_S
from vampnet.tasks.following import Following
from vampnet.tasks.inpaint import CONTEXT_S, CROSSFADE_S, Span, keep_of_spans, keep_outside
from vampnet.tasks.task import Session, Variation
from vampnet.tasks.theme import Theme, ThemedSource


def outpaint(
    session: Session,
    source: Source,
    before_s: float,
    after_s: float,
    theme: Prompt = Nothing(),
    *,
    seed: int | None = None,
    follow: Following | None = None,
) -> Run[Variation]:
    """Generate music after a source, then before it.

    `theme` says what new music keeps of the source's last (or first) bars, looped; `Nothing()` lets it go its own way.
    `follow`: the network follows controls of those bars.
    """
    check("seconds before", before_s, 0.0, MAX_NEW_S)
    check("seconds after", after_s, 0.0, MAX_NEW_S)
    rate_hz, own = source.sample_rate_hz, session.seed if seed is None else seed
    n_before, n_after = (seconds_to_samples(s, rate_hz) for s in (before_s, after_s))
    if n_before + n_after == 0:
        raise SettingsError("nothing to do: give seconds to add before or after the audio")
    grid = session.output_grid(source, n_before, n_after)
    n_before = n_before if grid is None else grid.n_before
    splice, known = Splice(source, n_before, n_after), min(seconds_to_samples(CONTEXT_S, rate_hz), source.n_samples)
    # The crossfades lie in the input's first and last samples, where both are known.
    fade = min(seconds_to_samples(CROSSFADE_S, rate_hz), source.n_samples // 2)
    bars, follow = None, None if follow is not None and follow.by_default and isinstance(theme, Nothing) else follow
    if follow is not None or not isinstance(theme, Nothing):
        bars = _looped_bars(session, source, n_before, n_after)
    follows = _Follows(follow, splice if bars is None else bars)
    shown = splice if bars is None or isinstance(theme, Nothing) else bars
    end, n_parts = n_before + source.n_samples, bool(n_before) + bool(n_after)
    if n_after:
        session.span(0, n_parts)
        context = known if grid is None else end - max(grid.align(end - known), n_before)
        excerpt = Slice(shown, end - context, splice.n_samples)
        if not n_before:
            session.draft = lambda: source
        begun = None if n_before else (source, fade)
        made = yield from _extend(session, excerpt, (context, context + n_after), theme, own, begun, grid, follows)
        new = session.spooled(made.sound, context - fade, context + n_after)
        splice.overlays.append(Overlay(end - fade, splice.n_samples, new.spool, fade_in=fade))
    if n_before:
        session.span(n_parts - 1, n_parts)
        excerpt = Slice(shown, 0, n_before + known)
        drawn = stream_seed(own, "before")
        made = yield from _extend(session, excerpt, (0, n_before), theme, drawn, None, grid, follows)
        new = session.spooled(made.sound, 0, n_before + fade)
        splice.overlays.append(Overlay(0, n_before + fade, new.spool, fade_out=fade))
    keep_CT = keep_of_spans(session.model, splice, [(0, n_before), (end, splice.n_samples)])
    return session.grid_variation(splice, keep_CT, grid, source, seed=own)


@dataclass(frozen=True, eq=False)
class _Follows:
    """Controls that new music follows, and the sound in which they are heard."""

    follow: Following | None
    sound: Source

    def hear(self, excerpt: Slice, tokens: TokenStream, frames_per_s: float) -> HeardControls | None:
        """Controls over an excerpt; None where nothing is followed."""
        if self.follow is None:
            return None
        heard = Slice(self.sound, excerpt.first, excerpt.first + excerpt.n_samples)
        first_frame = round(excerpt.first / excerpt.sample_rate_hz * frames_per_s)
        return self.follow.hear(heard, tokens.n_frames, first=first_frame)


def _looped_bars(session: Session, source: Source, n_before: int, n_after: int) -> ThemedSource:
    """The source with its first bars looped before it and its last ones after it."""
    first_bars = session.theme(source, at_end=False) if n_before else None
    last_bars = session.theme(source, at_end=True) if n_after else None
    bars = last_bars or first_bars
    assert bars is not None
    session.workspace.note_once("tempo and key", lambda: _note_bars(session, bars))
    return ThemedSource(source, first_bars, n_before, last_bars, n_after)


def _note_bars(session: Session, bars: Theme) -> bool:
    """Note tempo and key of the bars that new music follows, for the job's result."""
    session.workspace.note_tempo(bars.found)
    audio = Audio(bars.samples, bars.sample_rate_hz)
    key = extract_controls(audio, ExtractionConfig(("key",)), events=bars.found).key
    if key is not None:
        session.workspace.facts["key"] = key
    return True


def _extend(
    session: Session,
    excerpt: Slice,
    span: Span,
    theme: Prompt,
    seed: int,
    known: tuple[Source, int] | None,
    grid: OutputGrid | None,
    follows: _Follows,
) -> Run[Variation]:
    """Generate a span of an excerpt of what the models see.

    `known`: the source that the result goes on from and the length of the crossfade, where they begin the output.
    """
    rate_hz, shown = excerpt.sample_rate_hz, excerpt.source
    tokens, first = session.grid_tokens(grid, excerpt), excerpt.first
    keep_CT = keep_outside(session.model, tokens.n_frames, span, excerpt.n_samples, rate_hz, touching=False)
    if grid is not None:
        keep_CT |= grid.known(first, tokens.n_frames)
        if isinstance(shown, ThemedSource):
            tokens = session.grid_tokens(grid, excerpt, ~keep_CT[0])
    if isinstance(shown, ThemedSource):
        start_frame = round(first / rate_hz * session.model.codec.frames_per_s)
        keep_CT |= session.keep(theme, tokens.n_frames, find=shown.events, start_frame=start_frame, seed=seed)

    def draft(so_far: Source) -> Source:
        assert known is not None
        source, fade = known
        if so_far.n_samples <= span[0]:
            return source
        beginning = Splice(source, n_after=so_far.n_samples - span[0])
        new = session.spooled(so_far, span[0] - fade)
        beginning.overlays.append(Overlay(source.n_samples - fade, beginning.n_samples, new.spool, fade_in=fade))
        return beginning

    output = tokens.output.untouched()
    heard = follows.hear(excerpt, tokens, session.model.codec.frames_per_s)
    own, wanted_s = tokens.with_output(output), (span[0] / rate_hz - CROSSFADE_S, span[1] / rate_hz + CROSSFADE_S)
    drawn = draft if known else None
    made = yield from session.generate(own, keep_CT, seed=seed, draft=drawn, heard=heard, wanted_s=wanted_s)
    if grid is not None:
        grid.put(first, made.codes_NCT)
    return made
