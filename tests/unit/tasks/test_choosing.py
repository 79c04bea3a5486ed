"""Choosing among variations: the one that follows best comes first, whatever it is compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import vampnet
from vampnet.audio.files import Audio
from vampnet.audio.sources import MemorySource
from vampnet.controls.extraction import ExtractionConfig, extract_controls
from vampnet.controls.sketching import sketch
from vampnet.controls.words import ControlWords
from vampnet.errors import SettingsError
from vampnet.tasks.choosing import choose
from vampnet.tasks.task import Variation

WORDS = ControlWords(bpm=120, key="C major", chords="C | F", bars=2, style="pop")


def variation_of(audio: Audio, seed: int = 0) -> Variation:
    return Variation(MemorySource(audio), seed, torch.zeros(1, 1, dtype=torch.bool))


@pytest.fixture(scope="module")
def wanted() -> Audio:
    return sketch(WORDS, seed=3).audio


@pytest.fixture(scope="module")
def noise(wanted: Audio) -> Audio:
    samples = 0.1 * np.random.default_rng(0).standard_normal(wanted.samples.shape)
    return Audio(samples.astype(np.float32), wanted.sample_rate_hz)


def test_the_variation_that_follows_comes_first(wanted: Audio, noise: Audio) -> None:
    bad, good = variation_of(noise), variation_of(wanted, 3)
    assert choose([bad, good], like=wanted, follow="chords")[0] is good
    heard = extract_controls(wanted, ExtractionConfig(("onset_low", "onset_high")))
    assert choose([bad, good], like=heard, follow="rhythm")[0] is good
    assert choose([bad, good], words=str(WORDS), follow="chords")[0] is good
    assert vampnet.choose is choose


def test_what_cannot_be_chosen_by_is_named(wanted: Audio) -> None:
    made = [variation_of(wanted)]
    for settings, said in (
        ({}, "only one of them"),
        ({"like": wanted, "words": WORDS}, "only one of them"),
        ({"like": wanted, "follow": "song.wav:beats"}, "name controls alone"),
        ({"like": wanted, "follow": "drums"}, "beats, rhythm, chords, melody"),
        ({"like": wanted, "follow": ""}, "name controls alone"),
    ):
        with pytest.raises(SettingsError, match=said):
            choose(made, **settings)
