"""The example loop's notes: eight bars at 120 bpm in A minor, written out rather than drawn."""

from __future__ import annotations

from synthcorpus.compose.grooves import CLAP, CRASH, HAT, KICK, OPEN, SNARE
from synthcorpus.compose.harmony import Chord, voicing
from synthcorpus.compose.piece import Note, Piece, Track

_TEMPO_BPM = 120.0
_STEP_S = 60.0 / _TEMPO_BPM / 4.0
_BARS = 8
_CHORDS = ((9, (0, 3, 7, 10)), (5, (0, 4, 7, 11)), (0, (0, 4, 7, 11)), (7, (0, 4, 7, 10))) * 2
"""Root and intervals per bar: Am7, Fmaj7, Cmaj7, G7, twice."""

_DRUMS = {KICK: "X.....x.X....x..", SNARE: "....X.......X..g", HAT: "x.xgx.xgx.xgx...", OPEN: "..............x."}
_FILL = {KICK: "X.....x.X.......", SNARE: "....X.......x.xx", HAT: "x.xgx.xgx.......", CLAP: "............x..."}
_FORCES = {"X": 110, "x": 88, "g": 50}

_BASS = ((0, 3, 0), (3, 2, 0), (6, 2, 0), (8, 3, 0), (11, 1, 12), (12, 2, 7), (14, 2, 12))
"""(step, length, semitones above the root)."""

_LEAD: tuple[tuple[int, int, int, int], ...] = (
    (0, 0, 3, 76),
    (0, 3, 3, 79),
    (0, 6, 4, 81),
    (0, 12, 2, 79),
    (0, 14, 2, 76),
    (1, 0, 6, 72),
    (1, 8, 4, 74),
    (1, 12, 4, 76),
    (2, 0, 3, 79),
    (2, 3, 3, 76),
    (2, 6, 6, 74),
    (2, 14, 2, 72),
    (3, 0, 8, 71),
    (3, 10, 2, 74),
    (3, 12, 4, 67),
    (4, 0, 3, 76),
    (4, 3, 3, 79),
    (4, 6, 4, 81),
    (4, 12, 2, 84),
    (4, 14, 2, 83),
    (5, 0, 6, 81),
    (5, 8, 4, 79),
    (5, 12, 4, 76),
    (6, 0, 3, 79),
    (6, 3, 3, 76),
    (6, 6, 6, 74),
    (6, 12, 2, 76),
    (6, 14, 2, 79),
    (7, 0, 8, 74),
    (7, 8, 6, 71),
)
"""(bar, step, length, MIDI pitch)."""


def example_piece() -> Piece:
    """Drums, bass, electric piano, strings and a vibraphone lead; 16 s exactly."""
    tracks = (
        Track("drums", "drums", 8, True, False, _drum_notes()),
        Track("bass", "bass", 33, False, False, _bass_notes()),
        Track("chords", "chords", 4, False, False, _chord_notes(((0, 5), (6, 2), (10, 4)), 84)),
        Track("pad", "pad", 48, False, False, _chord_notes(((0, 16),), 60)),
        Track("lead", "melody", 11, False, False, tuple(_note(b, s, n, p, 94) for b, s, n, p in _LEAD)),
    )
    beat_s = 4 * _STEP_S
    return Piece(
        _TEMPO_BPM,
        "4/4",
        "A minor",
        "pop",
        0.5,
        (),
        tracks,
        tuple(beat * beat_s for beat in range(4 * _BARS)),
        tuple(bar * 4 * beat_s for bar in range(_BARS)),
        _BARS * 16 * _STEP_S,
        (9, 11, 0, 2, 4, 5, 7),
    )


def _note(bar: int, step: int, length: float, pitch: int, velocity: int) -> Note:
    return ((bar * 16 + step) * _STEP_S, length * _STEP_S * 0.95, pitch, velocity)


def _drum_notes() -> tuple[Note, ...]:
    notes = [
        _note(bar, step, 1, pitch, _FORCES[mark])
        for bar in range(_BARS)
        for pitch, line in (_FILL if bar == _BARS - 1 else _DRUMS).items()
        for step, mark in enumerate(line)
        if mark != "."
    ]
    return tuple(sorted([*notes, _note(0, 0, 4, CRASH, 78)]))


def _bass_notes() -> tuple[Note, ...]:
    return tuple(
        _note(
            bar,
            step,
            length,
            33 + (root - 9) % 12 + above if root >= 9 else 24 + root + above + 12 * (root < 4),
            96 if step == 0 else 84,
        )
        for bar, (root, _) in enumerate(_CHORDS)
        for step, length, above in _BASS
    )


def _chord_notes(rhythm: tuple[tuple[int, int], ...], velocity: int) -> tuple[Note, ...]:
    notes: list[Note] = []
    previous: tuple[int, ...] = ()
    for bar, (root, intervals) in enumerate(_CHORDS):
        previous = voicing(Chord(root, intervals, bar * 16, 16), 62.0, 4, previous)
        notes += [_note(bar, step, length, pitch, velocity) for step, length in rhythm for pitch in previous]
    return tuple(notes)
