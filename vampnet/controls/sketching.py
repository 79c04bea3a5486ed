"""Sketches as audio: from words, from a tapped rhythm and from a hummed line, rendered by the composer's synthesis.

A sketch is music by rule, and says so; the model re-imagines it at a chosen distance. It needs no model and no sound
font, and its number of samples is exact.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import soxr

from synthcorpus.compose.piece import Note as PieceNote, Piece, Track
from synthcorpus.instruments import INSTRUMENTS
from synthcorpus.sketch import PlannedChord, SketchPlan, render_sketch, write_sketch
from synthcorpus.truth import piece_truth
from vampnet.audio.files import Audio
from vampnet.audio.units import samples_to_frames, seconds_to_samples
from vampnet.config import check
from vampnet.controls.composed import controls_of_truth
from vampnet.controls.config import HumConfig, TapConfig
from vampnet.controls.melody import split_notes, trace_voice
from vampnet.controls.names import parse_key
from vampnet.controls.onsets import Hit, find_hits
from vampnet.controls.signals import CODEC_HOP, CODEC_RATE_HZ, Controls
from vampnet.controls.spectra import RATE_HZ
from vampnet.controls.timeline import paint_melody, paint_onsets
from vampnet.controls.words import ControlWords
from vampnet.errors import AudioError, SettingsError

DEFAULT_BARS = 8
"""Length of a sketch where the words do not say it, bars."""
MAX_SKETCH_S = 3600.0
DRUM_PITCHES = {"kick": 36, "snare": 38, "hat": 42}
"""General MIDI drum that plays each kind of hit."""
TAP_DB = 20.0
"""Onset strength of a hit in the controls of a sketch, dB."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """A rendered sketch and what is exactly known of it."""

    audio: Audio
    """Stereo."""
    controls: Controls
    """Exact tempo, key, beats, chords and melody, in frames of the embedded codec."""
    words: ControlWords
    """The words it was made from, with what they left open filled in."""
    seed: int
    loops: bool
    """Whether its end leads into its beginning."""


def sketch(
    words: ControlWords, *, sample_rate_hz: int = 44100, seed: int = 0, seconds: float | None = None, loops: bool = True
) -> Sketch:
    """Write and render music to words.

    Args:
        words: what is asked for; what they leave open is drawn from the seed.
        sample_rate_hz: sample rate, Hz, 8000 to 192000.
        seed: 0 or more; another seed gives other music to the same words.
        seconds: length where the words say no bars: the bars are cut there, and nothing loops.
        loops: whether the end leads into the beginning; False: it fades out in its last 20 ms.

    Raises:
        SettingsError: words with bars and seconds as well, or music that is too long.
    """
    check("sample_rate_hz", sample_rate_hz, 8000, 192000)
    check("seed", seed, 0, 2**63 - 1)
    if seconds is not None:
        check("seconds", seconds, 0.1, MAX_SKETCH_S)
        if words.bars is not None:
            raise SettingsError(f"bars is {words.bars} and seconds is {seconds:g}, but only one of them can be given")
    plan = plan_sketch(words)
    piece = write_sketch(plan, seed)
    if seconds is not None:
        bars = math.ceil(seconds / (piece.duration_s / plan.bars) - 1e-9)
        piece = write_sketch(dataclasses.replace(plan, bars=bars), seed)
        loops = loops and abs(piece.duration_s - seconds) < 0.5 / sample_rate_hz
    check("length of the sketch in seconds", piece.duration_s if seconds is None else seconds, 0.1, MAX_SKETCH_S)
    n_samples = seconds_to_samples(piece.duration_s if seconds is None else seconds, sample_rate_hz)
    samples = render_sketch(piece, sample_rate_hz, seed, loops=loops, n_samples=n_samples)
    controls = controls_of_truth(piece_truth(piece), n_frames=_codec_frames(n_samples, sample_rate_hz))
    names = tuple(dict.fromkeys(track.name for track in piece.tracks))
    filled = dataclasses.replace(
        words,
        bpm=piece.tempo_bpm,
        key=controls.key,
        metre=piece.metre,
        bars=words.bars if seconds is not None else plan.bars,
        style=piece.style,
        instruments=(*names, *(name for name in words.instruments if name.startswith("no "))),
    )
    return Sketch(Audio(samples, sample_rate_hz), controls, filled, seed, loops)


def sketch_length_s(words: ControlWords, seed: int) -> float:
    """Length of the music to words and a seed where no seconds are given, without rendering it."""
    return write_sketch(plan_sketch(words), seed).duration_s


def plan_sketch(words: ControlWords) -> SketchPlan:
    """The composer's plan for words."""
    tonic, mode = parse_key(words.key) if words.key is not None else (None, None)
    chart = words.chart
    chords: tuple[tuple[PlannedChord | None, ...], ...] = ()
    if chart is not None:
        chords = tuple(
            tuple(None if chord is None else (chord.root, chord.intervals, chord.bass) for chord in bar)
            for bar in chart.bars
        )
    playing = tuple(name for name in words.instruments if not name.startswith("no "))
    resting = tuple(name.removeprefix("no ") for name in words.instruments if name.startswith("no "))
    return SketchPlan(
        bpm=words.bpm,
        tonic=tonic,
        mode=mode.replace(" ", "_") if mode is not None else None,
        chords=chords,
        metre=words.metre,
        bars=words.bars or DEFAULT_BARS,
        style=words.style,
        instruments=playing,
        without=resting,
    )


def sketch_drums(audio: Audio, config: TapConfig = TapConfig(), *, seed: int = 0) -> Sketch:
    """Drums that play a tapped or beatboxed rhythm: low hits are kicks, bright ones hats, the rest snares.

    Args:
        audio: the rhythm, one sound per hit.
        config: whether hits are moved to a grid.
        seed: sets the kit.

    Returns:
        A sketch as long as the audio, at its rate. Raises AudioError where no hit is heard.
    """
    hits = find_hits(audio)
    if not hits:
        raise AudioError("no hits were heard in the audio; tap or beatbox closer to the microphone")
    hits = _tighten(hits, config)
    notes = tuple((hit.time_s, 0.1, DRUM_PITCHES[hit.drum], hit.velocity) for hit in hits)
    result = _render_tracks(audio, (Track("drums", "drums", 0, True, True, notes),), seed, config.bpm)
    bands = [
        paint_onsets([(hit.time_s, TAP_DB) for hit in hits if (hit.drum == "kick") == is_low], result.controls)
        for is_low in (True, False)
    ]
    controls = dataclasses.replace(result.controls, onset_low=bands[0], onset_high=bands[1])
    return dataclasses.replace(result, controls=controls)


def sketch_lead(audio: Audio, config: HumConfig = HumConfig(), *, seed: int = 0) -> Sketch:
    """A lead instrument that plays a hummed, sung or whistled line.

    Args:
        audio: the line, one voice alone.
        config: instrument, transposition, and a key that notes are fitted to.
        seed: sets the patch.

    Returns:
        A sketch as long as the audio, at its rate. Raises AudioError where no pitch is heard.
    """
    notes = hummed_notes(audio)
    if not notes:
        raise AudioError("no pitch was heard in the audio; hum one note at a time, closer to the microphone")
    notes = tuple((start, end, _fit_to_key(pitch, config.key) + config.transpose) for start, end, pitch in notes)
    played: tuple[PieceNote, ...] = tuple(
        (start, end - start, int(np.clip(pitch, 0, 127)), 96) for start, end, pitch in notes
    )
    name = config.instrument
    track = Track(name, "melody", INSTRUMENTS[name].program, False, True, played)
    result = _render_tracks(audio, (track,), seed, None)
    controls = dataclasses.replace(result.controls, melody=paint_melody(notes, result.controls.times_s))
    return dataclasses.replace(result, controls=controls)


def hummed_notes(audio: Audio) -> tuple[tuple[float, float, float], ...]:
    """Notes (start_s, end_s, MIDI pitch) of a voice alone."""
    mono = soxr.resample(audio.samples.mean(axis=0), audio.sample_rate_hz, RATE_HZ).astype(np.float32)
    times_s, pitch = trace_voice(mono)
    return split_notes(times_s, pitch, [hit.time_s for hit in find_hits(audio, rise=2.0)])


def _render_tracks(audio: Audio, tracks: tuple[Track, ...], seed: int, bpm: float | None) -> Sketch:
    """Tracks as long as some audio and at its rate."""
    check("seed", seed, 0, 2**63 - 1)
    check("length of the audio in seconds", audio.duration_s, 0.0, MAX_SKETCH_S)
    piece = Piece(bpm or 120.0, "4/4", "C major", "pop", 0.5, (), tracks, (), (), audio.duration_s)
    samples = render_sketch(piece, audio.sample_rate_hz, seed, loops=False, n_samples=audio.n_samples)
    frames = Controls(_codec_frames(audio.n_samples, audio.sample_rate_hz), tempo_bpm=bpm)
    words = ControlWords(bpm=bpm, instruments=tuple(track.name for track in tracks))
    return Sketch(Audio(samples, audio.sample_rate_hz), frames, words, seed, False)


def _tighten(hits: tuple[Hit, ...], config: TapConfig) -> tuple[Hit, ...]:
    if config.bpm is None or not config.tightness:
        return hits
    step_s, first_s = 15.0 / config.bpm, hits[0].time_s
    moved = []
    for hit in hits:
        grid_s = first_s + round((hit.time_s - first_s) / step_s) * step_s
        moved.append(dataclasses.replace(hit, time_s=hit.time_s + config.tightness * (grid_s - hit.time_s)))
    return tuple(moved)


def _fit_to_key(pitch: float, key: str) -> float:
    """The nearest tone of a key's scale, the lower of two; the pitch itself without a key."""
    if not key:
        return pitch
    from synthcorpus.compose.styles import MODES

    tonic, mode = parse_key(key)
    scale = {(tonic + step) % 12 for step in MODES[mode.replace(" ", "_")]}
    return min((pitch + step for step in (0, -1, 1, -2, 2)), key=lambda p: (p % 12 not in scale, abs(p - pitch)))


def _codec_frames(n_samples: int, sample_rate_hz: int) -> int:
    """Frames of the embedded codec that some audio has."""
    return samples_to_frames(max(round(n_samples * CODEC_RATE_HZ / sample_rate_hz), 1), CODEC_HOP)
