"""Exact truth of a composed piece: tempo, key, beats, chords, melody, instruments; times in seconds.

The sound of a piece follows these values by construction, so what is heard in its audio can be measured against them.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Any

from synthcorpus.compose.piece import BeatGrid, Piece, Track
from synthcorpus.compose.style_table import STYLES
from synthcorpus.compose.styles import FAMILIES, METRES

SoundingChord = tuple[float, float, int, tuple[int, ...], int]
"""(start_s, end_s, root 0..11, intervals in semitones above it, bass 0..11)."""
SoundingNote = tuple[float, float, int]
"""(start_s, end_s, MIDI pitch)."""


@dataclass(frozen=True)
class PieceTruth:
    """Ground truth of a piece."""

    tempo_bpm: float
    """Beats per minute; a beat is a quarter, in 6/8 a dotted quarter."""
    metre: str
    key: str
    """Tonic and mode, such as "D minor"; the mode is one of the composer's."""
    style: str
    instruments: tuple[str, ...]
    """Families of the instruments that play, "drums" among them."""
    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    chords: tuple[SoundingChord, ...]
    """Chords in order, empty for styles without chords."""
    melody: tuple[SoundingNote, ...]
    """Notes of the leading part, one at a time; empty where nothing leads."""
    duration_s: float


def piece_truth(piece: Piece) -> PieceTruth:
    """The truth of a piece, also of one whose tempo sways."""
    instruments = tuple(dict.fromkeys(_family(track) for track in piece.tracks))
    return PieceTruth(
        piece.tempo_bpm,
        piece.metre,
        piece.key,
        piece.style,
        instruments,
        piece.beat_times_s,
        piece.downbeat_times_s,
        _chords(piece) if _has_harmony(piece) else (),
        leading_notes(piece),
        piece.duration_s,
    )


def describe_truth(piece: Piece) -> dict[str, Any]:
    """Chords, melody and instruments of a piece as plain data for an index; the rest stands there already."""
    truth = piece_truth(piece)
    return {
        "instruments": list(truth.instruments),
        "chords": [[round(a, 3), round(b, 3), root, list(tones), bass] for a, b, root, tones, bass in truth.chords],
        "melody": [[round(a, 3), round(b, 3), pitch] for a, b, pitch in truth.melody],
    }


def leading_notes(piece: Piece) -> tuple[SoundingNote, ...]:
    """The melody as one line: where notes overlap the later one counts, as ears follow it."""
    lead = next((track for track in piece.tracks if track.role == "melody"), None)
    if lead is None:
        return ()
    notes = sorted((start, start + length, pitch) for start, length, pitch, _ in lead.notes)
    line: list[SoundingNote] = []
    for number, (start, end, pitch) in enumerate(notes):
        following = notes[number + 1][0] if number + 1 < len(notes) else end
        if min(end, following) - start > 0.01:
            line.append((start, min(end, following), pitch))
    return tuple(line)


def _has_harmony(piece: Piece) -> bool:
    """Whether chords are played; a sketch of drums alone has them where its chart asks for them."""
    if piece.style == "drums_only":
        return any(track.role in ("chords", "pad", "arpeggio") for track in piece.tracks)
    return piece.style != "drone"


def _family(track: Track) -> str:
    if track.is_drums:
        return track.role
    return next((name for name, programs in FAMILIES.items() if track.program in programs), track.role)


def _chords(piece: Piece) -> tuple[SoundingChord, ...]:
    chords: list[SoundingChord] = []
    metre = METRES[piece.metre]
    for section in piece.sections:
        first, end = section.start_bar * metre.steps, (section.start_bar + section.bars) * metre.steps
        for chord in section.chords:
            start = first + chord.start
            stop = min(start + chord.steps, end)
            if start >= end:
                break
            if chord.sounds:
                span = (_time_s(piece, start), _time_s(piece, stop))
                chords.append((*span, chord.root, chord.intervals, chord.lowest))
    return tuple(chords)


def _time_s(piece: Piece, step: float) -> float:
    """Seconds of a sixteenth: swung within its beat, and moved with the beats where the tempo sways."""
    metre = METRES[piece.metre]
    style = next((s for s in STYLES if s.name == piece.style), None)
    place = BeatGrid(1.0, piece.swing, style.swing_steps if style else 2).time_s(step)
    bar, within = divmod(place, metre.steps)
    edges = [sum(metre.beats[:n]) for n in range(len(metre.beats) + 1)]
    beat = min(bisect.bisect_right(edges, within), len(metre.beats)) - 1
    number = int(bar) * len(metre.beats) + beat
    share = (within - edges[beat]) / metre.beats[beat]
    times = (*piece.beat_times_s, piece.duration_s)
    if number >= len(times) - 1:
        return piece.duration_s
    return times[number] + share * (times[number + 1] - times[number])
