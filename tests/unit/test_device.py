"""Devices by name, and the environment in which PyTorch would multiply wrongly."""

from __future__ import annotations

import pytest
import torch

from vampnet.device import select_device
from vampnet.errors import SettingsError


@pytest.mark.parametrize("value", ["true", "TRUE", "1", " True "])
def test_dynamic_threads_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_DYNAMIC", value)
    with pytest.raises(SettingsError, match="OMP_DYNAMIC=true, with which PyTorch multiplies wrongly; unset it"):
        select_device("cpu")


@pytest.mark.parametrize("value", ["false", "0", ""])
def test_fixed_threads_are_not(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_DYNAMIC", value)
    assert select_device("cpu") == torch.device("cpu")
