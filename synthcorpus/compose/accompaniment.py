"""Accompanying parts: bass, chords, arpeggios, pads, stabs. Each takes a section's chords and gives events.

Rhythms of the bass and chord parts are drawn once per section letter (a `seed` for the pattern), so that every
return of a section sounds like itself.
"""

from __future__ import annotations

import numpy as np

from synthcorpus.compose.drums import Event, fit
from synthcorpus.compose.harmony import Chord, Key, chord_at, nearest, scale_pitches, voicing
from synthcorpus.compose.styles import Metre

BASS_PATTERNS: dict[str, tuple[str, ...]] = {
    "root_fifth": ("r.......f.......", "r.....r.f.......", "r...f...r...f..."),
    "eighths": ("r.r.r.r.r.r.r.r.", "r.r.r.r.r.r.f.f.", "r.r.rrr.r.r.r.o."),
    "sixteenths": ("rrrrrrrrrrrrrrrr", "r.rrr.rrr.rrr.rr", "rrrrrroorrrrrroo"),
    "octave": ("r.o.r.o.r.o.r.o.", "r..or..or..or..o", "r.o.r.o.r.oor.o."),
    "offbeat": ("..r...r...r...r.", "..r...r...r...ro", "..rr..rr..rr..rr"),
    "sub": ("r---------------", "r-----....r-----", "r------.r--.f---", "r--r--r---------"),
    "long": ("r---------------", "r-------f-------", "r-----------r---"),
    "dub": ("r..r..r.........", "..r.r...f...o...", "r.....o.f.r....."),
    "funk": ("r..r..o...r.o.s.", "r.r...o.r..ro...", "r..o..r..sr.o..s", "r.....o.f.s.r..."),
    "bossa": ("r.....f.f.....r.", "r--...f-f--...f-"),
    "tumbao": ("......f-----r---", "...f..r-....f-r-", "r..f..o...f.r..."),
    "boogie": ("r.r.t.t.f.f.x.x.", "r.t.f.x.s.x.f.t."),
}
"""r root, f fifth, o octave, t third, s seventh (or fifth), x sixth, - hold; one bar of sixteenths each."""

CHORD_PATTERNS: dict[str, tuple[str, ...]] = {
    "block": ("x---------------", "x-------x-------", "x---x---x---x---", "x-----x-----x---"),
    "strum": ("x---x-x---x-x-x-", "x-x-x-x-x-x-x-x-", "x---x-xx-xx-x-xx", "x-----x-x---x-x-"),
    "power": ("x-x-x-x-x-x-x-x-", "x--x--x---x-x---", "x---------------", "xxx.xxx.xxx.xx.x"),
    "stab": ("x..x..x.........", "..x...x...x...x.", "x.....x.....x...", "...x......x....."),
    "comp16": ("x.gx.gx.g.x.gx.g", "..x..xg.x.g.x..x", "xgxgx.gxg.x.xgx.", "g.x.g..xg.x.gxx."),
    "comp": ("x--...x-........", "......x---..x-..", "..x-......x-....", "x-....x-....x--."),
    "offbeat": ("..x...x...x...x.", "....x.......x...", "..xx..x...xx..x."),
    "bossa": ("x--x--x---x--x--", "x-..x-.x-..x-.x."),
    "montuno": ("x.x..x.x.x.x.x.x", "x.xx.x.xx.x.xx.x"),
    "boomchick": ("....x.......x...", "....x...x...x...", "....x-..x-..x-.."),
    "broken": ("1.2.3.2.1.2.3.2.", "1-2-3-4-3-2-1-2-", "1.3.2.3.1.3.2.3.", "1---2---3---2---"),
}
"""x chord, g muted chord, 1..4 single chord tones, - hold; one bar of sixteenths each."""


def held(line: str, step: int) -> int:
    """Length of the note at `step`: itself and the hold marks that follow it."""
    length = 1
    while step + length < len(line) and line[step + length] == "-":
        length += 1
    return length


def bass_part(
    chords: tuple[Chord, ...], key: Key, kind: str, metre: Metre, bars: int, rng: np.random.Generator
) -> list[Event]:
    """A bass line around MIDI 28 to 52 that follows the chords' roots."""
    centre = float(rng.integers(36, 43))
    if kind == "walking":
        return _walking(chords, key, metre, bars, centre, rng)
    if kind == "riff":
        return _riff(chords, key, metre, bars, centre, rng)
    line = fit(str(rng.choice(BASS_PATTERNS[kind])), metre.steps)
    if "r" not in line[:4]:
        line = line if rng.random() < 0.6 else "r" + line[1:]
    gap = float(rng.uniform(0.75, 1.9)) if "-" not in line else 1.0
    events: list[Event] = []
    for bar in range(bars):
        for step, mark in enumerate(line):
            if mark in ".-":
                continue
            at = bar * metre.steps + step
            pitch = _bass_pitch(chord_at(chords, at), mark, centre)
            length = held(line, step) * gap
            events.append((float(at), length, pitch, 92.0 if step % 4 == 0 else 80.0))
    return events


def _bass_pitch(chord: Chord, mark: str, centre: float) -> int:
    root = nearest(chord.lowest, centre)
    if chord.bass is not None:  # other tones than the written bass would name another chord
        return root + (12 if mark == "o" else 0)
    fifth = 6 if 6 in chord.intervals and 7 not in chord.intervals else 7
    third = 3 if 3 in chord.intervals else 4
    seventh = 11 if 11 in chord.intervals else 10 if 10 in chord.intervals else fifth
    steps = {"r": 0, "f": fifth if root + fifth < centre + 9 else fifth - 12, "o": 12, "t": third, "s": seventh, "x": 9}
    return root + steps[mark]


def _walking(
    chords: tuple[Chord, ...], key: Key, metre: Metre, bars: int, centre: float, rng: np.random.Generator
) -> list[Event]:
    """A note per beat: the root when the chord changes, a step from the next root before it changes, scale between."""
    ladder = scale_pitches(key, int(centre) - 9, int(centre) + 12)
    beats = np.concatenate([[0], np.cumsum(metre.beats)[:-1]])
    events: list[Event] = []
    pitch = nearest(chords[0].lowest, centre)
    for bar in range(bars):
        for index, beat in enumerate(beats):
            at = int(bar * metre.steps + beat)
            chord = chord_at(chords, at)
            following = chord_at(chords, at + metre.beats[index])
            if at - chord.start < metre.beats[index]:
                pitch = nearest(chord.lowest, pitch * 0.5 + centre * 0.5)
            elif following is not chord:
                goal = nearest(following.lowest, pitch)
                pitch = goal + int(rng.choice((-1, 1, -2, 2)))
            else:
                near = ladder[np.argsort(np.abs(ladder - pitch), kind="stable")[1:5]]
                tones = [tone for tone in near if tone % 12 in chord.pitch_classes]
                pitch = int(rng.choice(tones if tones and rng.random() < 0.6 else near))
            length = float(metre.beats[index]) * 0.92
            events.append((float(at), length, int(np.clip(pitch, 26, 57)), 88.0))
            if rng.random() < 0.1:
                events.append((float(at) + metre.beats[index] - 2.0, 1.6, int(np.clip(pitch, 26, 57)), 60.0))
    return events


def _riff(
    chords: tuple[Chord, ...], key: Key, metre: Metre, bars: int, centre: float, rng: np.random.Generator
) -> list[Event]:
    """A rhythm of one bar with tones of the chord and scale, transposed with the chords."""
    onsets = [0, *sorted(rng.choice(np.arange(2, metre.steps), size=rng.integers(2, 6), replace=False))]
    shapes = rng.choice(("r", "r", "f", "o", "s", "t"), size=len(onsets))
    events: list[Event] = []
    for bar in range(bars):
        for index, onset in enumerate(onsets):
            at = bar * metre.steps + int(onset)
            end = onsets[index + 1] if index + 1 < len(onsets) else metre.steps
            mark = "r" if index == 0 else str(shapes[index])
            pitch = _bass_pitch(chord_at(chords, at), mark, centre)
            events.append((float(at), min(float(end - onset) * 0.9, 6.0), pitch, 92.0 if index == 0 else 80.0))
    return events


def chord_part(
    chords: tuple[Chord, ...], kind: str, metre: Metre, bars: int, centre: float, rng: np.random.Generator
) -> list[Event]:
    """Accompaniment in a rhythm of CHORD_PATTERNS; strums spread the tones, power chords are root, fifth, octave."""
    line = fit(str(rng.choice(CHORD_PATTERNS[kind])), metre.steps)
    alternate = fit(str(rng.choice(CHORD_PATTERNS[kind])), metre.steps) if rng.random() < 0.4 else line
    voices = int(rng.integers(3, 5))
    spread = 0.12 if kind in ("strum", "bossa") else 0.0
    previous: tuple[int, ...] = ()
    events: list[Event] = []
    for bar in range(bars):
        marks = alternate if bar % 2 else line
        changes = {chord.start - bar * metre.steps for chord in chords}
        for step, mark in enumerate(marks):
            if mark in ".-" and not (step in changes and mark == "-"):
                continue
            chord = chord_at(chords, bar * metre.steps + step)
            if kind == "power":
                root = nearest(chord.root, 45)
                previous = (root, root + 7, root + 12)
            else:
                previous = voicing(chord, centre, voices, previous)
            at = float(bar * metre.steps + step)
            events += _sound_chord(at, held(marks, step), mark, previous, step, spread)
    return events


def _sound_chord(at: float, length: int, mark: str, pitches: tuple[int, ...], step: int, spread: float) -> list[Event]:
    velocity = 86.0 if step % 4 == 0 else 76.0
    if mark.isdigit():
        return [(at, max(length, 2) * 1.0, pitches[(int(mark) - 1) % len(pitches)], velocity)]
    if mark == "g":
        return [(at, 0.5, pitch, 48.0) for pitch in pitches]
    order = pitches if step % 4 == 0 else pitches[::-1]
    return [(at + spread * rank, length * 0.95, pitch, velocity) for rank, pitch in enumerate(order)]


def arpeggio_part(
    chords: tuple[Chord, ...], metre: Metre, bars: int, centre: float, rng: np.random.Generator
) -> list[Event]:
    """Broken chords: up, down, up and down, random order, or Alberti, in eighths, sixteenths or triplets."""
    shape = str(rng.choice(("up", "down", "updown", "random", "alberti")))
    rate = float(rng.choice((1.0, 2.0, 2.0, 4.0 / 3.0))) if metre.name != "6/8" else 2.0
    length = float(rng.choice((0.6, 0.95, 2.0)))
    octaves = int(rng.integers(1, 3))
    order = rng.permutation(8)
    events: list[Event] = []
    total = bars * metre.steps
    for index in range(int(total / rate)):
        at = index * rate
        chord = chord_at(chords, at)
        tones = voicing(chord, centre, 4)
        tones = tuple(tone + 12 * octave for octave in range(octaves) for tone in tones)
        position = index % max(1, int(metre.steps / rate))
        pitch = tones[_arpeggio_index(shape, position, len(tones), order)]
        events.append((at, rate * length, pitch, 82.0 if at % 4 == 0 else 68.0))
    return events


def _arpeggio_index(shape: str, position: int, count: int, order: np.ndarray) -> int:
    if shape == "up":
        return position % count
    if shape == "down":
        return count - 1 - position % count
    if shape == "updown":
        cycle = max(1, 2 * count - 2)
        return count - 1 - abs(count - 1 - position % cycle)
    if shape == "alberti":
        return (0, 2, 1, 2)[position % 4] % count
    return int(order[position % 8]) % count


def pad_part(chords: tuple[Chord, ...], centre: float, rng: np.random.Generator) -> list[Event]:
    """Held chords that overlap a little; tones common to two chords are struck again softly."""
    voices = int(rng.integers(3, 5))
    previous: tuple[int, ...] = ()
    events: list[Event] = []
    for chord in chords:
        previous = voicing(chord, centre, voices, previous)
        events += [(float(chord.start), chord.steps * 1.02, pitch, 66.0) for pitch in previous]
    return events


def stab_part(
    chords: tuple[Chord, ...], metre: Metre, bars: int, centre: float, rng: np.random.Generator
) -> list[Event]:
    """Short hits in one bar of every two or four."""
    every = int(rng.choice((2, 4)))
    onsets = np.sort(rng.choice(metre.steps, size=rng.integers(1, 4), replace=False))
    events: list[Event] = []
    for bar in range(every - 1, bars, every):
        for onset in onsets:
            at = bar * metre.steps + int(onset)
            events += [(float(at), 1.2, pitch, 96.0) for pitch in voicing(chord_at(chords, at), centre, 4)]
    return events
