"""Inpaint: replace regions of a recording with generated music; all else stays bit for bit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vampnet.audio.sources import Source
from vampnet.audio.splice import Overlay, Slice, Splice
from vampnet.audio.units import resampled_length, samples_to_frames, samples_to_seconds, seconds_to_samples
from vampnet.beats.events import Events, TrackerConfig
from vampnet.errors import PromptError, SettingsError
from vampnet.generation.pipeline import Pipeline
from vampnet.generation.run import Run
from vampnet.prompts.parts import Nothing, Prompt
from vampnet.prompts.time import check_region
from vampnet.seeds import stream_seed
from vampnet.tasks.following import Following
from vampnet.tasks.task import Session, Variation
from vampnet.tasks.theme import RegionTheme, events_within

CROSSFADE_S = 0.01
"""Linear crossfade at each join between input and generated audio, seconds."""
CONTEXT_S = 7.0
"""Audio on each side of a region, or before a continuation, that the models see, seconds."""

Span = tuple[int, int]
"""First sample and one past the last."""


def inpaint(
    session: Session,
    source: Source,
    regions: Sequence[tuple[float, float | None]],
    prompt: Prompt = Nothing(),
    beats: Events | TrackerConfig | None = None,
    theme: Prompt = Nothing(),
    follow: Following | None = None,
) -> Run[Variation]:
    """Regenerate regions (start and end in seconds; None is the source's end), one after the other.

    Each region is generated with those before it in sight. Within a region, tokens stay that `prompt` keeps; its times
    and periods count from the start of the source. Where it keeps nothing, `theme` says what the region keeps of the
    bars before it, looped (of those after it, where there is more music), so that beat and harmony go on. `follow`: the
    network follows controls of those bars, or else of the region as it was.
    """
    rate_hz, splice = source.sample_rate_hz, Splice(source)
    context, fade = seconds_to_samples(CONTEXT_S, rate_hz), seconds_to_samples(CROSSFADE_S, rate_hz)
    prompt.check_fits(samples_to_seconds(source.n_samples, source.sample_rate_hz))
    spans, events = region_spans(regions, source), session.events(source, beats)
    grid = session.output_grid(source)
    goes_on = isinstance(prompt, Nothing) and not isinstance(theme, Nothing)
    session.draft = lambda: _beginning(splice, spans[0][0])
    for number, (start, stop) in enumerate(spans):
        session.span(number, len(spans))
        first, last = max(start - context, 0), min(stop + context, source.n_samples)
        first = first if grid is None else grid.align(first)
        seed = session.seed if number == 0 else stream_seed(session.seed, "region", number)
        bars = session.region_theme(splice, (start, stop), beats) if goes_on else None
        shown = splice if bars is None else _with_bars(session, splice, bars)
        if bars is not None:
            session.workspace.note_tempo(bars.theme.found)
        excerpt = Slice(shown, first, last)
        tokens = session.grid_tokens(grid, excerpt)
        keep_CT = keep_outside(session.model, tokens.n_frames, (start - first, stop - first), last - first, rate_hz)
        if grid is not None and bars is not None:
            tokens = session.grid_tokens(grid, excerpt, ~keep_CT[0])
        start_frame = round(first / rate_hz * session.model.codec.frames_per_s)
        kept, find = (prompt, None) if bars is None else (theme, bars.events)
        keep_CT |= session.keep(kept, tokens.n_frames, events, find=find, start_frame=start_frame, seed=seed)
        # The level is left alone: what is kept comes out as loud as it went in.
        follows = None if follow is not None and follow.by_default and bars is None else follow
        heard = follows and follows.hear(excerpt, tokens.n_frames, _beats_from(beats, excerpt), start_frame)
        tokens = tokens.with_output(tokens.output.untouched())
        wanted_s = ((start - first) / rate_hz, (stop - first) / rate_hz)
        made = yield from session.generate(tokens, keep_CT, seed=seed, heard=heard, wanted_s=wanted_s)
        if grid is not None:
            grid.put(first, made.codes_NCT)
        splice.overlays.append(_overlay(session, made, (start, stop), first, fade, source.n_samples))
        reached = spans[number + 1][0] if number + 1 < len(spans) else source.n_samples
        session.draft = lambda reached=reached: _beginning(splice, reached)
    return session.grid_variation(splice, keep_of_spans(session.model, splice, spans), grid, source)


def _beats_from(beats: Events | TrackerConfig | None, excerpt: Slice) -> Events | TrackerConfig | None:
    """The beats of an excerpt, counted from its start, where they are given; or how to find them."""
    if not isinstance(beats, Events):
        return beats
    edges = (excerpt.first, excerpt.first + excerpt.n_samples)
    return events_within(beats, *(samples_to_seconds(place, excerpt.sample_rate_hz) for place in edges))


def _with_bars(session: Session, splice: Splice, bars: RegionTheme) -> Splice:
    """Input of the models: a splice with looped bars in the place of a region."""
    spool = session.workspace.spool(splice.channels)
    for block in bars.blocks():
        spool.add(block)
    shown = Splice(splice.source)
    shown.overlays += [*splice.overlays, Overlay(*bars.span, spool)]
    return shown


def _overlay(session: Session, made: Variation, span: Span, first: int, fade: int, n_samples: int) -> Overlay:
    """The new audio of a region, crossfaded at the ends that lie within the source."""
    start, stop = span
    sides = (start > 0, stop < n_samples)
    n_fade = min(fade, (stop - start) // 2 if all(sides) else stop - start)
    spool = session.spooled(made.sound, start - first, stop - first).spool
    return Overlay(start, stop, spool, *(n_fade if side else 0 for side in sides))


def _beginning(splice: Splice, n_samples: int) -> Slice | None:
    return Slice(splice, 0, n_samples) if n_samples else None


def region_spans(regions: Sequence[tuple[float, float | None]], source: Source) -> list[Span]:
    """Regions in samples, sorted, those that touch joined. Raises SettingsError for one outside the source."""
    if not regions:
        raise SettingsError("no region given; write for instance --region 3.0:5.5")
    try:
        regions = [(float(start_s), math.inf if end_s is None else float(end_s)) for start_s, end_s in regions]
    except (TypeError, ValueError):
        raise SettingsError(
            f"regions is {regions!r}, but must be pairs of start and end in seconds, such as [(1.0, 2.0)]"
        ) from None
    rate_hz, n_samples = source.sample_rate_hz, source.n_samples
    duration_s, found = samples_to_seconds(n_samples, rate_hz), list[Span]()
    for start_s, end in sorted(regions):
        if not 0 <= start_s < min(end, duration_s):
            raise SettingsError(
                f"region {start_s:g}:{end:g} must begin within the {duration_s:.3f} s of audio and end later"
            )
        try:
            check_region(start_s, end, duration_s)
        except PromptError as error:
            raise SettingsError(str(error)) from None
        start = seconds_to_samples(start_s, rate_hz)
        stop = min(n_samples if math.isinf(end) else seconds_to_samples(end, rate_hz), n_samples)
        if start >= stop:
            raise SettingsError(f"region {start_s:g}:{end:g} is shorter than a sample")
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def keep_outside(
    model: Pipeline, n_frames: int, span: Span, n_samples: int, rate_hz: int, touching: bool = True
) -> Tensor:
    """keep_CT: the frames outside a span of samples; those that reach into it only with `touching`.

    `n_samples`: length of the excerpt; a span that ends with it leaves nothing to keep after it.
    """
    begin, end = (place / rate_hz * model.codec.frames_per_s for place in span)
    slack = 1e-6  # a join on the edge of a frame shall not cost that frame
    n_before = math.ceil(begin - slack) if touching else math.floor(begin + slack)
    first_after = math.floor(end + slack) if touching else math.ceil(end - slack)
    keep_CT = torch.zeros(model.codec.n_codebooks, n_frames, dtype=torch.bool)
    keep_CT[:, : max(n_before, 0)] = True
    if span[1] < n_samples:
        keep_CT[:, first_after:] = True
    return keep_CT


def keep_of_spans(model: Pipeline, sound: Source, spans: Sequence[Span]) -> Tensor:
    """keep_CT, bool: False at the frames of a sound that the spans of new samples touch."""
    codec = model.codec
    n_codec = resampled_length(sound.n_samples, sound.sample_rate_hz, codec.sample_rate_hz)
    keep_CT = torch.ones(codec.n_codebooks, samples_to_frames(n_codec, codec.hop), dtype=torch.bool)
    for start, stop in spans:
        begin, end = (place / sound.sample_rate_hz * codec.frames_per_s for place in (start, stop))
        keep_CT[:, math.floor(begin) : math.ceil(end)] = False
    return keep_CT
