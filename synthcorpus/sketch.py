"""Sketches: the composer writes and renders a loop or an opening to given words, with its own synthesis alone.

A plan fixes what was asked for (tempo, key, chords, metre, bars, style, instruments); what it leaves open is drawn
from the seed. The number of samples is exact, and a loop's end leads into its beginning: what rings on at the end is
added to the start.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from synthcorpus.compose.form import Section
from synthcorpus.compose.harmony import Chord, Key, progression
from synthcorpus.compose.piece import (
    BeatGrid,
    ComposeConfig,
    Piece,
    Track,
    beat_times,
    play_parts,
)
from synthcorpus.compose.style_table import STYLES
from synthcorpus.compose.styles import FAMILIES, METRES, MODES, Metre, Style
from synthcorpus.compose.tracks import ROLE_CENTRES, Part
from synthcorpus.errors import CompositionError
from synthcorpus.instruments import INSTRUMENTS, STYLE_NAMES
from synthcorpus.render import effects
from synthcorpus.render.loudness import measure
from synthcorpus.render.render import RenderConfig, mix_tracks
from synthcorpus.synth.drums import DrumVoice
from synthcorpus.synth.notes import play_notes
from synthcorpus.synth.voices import AdditiveVoice, FmVoice, PluckVoice, SubtractiveVoice

SKETCH_LUFS = -18.0
"""Loudness of a sketch, LUFS."""
TAIL_S = 4.0
"""Time in which the last notes ring out; a loop adds it to its beginning."""
PHRASE_BARS = 8
"""Longest stretch of one material where no chords are given, bars."""
_VOICES: dict[str, type] = {
    "pluck": PluckVoice,
    "fm": FmVoice,
    "additive": AdditiveVoice,
    "subtractive": SubtractiveVoice,
}
_HARMONIC = ("chords", "pad", "arpeggio")

PlannedChord = tuple[int, tuple[int, ...], int | None]
"""(root 0..11, intervals in semitones above it, bass 0..11 or None for the root)."""


@dataclass(frozen=True)
class SketchPlan:
    """Settings of a sketch; None and empty: drawn from the seed."""

    bpm: float | None = None
    """Beats per minute, 20 to 400; a beat is a quarter, in 6/8 a dotted quarter."""
    tonic: int | None = None
    """Pitch class of the key, 0 to 11."""
    mode: str | None = None
    """One of the composer's modes, such as "minor"."""
    chords: tuple[tuple[PlannedChord | None, ...], ...] = ()
    """Chords of each bar, which share it evenly; repeated to fill the bars. None: no chord."""
    metre: str | None = None
    """4/4, 3/4, 6/8, 5/4 or 7/8."""
    bars: int = 8
    """Length in bars, 1 to 10000."""
    style: str | None = None
    """One of STYLE_NAMES."""
    instruments: tuple[str, ...] = ()
    """Names of INSTRUMENTS that play; the style chooses the rest of the band."""
    without: tuple[str, ...] = ()
    """Names of INSTRUMENTS that do not play, nor any other in their first role."""
    humanise_ms: float = 4.0
    """Largest standard deviation of note starts, ms."""

    def __post_init__(self) -> None:
        if self.bpm is not None and not 20.0 <= self.bpm <= 400.0:
            raise CompositionError(f"bpm is {self.bpm}, but must lie in 20 to 400")
        if not 1 <= self.bars <= 10000:
            raise CompositionError(f"bars is {self.bars}, but must lie in 1 to 10000")
        for name, value, known in (
            ("metre", self.metre, METRES),
            ("mode", self.mode, MODES),
            ("style", self.style, STYLE_NAMES),
            *(("instrument", instrument, INSTRUMENTS) for instrument in (*self.instruments, *self.without)),
        ):
            if value is not None and value not in known:
                raise CompositionError(f"{name} {value!r} is unknown; known are {', '.join(known)}")


@dataclass(frozen=True)
class _Frame:
    """Everything about a sketch that is settled before notes are written."""

    style: Style
    metre: Metre
    bpm: float
    key: Key
    grid: BeatGrid = field(repr=False)


def write_sketch(plan: SketchPlan, seed: int) -> Piece:
    """The notes of a sketch; a function of plan and seed."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, 28)))
    frame = _settle(plan, rng)
    sections = _sections(plan, frame, rng)
    parts = _band(plan, frame.style, rng)
    settings = ComposeConfig(humanise_ms=plan.humanise_ms)
    tracks = play_parts(parts, sections, frame.key, frame.metre, frame.grid, settings, rng)
    beats, downbeats = beat_times(frame.metre, plan.bars, frame.grid)
    step_s = frame.grid.step_s
    piece = Piece(
        frame.bpm,
        frame.metre.name,
        frame.key.name,
        frame.style.name,
        frame.grid.swing,
        sections,
        tracks,
        beats,
        downbeats,
        plan.bars * frame.metre.steps * step_s,
        frame.key.scale(),
    )
    return _silence_gaps(piece, frame)


def render_sketch(
    piece: Piece, sample_rate_hz: int, seed: int, *, loops: bool, n_samples: int | None = None
) -> np.ndarray:
    """The sound of a sketch, float32 (2, n).

    Args:
        piece: the notes; tracks named as in INSTRUMENTS get their voices.
        sample_rate_hz: sample rate, Hz.
        seed: sets the patches.
        loops: whether what rings on after the end is added to the beginning.
        n_samples: length; None for the piece's bars, to the nearest sample.
    """
    length = n_samples if n_samples is not None else round(piece.duration_s * sample_rate_hz)
    rng = np.random.default_rng(np.random.SeedSequence((seed, 29)))
    settings = RenderConfig(sample_rate_hz=sample_rate_hz, tail_s=TAIL_S, effects=0.0)
    whole = length + round(TAIL_S * sample_rate_hz)
    mix = mix_tracks(piece, whole, settings, rng, _play_named)
    response = effects.reverb_response(0.9, 5000.0, sample_rate_hz, rng)
    mix = mix + effects.reverb(mix.mean(axis=0), response * np.float32(effects.db(-17.0)))
    audio = mix[:, :length].copy()
    if loops:
        for start in range(length, whole, length):
            tail = mix[:, start : start + length]
            audio[:, : tail.shape[1]] += tail
    else:
        fade = min(length, sample_rate_hz // 50)
        audio[:, length - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return _level(audio, sample_rate_hz)


def _level(audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The sketch at its loudness; a gain alone, so that a loop's seam stays as it is."""
    loudness, peak = measure(audio, sample_rate_hz), float(np.abs(audio).max(initial=0.0))
    if not np.isfinite(loudness) or peak <= 0.0:
        return audio
    return audio * np.float32(min(effects.db(SKETCH_LUFS - loudness), 0.98 / peak))


def _settle(plan: SketchPlan, rng: np.random.Generator) -> _Frame:
    """Style, metre, tempo and key: as planned, else drawn so that they go together."""
    style = _style(plan, rng)
    usual = [name for name in style.metres if name in METRES]
    metre = METRES[plan.metre or ("4/4" if "4/4" in usual else usual[0])]
    low, high = style.tempo_bpm
    bpm = plan.bpm or round(float(rng.uniform(low, high)) * (2.0 / 3.0 if metre.name == "6/8" else 1.0), 1)
    swing = float(rng.uniform(*style.swing)) if metre.name in ("4/4", "3/4", "5/4") else 0.5
    grid = BeatGrid(60.0 / bpm / metre.tempo_steps, swing, style.swing_steps)
    tonic, mode = plan.tonic, plan.mode
    if tonic is None and plan.chords:
        tonic, mode = key_of_chords(plan.chords)
    if tonic is None:
        tonic = int(rng.integers(12))
    return _Frame(style, metre, bpm, Key(tonic, mode or str(rng.choice(style.modes))), grid)


def _style(plan: SketchPlan, rng: np.random.Generator) -> Style:
    named = [style for style in STYLES if style.name == plan.style]
    if named:
        return named[0]
    fitting = [
        style
        for style in STYLES
        if style.name in STYLE_NAMES
        and not style.held_out
        and {"drums", "bass", "chords"} <= set(style.roles)
        and (plan.bpm is None or style.tempo_bpm[0] <= plan.bpm <= style.tempo_bpm[1])
        and (plan.metre is None or plan.metre in style.metres)
        and (plan.mode is None or plan.mode in style.modes)
    ]
    if not fitting:
        return next(style for style in STYLES if style.name == "pop")
    return fitting[int(rng.integers(len(fitting)))]


def key_of_chords(bars: tuple[tuple[PlannedChord | None, ...], ...]) -> tuple[int, str]:
    """The major or minor key whose scale holds most tones of the chords; first and last root decide ties."""
    chords = [chord for bar in bars for chord in bar if chord is not None]
    if not chords:
        return 0, "major"
    scores = {}
    for mode in ("major", "minor"):
        for tonic in range(12):
            scale = {(tonic + step) % 12 for step in MODES[mode]} | ({(tonic + 11) % 12} if mode == "minor" else set())
            inside = np.mean([(root + tone) % 12 in scale for root, tones, _ in chords for tone in tones])
            third = 3 if mode == "minor" else 4
            home = [root == tonic and third in tones for root, tones, _ in (chords[0], chords[-1])]
            resolved = any(root == tonic and third in tones for root, tones, _ in chords)
            scores[tonic, mode] = float(inside) + 0.08 * sum(home) + 0.06 * resolved
    return max(scores, key=lambda key: scores[key])


def _sections(plan: SketchPlan, frame: _Frame, rng: np.random.Generator) -> tuple[Section, ...]:
    """Stretches of one material that fill the bars; chords that are given run on over them."""
    span = min(plan.bars, max(len(plan.chords), 4) if plan.chords else PHRASE_BARS)
    span = span if span <= 2 * PHRASE_BARS else PHRASE_BARS
    metre, style = frame.metre, frame.style
    sevenths = bool(rng.random() < style.sevenths)
    seeds = {letter: int(rng.integers(2**31)) for letter in "AB"}
    drawn = {letter: progression(frame.key, style.loops, span, metre.steps, sevenths, rng) for letter in "AB"}
    written = _written_chords(plan, metre)
    sections: list[Section] = []
    counts = {"A": 0, "B": 0}
    for number, start in enumerate(range(0, plan.bars, span)):
        letter = "B" if number % 4 == 2 and not plan.chords else "A"
        bars = min(span, plan.bars - start)
        chords = _cut_chords(written, start * metre.steps, bars * metre.steps) if written else drawn[letter]
        variation = counts[letter]
        sections.append(Section(letter, letter, start, bars, chords, 0.85, (), seeds[letter], variation))
        counts[letter] += 1
    return tuple(sections)


def _written_chords(plan: SketchPlan, metre: Metre) -> tuple[Chord, ...]:
    """The planned chords over all bars, in sixteenths; equal neighbours are one, rests take the tones before them."""
    if not plan.chords:
        return ()
    # A chart of rests alone leaves the drums.
    sounding = next((chord for bar in plan.chords for chord in bar if chord is not None), (0, (0, 4, 7), None))
    chords: list[Chord] = []
    for number in range(plan.bars):
        bar = plan.chords[number % len(plan.chords)]
        edges = [round(place * metre.steps / len(bar)) for place in range(len(bar) + 1)]
        for place, chord in enumerate(bar):
            start, steps = number * metre.steps + edges[place], edges[place + 1] - edges[place]
            root, tones, bass = sounding = chord or sounding
            new = Chord(root, tones, start, steps, bass, chord is not None)
            last = chords[-1] if chords else None
            same = last and (last.root, last.intervals, last.bass, last.sounds) == (root, tones, bass, new.sounds)
            if last and same and start % metre.steps:
                chords[-1] = Chord(root, tones, last.start, last.steps + steps, bass, new.sounds)
            elif steps:
                chords.append(new)
    return tuple(chords)


def _cut_chords(chords: tuple[Chord, ...], first: int, steps: int) -> tuple[Chord, ...]:
    """The chords of a stretch, counted from its start."""
    cut = []
    for chord in chords:
        start, stop = max(chord.start, first), min(chord.start + chord.steps, first + steps)
        if start < stop:
            cut.append(Chord(chord.root, chord.intervals, start - first, stop - start, chord.bass, chord.sounds))
    return tuple(cut)


def _band(plan: SketchPlan, style: Style, rng: np.random.Generator) -> tuple[Part, ...]:
    """Band of a sketch: the named instruments in the first free role each can take, then the style's other roles."""
    out = {INSTRUMENTS[name].roles[0] for name in plan.without}
    band: dict[str, str] = {}
    extra: list[tuple[str, str]] = []
    for name in plan.instruments:
        free = [role for role in INSTRUMENTS[name].roles if role not in band]
        if free:
            band[free[0]] = name
        else:
            extra.append((INSTRUMENTS[name].roles[0], name))
    for role, chance in style.roles.items():
        if role not in band and role not in out and role != "effects" and rng.random() < max(chance, 0.0) ** 0.5:
            band[role] = _instrument_for(role, style, rng)
    if plan.chords and not any(role in band for role in _HARMONIC) and "chords" not in out:
        band["chords"] = _instrument_for("chords", style, rng)
    if not band:
        band["melody"] = "synth lead"
    pairs = [*band.items(), *extra]
    return tuple(_named_part(role, name, style, rng, salt) for salt, (role, name) in enumerate(pairs))


def _instrument_for(role: str, style: Style, rng: np.random.Generator) -> str:
    """A named instrument for a role, from the style's families where it has one there."""
    able = [name for name, instrument in INSTRUMENTS.items() if role in instrument.roles]
    programs = {program for family in style.families.get(role, ()) for program in FAMILIES[family]}
    fitting = [name for name in able if INSTRUMENTS[name].program in programs] or able
    if role == "drums":
        fitting = ["electronic drums"] if "electronic" in style.kits[:1] else ["drums"]
    return fitting[int(rng.integers(len(fitting)))] if fitting else "synth lead"


def _named_part(role: str, name: str, style: Style, rng: np.random.Generator, salt: int) -> Part:
    is_drums = role in ("drums", "percussion")
    kinds = {"bass": style.bass, "chords": style.chords, "drums": style.grooves}.get(role, ())
    centre = float(rng.uniform(*ROLE_CENTRES.get(role, (56, 66))))
    return Part(name, role, INSTRUMENTS[name].program, is_drums, True, centre, kinds, salt)


def _silence_gaps(piece: Piece, frame: _Frame) -> Piece:
    """The piece without pitched notes where its chart says that no chord sounds."""
    import dataclasses

    gaps = []
    for section in piece.sections:
        first = section.start_bar * frame.metre.steps
        for chord in section.chords:
            if not chord.sounds:
                start, stop = first + chord.start, first + chord.start + chord.steps
                gaps.append((frame.grid.time_s(start) - 0.03, frame.grid.time_s(stop) - 0.03))
    if not gaps:
        return piece
    tracks = []
    for track in piece.tracks:
        notes = track.notes
        if not track.is_drums:
            notes = tuple(note for note in notes if not any(start <= note[0] < stop for start, stop in gaps))
            notes = tuple((s, min([d, *(a + 0.03 - s for a, _ in gaps if s < a < s + d)]), p, v)
                          for s, d, p, v in notes)  # fmt: skip
        tracks.append(dataclasses.replace(track, notes=notes))
    return dataclasses.replace(piece, tracks=tuple(tracks))


def _play_named(track: Track, length: int, settings: RenderConfig, rng: np.random.Generator) -> np.ndarray:
    """A track by the synthesiser voice of its instrument."""
    rate_hz = settings.sample_rate_hz
    instrument = INSTRUMENTS.get(track.name)
    if track.is_drums:
        voice = DrumVoice(rate_hz, rng)
    else:
        kind = instrument.voice if instrument else "subtractive"
        voice = _VOICES[kind](track.role, rate_hz, rng)
    return play_notes(voice, track.notes, rate_hz, length)
