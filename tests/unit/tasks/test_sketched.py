"""Words, taps and hums from Python."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.tiny import in_float32, shorten_windows, tiny_vampnet, tone
from vampnet.controls.config import HumConfig
from vampnet.controls.sketching import sketch
from vampnet.controls.words import ControlWords
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.tasks.model import VampNet
from vampnet.tasks.sketched import events_of_sketch, sketch_path

FAST = SamplingConfig(steps=1, c2f_steps=1, seed=5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VampNet]:
    with pytest.MonkeyPatch.context() as patch:
        shorten_windows(patch)
        in_float32(patch)
        yield tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")


def test_generate_to_words(model: VampNet) -> None:
    words = "bpm(150), chords(Dm7 | G7), bars(1), style(pop)"
    made = model.generate(words=words, sampling=FAST)
    assert made.audio.n_samples == round(1.6 * 44100) and made.seed == 5
    again = model.generate(words=ControlWords(bpm=150, chords="Dm7 | G7", bars=1, style="pop"), sampling=FAST)
    np.testing.assert_array_equal(made.audio.samples, again.audio.samples)
    with pytest.raises(SettingsError, match="leave one out"):
        model.generate(words=words, like=tone(0.5))


def test_tap_and_hum(model: VampNet) -> None:
    lead = model.hum(tone(1.0, 22050), config=HumConfig(instrument="flute"))
    assert lead.n_samples == 22050
    samples = np.zeros(22050, np.float32)
    samples[4000:4500] = 0.3 * np.random.default_rng(0).standard_normal(500)
    assert model.tap((samples, 22050)).n_samples == 22050


def test_beats_of_a_sketch_are_exact() -> None:
    made = sketch(ControlWords(bpm=120, metre="3/4", bars=2, style="waltz"), sample_rate_hz=16000)
    events = events_of_sketch(made)
    assert events is not None
    np.testing.assert_allclose(events.beats_s, np.arange(6) * 0.5, atol=2e-3)
    np.testing.assert_allclose(events.downbeats_s, (0.0, 1.5), atol=2e-3)
    assert sketch_path("a/song.wav").name == "song.sketch.wav"
