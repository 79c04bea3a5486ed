"""Composes pieces of music from a seed: form, key, chords, and the notes of each track. Pure functions.

`compose(seed, settings)` draws everything from one numpy Generator, so that a seed is a piece. Material is drawn once
per section letter and comes back with small variations, as it does in songs; timing and velocity are humanised last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from synthcorpus.compose.form import Section, draw_form
from synthcorpus.compose.harmony import Chord, Key
from synthcorpus.compose.held_out_styles import COMPOSERS
from synthcorpus.compose.public_domain import SCORES, Score
from synthcorpus.compose.style_table import STYLES
from synthcorpus.compose.styles import FAMILIES, METRES, ROLE_FAMILIES, Metre, Style
from synthcorpus.compose.tracks import Part, draw_parts, section_events
from synthcorpus.errors import CompositionError

Note = tuple[float, float, int, int]
"""(start_s, duration_s, MIDI pitch, velocity 1..127)."""


@dataclass(frozen=True)
class ComposeConfig:
    """Settings of the composer: lengths, styles, share of public-domain tunes."""

    min_duration_s: float = 20.0
    """Shortest piece, seconds."""
    max_duration_s: float = 60.0
    """Longest piece, seconds (a piece ends at the bar line before it)."""
    styles_only: tuple[str, ...] = ()
    """Names of the styles to use; empty for all."""
    styles_excluded: tuple[str, ...] = ()
    """Names of styles held out, for later work on an unseen style."""
    synth_share: float = 0.35
    """Probability that a track is played by data/synth.py where a sound font is there, 0..1."""
    score_share: float = 0.0
    """Probability that a piece is an arrangement of a tune in the public domain (data/scores.py), 0..1."""
    humanise_ms: float = 9.0
    """Largest standard deviation of note starts, ms; each piece draws its own up to this."""

    def __post_init__(self) -> None:
        known = {style.name for style in STYLES}
        for name in (*self.styles_only, *self.styles_excluded):
            if name not in known:
                raise CompositionError(f"style {name!r} is unknown; the styles are {', '.join(sorted(known))}")
        if not 0.0 <= self.score_share <= 1.0:
            raise CompositionError(f"score_share is {self.score_share}, but must lie in 0 to 1")
        if not 1.0 <= self.min_duration_s <= self.max_duration_s:
            raise CompositionError(
                f"durations of {self.min_duration_s} to {self.max_duration_s} s: the shortest must be at least 1 s and "
                "not above the longest"
            )
        if not self.styles():
            raise CompositionError("every style is excluded; leave at least one")

    def styles(self) -> tuple[Style, ...]:
        """The styles that are left; those marked as held out only where they are named."""
        return tuple(
            style
            for style in STYLES
            if style.name not in self.styles_excluded
            and (style.name in self.styles_only if self.styles_only else not style.held_out)
        )


@dataclass(frozen=True)
class Track:
    """One instrument and its notes."""

    name: str
    role: str
    """drums, bass, chords, stabs, arpeggio, melody, counter, pad, percussion or effects."""
    program: int
    """General MIDI program 0..127, or the kit of a drum track (bank 128)."""
    is_drums: bool
    is_synth: bool
    """Played by data/synth.py although a sound font may be there."""
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Piece:
    """A composed piece. Times are seconds from its start."""

    tempo_bpm: float
    """Beats per minute of the metre's first beat: a quarter, in 6/8 a dotted quarter."""
    metre: str
    key: str
    style: str
    swing: float
    """Share of a swung pair that its first note takes; 0.5 is straight."""
    sections: tuple[Section, ...]
    tracks: tuple[Track, ...]
    beat_times_s: tuple[float, ...]
    downbeat_times_s: tuple[float, ...]
    duration_s: float
    """Time of the last bar line, where the piece ends apart from its tail."""
    scale: tuple[int, ...] = field(default=())
    """Pitch classes of the melody's scale."""


@dataclass(frozen=True)
class BeatGrid:
    """Conversion of positions in sixteenths to seconds, with swing."""

    step_s: float
    swing: float
    swing_steps: int

    def time_s(self, step: float) -> float:
        """Seconds of a position; the second half of each pair of `swing_steps` notes comes late when swung."""
        pair = 2.0 * self.swing_steps
        whole, place = divmod(step, pair)
        half = place / pair
        bent = half * 2.0 * self.swing if half < 0.5 else self.swing + (half - 0.5) * 2.0 * (1.0 - self.swing)
        return (whole + bent) * pair * self.step_s


def compose(seed: int | Sequence[int], settings: ComposeConfig | None = None) -> Piece:
    """The piece of a seed.

    Args:
        seed: any non-negative integer, or several; the corpus uses (split, seed, index), so splits cannot meet.
        settings: what may be composed.
    """
    settings = settings or ComposeConfig()
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    if settings.score_share and rng.random() < settings.score_share:
        return arrange(SCORES[int(rng.integers(len(SCORES)))], settings, rng)
    style = _draw_style(settings, rng)
    metre = METRES[str(rng.choice(style.metres))]
    tempo_bpm = _draw_tempo(style, metre, rng)
    step_s = 60.0 / tempo_bpm / metre.tempo_steps
    swing = float(rng.uniform(*style.swing)) if metre.name in ("4/4", "3/4", "5/4") else 0.5
    grid = BeatGrid(step_s, swing, style.swing_steps)
    key = Key(int(rng.integers(12)), str(rng.choice(style.modes)))
    bars = _draw_bars(metre.steps * step_s, settings, rng)
    sections = draw_form(style, key, metre, bars, rng)
    if style.name in COMPOSERS:
        tracks = _play_far(style, sections, key, metre, step_s, rng)
    else:
        parts = draw_parts(style, rng, settings.synth_share)
        tracks = play_parts(parts, sections, key, metre, grid, settings, rng)
    beats, downbeats = beat_times(metre, bars, grid)
    return Piece(
        tempo_bpm,
        metre.name,
        key.name,
        style.name,
        swing,
        sections,
        tracks,
        beats,
        downbeats,
        bars * metre.steps * step_s,
        key.scale(),
    )


def arrange(score: Score, settings: ComposeConfig, rng: np.random.Generator) -> Piece:
    """A tune with chords and a bass below it, in a drawn key, tempo and instruments, as often as the duration asks."""
    metre, tempo_bpm = METRES[score.metre], float(rng.uniform(*score.tempo_bpm))
    grid = BeatGrid(60.0 / tempo_bpm / metre.tempo_steps, 0.5, 2)
    shift, written, harmony = int(rng.integers(-5, 7)), score.bars(), score.harmony()
    turn_s = len(written) * metre.steps * grid.step_s
    turns = max(1, round(float(rng.uniform(settings.min_duration_s, settings.max_duration_s)) / turn_s))
    events: dict[str, list[tuple[float, float, int, float]]] = {"melody": [], "chords": [], "bass": []}
    octave = 12 * int(rng.integers(0, 2))
    for number in range(turns * len(written)):
        start, bar = number * metre.steps, number % len(written)
        events["melody"] += [(start + p, n * 0.95, pitch + shift + octave, 92.0) for p, n, pitch in written[bar]]
        share = metre.steps / len(harmony[bar])
        for place, (root, is_minor) in enumerate(harmony[bar]):
            where, pitch = start + place * share, (root + shift) % 12
            events["bass"].append((where, share * 0.9, 36 + pitch, 84.0))
            events["chords"] += [(where, share * 0.95, 55 + (pitch + step - 7) % 12, 64.0) for step in
                                 (0, 3 if is_minor else 4, 7)]  # fmt: skip
    tracks = []
    looseness_s = float(rng.uniform(0.0, settings.humanise_ms)) / 1000.0
    for role, played in events.items():
        families = ROLE_FAMILIES[role]
        program = int(rng.choice(FAMILIES[families[int(rng.integers(len(families)))]]))
        is_synth = bool(rng.random() < settings.synth_share)
        tracks.append(Track(role, role, program, False, is_synth, humanise(played, grid, looseness_s, rng)))
    bars = turns * len(written)
    key = Key((score.tonic + shift) % 12, "major")
    return Piece(
        round(tempo_bpm, 2),
        metre.name,
        key.name,
        f"score: {score.title}",
        0.5,
        (_tune_section(harmony, shift, metre, bars),),
        tuple(tracks),
        *beat_times(metre, bars, grid),
        bars * metre.steps * grid.step_s,
        key.scale(),
    )


def _tune_section(harmony: list[list[tuple[int, bool]]], shift: int, metre: Metre, bars: int) -> Section:
    """The written chords of a tune, transposed, over all its turns."""
    chords = []
    for number in range(bars):
        bar = harmony[number % len(harmony)]
        share = metre.steps // len(bar)
        chords += [
            Chord((root + shift) % 12, (0, 3 if is_minor else 4, 7), number * metre.steps + place * share, share)
            for place, (root, is_minor) in enumerate(bar)
        ]
    return Section("tune", "A", 0, bars, tuple(chords), 0.8, (), 0, 0)


def _draw_style(settings: ComposeConfig, rng: np.random.Generator) -> Style:
    styles = settings.styles()
    weights = np.array([style.weight for style in styles])
    return styles[int(rng.choice(len(styles), p=weights / weights.sum()))]


def _draw_tempo(style: Style, metre: Metre, rng: np.random.Generator) -> float:
    low, high = style.tempo_bpm
    tempo = float(rng.uniform(low, high))
    if metre.name == "6/8":  # a dotted quarter is the beat: two thirds of the tempo in quarters
        tempo = tempo * 2.0 / 3.0
    return round(min(max(tempo, 60.0), 180.0), 2)


def _draw_bars(bar_s: float, settings: ComposeConfig, rng: np.random.Generator) -> int:
    """Whole bars within the duration limits, mostly multiples of four."""
    goal = float(rng.uniform(settings.min_duration_s, settings.max_duration_s))
    bars = max(1, int(goal / bar_s))
    rounded = bars - bars % 4
    if rounded and rounded * bar_s >= settings.min_duration_s and rng.random() < 0.8:
        return rounded
    return bars


def beat_times(metre: Metre, bars: int, grid: BeatGrid) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Beats and downbeats of a number of bars, seconds."""
    within = np.concatenate([[0], np.cumsum(metre.beats)[:-1]])
    downbeats = [bar * metre.steps * grid.step_s for bar in range(bars)]
    beats = [(bar * metre.steps + int(step)) * grid.step_s for bar in range(bars) for step in within]
    return tuple(float(beat) for beat in beats), tuple(float(beat) for beat in downbeats)


def play_parts(
    parts: tuple[Part, ...],
    sections: tuple[Section, ...],
    key: Key,
    metre: Metre,
    grid: BeatGrid,
    settings: ComposeConfig,
    rng: np.random.Generator,
) -> tuple[Track, ...]:
    """Every part's notes over all sections, humanised."""
    looseness_s = float(rng.uniform(0.0, settings.humanise_ms)) / 1000.0
    end = sum(section.bars for section in sections) * metre.steps
    tracks = []
    for part in parts:
        events = []
        for section in sections:
            if part.role in section.roles_out:
                continue
            offset = section.start_bar * metre.steps
            events += [
                (offset + start, length, pitch, velocity)
                for start, length, pitch, velocity in section_events(part, section, key, metre, rng)
                if offset + start < end
            ]
        if events:
            notes = humanise(events, grid, looseness_s, rng)
            tracks.append(Track(part.name, part.role, part.program, part.is_drums, part.is_synth, notes))
    return tuple(tracks)


def _play_far(
    style: Style, sections: tuple[Section, ...], key: Key, metre: Metre, step_s: float, rng: np.random.Generator
) -> tuple[Track, ...]:
    """The tracks of a style with a composer of its own; its sounds are never a sound font's."""
    played = COMPOSERS[style.name](sections, key, metre, step_s, rng)
    return tuple(Track(track.role, track.role, 0, False, True, tuple(sorted(track.notes))) for track in played)


def humanise(
    events: list[tuple[float, float, int, float]], grid: BeatGrid, looseness_s: float, rng: np.random.Generator
) -> tuple[Note, ...]:
    """Events on the grid -> notes in seconds with small errors of start, length and force, as a player makes them."""
    lean_s = float(rng.normal(0.0, 0.3)) * looseness_s  # a player who drags or pushes, always by the same amount
    errors_s = np.clip(rng.normal(lean_s, looseness_s, size=len(events)), -0.03, 0.03).tolist()
    forces = rng.normal(0.0, 5.0, size=len(events)).tolist()
    notes = []
    for (step, length, pitch, velocity), error_s, force in zip(events, errors_s, forces, strict=True):
        start_s = grid.time_s(step)
        duration_s = max(0.04, grid.time_s(step + length) - start_s)
        notes.append(
            (
                max(0.0, start_s + error_s),
                duration_s,
                min(max(int(pitch), 0), 127),
                min(max(int(velocity + force), 8), 127),
            )
        )
    return tuple(sorted(notes))
