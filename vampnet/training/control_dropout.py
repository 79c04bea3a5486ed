"""Choice of the controls that a training item hears: groups are left out whole or by stretches.

Axis letters: B item, T frame, I feature.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vampnet.controls.config import GROUPS
from vampnet.models.config import ConditioningConfig
from vampnet.models.control_features import columns

GROUP_CHANCE = {
    "beats": 0.6, "chords": 0.6, "rhythm": 0.4, "melody": 0.35, "loudness": 0.35, "style": 0.4, "instruments": 0.4,
}  # fmt: skip
"""Chance of each group to be heard by an item."""
CONTROL_CHANCE = 0.85
"""Chance of each control of a group that is heard."""
STRETCH_CHANCE = 0.15
"""Chance of a group that is heard to be silent over a stretch."""


def drop_controls(features_BTI: Tensor, config: ConditioningConfig, generator: torch.Generator) -> Tensor:
    """The features that the items of a batch hear; each hears at least one group."""
    places, kept_BTI = columns(config), features_BTI.clone()
    for item_TI in kept_BTI:
        heard = [group for group in GROUPS if _uniform(generator) < GROUP_CHANCE[group]]
        heard = heard or [list(GROUPS)[int(_uniform(generator) * len(GROUPS))]]
        for group, names in GROUPS.items():
            for name in names:
                if _uniform(generator) >= CONTROL_CHANCE or group not in heard:
                    item_TI[:, places[name]] = 0.0
            if _uniform(generator) < STRETCH_CHANCE:
                first, stop = sorted(int(_uniform(generator) * (len(item_TI) + 1)) for _ in range(2))
                for name in names:
                    item_TI[first:stop, places[name]] = 0.0
    return kept_BTI


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
