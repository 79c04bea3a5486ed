"""Controls beside the codes of a token shard: a file of float16, frames x ROWS, and facts of each piece.

`shard-00000.f16` holds the signals of `vampnet.controls.signals` in their order, NaN where nothing is known; the
shard's JSON holds tempo, key, metre, style and instruments of each entry under "facts". A shard without controls has
neither, and is read as before.

Axis letters: T frame, I row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.audio.samples import Audio
from vampnet.controls.charts import ChordSpan
from vampnet.controls.composed import controls_of_line
from vampnet.controls.extraction import EXTRACTED, ExtractionConfig, extract_controls
from vampnet.controls.names import ChordName, key_text, parse_key
from vampnet.controls.signals import SIGNALS, Controls
from vampnet.controls.timeline import paint_chords

N_ROWS = sum(kind.rows for kind in SIGNALS.values())
"""Rows of all signals together."""
FACTS = ("tempo_bpm", "key", "metre", "style", "instruments")
"""Controls of a whole piece."""
SOUND_CONTROLS = ("loudness_db", "onset_low", "onset_high", "chroma", "bass_chroma")
"""Controls measured in the sound of composed pieces too: the score does not say them, or says them otherwise."""
PAINTED_EVERY = 3
"""One version of so many has the chroma of its chords as written, the others the one that is heard."""
SUFFIX = ".f16"


def control_path(codes_path: Path) -> Path:
    """The file of controls beside a shard's codes."""
    return codes_path.with_suffix(SUFFIX)


def pack_signals(controls: Controls) -> np.ndarray:
    """All signals as float16 (T, I); NaN where nothing is said."""
    rows_IT = np.full((N_ROWS, controls.n_frames), np.nan, np.float32)
    first = 0
    for name, kind in SIGNALS.items():
        signal = getattr(controls, name)
        if signal is not None:
            rows_IT[first : first + kind.rows] = signal
        first += kind.rows
    return rows_IT.T.astype(np.float16)


def unpack_signals(rows_TI: np.ndarray, facts: Mapping[str, Any]) -> Controls:
    """Controls from the rows (T, I) and facts of a piece or of a part of it; signals without a value are absent."""
    values: dict[str, Any] = {}
    first = 0
    for name, kind in SIGNALS.items():
        signal = rows_TI[:, first : first + kind.rows].T.astype(np.float32)
        if not np.isnan(signal).all():
            values[name] = signal[0] if kind.rows == 1 else signal
        first += kind.rows
    values |= {name: facts[name] for name in FACTS if name in facts}
    if "instruments" in values:
        values["instruments"] = tuple(values["instruments"])
    return Controls(len(rows_TI), **values)


def describe_facts(controls: Controls) -> dict[str, Any]:
    """Facts of a piece as plain data; what is not known is left out."""
    facts = {name: getattr(controls, name) for name in FACTS}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in facts.items() if v is not None}


def hear_controls(
    mono: np.ndarray, sample_rate_hz: int, hop: int, n_frames: int, names: Sequence[str] = EXTRACTED
) -> Controls:
    """Controls heard in a signal (samples,) that is levelled as the codec's input is, over `n_frames` frames."""
    config = ExtractionConfig(tuple(names), sample_rate_hz, hop)
    return extract_controls(Audio(mono[None], sample_rate_hz), config).slice(0, n_frames)


def version_controls(
    described: Mapping[str, Any],
    mono: np.ndarray,
    sample_rate_hz: int,
    hop: int,
    n_frames: int,
    speed: float,
    turn: int,
) -> Controls:
    """Controls of a composed piece that is played `speed` times as fast: exact from its score, levels from its sound.

    described: the piece's line of the index; of one that says nothing of its music only levels and chroma are known.
    turn: every PAINTED_EVERY-th version has its chroma from the chords as written.
    """
    heard = hear_controls(mono, sample_rate_hz, hop, n_frames, SOUND_CONTROLS)
    exact = controls_of_line(described, n_frames=round(n_frames * speed) + 1, sample_rate_hz=sample_rate_hz, hop=hop)
    if exact is None:
        return heard
    exact = play_faster(exact, speed, n_frames)
    known = {name: getattr(heard, name) for name in SOUND_CONTROLS}
    if exact.chroma is not None and turn % PAINTED_EVERY == 0:
        known |= {"chroma": exact.chroma, "bass_chroma": exact.bass_chroma}
    return dataclasses.replace(exact, **known)


def play_faster(controls: Controls, speed: float, n_frames: int) -> Controls:
    """The same music `speed` times as fast, its pitches higher in the same measure, over `n_frames` frames.

    Chords, chroma and key move by whole semitones, as listeners tune to what they hear; the melody moves exactly.
    """
    if speed == 1.0:
        return controls.slice(0, n_frames)
    semitones = 12.0 * float(np.log2(speed))
    steps = round(semitones)
    rate_hz = controls.sample_rate_hz
    slower = dataclasses.replace(controls, sample_rate_hz=round(rate_hz * speed))  # the same frames pass in less time
    chords = tuple(
        ChordSpan(span.start_s / speed, span.end_s / speed, span.chord and _transpose(span.chord, steps))
        for span in controls.chords or ()
    )
    slower = dataclasses.replace(slower, chords=None).resample(n_frames, rate_hz, controls.hop)
    changes: dict[str, Any] = {"chords": chords or None}
    if chords:
        changes["chroma"], changes["bass_chroma"] = paint_chords(chords, slower.times_s)
    if slower.melody is not None:
        changes["melody"] = np.where(slower.melody > 0, np.clip(slower.melody + semitones, 1, 127), slower.melody)
    if controls.tempo_bpm is not None:
        changes["tempo_bpm"] = controls.tempo_bpm * speed
    if controls.key is not None:
        tonic, mode = parse_key(controls.key)
        changes["key"] = key_text((tonic + steps) % 12, mode)
    return dataclasses.replace(slower, **changes)


def _transpose(chord: ChordName, steps: int) -> ChordName:
    bass = None if chord.bass is None else (chord.bass + steps) % 12
    return dataclasses.replace(chord, root=(chord.root + steps) % 12, bass=bass)
