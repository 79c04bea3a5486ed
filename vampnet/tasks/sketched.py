"""Tasks that begin with a sketch: music to words, drums from a tapped rhythm, a lead from a hummed line.

The sketch is written by rule and rendered by the composer's own synthesis; the model re-imagines it where a prompt says
how much of it is kept, and the result says that it was sketched.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from vampnet.audio.files import Audio, write
from vampnet.audio.sources import MemorySource
from vampnet.beats.events import Events
from vampnet.controls.sketching import Sketch, sketch
from vampnet.controls.timeline import read_beats
from vampnet.controls.words import ControlWords, parse_words
from vampnet.errors import SettingsError
from vampnet.generation.run import Run
from vampnet.prompts.parts import Prompt
from vampnet.tasks.defaults import MAX_LOOP_S
from vampnet.tasks.following import Following
from vampnet.tasks.loop import loop
from vampnet.tasks.task import Session, Variation
from vampnet.tasks.vamp import vamp

SKETCH_HZ = 44100
"""Sample rate of sketches to words, Hz."""


def as_words(words: ControlWords | str, like: object) -> ControlWords:
    """Words from words or their text. Raises SettingsError, also where a clip is given beside them."""
    if like is not None:
        raise SettingsError("like and words are both given, but music to words begins with a sketch; leave one out")
    return parse_words(words) if isinstance(words, str) else words


def sketch_words(session: Session, words: ControlWords, seconds: float | None) -> Sketch:
    """The sketch of a session: words and its own seed."""
    return sketch(words, sample_rate_hz=SKETCH_HZ, seed=session.seed, seconds=seconds)


def generate_to_words(
    session: Session, words: ControlWords, seconds: float | None, prompt: Prompt, follow: Following | None = None
) -> Run[Variation]:
    """New music to words: a sketch, re-imagined as far as the prompt keeps little of it."""
    return (yield from reimagine(session, sketch_words(session, words, seconds), prompt, follow))


def reimagine(session: Session, made: Sketch, prompt: Prompt, follow: Following | None = None) -> Run[Variation]:
    """A sketch re-imagined by the model; one that loops gives a loop of exactly its length.

    `follow`: the network follows exact controls of the sketch, also where the prompt keeps nothing of it.
    """
    note_sketch(session, made)
    events = events_of_sketch(made)
    follow = None if follow is None else follow.of_sketch(made)
    if made.loops and made.audio.duration_s <= MAX_LOOP_S:
        space, number = session.workspace, session.number
        return (yield from loop(space, made.audio, (number,), prompt, events, first=number, follow=follow))[0]
    return (yield from vamp(session, MemorySource(made.audio), prompt, events, follow))


def take_sketch(session: Session, made: Sketch) -> Run[Variation]:
    """The sketch itself as a variation, for prompts that leave it as it is."""
    note_sketch(session, made)
    yield from ()  # a generator
    return session.variation(MemorySource(made.audio), torch.ones(session.model.codec.n_codebooks, 0, dtype=torch.bool))


def note_sketch(session: Session, made: Sketch) -> None:
    """Say openly in the job's result that the music began as a sketch, and to which words."""
    session.workspace.facts.update(sketch_facts(made))


def sketch_facts(made: Sketch) -> dict[str, object]:
    """Facts of a sketch for a job's result."""
    return {"sketch": True, "words": str(made.words)}


def events_of_sketch(made: Sketch) -> Events | None:
    """Exact beats and downbeats of a sketch; None where it has none, as for a hummed line."""
    controls = made.controls
    if controls.beat_phase is None or controls.bar_phase is None:
        return None
    beats, bars = (read_beats(phase, controls.times_s) for phase in (controls.beat_phase, controls.bar_phase))
    end_s = made.audio.duration_s - 0.01  # a beat on the end is the first one of the next turn
    return Events(*(tuple(time_s for time_s in times if time_s < end_s) for times in (beats, bars)))


def sketch_path(output: str | os.PathLike[str]) -> Path:
    """Where the sketch of an output lies: song.wav -> song.sketch.wav."""
    path = Path(output)
    return path.with_name(f"{path.stem}.sketch{path.suffix}")


def keep_sketch(output: str | os.PathLike[str], audio: Audio) -> None:
    """Write a sketch beside its output."""
    write(sketch_path(output), audio)
