"""Vamp: a variation of a recording (paper, section 3.4)."""

from __future__ import annotations

from vampnet.audio.sources import Source
from vampnet.audio.units import samples_to_seconds
from vampnet.beats.events import Events, TrackerConfig
from vampnet.generation.run import Run
from vampnet.prompts.parts import Prompt
from vampnet.tasks.following import Following, hear_once
from vampnet.tasks.task import Session, Variation


def vamp(
    session: Session,
    source: Source,
    prompt: Prompt,
    beats: Events | TrackerConfig | None = None,
    follow: Following | None = None,
) -> Run[Variation]:
    """Regenerate the tokens of `source` that `prompt` does not keep.

    `follow` says which controls of the source the network follows; they keep no token more. The result has the source's
    rate, channels, number of samples and loudness. Raises PromptError where the prompt names times beyond the source.
    """
    prompt.check_fits(samples_to_seconds(source.n_samples, source.sample_rate_hz))
    tokens = session.tokens(source)  # audio -> codec tokens, block by block, on demand
    events = session.events(source, beats)
    keep_CT = session.keep(prompt, tokens.n_frames, events)
    heard = hear_once(session.workspace, follow, source, tokens.n_frames, events)
    # Coarse, then coarse-to-fine, window by window; tokens -> audio as they become final.
    return (yield from session.generate(tokens, keep_CT, draft=lambda so_far: so_far, heard=heard))
