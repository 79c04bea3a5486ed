"""Numbers of listeners: against the normal theory, and in the right order."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from vampnet.errors import SettingsError
from vampnet.evaluation.listening.power import ListenerModel, listeners_for_preference, listeners_for_ratings


def test_ratings_need_what_theory_says() -> None:
    model = ListenerModel(items=9, between=8.0, within=18.0)
    spread = math.hypot(8.0, 18.0 / 3)
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    theory = (z * spread / 5.0) ** 2 * math.pi / 3  # Wilcoxon needs pi / 3 as many as the t-test
    found = listeners_for_ratings(5.0, model)
    assert found is not None and abs(found - theory) < 0.15 * theory + 2


def test_preference_needs_more_for_less() -> None:
    clear, faint = (listeners_for_preference(share, ListenerModel(items=6)) for share in (0.75, 0.6))
    assert clear is not None and faint is not None and 4 <= clear < faint
    many = listeners_for_preference(0.6, ListenerModel(items=6, comparisons=6))
    assert many is not None and many > faint
    assert listeners_for_preference(0.51, ListenerModel(items=1)) is None


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match="share"):
        listeners_for_preference(0.4)
    with pytest.raises(SettingsError, match="items"):
        ListenerModel(items=0)
