"""Bars that are cut for loops: as long as the tempo says, not as each bar's beginning is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tone
from vampnet.audio.files import read
from vampnet.beats.events import Events, steady_events
from vampnet.errors import AudioError
from vampnet.tasks.loop import cut_bars, events_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "loop.wav"


def test_bars_of_the_example_loop_are_exact() -> None:
    audio = read(EXAMPLE)  # 120 bpm, 4/4, eight bars in 16 s
    events = events_of(audio)
    lengths = [cut_bars(audio, events, bars).duration_s for bars in (1, 2, 8)]
    assert lengths == pytest.approx([2.0, 4.0, 16.0], abs=1e-4)


def test_beats_that_are_heard_a_little_off_give_bars_of_the_tempo() -> None:
    rng = np.random.default_rng(1)
    beats = 0.005 + 0.5 * np.arange(16) + rng.uniform(-0.003, 0.003, 16)
    events = Events(tuple(beats), tuple(beats[::4]))
    audio = tone(8.0)
    assert cut_bars(audio, events, 2).n_samples == 4 * 44100
    assert cut_bars(audio, events, 4).n_samples == 8 * 44100  # all of it, though the first beat is heard late
    with pytest.raises(AudioError, match="fewer than 5 bars"):
        cut_bars(audio, events, 5)


def test_bars_that_sway_end_where_they_are_heard_to() -> None:
    beats = np.cumsum(np.linspace(0.4, 0.6, 17))
    events = Events(tuple(beats), tuple(beats[::4]))
    audio = tone(12.0)
    assert cut_bars(audio, events, 1).duration_s == pytest.approx(beats[4] - beats[0], abs=1e-4)


def test_given_bars_are_taken_as_they_are() -> None:
    assert cut_bars(tone(12.0), steady_events(93.97, 12.0, 0.25, 3), 2).duration_s == pytest.approx(
        6 * 60 / 93.97, abs=1e-4
    )
