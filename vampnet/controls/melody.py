"""Pitch of a leading voice: alone (a hummed line, by pYIN) or in a mix (by salience), and the notes of such a line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import soxr
from numpy.typing import NDArray

from vampnet.audio.compiled import librosa
from vampnet.controls.signals import REST
from vampnet.controls.spectra import LOWEST, RATE_HZ, SemitoneSpectra

LOW_PITCH, HIGH_PITCH = 36, 96
"""Range of a leading voice, MIDI numbers."""
MIX_LOW_PITCH, MIX_HIGH_PITCH = 53, 93
"""Range in a mix, where bass and chords lie below."""
VOICE_RATE_HZ, VOICE_FFT, VOICE_HOP = 11025, 1024, 128
HARMONIC_FFT, STRAY_SHARE = 2048, 0.05
"""Window for harmonics; a pitch is too low where all but every second, third or fifth have less than this share."""
JUMP_COST = 0.1
"""Cost of a step of the melody in a mix, in units of salience."""
VOICED_SALIENCE = 0.45
"""A semitone less salient than this, where the strongest of the piece is about 1, does not lead."""
QUIET_DB = 35.0
"""A voice this far below its loudest is silent, dB."""
MIN_NOTE_S, JOIN_S = 0.07, 0.05
"""Shortest note; gap across which a pitch goes on."""

Note = tuple[float, float, float]
"""(start_s, end_s, MIDI pitch)."""
Floats = NDArray[np.float32]


def trace_voice(mono: Floats) -> tuple[NDArray[np.float64], Floats]:
    """Pitch of a voice alone, at RATE_HZ: times in seconds and MIDI pitches, REST where it is silent (pYIN)."""
    if float(np.abs(mono).max(initial=0.0)) < 1e-4:
        return np.zeros(1), np.full(1, REST, np.float32)
    mono = soxr.resample(mono, RATE_HZ, VOICE_RATE_HZ)
    hertz, voiced, _ = librosa.pyin(
        mono,
        fmin=float(librosa.midi_to_hz(LOW_PITCH)),
        fmax=float(librosa.midi_to_hz(HIGH_PITCH)),
        sr=VOICE_RATE_HZ,
        frame_length=VOICE_FFT,
        hop_length=VOICE_HOP,
        resolution=0.2,
        fill_na=np.nan,
    )
    level_db = librosa.amplitude_to_db(librosa.feature.rms(y=mono, frame_length=VOICE_FFT, hop_length=VOICE_HOP)[0])
    n = min(len(hertz), len(level_db))
    sounds = voiced[:n] & np.isfinite(hertz[:n]) & (level_db[:n] > level_db.max() - QUIET_DB)
    hertz = _raise_octaves(np.where(sounds, hertz[:n], 440.0), mono)
    pitch = np.where(sounds, librosa.hz_to_midi(hertz), REST)
    return np.arange(n) * VOICE_HOP / VOICE_RATE_HZ, pitch.astype(np.float32)


def _raise_octaves(hertz: NDArray[np.float64], mono: Floats) -> NDArray[np.float64]:
    """Pitches that are no fraction of the true one: autocorrelation takes two or three periods for one, but then only
    every second or third harmonic is there."""
    power = np.square(np.abs(librosa.stft(mono, n_fft=HARMONIC_FFT, hop_length=VOICE_HOP)))
    power = np.pad(power, ((0, 0), (0, max(len(hertz) - power.shape[1], 0))), mode="edge")
    bin_hz, frames = VOICE_RATE_HZ / HARMONIC_FFT, np.arange(len(hertz))
    raised = hertz.copy()
    for factor in (5, 3, 2, 2):
        true, others = np.zeros(len(hertz)), np.zeros(len(hertz))
        for harmonic in range(1, 2 * factor + 5):
            centre = np.round(raised * harmonic / bin_hz).astype(int)
            inside = centre < power.shape[0] - 2
            strength = np.max([power[np.where(inside, centre + step, 0), frames] for step in (-1, 0, 1)], axis=0)
            total = others if harmonic % factor else true
            total += np.where(inside, strength, 0.0)
        raised = np.where(others < STRAY_SHARE * true, factor * raised, raised)
    return raised


def trace_melody(spectra: SemitoneSpectra) -> Floats:
    """Pitch of the leading voice of a mix per spectrum (U,), whole semitones, REST where none stands out."""
    rows = spectra.strength_NU
    salience = rows.copy()
    for step, share in ((12, 0.5), (19, 0.3), (24, 0.2)):  # octave, twelfth, double octave: overtones speak for it
        salience[:-step] += share * np.minimum(rows[step:], rows[:-step] * 2.0)
        salience[step:] -= 0.35 * share * rows[:-step]
    low, high = MIX_LOW_PITCH - LOWEST, MIX_HIGH_PITCH - LOWEST
    salience = np.maximum(salience[low : high + 1], 0.0)
    scale = float(np.percentile(salience.max(axis=0), 95)) if salience.size else 0.0
    if scale <= 0.0:
        return np.full(rows.shape[1], REST, np.float32)
    salience = salience / scale
    salience *= np.linspace(0.8, 1.1, len(salience))[:, None]  # the leading voice tends to lie on top
    path = _follow(salience)
    strength = salience[path, np.arange(len(path))]
    return np.where(strength >= VOICED_SALIENCE, path + MIX_LOW_PITCH, REST).astype(np.float32)


def _follow(salience: NDArray[np.floating]) -> NDArray[np.int64]:
    """The row of each column on the path with the highest sum, less what its jumps cost."""
    n_rows, n_columns = salience.shape
    distance = np.abs(np.subtract.outer(np.arange(n_rows), np.arange(n_rows)))
    cost = JUMP_COST * np.minimum(1.0 + 0.1 * distance, 2.5) * (distance > 0)
    score = salience[:, 0].astype(np.float64)
    back = np.zeros(salience.shape, dtype=np.int64)
    for column in range(1, n_columns):
        options = score[:, None] - cost
        back[:, column] = options.argmax(axis=0)
        score = options.max(axis=0) + salience[:, column]
    path = np.zeros(n_columns, dtype=np.int64)
    path[-1] = int(score.argmax())
    for column in range(n_columns - 1, 0, -1):
        path[column - 1] = back[path[column], column]
    return path


def split_notes(times_s: NDArray[np.floating], pitch: Floats, onsets_s: Sequence[float] = ()) -> tuple[Note, ...]:
    """Notes of a line of pitches: a new one begins with a new semitone that lasts, at an onset, and after a rest.

    Glides between two notes are part of the earlier one; the pitch of a note is its middle value, to the semitone.
    """
    if len(times_s) < 2:
        return ()
    step_s = float(times_s[1] - times_s[0])
    semitone = _steady_semitones(pitch, max(int(MIN_NOTE_S / step_s), 1), max(int(JOIN_S / step_s), 1))
    starts = np.zeros(len(semitone), dtype=bool)
    for onset_s in onsets_s:
        place = round((onset_s - float(times_s[0])) / step_s)
        if 0 < place < len(starts):
            starts[place] = True
    notes: list[Note] = []
    first = 0
    for place in range(1, len(semitone) + 1):
        ends = place == len(semitone) or semitone[place] != semitone[first]
        if not ends and not (starts[place] and (place - first) * step_s >= MIN_NOTE_S):
            continue
        if semitone[first] != REST and (place - first) * step_s >= MIN_NOTE_S:
            notes.append(
                (float(times_s[first]), float(times_s[first]) + (place - first) * step_s, float(semitone[first]))
            )
        first = place
    return tuple(notes)


def _steady_semitones(pitch: Floats, shortest: int, gap: int) -> NDArray[np.int64]:
    """Semitones per frame in which neither notes shorter than `shortest` nor rests shorter than `gap` frames occur."""
    semitone = np.round(pitch).astype(np.int64)
    runs = _runs(semitone)
    for number, (start, stop) in enumerate(runs):
        before = int(semitone[start - 1]) if start else 0
        is_rest = semitone[start] == int(REST)
        if number and ((is_rest and stop - start < gap) or (not is_rest and stop - start < shortest)):
            after = int(semitone[stop]) if stop < len(semitone) else 0
            semitone[start:stop] = after if before == int(REST) and not is_rest else before
    return semitone


def _runs(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return list(pairwise(edges))
