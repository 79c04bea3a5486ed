"""Generate: new music, from nothing or in the style of a clip."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vampnet.audio.files import Audio
from vampnet.audio.output_format import OutputFormat
from vampnet.audio.sources import RepeatedSource, Source
from vampnet.audio.units import samples_to_frames, seconds_to_samples
from vampnet.codec.chunked import BLOCK_FRAMES
from vampnet.config import check
from vampnet.errors import SettingsError
from vampnet.generation.coded import CodedSource, level_of
from vampnet.generation.run import Run
from vampnet.generation.tokens import TokenStream
from vampnet.models.conditioning import HeardControls
from vampnet.prompts.parts import Nothing, Prompt
from vampnet.seeds import stream_seed
from vampnet.tasks.defaults import MAX_NEW_S
from vampnet.tasks.following import Following
from vampnet.tasks.outpaint import outpaint
from vampnet.tasks.task import Session, Variation
from vampnet.tasks.vamp import vamp

OPENING_S = 10.0
"""Length of the opening made from nothing, which the rest continues, seconds: a coarse window."""
NEW_LUFS = -18.0
"""Loudness of audio that is made from nothing."""


def generate_like(
    session: Session, clip: Audio, seconds: float, prompt: Prompt, follow: Following | None = None
) -> Run[Variation]:
    """New audio in the style of a clip: a variation of the clip, repeated up to the length."""
    check("seconds", seconds, 0.1, MAX_NEW_S)
    source = RepeatedSource(clip, seconds_to_samples(seconds, clip.sample_rate_hz))
    return (yield from vamp(session, source, prompt, follow=follow))


def generate(
    session: Session,
    seconds: float,
    theme: Prompt = Nothing(),
    prompt: Prompt = Nothing(),
    follow: Following | None = None,
) -> Run[Variation]:
    """New audio from nothing, mono, at the codec's rate.

    First an opening of OPENING_S is made; what is longer goes on from it as `outpaint` does, with its `theme`. `follow`
    gives controls over the whole that the network follows.
    """
    check("seconds", seconds, 0.1, MAX_NEW_S)
    n_rest = seconds_to_samples(max(seconds - OPENING_S, 0.0), session.model.codec.sample_rate_hz)
    if not n_rest or isinstance(theme, Nothing):
        return (yield from _generate_from_nothing(session, seconds, prompt, follow))
    session.limit(0.0, OPENING_S / seconds)
    opening = yield from _generate_from_nothing(session, OPENING_S, prompt, follow)
    session.limit(OPENING_S / seconds, 1.0)
    source: Source = session.spooled(opening.sound)
    level = level_of(opening.sound)
    if session.workspace.keeps_tokens and opening.codes_NCT is not None and level is not None:
        source = CodedSource(source, opening.codes_NCT, 1 / level)
    session.draft = lambda: source
    rest_seed = stream_seed(session.seed, "rest")
    whole = yield from outpaint(session, source, 0.0, seconds - OPENING_S, theme, seed=rest_seed, follow=follow)
    return session.variation(whole.sound, torch.zeros_like(whole.keep_CT), whole.codes_NCT, level=whole.level)


def _generate_from_nothing(
    session: Session, seconds: float, prompt: Prompt, follow: Following | None
) -> Run[Variation]:
    codec = session.model.codec
    n_samples = seconds_to_samples(seconds, codec.sample_rate_hz)
    n_frames = samples_to_frames(n_samples, codec.hop)

    def blank() -> Iterator[Tensor]:
        for start in range(0, n_frames, BLOCK_FRAMES):
            yield torch.zeros(1, codec.n_codebooks, min(BLOCK_FRAMES, n_frames - start), dtype=torch.int32)

    output = OutputFormat(codec.sample_rate_hz, 1, n_samples, lufs=NEW_LUFS, limited=False)
    tokens = TokenStream(n_frames, 1, blank, output)
    keep_CT = session.keep(prompt, n_frames)
    heard = None
    if follow is not None:
        if follow.given is None:
            raise SettingsError("music from nothing has no input to follow; give the controls, or a file: FILE:beats")
        heard = HeardControls(follow.given.slice(0, n_frames), follow.guidance)
    return (yield from session.generate(tokens, keep_CT, draft=lambda so_far: so_far, heard=heard))
