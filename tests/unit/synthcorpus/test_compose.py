"""Composer: determinism, splits, time grid, keys, coverage of instruments, held-out styles."""

import numpy as np
import pytest

from synthcorpus.compose.grooves import FILLS, GROOVES
from synthcorpus.compose.harmony import Chord, Key, chord_at, nearest, progression, voicing
from synthcorpus.compose.piece import BeatGrid, ComposeConfig, compose
from synthcorpus.compose.public_domain import SCORES
from synthcorpus.compose.style_table import STYLES
from synthcorpus.compose.styles import FAMILIES, KITS, METRES, MODES, ROLE_FAMILIES
from synthcorpus.corpus import SPLITS, piece_seed
from synthcorpus.errors import CompositionError


@pytest.fixture(scope="module")
def pieces():
    return [compose((0, 0, index)) for index in range(150)]


def test_a_seed_is_a_piece():
    assert compose(5) == compose(5)
    assert compose(5) != compose(6)


def test_splits_have_different_seeds_and_pieces():
    seeds = {piece_seed(split, seed, index) for split in SPLITS for seed in range(3) for index in range(3)}
    assert len(seeds) == 27
    notes = {compose(piece_seed(split, 0, index)).tracks[0].notes for split in SPLITS for index in range(10)}
    assert len(notes) == 30


def test_durations_tempos_and_metres(pieces):
    for piece in pieces:
        assert 10.0 <= piece.duration_s <= 60.0
        assert 60.0 <= piece.tempo_bpm <= 180.0
    assert {piece.metre for piece in pieces} == set(METRES)


def test_beats_agree_with_the_tempo(pieces):
    for piece in pieces:
        metre = METRES[piece.metre]
        step_s = 60.0 / piece.tempo_bpm / metre.tempo_steps
        gaps = np.diff([*piece.beat_times_s, piece.duration_s])
        expected = np.resize(metre.beats, len(gaps)) * step_s
        np.testing.assert_allclose(gaps, expected, atol=1e-9)
        assert set(piece.downbeat_times_s) == set(piece.beat_times_s[:: len(metre.beats)])


def test_notes_start_on_the_swung_grid(pieces):
    """Without humanising every start is a multiple of a sixteenth, of a triplet of them, or a strum from it."""
    piece = compose(3, ComposeConfig(humanise_ms=0.0, styles_only=("rock",)))
    step_s = 60.0 / piece.tempo_bpm / METRES[piece.metre].tempo_steps
    drums = next(track for track in piece.tracks if track.role == "drums")
    places = np.array([note[0] for note in drums.notes]) / step_s
    np.testing.assert_allclose(places, np.round(places), atol=1e-6)


def test_notes_are_playable(pieces):
    for piece in pieces:
        assert piece.tracks
        for track in piece.tracks:
            assert 0 <= track.program <= 127
            for start_s, duration_s, pitch, velocity in track.notes:
                assert 0.0 <= start_s < piece.duration_s + 0.05
                assert 0.0 < duration_s < 60.0
                assert 0 <= pitch <= 127 and 1 <= velocity <= 127


def test_bass_and_chords_keep_to_the_scale(pieces):
    for piece in pieces:
        pitches = [note[2] % 12 for track in piece.tracks if track.role in ("pad", "melody") for note in track.notes]
        if len(pitches) > 20:
            assert np.mean([pitch in piece.scale for pitch in pitches]) > 0.6
    shares = [
        np.mean([note[2] % 12 in piece.scale for note in track.notes])
        for piece in pieces
        for track in piece.tracks
        if not track.is_drums and track.role != "effects"
    ]
    assert np.mean(shares) > 0.9


def test_sections_come_back(pieces):
    """Equal letters have equal chords, and most pieces repeat a letter."""
    for piece in pieces:
        for one in piece.sections:
            assert all(one.chords == other.chords for other in piece.sections if other.letter == one.letter)
    repeats = [len({section.letter for section in piece.sections}) < len(piece.sections) for piece in pieces]
    assert np.mean(repeats) > 0.5


def test_every_program_can_occur():
    """All 128 programs are in the families of some role, and every family is drawn for that role."""
    reachable = {program for families in ROLE_FAMILIES.values() for name in families for program in FAMILIES[name]}
    assert reachable == set(range(128))


def test_most_programs_occur_soon():
    settings = ComposeConfig(min_duration_s=5.0, max_duration_s=6.0)
    tracks = [track for index in range(400) for track in compose((1, 1, index), settings).tracks]
    assert len({track.program for track in tracks if not track.is_drums}) > 115
    assert {track.program for track in tracks if track.is_drums} == set(KITS)
    assert 0.25 < np.mean([track.is_synth for track in tracks]) < 0.5


def test_held_out_styles_are_absent():
    settings = ComposeConfig(styles_excluded=("jazz_swing", "solo"), max_duration_s=21.0)
    styles = {compose((0, 0, index), settings).style for index in range(80)}
    assert "jazz_swing" not in styles and "solo" not in styles and len(styles) > 15
    only = ComposeConfig(styles_only=("jazz_swing",))
    assert {compose(seed, only).style for seed in range(5)} == {"jazz_swing"}


def test_a_style_no_model_was_trained_on_must_be_asked_for():
    assert "gamelan" not in {style.name for style in ComposeConfig().styles()}
    assert compose((0, 0, 0), ComposeConfig(styles_only=("gamelan",), max_duration_s=21.0)).style == "gamelan"


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.title)
def test_written_scores_fill_their_bars(score):
    steps = METRES[score.metre].steps
    bars, harmony = score.bars(), score.harmony()
    assert len(bars) == len(harmony) and all(harmony)
    assert all(sum(length for _, length, _ in bar) == steps for bar in bars)
    assert score.melody.replace("|", " ").split() and sum(map(len, bars)) == len(score.melody.replace("|", " ").split())


def test_scores_are_arranged_in_many_ways():
    settings = ComposeConfig(score_share=1.0, max_duration_s=40.0)
    pieces = [compose((0, 0, index), settings) for index in range(30)]
    assert all(piece.style.startswith("score: ") and len(piece.tracks) == 3 for piece in pieces)
    assert len({piece.style for piece in pieces}) == len(SCORES) and len({piece.key for piece in pieces}) > 6
    assert all(len(piece.beat_times_s) >= 3 * len(piece.downbeat_times_s) for piece in pieces)
    assert compose((0, 0, 3), settings) == pieces[3]
    assert not compose((0, 0, 3)).style.startswith("score")


def test_settings_are_checked():
    with pytest.raises(CompositionError, match="polka"):
        ComposeConfig(styles_excluded=("polka",))
    with pytest.raises(CompositionError, match="durations"):
        ComposeConfig(min_duration_s=30.0, max_duration_s=20.0)
    with pytest.raises(CompositionError, match="excluded"):
        ComposeConfig(styles_excluded=tuple(style.name for style in STYLES))


def test_tables_are_consistent():
    for style in STYLES:
        assert set(style.modes) <= set(MODES) and set(style.metres) <= set(METRES)
        assert set(style.grooves) <= set(GROOVES)
        assert {name for names in style.families.values() for name in names} <= set(FAMILIES)
    for variants in GROOVES.values():
        for groove in variants:
            assert {len(line) for line in groove.values()} <= {12, 16}
            assert set("".join(groove.values())) <= set("Xxog.")
    assert {len(fill) for fill in FILLS} == {16}


def test_swing_moves_only_the_second_of_a_pair():
    grid = BeatGrid(step_s=0.1, swing=2.0 / 3.0, swing_steps=2)
    assert grid.time_s(4) == pytest.approx(0.4)
    assert grid.time_s(2) == pytest.approx(0.4 * 2.0 / 3.0)
    assert BeatGrid(0.1, 0.5, 2).time_s(3.5) == pytest.approx(0.35)


def test_harmony():
    key = Key(9, "minor")
    assert key.name == "A minor" and key.pitch_class(2) == 0
    chords = progression(key, ("pop",), 8, 16, False, np.random.default_rng(0))
    assert sum(chord.steps for chord in chords) == 8 * 16
    assert chord_at(chords, 0) is chords[0] and chord_at(chords, 1e6) is chords[-1]
    assert nearest(0, 61.0) == 60
    pitches = voicing(Chord(0, (0, 4, 7), 0, 16), 60.0, 3)
    assert {pitch % 12 for pitch in pitches} == {0, 4, 7}
