"""Short validations for every test of training."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _short_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codecs are judged by 2 crops of 0.8 s instead of 16 of 4 s."""
    monkeypatch.setattr("vampnet.training.codec_objective.VALIDATION_CROPS", 2)
    monkeypatch.setattr("vampnet.training.codec_objective.VALIDATION_FRAMES", 48)
