"""Requests as runs of their tasks: which task a request means, with which source, prompt and beats."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from vampnet.audio.files import Audio, read
from vampnet.audio.sources import MemorySource, Source
from vampnet.audio.units import samples_to_seconds
from vampnet.beats.config import BeatsConfig
from vampnet.beats.events import Events, TrackerConfig, read_events, steady_events
from vampnet.controls.config import ReshapeConfig
from vampnet.controls.sketching import sketch_drums, sketch_lead
from vampnet.generation.coded import CodedSource
from vampnet.generation.run import Run
from vampnet.jobs.request import (
    GenerateRequest,
    HumRequest,
    InpaintRequest,
    LoopRequest,
    OutpaintRequest,
    OutputConfig,
    Request,
    StretchRequest,
    TapRequest,
    TelephoneRequest,
    VampRequest,
    steering_of,
)
from vampnet.jobs.reshaped import reshape_input
from vampnet.prompts.grammar import parse_prompt
from vampnet.tasks.defaults import DEFAULT_THEME, LIKE_PROMPT, NEW_S, SKETCH_PROMPT
from vampnet.tasks.following import Following, following
from vampnet.tasks.generate import generate, generate_like
from vampnet.tasks.inpaint import inpaint
from vampnet.tasks.loop import cut_bars, events_of, loop, turn_frames
from vampnet.tasks.outpaint import outpaint
from vampnet.tasks.sketched import keep_sketch, reimagine, sketch_words, take_sketch
from vampnet.tasks.stretch import stretch
from vampnet.tasks.task import Session, Variation, Workspace
from vampnet.tasks.telephone import telephone
from vampnet.tasks.vamp import vamp


def run_task(session: Session, request: Request, source: Source | None, output: Path | None = None) -> Run[Variation]:
    """One variation of a request; `source` is its input, `output` the file beside which a sketch is kept.

    Loops, whose variations are made together, are run by `run_loop`.
    """
    follow = follow_of(session.workspace, request)
    if isinstance(request, GenerateRequest):
        return _generate(session, request, output, follow)
    assert source is not None
    if isinstance(request, VampRequest):
        found, beats = session.workspace.once("reshaped", lambda: _reshaped(request, source))
        return vamp(session, found, parse_prompt(request.prompt), beats, follow)
    if isinstance(request, InpaintRequest):
        beats = find_beats(request.beats, source)
        kept, theme = parse_prompt(request.prompt), parse_prompt(request.theme)
        return inpaint(session, source, request.regions, kept, beats, theme, follow)
    if isinstance(request, OutpaintRequest):
        return outpaint(session, source, request.before_s, request.after_s, parse_prompt(request.theme), follow=follow)
    if isinstance(request, (TapRequest, HumRequest)):
        return _play(session, request, follow)
    if isinstance(request, StretchRequest):
        return stretch(session, source, request.factor)
    assert isinstance(request, TelephoneRequest)
    beats = find_beats(request.beats, source)
    return telephone(session, source, request.rounds, parse_prompt(request.prompt), beats)


def follow_of(space: Workspace, request: Request) -> Following | None:
    """The controls that a request has the network follow, noted for the job's result; None where it follows nothing."""
    steering = steering_of(request)
    carries = isinstance(request, InpaintRequest | OutpaintRequest)
    if not steering.follows and not (carries and not steering.follow):
        return None
    if steering.follows:
        space.facts["followed_by"] = "network"
    return space.once("following", lambda: following(space.model, steering.follow, steering.guidance, carries=carries))


def run_loop(space: Workspace, request: LoopRequest, known: CodedSource | None = None) -> Run[list[Variation]]:
    """All variations of a loop; `known` is its input where its tokens are known."""
    audio = read(request.input)
    beats = find_beats(request.beats, MemorySource(audio))
    if request.bars:
        events = events_of(audio, beats)
        space.note_tempo(events)
        audio, beats = cut_bars(audio, events, request.bars), None
    audio, beats = reshape_input(audio, request.reshape, beats, loops=True)
    if request.bars:
        space.facts["bar_s"] = round(audio.duration_s / request.bars, 6)
    space.facts["loop_s"] = round(audio.duration_s, 6)
    codes_NCT = None if known is None else known.loop_codes(turn_frames(audio, space.model.codec)).int()
    follow, prompt = follow_of(space, request), parse_prompt(request.prompt)
    memory, key = space.model.memory, _seam_key(request)
    seam_NCT, hold = None, None
    if memory is not None:
        seam_NCT, hold = memory.recall(key), lambda codes_NCT: memory.hold(key, codes_NCT)
    return loop(
        space, audio, request.numbers, prompt, beats, codes_NCT=codes_NCT, follow=follow,
        seam_NCT=None if 1 in request.numbers else seam_NCT, hold_seam=hold,
    )  # fmt: skip


def _seam_key(request: LoopRequest) -> tuple[object, ...]:
    """All that the first variation of a loop depends on, whose seam the others share."""
    paths = (request.input, request.tokens, request.beats.file, request.steering.split()[0])
    files = [os.stat(path) for path in paths if path]
    stamps = [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in files]
    plain = replace(request, variations=1, variation=0, output=OutputConfig(), join=False, loop_points=False)
    return ("seam", repr(plain), *stamps)


def _reshaped(request: VampRequest, source: Source) -> tuple[Source, Events | TrackerConfig | None]:
    """The input of a vamp at the pitch and tempo that are asked for, and its beats."""
    beats = find_beats(request.beats, source)
    if request.reshape == ReshapeConfig():
        return source, beats
    audio = Audio(np.concatenate(list(source.blocks()), axis=1), source.sample_rate_hz)
    audio, beats = reshape_input(audio, request.reshape, beats)
    return MemorySource(audio), beats


def find_beats(config: BeatsConfig, source: Source) -> Events | TrackerConfig | None:
    """Beats that a request gives, or how to find them; None leaves that to the default."""
    if config.tracker:
        return TrackerConfig(config.tracker)
    if config.file:
        return read_events(config.file)
    if config.beats_s:
        return Events(tuple(sorted(set(config.beats_s))), tuple(sorted(set(config.downbeats_s))))
    if config.bpm is None:
        return None
    duration_s = samples_to_seconds(source.n_samples, source.sample_rate_hz)
    return steady_events(config.bpm, duration_s, config.downbeat_s, config.beats_per_bar)


def _generate(
    session: Session, request: GenerateRequest, output: Path | None, follow: Following | None
) -> Run[Variation]:
    seconds = request.seconds or NEW_S
    if request.like:
        return generate_like(session, read(request.like), seconds, parse_prompt(request.prompt or LIKE_PROMPT), follow)
    if request.words.is_empty:
        return generate(session, seconds, parse_prompt(request.theme or DEFAULT_THEME), follow=follow)
    made = sketch_words(session, request.words, request.seconds)
    if request.sketch == "only":
        return take_sketch(session, made)
    if request.sketch == "keep" and output is not None:
        keep_sketch(output, made.audio)
    return reimagine(session, made, parse_prompt(request.prompt or SKETCH_PROMPT), follow)


def _play(session: Session, request: TapRequest | HumRequest, follow: Following | None) -> Run[Variation]:
    audio = read(request.input)
    if isinstance(request, TapRequest):
        made = sketch_drums(audio, request.tap, seed=session.seed)
    else:
        made = sketch_lead(audio, request.hum, seed=session.seed)
    if not request.prompt:
        return take_sketch(session, made)
    return reimagine(session, made, parse_prompt(request.prompt), follow)
