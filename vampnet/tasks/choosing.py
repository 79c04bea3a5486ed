"""Choosing among variations by what can be heard in them: beats, chords, rhythm or melody of something they follow.

Which tokens are kept stays the prompt's business: a chosen variation is one of those that were made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from vampnet.audio.inputs import AudioLike, as_audio
from vampnet.controls.config import SteeringConfig
from vampnet.controls.extraction import extract_controls
from vampnet.controls.ranking import keep_followed, rank
from vampnet.controls.reading import JSON_ENDING, MIDI_ENDINGS, read_controls
from vampnet.controls.signals import Controls
from vampnet.controls.sketching import sketch
from vampnet.controls.words import ControlWords, parse_words
from vampnet.errors import SettingsError
from vampnet.tasks.task import Variation


def choose(
    variations: Sequence[Variation],
    *,
    like: AudioLike | Controls | None = None,
    words: ControlWords | str | None = None,
    follow: str = "beats,chords",
) -> list[Variation]:
    """The variations that follow something best, the best first; equals keep their order.

    >>> best = vampnet.choose(model.vamp("song.wav", n=8), like="song.wav", follow="beats,chords")[0]

    Args:
        variations: what a task made with `n` above 1.
        like: audio, a file (also MIDI, or JSON of `vampnet controls --json`), or controls, that they follow.
        words: the words that they were generated to: each follows its own sketch.
        follow: some of beats, rhythm, chords and melody, with commas between.

    Raises:
        SettingsError: neither or both of `like` and `words`, or names that are none of these.
    """
    file, names = SteeringConfig(follow).split()
    if file or not names:
        raise SettingsError(f"follow is {follow!r}, but must name controls alone; what is followed is `like`")
    if (like is None) == (words is None):
        raise SettingsError("give `like` or `words`, and only one of them: what the variations follow")
    wanted: Controls | list[Controls]
    if words is not None:
        said = parse_words(words) if isinstance(words, str) else words
        wanted = [keep_followed(_sketch_controls(said, variation), names) for variation in variations]
    else:
        wanted = keep_followed(_as_controls(like), names)
    return [variations[place] for place, _ in rank([variation.audio for variation in variations], wanted)]


def _as_controls(like: AudioLike | Controls | None) -> Controls:
    if isinstance(like, Controls):
        return like
    assert like is not None
    if isinstance(like, str | os.PathLike) and str(like).lower().endswith((*MIDI_ENDINGS, JSON_ENDING)):
        return read_controls(like)
    return extract_controls(as_audio(like))


def _sketch_controls(words: ControlWords, variation: Variation) -> Controls:
    seconds = None if words.bars is not None else variation.audio.duration_s
    return sketch(words, seed=variation.seed, seconds=seconds).controls
