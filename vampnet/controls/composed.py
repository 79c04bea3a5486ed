"""Exact controls of composed pieces, from the composer's truth or from a line of a corpus index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from synthcorpus.truth import PieceTruth
from vampnet.controls.charts import ChordSpan
from vampnet.controls.names import METRES, chord_of_tones, key_text, parse_key
from vampnet.controls.signals import CODEC_HOP, CODEC_RATE_HZ, Controls
from vampnet.controls.timeline import paint_chords, paint_melody, trace_phase
from vampnet.errors import SettingsError


def controls_of_truth(
    truth: PieceTruth, *, n_frames: int, sample_rate_hz: int = CODEC_RATE_HZ, hop: int = CODEC_HOP
) -> Controls:
    """Controls of a piece over `n_frames` frames; loudness and onsets, which depend on the sound, are absent."""
    frames = Controls(n_frames, sample_rate_hz, hop)
    times_s = frames.times_s
    chords = tuple(
        ChordSpan(start, end, chord_of_tones(root, tones, None if bass == root else bass))
        for start, end, root, tones, bass in truth.chords
    )
    chroma, bass = paint_chords(chords, times_s) if chords else (None, None)
    return Controls(
        n_frames,
        sample_rate_hz,
        hop,
        beat_phase=trace_phase(truth.beats_s, times_s) if len(truth.beats_s) > 1 else None,
        bar_phase=trace_phase(truth.downbeats_s, times_s) if len(truth.downbeats_s) > 1 else None,
        chroma=chroma,
        bass_chroma=bass,
        melody=paint_melody(truth.melody, times_s) if truth.melody else None,
        tempo_bpm=truth.tempo_bpm,
        key=plain_key(truth.key),
        metre=truth.metre if truth.metre in METRES else None,
        style=truth.style,
        instruments=truth.instruments,
        chords=chords or None,
    )


def controls_of_line(
    line: Mapping[str, Any], *, n_frames: int, sample_rate_hz: int = CODEC_RATE_HZ, hop: int = CODEC_HOP
) -> Controls | None:
    """Controls of a file from its line in a corpus index; None where the index says nothing of its music."""
    if "chords" not in line or "melody" not in line:
        return None
    truth = PieceTruth(
        float(line["tempo_bpm"]),
        str(line["metre"]),
        str(line["key"]),
        str(line["style"]),
        tuple(line.get("instruments", ())),
        tuple(line["beats"]),
        tuple(line["downbeats"]),
        tuple((a, b, root, tuple(tones), bass) for a, b, root, tones, bass in line["chords"]),
        tuple((a, b, pitch) for a, b, pitch in line["melody"]),
        float(line.get("duration_s", np.inf)),
    )
    return controls_of_truth(truth, n_frames=n_frames, sample_rate_hz=sample_rate_hz, hop=hop)


def plain_key(key: str) -> str | None:
    """A key of the composer in the words of controls; None for scales that have no such name."""
    try:
        return key_text(*parse_key(key.replace("_", " ")))
    except SettingsError:
        return None
