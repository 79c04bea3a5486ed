"""Outpaint and continue: the input stays, lengths are exact, new music goes over windows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny import tiny_vampnet, tone
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.inpaint import CROSSFADE_S
from vampnet.tasks.model import VampNet

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    return tiny_vampnet(tmp_path_factory.mktemp("tasks"))


def test_outpainting_keeps_the_input(model: VampNet) -> None:
    audio = tone(3.0, 48000, 2)
    result = model.outpaint(audio, before_s=1.0, after_s=2.0, sampling=FAST)
    made = result.audio
    assert made.samples.shape == (2, 6 * 48000)
    fade = round(CROSSFADE_S * 48000)
    inner = made.samples[:, 48000 + fade : 4 * 48000 - fade]
    assert np.array_equal(inner, audio.samples[:, fade:-fade])
    assert np.abs(made.samples[:, :40000]).max() > 0 and np.abs(made.samples[:, -40000:]).max() > 0
    assert result.kept_share == pytest.approx(0.5, abs=0.01)
    with pytest.raises(SettingsError, match="nothing to do"):
        model.outpaint(audio)
    with pytest.raises(SettingsError, match="after"):
        model.outpaint(audio, after_s=-1.0)


def test_a_continuation_goes_over_windows(model: VampNet) -> None:
    audio = tone(1.0)
    made = model.continue_(audio, seconds=14.0, sampling=FAST).audio
    assert made.n_samples == 15 * 44100
    again = model.outpaint(audio, after_s=14.0, sampling=FAST).audio
    assert np.array_equal(made.samples, again.samples)


def test_what_comes_before_is_drawn_apart_from_what_comes_after(model: VampNet) -> None:
    audio = tone(1.0)
    after, both = (model.outpaint(audio, before_s=s, after_s=1.0, theme=None, sampling=FAST).audio for s in (0, 0.5))
    n = round(0.5 * 44100)
    assert np.array_equal(both.samples[:, n + 22050 :], after.samples[:, 22050:])
