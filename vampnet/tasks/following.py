"""Following: controls of a recording, or of words, that the coarse network is to follow."""

from __future__ import annotations

from vampnet.audio.inputs import AudioLike, as_audio
from vampnet.controls.config import SteeringConfig
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.ranking import keep_followed
from vampnet.controls.reading import read_controls
from vampnet.controls.signals import Controls
from vampnet.generation.pipeline import Pipeline
from vampnet.models.conditioning import Guidance, HeardControls

Follow = Controls | str | None
"""Controls themselves, or words such as "beats,chords" for those of a recording."""


def heard_controls(model: Pipeline, audio: AudioLike, follow: Follow, guidance: str) -> HeardControls | None:
    """Controls that `model` follows in what it makes of `audio`; None where nothing is followed.

    Raises SettingsError where the model hears no controls, and for words that name none.
    """
    if follow is None or follow == "":
        SteeringConfig(guidance=guidance)  # which has nothing to weigh
        return None
    model.check_hears()
    if isinstance(follow, str):
        file, names = SteeringConfig(follow, guidance=guidance).split()
        rate_hz, hop = model.codec.sample_rate_hz, model.codec.hop
        if file:
            heard = read_controls(file)
        else:
            heard = extract_controls(as_audio(audio), ExtractionConfig(sample_rate_hz=rate_hz, hop=hop))
        follow = keep_followed(in_frames(heard, rate_hz, hop), names)
    assert model.conditioning is not None
    return HeardControls(follow, Guidance.parse(guidance or model.conditioning.config.guidance))


def in_frames(controls: Controls, rate_hz: int, hop: int) -> Controls:
    """The same controls in frames of `hop` samples at `rate_hz`."""
    if (controls.sample_rate_hz, controls.hop) == (rate_hz, hop):
        return controls
    return controls.resample(max(round(controls.duration_s * rate_hz / hop), 1), rate_hz, hop)
