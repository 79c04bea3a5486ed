"""Controls from MIDI files, read by mido: tempo, metre, beats, key, chords, melody and onsets.

The melody is the track called so, else the highest one that mostly plays single notes. Chords are those whose
tones sound for most of each half beat. Everything keeps the file's own time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise

import mido
import numpy as np

from vampnet.controls.charts import ChordSpan
from vampnet.controls.harmony import match_tones, segment_edges, trace_chords
from vampnet.controls.names import METRES, key_text, parse_key
from vampnet.controls.signals import CODEC_HOP, CODEC_RATE_HZ, Controls, Floats as Signal
from vampnet.controls.timeline import paint_melody, paint_onsets, trace_phase
from vampnet.errors import AudioError, SettingsError

DRUM_CHANNEL = 9
LOW_DRUMS = (35, 36, 41, 43)
BASS_TOP_PITCH, LOW_PITCH_TOP = 60, 48
"""Notes below sound in the bass chroma; notes below begin in the low band of onsets."""
MAX_MIDI_S, MAX_MIDI_NOTES = 4 * 3600.0, 500_000
DEFAULT_TEMPO_US = 500_000
LEAD_NAMES = ("melody", "lead", "vocal", "voice", "singer", "solo", "tune")
ONSET_DB = 20.0
"""Onset strength of a note of the greatest velocity, dB."""


@dataclass(frozen=True)
class ScoreNote:
    """One note of a score."""

    start_s: float
    end_s: float
    pitch: int
    velocity: int
    part: tuple[int, int]
    """Track and channel."""

    @property
    def is_drum(self) -> bool:
        """Whether it is played on the drum channel."""
        return self.part[1] == DRUM_CHANNEL


@dataclass(frozen=True)
class MidiScore:
    """Notes, tempo, metre and key of a MIDI file."""

    notes: tuple[ScoreNote, ...]
    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    tempo_bpm: float
    """Tempo that holds for the longest time."""
    metre: str
    """Time signature that holds for the longest time."""
    key: str | None
    """First key signature, None where the file has none."""
    duration_s: float
    names: dict[int, str] = field(default_factory=dict)
    """Names of tracks by number."""


def read_midi(path: str | os.PathLike[str]) -> MidiScore:
    """A MIDI file as a score. Raises AudioError naming the file where it is damaged, empty or too long."""
    try:
        file = mido.MidiFile(os.fspath(path))
        if file.type == 2:
            raise AudioError(f"cannot read '{path}': MIDI files of type 2 hold several pieces; save one as type 0 or 1")
        clock = _Clock(file)
        notes, names = _read_notes(file, clock)
    except AudioError:
        raise
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise AudioError(f"cannot read '{path}' as MIDI: {str(error) or 'it is none, or ends too early'}") from None
    if not notes:
        raise AudioError(f"cannot read '{path}': it has no notes")
    duration_s = max(note.end_s for note in notes)
    if duration_s > MAX_MIDI_S:
        raise AudioError(
            f"cannot read '{path}': it lasts {duration_s:.0f} s, but at most {MAX_MIDI_S:.0f} s can be used"
        )
    beats_s, downbeats_s = clock.beats(duration_s)
    return MidiScore(
        notes, beats_s, downbeats_s, clock.main_tempo(duration_s), clock.main_metre(), clock.key, duration_s, names
    )


def controls_of_midi(
    path: str | os.PathLike[str],
    *,
    n_frames: int | None = None,
    sample_rate_hz: int = CODEC_RATE_HZ,
    hop: int = CODEC_HOP,
) -> Controls:
    """Controls of a MIDI file over `n_frames` frames (None: all of it). Raises AudioError as `read_midi` does."""
    score = read_midi(path)
    if n_frames is None:
        n_frames = max(int(np.ceil(score.duration_s * sample_rate_hz / hop)), 1)
    frames = Controls(n_frames, sample_rate_hz, hop)
    pitched = [note for note in score.notes if not note.is_drum]
    lead = _lead_line(score)
    chords = _find_chords(pitched, score) if pitched else ()
    chroma, bass = _paint_notes(pitched, frames.times_s)
    low = [note for note in score.notes if _is_low(note)]
    high = [note for note in score.notes if not _is_low(note)]
    return Controls(
        n_frames,
        sample_rate_hz,
        hop,
        onset_low=paint_onsets(_strokes(low), frames),
        onset_high=paint_onsets(_strokes(high), frames),
        beat_phase=trace_phase(score.beats_s, frames.times_s),
        bar_phase=trace_phase(score.downbeats_s, frames.times_s) if len(score.downbeats_s) > 1 else None,
        chroma=chroma if pitched else None,
        bass_chroma=bass if pitched else None,
        melody=paint_melody(lead, frames.times_s) if lead else None,
        tempo_bpm=float(np.clip(score.tempo_bpm, 10.0, 1000.0)),
        key=score.key,
        metre=score.metre if score.metre in METRES else None,
        chords=chords or None,
    )


class _Clock:
    """Ticks -> seconds, beats and bars of a file."""

    def __init__(self, file: mido.MidiFile) -> None:
        if file.ticks_per_beat < 1:
            raise ValueError(f"its ticks per beat are {file.ticks_per_beat}")
        self.per_beat = file.ticks_per_beat
        self.tempi: list[tuple[int, int]] = [(0, DEFAULT_TEMPO_US)]
        self.metres: list[tuple[int, int, int]] = [(0, 4, 4)]
        self.key: str | None = None
        self.last_tick = 0
        for track in file.tracks:
            tick = 0
            for message in track:
                tick += message.time
                if message.type == "set_tempo":
                    self.tempi.append((tick, max(message.tempo, 1)))
                elif message.type == "time_signature":
                    self.metres.append((tick, message.numerator, message.denominator))
                elif message.type == "key_signature" and self.key is None:
                    self.key = _signature_key(message.key)
            self.last_tick = max(self.last_tick, tick)
        self.tempi = sorted(dict(self.tempi).items())
        self.metres = [(tick, *metre) for tick, metre in sorted({t: (n, d) for t, n, d in self.metres}.items())]
        self._ticks = np.array([tick for tick, _ in self.tempi], dtype=np.float64)
        rates = np.array([tempo / 1e6 / self.per_beat for _, tempo in self.tempi])
        self._times = np.concatenate([[0.0], np.cumsum(np.diff(self._ticks) * rates[:-1])])
        self._rates = rates

    def seconds(self, tick: float) -> float:
        """Time of a tick."""
        place = max(int(np.searchsorted(self._ticks, tick, side="right")) - 1, 0)
        return float(self._times[place] + (tick - self._ticks[place]) * self._rates[place])

    def beats(self, duration_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Beats and downbeats up to the end: quarters, in 6/8 and its like dotted quarters."""
        beats: list[float] = []
        downbeats: list[float] = []
        for number, (start, numerator, denominator) in enumerate(self.metres):
            stop = self.metres[number + 1][0] if number + 1 < len(self.metres) else np.inf
            unit = self.per_beat * 4.0 / denominator
            is_compound = denominator >= 8 and numerator % 3 == 0 and numerator > 3
            step = unit * (3 if is_compound else max(denominator // 4, 1))
            tick, bar = float(start), unit * numerator
            while tick < stop and self.seconds(tick) < duration_s + 1e-6 and len(beats) < MAX_MIDI_NOTES:
                downbeats.append(self.seconds(tick))
                place = tick
                while place < min(tick + bar, stop) - 1e-6:
                    beats.append(self.seconds(place))
                    place += step
                tick += bar
        kept = [beat for beat in beats if beat < duration_s + 1e-6]
        return tuple(kept), tuple(beat for beat in downbeats if beat < duration_s + 1e-6)

    def main_tempo(self, duration_s: float) -> float:
        """Beats per minute that hold for the longest time; a beat is a dotted quarter in 6/8 and its like."""
        held: dict[int, float] = {}
        for number, (_, tempo) in enumerate(self.tempi):
            end_s = self._times[number + 1] if number + 1 < len(self.tempi) else max(duration_s, self._times[number])
            held[tempo] = held.get(tempo, 0.0) + float(end_s - self._times[number])
        bpm = 60e6 / max(held, key=lambda tempo: held[tempo])
        numerator, denominator = (int(part) for part in self.main_metre().split("/"))
        return bpm / 1.5 if denominator == 8 and numerator % 3 == 0 and numerator > 3 else bpm

    def main_metre(self) -> str:
        """Time signature that holds for the most ticks."""
        held: dict[str, float] = {}
        for number, (start, numerator, denominator) in enumerate(self.metres):
            stop = self.metres[number + 1][0] if number + 1 < len(self.metres) else max(self.last_tick, start + 1)
            name = f"{numerator}/{denominator}"
            held[name] = held.get(name, 0.0) + stop - start
        return max(held, key=lambda name: held[name])


def _read_notes(file: mido.MidiFile, clock: _Clock) -> tuple[tuple[ScoreNote, ...], dict[int, str]]:
    notes: list[ScoreNote] = []
    names: dict[int, str] = {}
    for number, track in enumerate(file.tracks):
        tick = 0
        open_notes: dict[tuple[int, int], tuple[int, int]] = {}
        for message in track:
            tick += message.time
            if message.type == "track_name":
                names[number] = message.name
            if message.type not in ("note_on", "note_off"):
                continue
            place = (message.channel, message.note)
            begun = open_notes.pop(place, None)
            if begun is not None and tick > begun[0]:
                start_s, end_s = clock.seconds(begun[0]), clock.seconds(tick)
                notes.append(ScoreNote(start_s, end_s, message.note, begun[1], (number, message.channel)))
            if message.type == "note_on" and message.velocity > 0:
                open_notes[place] = (tick, message.velocity)
            if len(notes) > MAX_MIDI_NOTES:
                raise ValueError(f"it has more than {MAX_MIDI_NOTES} notes")
    return tuple(sorted(notes, key=lambda note: (note.start_s, note.pitch))), names


def _signature_key(name: str) -> str | None:
    try:
        return key_text(*parse_key(name.replace("m", " minor")))
    except SettingsError:
        return None


def _lead_line(score: MidiScore) -> tuple[tuple[float, float, float], ...]:
    """The melody, one note at a time."""
    parts: dict[tuple[int, int], list[ScoreNote]] = {}
    for note in score.notes:
        if not note.is_drum:
            parts.setdefault(note.part, []).append(note)
    named = [p for p in parts if any(word in score.names.get(p[0], "").lower() for word in LEAD_NAMES)]
    single = [p for p, notes in parts.items() if _overlap_share(notes) < 0.2 and np.mean([n.pitch for n in notes]) > 55]
    able = named or single
    if not able:
        return ()
    chosen = parts[max(able, key=lambda part: float(np.mean([note.pitch for note in parts[part]])))]
    line = []
    for number, note in enumerate(chosen):
        following = chosen[number + 1].start_s if number + 1 < len(chosen) else note.end_s
        if min(note.end_s, following) - note.start_s > 0.01:
            line.append((note.start_s, min(note.end_s, following), float(note.pitch)))
    return tuple(line)


def _overlap_share(notes: list[ScoreNote]) -> float:
    """Share of notes that begin well before the one before them ends."""
    overlaps = [b.start_s < a.end_s - 0.5 * (a.end_s - a.start_s) for a, b in pairwise(notes)]
    return float(np.mean(overlaps)) if overlaps else 0.0


def _find_chords(notes: list[ScoreNote], score: MidiScore) -> tuple[ChordSpan, ...]:
    edges_s = segment_edges(score.beats_s, score.duration_s)
    time_KP, lowest_K = np.zeros((len(edges_s) - 1, 12)), np.full(len(edges_s) - 1, 128)
    for note in notes:
        first = max(int(np.searchsorted(edges_s, note.start_s, side="right")) - 1, 0)
        for place in range(first, len(edges_s) - 1):
            shared_s = min(note.end_s, edges_s[place + 1]) - max(note.start_s, edges_s[place])
            if shared_s <= 0:
                break
            time_KP[place, note.pitch % 12] += shared_s
            lowest_K[place] = min(lowest_K[place], note.pitch)
    return trace_chords(match_tones(time_KP, lowest_K % 12), time_KP.max(axis=1) <= 0, edges_s)


def _paint_notes(notes: list[ScoreNote], times_s: np.ndarray) -> tuple[Signal, Signal]:
    """Chroma and bass chroma (12, T) of notes, the strongest class at 1; 0 in silence."""
    chroma_PT, bass_PT = np.zeros((12, len(times_s)), np.float32), np.zeros((12, len(times_s)), np.float32)
    for note in notes:
        first, stop = np.searchsorted(times_s, (note.start_s, note.end_s))
        chroma_PT[note.pitch % 12, first:stop] += note.velocity / 127.0
        if note.pitch < BASS_TOP_PITCH:
            bass_PT[note.pitch % 12, first:stop] += note.velocity / 127.0
    chroma_PT /= np.maximum(chroma_PT.max(axis=0, keepdims=True), 1e-6)
    bass_PT /= np.maximum(bass_PT.max(axis=0, keepdims=True), 1e-6)
    return chroma_PT, bass_PT


def _is_low(note: ScoreNote) -> bool:
    return note.pitch in LOW_DRUMS if note.is_drum else note.pitch < LOW_PITCH_TOP


def _strokes(notes: list[ScoreNote]) -> list[tuple[float, float]]:
    return [(note.start_s, ONSET_DB * note.velocity / 127.0) for note in notes]
