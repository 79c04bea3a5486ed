"""The far styles: asked for by name only, a function of the seed, and unlike the other styles; default corpora stay."""

import dataclasses
import hashlib

import numpy as np
import pytest

from synthcorpus.compose.held_out_styles import COMPOSERS, DRONE_STEPS
from synthcorpus.compose.piece import ComposeConfig, Piece, compose
from synthcorpus.compose.style_table import STYLES
from synthcorpus.render.render import RenderConfig, render
from synthcorpus.synth.held_out import drone_hz

SHORT = ComposeConfig(min_duration_s=8.0, max_duration_s=10.0)
BEFORE_FAR_STYLES = "c3764bd00c4c50cc3f1413f4a1d9a709de897ffe5b37b6bba40855e78aeeb767"
"""SHA-256 of the first default pieces' notes, as they were before held-out styles with composers of their own."""


def far_piece(style: str, seed: int = 0) -> Piece:
    return compose((0, 0, seed), dataclasses.replace(SHORT, styles_only=(style,)))


def test_default_corpora_are_as_before() -> None:
    def described(piece: Piece) -> list:
        return [
            (t.name, t.program, t.is_synth, [(round(s, 5), round(d, 5), p, v) for s, d, p, v in t.notes])
            for t in piece.tracks
        ]

    text = "".join(repr(described(compose((0, 0, index)))) for index in range(12))
    assert hashlib.sha256(text.encode()).hexdigest() == BEFORE_FAR_STYLES


def test_they_must_be_asked_for() -> None:
    assert {style.name for style in STYLES if style.held_out} >= set(COMPOSERS)
    assert not set(COMPOSERS) & {style.name for style in ComposeConfig().styles()}


@pytest.mark.parametrize("style", COMPOSERS)
def test_a_seed_is_a_piece_and_a_sound(style: str) -> None:
    assert far_piece(style) == far_piece(style) != far_piece(style, 1)
    settings = RenderConfig(sample_rate_hz=22050)
    first, again = (render(far_piece(style), settings, np.random.default_rng(5)).audio for _ in range(2))
    assert np.array_equal(first, again) and np.isfinite(first).all() and 0.01 < np.abs(first).max() < 1.0
    piece = far_piece(style)
    assert all(0.0 <= note[0] < piece.duration_s + 1.0 for track in piece.tracks for note in track.notes)


def test_console_arpeggiates_fast_and_drones_are_slow_and_microtonal() -> None:
    rates = {style: max(len(t.notes) for t in far_piece(style).tracks) / 10.0 for style in COMPOSERS}
    assert rates["console"] > 10.0 and rates["drone"] < 1.0
    cents = 1200 * np.log2(drone_hz(31) / drone_hz(30))
    assert cents == pytest.approx(1200 / DRONE_STEPS) and abs(cents - 100) > 20
