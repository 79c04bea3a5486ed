"""Settings of `vampnet make-model`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from vampnet.config import check, check_settings, setting
from vampnet.errors import SettingsError

SIZES = ("tiny", "small", "base", "paper")
"""tiny: the models of --start-from, trained on whole; the others begin from random weights."""
UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
MIN_BUDGET_S = 60.0


@dataclass(frozen=True)
class MakingConfig:
    """Settings of a model of one's own."""

    size: str = setting("tiny", choices=SIZES)
    """Size of the networks; tiny: those of --start-from, trained on whole."""
    codec: str = "default"
    """Codec: 'default', a bundle, or a folder with a codec (DAC of the transformers library, or the authors' files)."""
    start_from: str = "default"
    """Bundle whose networks size tiny begins with, and whose figures stand beside those of the new ones."""
    recipe: str = ""
    """Recipe of the networks in the place of the size's: a YAML file with a coarse and a c2f section."""
    held_out: float = setting(0.1, low=0.01, high=0.5)
    """Share of the music that is held out, 0.01 to 0.5, in whole groups."""
    render: float = setting(0.0, low=0.0, high=1000.0)
    """Hours of composed music that are trained on beside yours."""
    licence: str = "not stated"
    """Licence that the model card states."""
    seed: int = setting(0, low=0, high=2**31 - 1)
    """Seed of the split, of initial weights, batches and masks."""

    def __post_init__(self) -> None:
        check_settings(self)

    def identity(self) -> dict[str, Any]:
        """Settings that a working folder must have been made with for this run to resume it."""
        return {name: value for name, value in vars(self).items() if name != "licence"}


def parse_budget(text: str) -> float:
    """Seconds of a length such as 2h, 90m, 1h30m or 5400. Raises SettingsError."""
    parts = re.findall(r"([0-9]*\.?[0-9]+)\s*(min|[smhd]?)", text.strip().lower())
    if not parts or re.sub(r"[0-9.]+\s*(min|[smhd]?)\s*", "", text.strip().lower()):
        raise SettingsError(f"--budget is {text!r}, but must be a length such as 2h, 90m or 1h30m")
    seconds = sum(float(number) * UNITS_S[unit or "s"] for number, unit in parts)
    check("--budget", seconds, MIN_BUDGET_S, 366 * 86400.0, "seconds; write 30m or 2h")
    return seconds
