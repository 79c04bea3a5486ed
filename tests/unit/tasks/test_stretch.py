"""Stretch: lengths, and the place of each token of the input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.tiny import tiny_vampnet, tone
from vampnet.errors import SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.prompts.parts import Everything

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=3)


@pytest.mark.parametrize("factor", [1.0, 1.5, 3.0])
def test_stretching(tmp_path: Path, factor: float) -> None:
    model, audio = tiny_vampnet(tmp_path / "b"), tone(1.0, channels=2)
    made = model.stretch(audio, factor=factor, sampling=FAST)
    assert made.audio.samples.shape == (2, round(44100 * factor))
    kept = made.keep_CT[0].nonzero().squeeze(1).tolist()
    assert len(kept) == 58 and all(abs(place - i * factor) <= 0.5 for i, place in enumerate(kept))
    own = model.vamp(audio, prompt=Everything(), sampling=FAST).codes
    assert made.codes is not None and own is not None and torch.equal(made.codes[:, :, kept], own)
    with pytest.raises(SettingsError, match="factor"):
        model.stretch(audio, factor=0.5)
