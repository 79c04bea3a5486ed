"""Stored seeds of every target, a few tries each: no exception of others, nothing damaged taken for good."""

from __future__ import annotations

import pytest

from tests.fuzz.harness import attempt, targets_of

TARGETS = targets_of()
TRIES = 12


@pytest.mark.parametrize("name", TARGETS)
def test_stored_seeds(name: str) -> None:
    faults = [fault for number in range(TRIES) if (fault := attempt(TARGETS[name], name, 2026, number))]
    assert not faults, "\n".join(faults)
