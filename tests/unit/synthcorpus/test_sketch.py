"""Sketches: what was asked for is in the notes exactly, lengths are exact, loops loop; and the truth of pieces."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from synthcorpus.beat_pieces import sway
from synthcorpus.compose.piece import ComposeConfig, compose
from synthcorpus.compose.styles import METRES
from synthcorpus.corpus import describe
from synthcorpus.errors import CompositionError
from synthcorpus.instruments import INSTRUMENTS, STYLE_NAMES
from synthcorpus.sketch import SketchPlan, key_of_chords, render_sketch, write_sketch
from synthcorpus.truth import piece_truth

DM7, G7, CMAJ7, A7 = (
    (2, (0, 3, 7, 10), None),
    (7, (0, 4, 7, 10), None),
    (0, (0, 4, 7, 11), None),
    (9, (0, 4, 7, 10), None),
)
TURNAROUND = ((DM7,), (G7,), (CMAJ7, A7))


def test_a_plan_is_kept_exactly():
    plan = SketchPlan(bpm=96.0, tonic=2, mode="minor", chords=TURNAROUND, metre="4/4", bars=6, style="funk")
    piece = write_sketch(plan, 3)
    assert (piece.tempo_bpm, piece.metre, piece.key, piece.style) == (96.0, "4/4", "D minor", "funk")
    assert piece.duration_s == pytest.approx(6 * 4 * 60 / 96) and len(piece.beat_times_s) == 24
    chords = piece_truth(piece).chords
    assert [(round(c[0], 3), c[2]) for c in chords] == [
        (0.0, 2), (2.5, 7), (5.0, 0), (6.25, 9), (7.5, 2), (10.0, 7), (12.5, 0), (13.75, 9),
    ]  # fmt: skip
    assert write_sketch(plan, 3) == piece and write_sketch(plan, 4) != piece


def test_notes_follow_the_chords():
    plan = SketchPlan(bpm=120.0, chords=TURNAROUND, bars=12, style="pop", instruments=("piano",))
    piece = write_sketch(plan, 0)
    track = next(track for track in piece.tracks if track.name == "piano")
    chords = piece_truth(piece).chords
    inside = []
    for start, _, pitch, _ in track.notes:
        chord = next(c for c in chords if c[0] - 0.05 <= start < c[1] - 0.05)
        inside.append((pitch - chord[2]) % 12 in {tone % 12 for tone in chord[3]})
    assert len(inside) > 30 and np.mean(inside) > 0.97


@pytest.mark.parametrize("metre", METRES)
def test_metres_and_seconds(metre):
    piece = write_sketch(SketchPlan(bpm=100.0, metre=metre, bars=3), 1)
    beats = METRES[metre]
    assert piece.duration_s == pytest.approx(3 * beats.steps / beats.tempo_steps * 0.6)
    assert len(piece.downbeat_times_s) == 3 and piece.metre == metre


def test_named_instruments_play_and_others_rest():
    plan = SketchPlan(style="funk", instruments=("electric bass", "violin", "trumpet"), without=("drums", "piano"))
    for seed in range(4):
        piece = write_sketch(plan, seed)
        names, roles = {t.name for t in piece.tracks}, {t.role for t in piece.tracks}
        assert {"electric bass", "violin", "trumpet"} <= names and not roles & {"drums", "chords"}


def test_a_slash_chord_is_played_by_the_bass():
    piece = write_sketch(
        SketchPlan(bpm=120.0, chords=(((0, (0, 4, 7), 4),),), bars=2, instruments=("bass",), style="pop"), 0
    )
    bass = next(track for track in piece.tracks if track.role == "bass")
    assert {note[2] % 12 for note in bass.notes} == {4}
    assert piece_truth(piece).chords[0][4] == 4


def test_no_pitch_sounds_where_the_chart_has_no_chord():
    piece = write_sketch(SketchPlan(bpm=120.0, chords=((DM7,), (None,)), bars=4, style="rock"), 0)
    for track in piece.tracks:
        for start, length, _, _ in track.notes if not track.is_drums else ():
            place = (start + 0.03) % 4.0
            assert place < 2.0 and place + length < 2.05
    assert [(c[0], c[1]) for c in piece_truth(piece).chords] == [(0.0, 2.0), (4.0, 6.0)]


@pytest.mark.parametrize(
    ("chords", "key"),
    [
        (TURNAROUND, (2, "minor")),
        (((CMAJ7,), (A7,), (DM7,), (G7,)), (0, "major")),
        ((((9, (0, 3, 7), None),), ((5, (0, 4, 7), None),), ((0, (0, 4, 7), None),), (G7,)), (9, "minor")),
        (((None,),), (0, "major")),
    ],
)
def test_the_key_follows_from_chords(chords, key):
    assert key_of_chords(chords) == key


def test_lengths_are_exact_and_loops_loop():
    plan = SketchPlan(bpm=97.0, chords=TURNAROUND, bars=1, style="synthwave", instruments=("synth pad",))
    piece = write_sketch(plan, 0)
    audio = render_sketch(piece, 22050, 0, loops=True)
    assert audio.shape == (2, round(4 * 60 / 97 * 22050)) and audio.dtype == np.float32
    assert 0.05 < np.abs(audio).max() <= 0.99
    step = np.abs(np.diff(audio)).max()
    assert np.abs(audio[:, 0] - audio[:, -1]).max() <= step  # the seam is no larger a step than others
    faded = render_sketch(piece, 22050, 0, loops=False, n_samples=10000)
    assert faded.shape == (2, 10000) and np.abs(faded[:, -1]).max() == 0.0
    np.testing.assert_array_equal(audio, render_sketch(piece, 22050, 0, loops=True))


def test_what_rings_on_is_added_to_the_start():
    plan = SketchPlan(bpm=120.0, bars=1, style="ambient", instruments=("synth pad",))
    piece = write_sketch(plan, 0)
    whole = render_sketch(piece, 22050, 0, loops=False, n_samples=round(piece.duration_s * 22050) + 22050)
    loop = render_sketch(piece, 22050, 0, loops=True)
    n = loop.shape[1]
    assert np.square(whole[:, n:]).mean() > 1e-8  # it does ring on
    assert (
        np.abs(loop[:, :2000]).mean() > 1.05 * np.abs(whole[:, :2000]).mean() * np.abs(loop).max() / np.abs(whole).max()
    )


def test_wrong_plans_are_named():
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"bpm": 5.0}, "bpm is 5"),
        ({"bars": 0}, "bars is 0"),
        ({"metre": "9/8"}, "9/8"),
        ({"style": "polka"}, "polka"),
        ({"instruments": ("vuvuzela",)}, "vuvuzela"),
        ({"without": ("vuvuzela",)}, "vuvuzela"),
        ({"mode": "locrian"}, "locrian"),
    )
    for wrong, said in cases:
        with pytest.raises(CompositionError, match=said):
            SketchPlan(**wrong)


@pytest.mark.parametrize("style", STYLE_NAMES)
def test_every_style_can_be_sketched(style):
    piece = write_sketch(SketchPlan(style=style, chords=TURNAROUND, bars=4), 0)
    assert piece.style == style and piece.tracks and all(track.name in INSTRUMENTS for track in piece.tracks)


def test_truth_covers_the_piece():
    for index in range(25):
        piece = compose((0, 5, index), ComposeConfig(max_duration_s=25.0))
        truth = piece_truth(piece)
        assert truth.beats_s == piece.beat_times_s and truth.key == piece.key
        if truth.chords:
            assert truth.chords[0][0] == 0.0 and truth.chords[-1][1] == pytest.approx(piece.duration_s, abs=1e-6)
            assert all(a[1] == pytest.approx(b[0]) for a, b in itertools.pairwise(truth.chords))
        assert all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(truth.melody))


def test_truth_sways_with_the_tempo():
    piece = compose((0, 5, 1), ComposeConfig(max_duration_s=25.0, styles_only=("rock",)))
    bent = sway(piece, np.random.default_rng(0))
    straight, moved = piece_truth(piece).chords, piece_truth(bent).chords
    assert len(straight) == len(moved)
    starts = [chord[0] for chord in straight]
    expected = np.interp(starts, (*piece.beat_times_s, piece.duration_s), (*bent.beat_times_s, bent.duration_s))
    np.testing.assert_allclose([chord[0] for chord in moved], expected, atol=1e-6)


def test_tunes_in_the_public_domain_have_chords_too():
    piece = compose((0, 0, 3), ComposeConfig(score_share=1.0, max_duration_s=40.0))
    truth = piece_truth(piece)
    assert truth.chords[-1][1] == pytest.approx(piece.duration_s) and truth.melody
    assert dataclasses.asdict(truth)["metre"] == piece.metre


def test_the_index_tells_the_truth():
    described = describe(compose((0, 5, 2), ComposeConfig(styles_only=("pop",), max_duration_s=21.0)))
    assert described["chords"] and len(described["chords"][0]) == 5 and described["instruments"]
    assert {"melody", "chords", "instruments", "beats", "downbeats", "tempo_bpm", "key"} <= set(described)
