"""Telephone: every round is a vamp of the round before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tiny_vampnet, tone
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig


def sampling(seed: int) -> SamplingConfig:
    return SamplingConfig(steps=2, c2f_steps=1, seed=seed)


def test_each_round_vamps_the_last(tmp_path: Path) -> None:
    model, audio = tiny_vampnet(tmp_path / "b"), tone(1.0, 32000, 2)
    heard = audio
    for rounds in (1, 2, 3):
        heard = model.vamp(heard, sampling=sampling(2 + rounds)).audio
        made = model.telephone(audio, rounds=rounds, sampling=sampling(3))
        assert made.seed == 3 and np.array_equal(made.audio.samples, heard.samples)
    with pytest.raises(SettingsError, match="rounds"):
        model.telephone(audio, rounds=0)
