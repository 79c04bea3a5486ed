"""Loop: variations of a loop with exactly its number of samples that join themselves and each other.

The loop is resampled to a whole number of token frames, which is undone at the end (at most half a frame in its whole
length), so that time is a circle in tokens: it is encoded, generated and decoded with its own end before its beginning.
The frames around the seam are generated last, with music on both sides in sight, and once for all variations: so any
variation may follow any other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import soxr
import torch
from torch import Tensor

from vampnet.audio.files import Audio, Samples
from vampnet.audio.limiter import limit_loop
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.sources import MemorySource, Source
from vampnet.audio.units import resampled_length, seconds_to_frames, seconds_to_samples
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig, steady_gap
from vampnet.config import check
from vampnet.errors import AudioError, SettingsError
from vampnet.generation.pipeline import Pipeline
from vampnet.generation.run import Run
from vampnet.models.conditioning import HeardControls
from vampnet.prompts.context import TokenGrid
from vampnet.prompts.parts import Prompt
from vampnet.seeds import stream_seed
from vampnet.tasks.defaults import MAX_BARS, MAX_LOOP_S, MIN_LOOP_S
from vampnet.tasks.following import Following
from vampnet.tasks.task import Session, Variation, Workspace

SEAM_S = 0.3
"""Stretch around the seam, to each side, whose tokens all variations of a loop share, seconds."""
SLACK_S = 0.03
"""Bars may reach this far beyond the end of the audio: a beat is heard no more exactly."""
AROUND_FRAMES = 64
"""Frames of the loop's other end that encoder and decoder see; more than either reaches."""


def loop(
    workspace: Workspace,
    audio: Audio,
    numbers: tuple[int, ...],
    prompt: Prompt,
    beats: Events | TrackerConfig | None = None,
    *,
    first: int = 1,
    codes_NCT: Tensor | None = None,
    seam_NCT: Tensor | None = None,
    follow: Following | None = None,
    hold_seam: Callable[[Tensor], None] | None = None,
) -> Run[list[Variation]]:
    """Variations of a loop (its samples from the first to the last are one turn of it), by their numbers from 1.

    Each has the loop's rate, channels, number of samples and loudness. The end of any leads into any start,
    since all share the seam of variation `first`, which is always made.
    `codes_NCT` are the audio's tokens where they are known, as an earlier variation's `codes`; it is not encoded again.
    `seam_NCT` are tokens of an earlier variation of this loop: all share its seam, so that they join that one too.
    `follow` says which controls of the loop the network follows, in the seam as well.
    `hold_seam` takes those of variation `first`, for later.
    Raises SettingsError for audio of other lengths, and for tokens that are not of this audio.
    """
    check("length of the loop in seconds", audio.duration_s, MIN_LOOP_S, MAX_LOOP_S)
    prompt.check_fits(audio.duration_s)
    model = workspace.model
    n_frames = turn_frames(audio, model.codec)
    lufs = measure(audio.samples, audio.sample_rate_hz)
    peak = float(np.abs(audio.samples).max())
    gain = min(gain_to(lufs), 1 / peak) if peak > 0 else 1.0
    shape = (audio.channels, model.codec.n_codebooks, n_frames)
    for name, given in (("codes_NCT", codes_NCT), ("seam_NCT", seam_NCT)):
        if given is not None and tuple(given.shape) != shape:
            raise SettingsError(f"{name} has shape {tuple(given.shape)}, but the loop has tokens of shape {shape}")
    if codes_NCT is None:
        with workspace.clock.stage("encode"):
            turn = _resample_turn(audio.samples, n_frames * model.codec.hop) * np.float32(gain)
            codes_NCT = _encode_turn(model, turn, n_frames)
    events = EventFinder(MemorySource(audio), beats)
    openers = [workspace.session(first)] if seam_NCT is None else []
    others = [workspace.session(number) for number in numbers if number != first or seam_NCT is not None]
    heard = None if follow is None else follow.hear_loop(audio, n_frames, events)
    n_parts = 2 * len(openers) + len(others)
    for session in (*openers, *others):
        session.counts_as = 0 if others else first  # all of it is one piece of work
    made = {}
    for opener in openers:
        first_keep_CT = opener.keep(prompt, n_frames, events)
        seam_NCT = yield from _generate_first(opener, codes_NCT, first_keep_CT, n_parts, heard)
        made[first] = (opener, first_keep_CT, seam_NCT)
        if hold_seam is not None:
            hold_seam(seam_NCT)
    assert seam_NCT is not None
    seam_T = _seam(model, n_frames)
    shared_NCT = torch.where(seam_T, seam_NCT, codes_NCT)
    for part, session in enumerate(others):
        session.span(2 * len(openers) + part, n_parts)
        keep_CT = session.keep(prompt, n_frames, events)
        codes = yield from session.generate_codes(shared_NCT, keep_CT | seam_T, seed=session.seed, heard=heard)
        made[session.number] = (session, keep_CT, codes)
    variations = []
    for number in numbers:
        session, keep_CT, codes = made[number]
        with workspace.clock.stage("decode"):
            samples = _resample_turn(_decode_turn(model, codes), audio.n_samples)
            level = np.float32(gain_to(measure(samples, audio.sample_rate_hz), lufs))
            samples = samples * level
            sound = MemorySource(Audio(limit_loop(samples, audio.sample_rate_hz), audio.sample_rate_hz))
        variations.append(session.variation(sound, keep_CT, codes, level=float(level)))
    return variations


def turn_frames(audio: Audio | Source, grid: TokenGrid) -> int:
    """Token frames of one turn of a loop: the nearest whole number, at least one."""
    return max(round(resampled_length(audio.n_samples, audio.sample_rate_hz, grid.sample_rate_hz) / grid.hop), 1)


def _generate_first(
    session: Session, codes_NCT: Tensor, keep_CT: Tensor, n_parts: int, heard: HeardControls | None
) -> Run[Tensor]:
    """Codes of the first variation: generated whole, then its seam again with context on both sides."""
    n_frames = codes_NCT.shape[2]
    half, seam_T = n_frames // 2, _seam(session.model, n_frames)
    session.span(0, n_parts)
    whole_NCT = yield from session.generate_codes(codes_NCT, keep_CT, seed=session.seed, heard=heard)
    session.span(1, n_parts)
    turned_keep_CT = (keep_CT | ~seam_T).roll(half, dims=1)
    seam_seed = stream_seed(session.seed, "seam")
    turned = None if heard is None else heard.roll(half)
    turned_NCT = yield from session.generate_codes(
        whole_NCT.roll(half, dims=2), turned_keep_CT, seed=seam_seed, heard=turned
    )
    return turned_NCT.roll(-half, dims=2)


def _seam(model: Pipeline, n_frames: int) -> Tensor:
    """seam_T, bool: the frames around the seam that all variations share."""
    reach = min(seconds_to_frames(SEAM_S, model.codec.sample_rate_hz, model.codec.hop), n_frames // 4)
    seam_T = torch.zeros(n_frames, dtype=torch.bool)
    seam_T[:reach] = True
    seam_T[n_frames - reach :] = True
    return seam_T


def cut_bars(audio: Audio, events: Events, bars: int) -> Audio:
    """The first `bars` bars from the first downbeat on. Raises AudioError when the audio has fewer."""
    check("bars", bars, 1, MAX_BARS)
    downbeats_s = events.downbeats_s
    if len(downbeats_s) < 2:
        raise AudioError("found fewer than two bars in the audio; give its tempo with --bpm, or cut the loop yourself")
    steady_s, per_bar = steady_gap(events.beats_s), _beats_per_bar(events)
    if steady_s is not None and per_bar is not None:
        length_s = bars * per_bar * steady_s  # exact where each bar's own beginning is heard to a few milliseconds
    elif len(downbeats_s) > bars:
        length_s = downbeats_s[bars] - downbeats_s[0]
    else:  # the last bar ends with the audio: it is as long as those before it
        length_s = bars * (downbeats_s[-1] - downbeats_s[0]) / (len(downbeats_s) - 1)
    start, length = (seconds_to_samples(s, audio.sample_rate_hz) for s in (downbeats_s[0], length_s))
    late = start + length - audio.n_samples
    if 0 < late <= seconds_to_samples(SLACK_S, audio.sample_rate_hz):
        start, late = max(start - late, 0), 0  # the first beat was heard a hair late
        length = min(length, audio.n_samples)
    if late > 0:
        raise AudioError(f"the audio has fewer than {bars} bars from its first downbeat at {downbeats_s[0]:.2f} s")
    return Audio(audio.samples[:, start : start + length], audio.sample_rate_hz)


def _beats_per_bar(events: Events) -> int | None:
    """Beats in every bar; None where bars differ."""
    places = [bisect_left(events.beats_s, time_s - 1e-6) for time_s in events.downbeats_s]
    lengths = {later - earlier for earlier, later in pairwise(places)}
    return lengths.pop() if len(lengths) == 1 else None


def events_of(audio: Audio, beats: Events | TrackerConfig | None = None) -> Events:
    """Beats and bars of audio in memory: those given, or found."""
    found = EventFinder(MemorySource(audio), beats)
    return Events(tuple(found.events("beats")), tuple(found.events("downbeats")))


def _resample_turn(samples: Samples, n_samples: int) -> Samples:
    """One turn (channels, n) of a loop at another number of samples, as if it went on for ever."""
    n_old = samples.shape[1]
    if n_old == n_samples:
        return samples
    turns = 3 if n_old > 4096 else 2 * (4096 // n_old) + 3  # enough on both sides for the filter
    tiled = np.tile(samples, (1, turns)).T
    result = soxr.resample(tiled, n_old, n_samples, quality="VHQ").T
    start = turns // 2 * n_samples
    return np.ascontiguousarray(result[:, start : start + n_samples])


def _encode_turn(model: Pipeline, turn: Samples, n_frames: int) -> Tensor:
    hop = model.codec.hop
    around = AROUND_FRAMES * hop
    padded = np.pad(turn, ((0, 0), (around, around)), mode="wrap")
    codes_NCT = model.codec.encode(torch.from_numpy(padded))
    return codes_NCT[:, :, AROUND_FRAMES : AROUND_FRAMES + n_frames].to("cpu", torch.int32)


def _decode_turn(model: Pipeline, codes_NCT: Tensor) -> Samples:
    hop, n_frames = model.codec.hop, codes_NCT.shape[2]
    index = torch.arange(-AROUND_FRAMES, n_frames + AROUND_FRAMES) % n_frames
    audio_NS = torch.cat(list(model.codec.decode_blocks(codes_NCT[:, :, index].long())), dim=1)
    return audio_NS[:, AROUND_FRAMES * hop : (AROUND_FRAMES + n_frames) * hop].float().cpu().numpy()
