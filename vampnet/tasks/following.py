"""Following: controls that the coarse network is to follow, heard in what a task is about, or given.

What is heard is the music that the network sees in the place of what it makes: the input, or, where there is none, the
bars that are looped there. Given controls (of a file, of a sketch) lie over the whole output.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

import numpy as np

from vampnet.audio.samples import Audio
from vampnet.audio.sources import MemorySource, Source
from vampnet.beats.event_finder import EventFinder
from vampnet.beats.events import Events, TrackerConfig
from vampnet.controls.config import CARRIED, CARRIED_GUIDANCE, FOLLOWED, SteeringConfig
from vampnet.controls.extraction import EXTRACTED, ExtractionConfig, describe_beats, extract_controls
from vampnet.controls.ranking import keep_followed
from vampnet.controls.reading import read_controls
from vampnet.controls.signals import SIGNALS, Controls
from vampnet.controls.sketching import Sketch
from vampnet.generation.pipeline import Pipeline
from vampnet.models.conditioning import Guidance, HeardControls
from vampnet.models.control_features import MIDDLE_DB
from vampnet.tasks.task import Workspace

log = logging.getLogger("vampnet")

Follow = Controls | str | None
"""Controls themselves, or words such as "beats,rhythm" for those of a recording."""
SOUND_ONLY = ("loudness_db", "onset_low", "onset_high")
"""Controls that a sketch's sound says, and its notes do not."""
LOOP_AROUND_FRAMES = 64
"""Frames of a loop's other end that are heard on each side of it."""


@dataclass(frozen=True, eq=False)
class Following:
    """Controls that the network follows in a task, and how hard."""

    names: tuple[str, ...]
    """Words of `vampnet.controls.config.FOLLOWED`; none where the controls themselves were given."""
    guidance: Guidance
    given: Controls | None = None
    """Controls over the whole output; None: they are heard."""
    frames: tuple[int, int] = (44100, 768)
    """Sample rate and hop of the model's frames."""
    by_default: bool = False
    """Nobody asked for it: only looped bars are followed, and where nothing is heard there is nothing to say."""

    def hear(
        self,
        source: Source,
        n_frames: int,
        beats: EventFinder | Events | TrackerConfig | None = None,
        first: int = 0,
    ) -> HeardControls:
        """Controls over `n_frames` frames of a source, which begins with frame `first` of the output.

        `beats`: those of the source, or how they are found.
        """
        if self.given is not None:
            return self._heard(self.given.slice(first, first + n_frames))
        finder = beats if isinstance(beats, EventFinder) else EventFinder(source, beats)
        heard = self._listened(source, n_frames, finder)
        self._warn_if_silent(heard.controls)
        return heard

    def hear_loop(self, audio: Audio, n_frames: int, beats: EventFinder) -> HeardControls:
        """Controls over one turn of a loop of `n_frames` frames, heard with its own end before its beginning."""
        if self.given is not None:
            return self._heard(self.given.slice(0, n_frames))
        heard = self._listened(MemorySource(audio), n_frames, beats)
        if not set(self.names) - {"beats"}:
            self._warn_if_silent(heard.controls)
            return heard
        rate_hz, hop = self.frames
        around = round(LOOP_AROUND_FRAMES * hop * audio.sample_rate_hz / rate_hz)
        samples = np.pad(audio.samples, ((0, 0), (around, around)), mode="wrap")
        names = tuple(name for name in self._measured() if name not in FOLLOWED["beats"])
        config = ExtractionConfig(names, rate_hz, hop)
        turn = extract_controls(Audio(samples, audio.sample_rate_hz), config).slice(
            LOOP_AROUND_FRAMES, LOOP_AROUND_FRAMES + n_frames
        )
        changes = {name: getattr(turn, name) for name in turn.names}
        controls = dataclasses.replace(heard.controls, **changes)
        self._warn_if_silent(controls)
        return self._heard(controls)

    def of_sketch(self, made: Sketch) -> Following:
        """The same, following a sketch: what is exactly known of it, and what its sound says beside that."""
        if self.given is not None:
            return self
        known, (rate_hz, hop) = made.controls, self.frames
        missing = tuple(name for name in self._measured() if getattr(known, name) is None)
        if missing := tuple(name for name in missing if name in SOUND_ONLY):
            heard = extract_controls(made.audio, ExtractionConfig(missing, known.sample_rate_hz, known.hop))
            heard = heard.slice(0, known.n_frames)
            known = dataclasses.replace(known, **{name: getattr(heard, name) for name in missing})
        known = keep_followed(known, self.names)
        self._warn_if_silent(known)
        return dataclasses.replace(self, given=in_frames(known, rate_hz, hop))

    def _warn_if_silent(self, controls: Controls) -> None:
        """Its user should know why nothing is followed."""
        if not self.by_default and not any(controls.known_share(name) for name in controls.names if name in SIGNALS):
            log.warning("no %s can be heard in what is followed: the network follows nothing", ", ".join(self.names))

    def _measured(self) -> tuple[str, ...]:
        """Names of the controls that a recording is listened to for."""
        wanted = {control for name in self.names for control in FOLLOWED[name]}
        return tuple(name for name in EXTRACTED if name in wanted)

    def _listened(self, source: Source, n_frames: int, beats: EventFinder) -> HeardControls:
        rate_hz, hop = self.frames
        frames, names = Controls(n_frames, rate_hz, hop), self._measured()
        events = None
        if {"beats", "chords"} & set(self.names):
            events = Events(tuple(beats.events("beats")), tuple(beats.events("downbeats")))
        if set(self.names) == {"beats"}:  # a long recording need not be held
            assert events is not None
            return HeardControls(dataclasses.replace(frames, **describe_beats(events, frames)), self.guidance)
        audio = Audio(np.concatenate(list(source.blocks()), axis=1), source.sample_rate_hz)
        heard = extract_controls(audio, ExtractionConfig(names, rate_hz, hop), events=events)
        return self._heard(keep_followed(heard, self.names).slice(0, n_frames))

    def _heard(self, controls: Controls) -> HeardControls:
        """Controls for the network, their level that of the codec's input."""
        level_T = controls.loudness_db
        if level_T is not None and np.isfinite(level_T).any():
            mean_db = 10.0 * np.log10(np.nanmean(10.0 ** (level_T / 10.0)))
            moved_T = np.clip(level_T + MIDDLE_DB - mean_db, SIGNALS["loudness_db"].low, SIGNALS["loudness_db"].high)
            controls = dataclasses.replace(controls, loudness_db=moved_T.astype(np.float32))
        return HeardControls(controls, self.guidance)


def hear_once(
    workspace: Workspace, follow: Following | None, source: Source, n_frames: int, beats: EventFinder
) -> HeardControls | None:
    """Controls over all of a source that the variations of a job share; None where nothing is followed."""
    if follow is None or follow.given is not None:
        return None if follow is None else follow.hear(source, n_frames)
    return workspace.once(f"controls {id(source)}", lambda: follow.hear(source, n_frames, beats))


def following(model: Pipeline, follow: Follow, guidance: str, *, carries: bool = False) -> Following | None:
    """Controls that `model` follows, by words or given; None where nothing is followed.

    carries: the task goes on from a recording, whose beats are followed where nothing is said.

    Raises SettingsError where the model hears no controls, or not these, and for words that name none.
    """
    rate_hz, hop = model.codec.sample_rate_hz, model.codec.hop
    if follow is None or follow == "":
        SteeringConfig(guidance=guidance)  # which has nothing to weigh
        if not carries or CARRIED not in model.hears:
            return None
        return Following((CARRIED,), Guidance.parse(CARRIED_GUIDANCE), None, (rate_hz, hop), by_default=True)
    if isinstance(follow, str) and SteeringConfig(follow, guidance=guidance).follows_nothing:
        return None
    file, names = SteeringConfig(follow, guidance=guidance).split() if isinstance(follow, str) else ("", ())
    model.check_hears(names)
    assert model.conditioning is not None
    weights = Guidance.parse(guidance or model.conditioning.config.guidance)
    given = follow if isinstance(follow, Controls) else None
    if file:
        given = keep_followed(read_controls(file), names)
    if given is not None:
        given = in_frames(given, rate_hz, hop)
    return Following(names, weights, given, (rate_hz, hop))


def in_frames(controls: Controls, rate_hz: int, hop: int) -> Controls:
    """The same controls in frames of `hop` samples at `rate_hz`."""
    if (controls.sample_rate_hz, controls.hop) == (rate_hz, hop):
        return controls
    return controls.resample(max(round(controls.duration_s * rate_hz / hop), 1), rate_hz, hop)
