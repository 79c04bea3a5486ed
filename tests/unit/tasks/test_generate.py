"""Generate: new audio from nothing and like a clip; beyond ten seconds it goes on from its opening."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny import tiny_vampnet, tone
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.defaults import DEFAULT_THEME
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("tasks"))


def test_new_audio(model: VampNet) -> None:
    made = model.generate(seconds=1.5, sampling=FAST)
    assert made.audio.samples.shape == (1, 66150) and not made.keep_CT.any()
    other = model.generate(seconds=1.5, sampling=SamplingConfig(steps=2, c2f_steps=1, seed=4))
    assert not np.array_equal(made.audio.samples, other.audio.samples)
    like = model.generate(seconds=2.5, like=tone(1.0, 22050, 2), sampling=FAST)
    assert like.audio.samples.shape == (2, 55125) and like.audio.sample_rate_hz == 22050
    assert like.keep_CT.any() and not like.keep_CT.all()


def test_new_audio_goes_on_from_its_opening(model: VampNet) -> None:
    """Beyond ten seconds it keeps a theme of them; without one it goes its own way, from the same opening on."""
    themed, free = (model.generate(seconds=12.0, sampling=FAST, theme=theme) for theme in (DEFAULT_THEME, None))
    assert themed.audio.n_samples == free.audio.n_samples == 12 * 44100
    assert themed.keep_CT.shape == free.keep_CT.shape and not themed.keep_CT.any()
    assert not np.array_equal(themed.audio.samples[:, 441000:], free.audio.samples[:, 441000:])
    again = model.generate(seconds=12.0, sampling=FAST)
    assert np.array_equal(again.audio.samples, themed.audio.samples)
    opening = model.generate(seconds=10.0, sampling=FAST).audio.samples
    n = 441000 - 441  # but for the crossfade
    assert np.array_equal(themed.audio.samples[:, :n], opening[:, :n])
    longer = model.generate(seconds=10.000001, sampling=FAST).audio  # nothing is left to go on with
    assert longer.n_samples == 10 * 44100 and np.array_equal(longer.samples, opening)
    short, same = (
        model.generate(seconds=2.0, sampling=FAST, theme=theme).audio.samples for theme in (DEFAULT_THEME, None)
    )
    assert np.array_equal(short, same)


def test_variations_are_numbered(model: VampNet) -> None:
    first, second = model.generate(seconds=0.5, n=2, sampling=FAST)
    assert first.audio.samples.shape == (1, 22050) and (first.number, second.number) == (1, 2)
    assert not np.array_equal(first.audio.samples, second.audio.samples)
