"""Features of controls, as the conditioning network reads them: numbers near 1, and a flag where something is said.

Each control of `vampnet.controls.signals` has columns of its own; the last of them is its flag, 1 where the control
says something. Where it says nothing all of its columns are 0, so a frame without any control adds nothing.

Axis letters: T frame, I feature, P pitch class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vampnet.controls.names import METRES, parse_key, third_of_mode
from vampnet.controls.signals import SIGNALS, Controls
from vampnet.models.config import ConditioningConfig

Features = NDArray[np.float32]

BEAT_HARMONICS = (1, 2, 3, 4, 6, 8)
"""Waves per beat that the beat phase is spelled in; the fastest one tells a sixteenth from its neighbours."""
BAR_HARMONICS = (1, 2, 3, 4)
"""Waves per bar that the bar phase is spelled in."""
MIDDLE_DB, SPREAD_DB = -24.0, 12.0
"""Loudness of the codec's input, and how far levels lie from it."""
ONSET_DB = 10.0
"""Rise that counts as 1."""
MIDDLE_PITCH, PITCH_SPREAD = 66.0, 18.0
MIDDLE_BPM = 110.0


def columns(config: ConditioningConfig) -> dict[str, slice]:
    """Columns of each control; together 0 to `n_features`."""
    widths = {
        "loudness_db": 1, "onset_low": 1, "onset_high": 1, "beat_phase": 2 * len(BEAT_HARMONICS),
        "bar_phase": 2 * len(BAR_HARMONICS), "chroma": 12, "bass_chroma": 12, "melody": 14, "tempo_bpm": 1, "key": 14,
        "metre": len(METRES), "style": len(config.styles), "instruments": len(config.instruments),
    }  # fmt: skip
    places, first = {}, 0
    for name, width in widths.items():
        places[name] = slice(first, first + width + 1)
        first += width + 1
    return places


def n_features(config: ConditioningConfig) -> int:
    """Number of features per frame."""
    return max(place.stop for place in columns(config).values())


def control_features(controls: Controls, config: ConditioningConfig) -> Features:
    """Features (T, I) of controls; 0 wherever nothing is said."""
    features_TI = np.zeros((controls.n_frames, n_features(config)), np.float32)
    for name, place in columns(config).items():
        value = getattr(controls, name)
        if value is None:
            continue
        spelled = _spell_signal(name, value) if name in SIGNALS else _spell_fact(name, value, config)
        if spelled is None:
            continue
        known_T1 = np.isfinite(spelled).all(axis=1, keepdims=True)
        features_TI[:, place] = np.where(known_T1, np.column_stack([spelled, np.ones(len(spelled))]), 0.0)
    return features_TI


def _spell_signal(name: str, signal: NDArray[np.float32]) -> Features:
    """Features (T, n) of a signal, NaN where it says nothing."""
    return _SPELLED[name](signal).astype(np.float32)


def _waves(harmonics: Sequence[int]) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    def spell(phase_T: NDArray[np.float32]) -> NDArray[np.float64]:
        angle_TN = 2.0 * np.pi * phase_T[:, None] * np.array(harmonics)
        return np.concatenate([np.cos(angle_TN), np.sin(angle_TN)], axis=1)

    return spell


def _onsets(strength_T: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.maximum(strength_T, 0.0) / ONSET_DB)[:, None]


def _melody(pitch_T: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pitch class, shared between neighbours, height, and whether anything leads."""
    leads_T = np.where(np.isfinite(pitch_T), pitch_T > 0, False)
    distance_TP = np.abs((pitch_T[:, None] - np.arange(12) + 6.0) % 12.0 - 6.0)
    classes_TP = np.maximum(1.0 - distance_TP, 0.0)
    spelled = np.column_stack([classes_TP, (pitch_T - MIDDLE_PITCH) / PITCH_SPREAD, np.ones(len(pitch_T))])
    return np.where(leads_T[:, None], spelled, np.where(np.isfinite(pitch_T)[:, None], 0.0, np.nan))


_SPELLED: dict[str, Callable[[NDArray[np.float32]], NDArray]] = {
    "loudness_db": lambda level_T: np.clip((level_T - MIDDLE_DB) / SPREAD_DB, -4.0, 2.0)[:, None],
    "onset_low": _onsets,
    "onset_high": _onsets,
    "beat_phase": _waves(BEAT_HARMONICS),
    "bar_phase": _waves(BAR_HARMONICS),
    "chroma": lambda chroma_PT: chroma_PT.T,
    "bass_chroma": lambda chroma_PT: chroma_PT.T,
    "melody": _melody,
}


def _spell_fact(name: str, value: object, config: ConditioningConfig) -> Features | None:
    """Features (1, n) of what holds for a whole piece; None for a name that no column stands for."""
    if name == "tempo_bpm":
        return np.array([[np.log2(float(value) / MIDDLE_BPM)]], np.float32)  # type: ignore[arg-type]
    if name == "key":
        tonic, mode = parse_key(str(value))
        return _hot([tonic, 12 + (third_of_mode(mode) == "minor")], 14)
    if name == "metre":
        return _hot([METRES.index(str(value))], len(METRES)) if value in METRES else None
    known = config.styles if name == "style" else config.instruments
    names = [str(value)] if isinstance(value, str) else [str(one) for one in value]  # type: ignore[attr-defined]
    places = [known.index(one) for one in names if one in known]
    return _hot(places, len(known)) if places else None


def _hot(places: Sequence[int], width: int) -> Features:
    row = np.zeros((1, width), np.float32)
    row[0, list(places)] = 1.0
    return row
