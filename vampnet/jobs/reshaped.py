"""Inputs at another pitch and tempo, before a task begins."""

from __future__ import annotations

import dataclasses

from vampnet.audio.files import Audio
from vampnet.audio.reshaping import MAX_SPEED, MIN_SPEED, reshape
from vampnet.beats.events import Events, TrackerConfig, tempo_of
from vampnet.beats.tracking import track_events
from vampnet.controls.config import ReshapeConfig
from vampnet.errors import SettingsError


def reshape_input(
    audio: Audio, config: ReshapeConfig, beats: Events | TrackerConfig | None, *, loops: bool = False
) -> tuple[Audio, Events | TrackerConfig | None]:
    """Audio as a request wants it, and its beats: known ones move with the music.

    Raises SettingsError where a tempo is wanted and none is heard, or the two are too far apart.
    """
    if config == ReshapeConfig():
        return audio, beats
    speed = 1.0
    if config.tempo is not None:
        known = beats if isinstance(beats, Events) else _track(audio, beats)
        bpm = tempo_of(known)
        if bpm is None:
            raise SettingsError(
                f"tempo is {config.tempo:g}, but no beat is heard in the input; say in `bpm` how fast it is"
            )
        speed = config.tempo / bpm
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise SettingsError(
                f"tempo is {config.tempo:g}, but the input's is {bpm:.4g}; it can be at most {MAX_SPEED:g} times that, "
                "or a quarter"
            )
        beats = known
    made = reshape(audio, transpose=float(config.transpose), speed=speed, loops=loops)
    return made, _at_speed(beats, speed) if isinstance(beats, Events) else beats


def _track(audio: Audio, tracker: TrackerConfig | None) -> Events:
    return track_events([audio.samples], audio.sample_rate_hz, audio.n_samples, tracker or TrackerConfig())


def _at_speed(events: Events, speed: float) -> Events:
    return Events(
        *(tuple(time_s / speed for time_s in getattr(events, field.name)) for field in dataclasses.fields(events))
    )
