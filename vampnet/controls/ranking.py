"""Agreement of audio with wanted controls, and the ranking of candidates by it.

Each part lies in 0 to 1; a part that the wanted controls say nothing of is left out, and the score is the mean of the
others. So a candidate can be chosen before any network listens to controls.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vampnet.audio.files import Audio
from vampnet.controls.charts import ChordSpan
from vampnet.controls.config import FOLLOWED
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.harmony import keys_agree
from vampnet.controls.signals import Controls, Floats
from vampnet.controls.timeline import read_beats

BEAT_WINDOW_S = 0.07
"""A beat counts as kept when it lies this close."""
LEVEL_FLOOR_DB = -60.0
"""Levels below count as this one."""
TEMPO_TOLERANCE = 0.04
"""Tempi agree within this share."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of audio with wanted controls; None: not asked for, or absent from what is wanted."""

    beats: float | None = None
    """F-measure of the beats within 70 ms, 0 to 1."""
    tempo: float | None = None
    """1 within 4 %, 0.5 at double or half the tempo, else 0."""
    rhythm: float | None = None
    """Correlation of the onset strengths, both bands together, 0 to 1."""
    chords: float | None = None
    """Share of the time with the wanted root and third."""
    chroma: float | None = None
    """Mean correlation of the chroma, 0 to 1; taken where no chords are named."""
    key: float | None = None
    """1 for the wanted tonic and third."""
    melody: float | None = None
    """Share of the wanted notes' time with their pitch class."""
    loudness: float | None = None
    """Correlation of the levels in dB, 0 to 1."""

    @property
    def score(self) -> float:
        """Mean of the parts there are; 0 where there is none."""
        values = [value for value in dataclasses.astuple(self) if value is not None]
        return float(np.mean(values)) if values else 0.0

    @property
    def is_empty(self) -> bool:
        """Whether what is wanted says nothing that audio could agree with."""
        return all(value is None for value in dataclasses.astuple(self))


def keep_followed(controls: Controls, names: Sequence[str]) -> Controls:
    """The part of controls behind some words of FOLLOWED, such as "beats" and "chords"."""
    return controls.keep_only(*(control for name in names for control in FOLLOWED[name]))


def compare_controls(heard: Controls, wanted: Controls) -> Agreement:
    """Agreement of what is heard with what is wanted."""
    if (heard.n_frames, heard.sample_rate_hz, heard.hop) != (wanted.n_frames, wanted.sample_rate_hz, wanted.hop):
        heard = heard.resample(wanted.n_frames, wanted.sample_rate_hz, wanted.hop)
    return Agreement(
        beats=_compare_beats(heard, wanted),
        tempo=_compare_tempo(heard.tempo_bpm, wanted.tempo_bpm),
        rhythm=_compare_rhythm(heard, wanted),
        chords=chord_overlap(heard.chords or (), wanted.chords) if wanted.chords else None,
        chroma=_compare_chroma(heard.chroma, wanted.chroma) if not wanted.chords else None,
        key=None if wanted.key is None else float(heard.key is not None and keys_agree(heard.key, wanted.key)),
        melody=_compare_melody(heard.melody, wanted.melody),
        loudness=_compare_level(heard.loudness_db, wanted.loudness_db),
    )


def rank(candidates: Sequence[Audio], wanted: Controls | Sequence[Controls]) -> list[tuple[int, Agreement]]:
    """Candidates with the best agreement first: (place in `candidates`, agreement). Equals keep their order.

    `wanted`: what all of them are compared with, or one for each.
    """
    each = [wanted] * len(candidates) if isinstance(wanted, Controls) else wanted
    measured = [
        compare_controls(extract_controls(audio, config_for(one)), one)
        for audio, one in zip(candidates, each, strict=True)
    ]
    order = sorted(range(len(measured)), key=lambda place: -measured[place].score)
    return [(place, measured[place]) for place in order]


def config_for(wanted: Controls) -> ExtractionConfig:
    """Names of the controls needed to compare audio with wanted ones."""
    names = {name for name in wanted.names if name not in ("style", "instruments")}
    return ExtractionConfig(tuple(sorted(names)), wanted.sample_rate_hz, wanted.hop)


def chord_overlap(heard: Sequence[ChordSpan], wanted: Sequence[ChordSpan]) -> float:
    """Share of the time of the wanted chords in which root and third are heard; 0 where none is wanted."""
    total_s, right_s = 0.0, 0.0
    for span in wanted:
        if span.chord is None:
            continue
        total_s += span.end_s - span.start_s
        for other in heard:
            shared_s = min(span.end_s, other.end_s) - max(span.start_s, other.start_s)
            if shared_s > 0 and other.chord is not None and other.chord.root == span.chord.root:
                thirds = [{3, 4} & set(chord.intervals) for chord in (span.chord, other.chord)]
                right_s += shared_s if thirds[0] == thirds[1] or not thirds[0] else 0.0
    return right_s / total_s if total_s else 0.0


def beat_agreement(heard_s: Sequence[float], wanted_s: Sequence[float], window_s: float = BEAT_WINDOW_S) -> float:
    """F-measure of beats, 0 to 1, each matched with at most one within the window."""
    if not wanted_s or not heard_s:
        return 0.0
    matched, place = 0, 0
    for time_s in wanted_s:
        while place < len(heard_s) and heard_s[place] < time_s - window_s:
            place += 1
        if place < len(heard_s) and abs(heard_s[place] - time_s) <= window_s:
            matched += 1
            place += 1
    return 2.0 * matched / (len(wanted_s) + len(heard_s))


def _compare_beats(heard: Controls, wanted: Controls) -> float | None:
    if wanted.beat_phase is None:
        return None
    wanted_s = read_beats(wanted.beat_phase, wanted.times_s)
    if not wanted_s:
        return None
    heard_s = () if heard.beat_phase is None else read_beats(heard.beat_phase, heard.times_s)
    return beat_agreement(heard_s, wanted_s)


def _compare_tempo(heard: float | None, wanted: float | None) -> float | None:
    if wanted is None:
        return None
    if heard is None:
        return 0.0
    for ratio, credit in ((1.0, 1.0), (2.0, 0.5), (0.5, 0.5)):
        if abs(heard / wanted / ratio - 1.0) <= TEMPO_TOLERANCE:
            return credit
    return 0.0


def _compare_rhythm(heard: Controls, wanted: Controls) -> float | None:
    values = []
    for name in ("onset_low", "onset_high"):
        one, other = getattr(wanted, name), getattr(heard, name)
        if one is None or other is None:
            continue
        value = _correlate(_smooth(one), _smooth(other))
        if value is not None:
            values.append(max(value, 0.0))
    return float(np.mean(values)) if values else None


def _compare_chroma(heard: Floats | None, wanted: Floats | None) -> float | None:
    if heard is None or wanted is None:
        return None
    values = []
    for one, other in zip(wanted.T, heard.T, strict=True):
        value = _correlate(one, other)
        if value is not None:
            values.append(max(value, 0.0))
    return float(np.mean(values)) if values else None


def _compare_melody(heard: Floats | None, wanted: Floats | None) -> float | None:
    if heard is None or wanted is None:
        return None
    leads = np.isfinite(wanted) & (wanted > 0)
    if not leads.any():
        return None
    apart = np.abs((heard[leads] - wanted[leads] + 6.0) % 12.0 - 6.0)
    return float(((apart <= 0.5) & (heard[leads] > 0)).mean())


def _compare_level(heard: Floats | None, wanted: Floats | None) -> float | None:
    if heard is None or wanted is None:
        return None
    value = _correlate(np.maximum(wanted, LEVEL_FLOOR_DB), np.maximum(heard, LEVEL_FLOOR_DB))
    return None if value is None else max(value, 0.0)


def _smooth(strength: Floats) -> Floats:
    """Onsets that lie a frame or two apart still meet."""
    filled = np.where(np.isfinite(strength), strength, 0.0)
    return np.convolve(filled, np.array([0.25, 0.7, 1.0, 0.7, 0.25]), mode="same").astype(np.float32)


def _correlate(one: Floats, other: Floats) -> float | None:
    """Correlation where both say something; None where the first does not vary."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 3 or float(one[known].std()) < 1e-6:
        return None
    if float(other[known].std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(one[known], other[known])[0, 1])
