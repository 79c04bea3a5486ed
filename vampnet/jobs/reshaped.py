"""Inputs at another pitch and tempo, before a task begins."""

from __future__ import annotations

import dataclasses
import logging

from vampnet.audio.files import Audio
from vampnet.audio.reshaping import MAX_SPEED, MIN_SPEED, reshape
from vampnet.beats.events import Events, TrackerConfig, tempo_of
from vampnet.beats.tracking import track_events
from vampnet.controls.config import ReshapeConfig
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.names import parse_key, third_of_mode
from vampnet.errors import SettingsError

log = logging.getLogger("vampnet")


def reshape_input(
    audio: Audio, config: ReshapeConfig, beats: Events | TrackerConfig | None, *, loops: bool = False
) -> tuple[Audio, Events | TrackerConfig | None]:
    """Audio as a request wants it, and its beats: known ones move with the music.

    Raises SettingsError where a tempo or key is wanted and none is heard, or the two are too far apart.
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
    semitones = semitones_to_key(audio, config.key) if config.key else config.transpose
    made = reshape(audio, transpose=float(semitones), speed=speed, loops=loops)
    return made, _at_speed(beats, speed) if isinstance(beats, Events) else beats


def semitones_to_key(audio: Audio, key: str) -> int:
    """Semitones, -6 to 5, by which audio has to be moved to be in a key.

    Raises SettingsError where no key is heard, or one of the other mode: transposing makes no minor of a major.
    """
    heard = extract_controls(audio, ExtractionConfig(("key",))).key
    if heard is None:
        raise SettingsError(f"key is {key!r}, but no key is heard in the input; say how far to move it in `transpose`")
    (tonic, mode), (wanted, wanted_mode) = parse_key(heard), parse_key(key)
    own, other = third_of_mode(mode), third_of_mode(wanted_mode)
    if own != other:
        raise SettingsError(
            f"key is {key!r}, but the input is heard in {heard}, and transposing makes no {other} of a {own}; "
            f"ask for a {own} key, or say how far to move it in `transpose`"
        )
    semitones = (wanted - tonic + 6) % 12 - 6
    log.info("the input is heard in %s; it is moved by %+d semitones", heard, semitones)
    return semitones


def _track(audio: Audio, tracker: TrackerConfig | None) -> Events:
    return track_events([audio.samples], audio.sample_rate_hz, audio.n_samples, tracker or TrackerConfig())


def _at_speed(events: Events, speed: float) -> Events:
    return Events(
        *(tuple(time_s / speed for time_s in getattr(events, field.name)) for field in dataclasses.fields(events))
    )
