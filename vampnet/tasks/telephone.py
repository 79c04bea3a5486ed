"""Telephone: repeated variation, each output the next input."""

from __future__ import annotations

from vampnet.audio.output_format import RestoredSource
from vampnet.audio.sources import Source
from vampnet.audio.spool import SpoolSource
from vampnet.audio.units import samples_to_seconds
from vampnet.beats.events import Events, TrackerConfig
from vampnet.config import check
from vampnet.errors import SettingsError
from vampnet.generation.coded import level_of
from vampnet.generation.config import variation_seed
from vampnet.generation.run import Run
from vampnet.prompts.parts import Prompt
from vampnet.tasks.defaults import MAX_ROUNDS
from vampnet.tasks.task import Session, Variation


def telephone(
    session: Session, source: Source, rounds: int, prompt: Prompt, beats: Events | TrackerConfig | None = None
) -> Run[Variation]:
    """Vamp a source, then the result, and so on; round k (from 0) is drawn with the variation's seed + k.

    `beats` are those of the source; later rounds track their own input.
    """
    check("rounds", rounds, 1, MAX_ROUNDS)
    if rounds != int(rounds):
        raise SettingsError(f"rounds is {rounds}, but must be a whole number")
    rounds = int(rounds)
    prompt.check_fits(samples_to_seconds(source.n_samples, source.sample_rate_hz))
    made: Variation | None = None
    level: float | None = None
    for number in range(rounds):
        session.span(number, rounds)
        tokens = session.tokens(source) if number == 0 else session.excerpt_tokens(source)
        seed = variation_seed(session.seed, number)
        events = session.events(source, beats if number == 0 else None)
        keep_CT = session.keep(prompt, tokens.n_frames, events, seed=seed)
        made = yield from session.generate(tokens, keep_CT, seed=seed)
        before, source = source, session.spooled(made.sound)
        level = level_of(made.sound)
        if isinstance(made.sound, RestoredSource):
            made.sound.close()
        if isinstance(before, SpoolSource) and number:
            before.spool.close()
        session.draft = lambda source=source: source
    assert made is not None
    return session.variation(source, made.keep_CT, made.codes_NCT, level=level)
