"""Themes: whole bars from the end of a recording, repeated in time, and what continuations keep of them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny import tiny_vampnet, tone
from tests.unit.beats.test_events import clicks
from vampnet.audio.files import Audio, Samples
from vampnet.audio.sources import MemorySource
from vampnet.beats.events import Events
from vampnet.generation.config import SamplingConfig
from vampnet.jobs import request
from vampnet.jobs.flags import flags_of
from vampnet.prompts.parts import Nothing, Periodic
from vampnet.prompts.rhythmic import Beats
from vampnet.tasks import model as model_defaults
from vampnet.tasks.model import VampNet
from vampnet.tasks.theme import LONGEST_S, Theme, ThemedSource, find_region_theme, find_theme

RATE_HZ = 44100
FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("bundle"))


def source_of(samples: Samples, rate_hz: int = RATE_HZ) -> MemorySource:
    return MemorySource(Audio(samples, rate_hz))


def all_of(source: ThemedSource, first: int = 0) -> Samples:
    return np.concatenate(list(source.blocks(first)), axis=1)


@pytest.mark.parametrize(("bpm", "beats_per_bar", "n_beats"), [(120.0, 4, 16), (100.0, 3, 12)])
def test_a_theme_is_whole_bars(bpm: float, beats_per_bar: int, n_beats: int) -> None:
    """Four bars of 4/4 at 120 last 8 s, four of 3/4 at 100 last 7.2 s; twice as many would be too long."""
    samples = clicks(bpm, 16.0, beats_per_bar)
    theme = find_theme(source_of(samples))
    assert theme.n_samples / RATE_HZ == pytest.approx(n_beats * 60 / bpm, abs=0.02)
    assert np.array_equal(theme.samples, samples[:, -theme.n_samples :])
    assert len(theme.found.beats_s) == pytest.approx(n_beats, abs=1)
    opening = find_theme(source_of(samples), at_end=False)
    assert np.array_equal(opening.samples, samples[:, : opening.n_samples])


@pytest.mark.parametrize(("seconds", "expected_s"), [(0.3, 0.3), (5.0, 5.0), (30.0, LONGEST_S)])
def test_without_beats_a_theme_is_as_long_as_it_may_be(seconds: float, expected_s: float) -> None:
    theme = find_theme(source_of(np.zeros((2, int(seconds * RATE_HZ)), np.float32)))
    assert theme.n_samples == int(expected_s * RATE_HZ) and theme.found.beats_s == ()


def test_themes_go_on_where_the_source_ends() -> None:
    """Before the source turns end at its start, after it they begin at its end; blocks from anywhere agree."""
    own, step_s = np.arange(10.0, 20.0, dtype=np.float32)[None], 1 / 4000
    before = Theme(own[:, :3], 4000, Events((1 * step_s,), ()))
    after = Theme(own[:, -4:], 4000, Events((0.0, 2 * step_s), (2 * step_s,)))
    themed = ThemedSource(source_of(own, 4000), before, 5, after, 9)
    expected = [11, 12, 10, 11, 12, *range(10, 20), 16, 17, 18, 19, 16, 17, 18, 19, 16]
    assert themed.n_samples == len(expected) and all_of(themed)[0].tolist() == expected
    for first in (2, 5, 9, 15, 20, 23):
        assert all_of(themed, first)[0].tolist() == expected[first:]
    assert np.array(themed.events("beats")) / step_s == pytest.approx([0, 3, 15, 17, 19, 21, 23])
    assert np.array(themed.events("downbeats")) / step_s == pytest.approx([17, 21]) and themed.events("onsets") == []


def test_a_continuation_keeps_its_theme(model: VampNet) -> None:
    """What a theme keeps comes from the audio's end: with all of it kept, new music is that, over and over."""
    audio, other_seed = tone(4.0), SamplingConfig(steps=2, c2f_steps=1, seed=4)
    everything = model.outpaint(audio, after_s=3.0, sampling=FAST, theme=Periodic(1)).audio
    sparse, free, none = (
        model.outpaint(audio, before_s=0.5, after_s=3.0, sampling=FAST, theme=theme).audio
        for theme in (Periodic(4), None, Nothing())
    )
    assert np.array_equal(free.samples, none.samples)
    assert not np.array_equal(free.samples, sparse.samples)
    again = model.outpaint(audio, after_s=3.0, sampling=other_seed, theme=Periodic(1)).audio
    n = audio.n_samples
    assert np.array_equal(everything.samples[:, n:], again.samples[:, n:])  # nothing is left to chance


def test_beats_of_the_theme_are_kept(model: VampNet) -> None:
    """The beats of a click track go on: their frames are those of the theme, whatever the seed."""
    audio = Audio(clicks(120.0, 8.0, 4, model.codec.sample_rate_hz), model.codec.sample_rate_hz)
    made = [
        model.continue_(audio, seconds=4.0, sampling=SamplingConfig(steps=2, c2f_steps=1, seed=s), theme=theme).audio
        for theme in (Beats(before=0.1, after=0.4), Nothing())
        for s in (1, 2)
    ]
    new = [x.samples[0, audio.n_samples :] for x in made]
    kept, free = (np.abs(new[k] - new[k + 1]).mean() / np.abs(new[k]).mean() for k in (0, 2))
    assert kept < 0.5 * free


def test_the_command_line_has_the_same_defaults() -> None:
    for command in ("continue", "inpaint"):
        (theme,) = (flag.default for flag in flags_of(command) if flag.name == "--theme")
        assert theme == request.DEFAULT_THEME == model_defaults.DEFAULT_THEME
    assert request.DEFAULT_PROMPT == model_defaults.DEFAULT_PROMPT


def test_a_region_goes_on_in_the_grid_of_the_recording() -> None:
    """Clicks at 120 from 0.2 s on: within 6 to 10 s their place is known from either side, or from beats given."""
    samples = clicks(120.0, 16.0, 4)
    source, span = source_of(samples), (6 * RATE_HZ, 10 * RATE_HZ)
    expected = np.arange(6.2, 10.0, 0.5)
    for given in (None, Events(tuple(np.arange(0.2, 16.0, 0.5)), tuple(np.arange(0.2, 16.0, 2.0)))):
        bars = find_region_theme(source, span, given)
        assert bars is not None and bars.theme.n_samples / RATE_HZ == pytest.approx(4.0, abs=0.02)
        np.testing.assert_allclose(bars.events("beats"), expected, atol=0.06)
        assert sum(block.shape[1] for block in bars.blocks()) == 4 * RATE_HZ
    looped = np.concatenate(list(bars.blocks()), axis=1)
    np.testing.assert_array_equal(looped[:, : 2 * RATE_HZ], samples[:, 2 * RATE_HZ : 4 * RATE_HZ])
    early = find_region_theme(source, (0, 3 * RATE_HZ))  # nothing lies before it: the bars after it
    assert early is not None
    np.testing.assert_allclose(early.events("beats"), np.arange(0.2, 3.0, 0.5), atol=0.06)


def test_a_region_without_beats_or_music_around_goes_its_own_way() -> None:
    silent = source_of(np.zeros((1, 16 * RATE_HZ), np.float32))
    assert find_region_theme(silent, (6 * RATE_HZ, 10 * RATE_HZ)) is None
    short = source_of(clicks(120.0, 6.0, 4))
    assert find_region_theme(short, (RATE_HZ, 5 * RATE_HZ)) is None


def test_an_inpainted_region_keeps_its_theme(model: VampNet) -> None:
    """With all of the theme kept, a region is the bars before it; a prompt that keeps something comes first."""
    rate_hz = model.codec.sample_rate_hz
    audio = Audio(clicks(120.0, 12.0, 4, rate_hz), rate_hz)
    region = slice(6 * rate_hz, 8 * rate_hz)
    made = {
        (str(theme), seed): model.inpaint(
            audio, regions=[(6.0, 8.0)], theme=theme, sampling=SamplingConfig(steps=1, c2f_steps=1, seed=seed)
        )
        for theme in (Periodic(1), Nothing())
        for seed in (1, 2)
    }
    assert {variation.kept_share for variation in made.values()} == {made[str(Nothing()), 1].kept_share}
    parts = {key: variation.audio.samples[:, region] for key, variation in made.items()}
    assert np.array_equal(parts[str(Periodic(1)), 1], parts[str(Periodic(1)), 2])  # nothing is left to chance
    assert not np.array_equal(parts[str(Nothing()), 1], parts[str(Nothing()), 2])
    prompted = [
        model.inpaint(audio, regions=[(6.0, 8.0)], prompt="periodic(2)", theme=theme, sampling=FAST).audio.samples
        for theme in (Periodic(1), None)
    ]
    assert np.array_equal(prompted[0], prompted[1])
