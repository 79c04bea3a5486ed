"""What a learning curve says of more steps and more music."""

from __future__ import annotations

import pytest

from vampnet.making.judging import foresee


@pytest.mark.parametrize(
    ("nats", "best", "train", "words"),
    [
        ((5.0, 4.8, 4.6, 4.5, 4.4), 4, 4.4, "steps are what lacks"),
        ((5.0, 4.8, 4.6, 4.5, 4.4), 4, 4.0, "more music may help too"),
        ((5.0, 4.8, 4.9, 5.0, 5.1), 1, 4.0, "more steps would not help"),
        ((4.0, 5.0, 4.8, 4.6, 4.5), 0, 4.0, "falling again at the end"),
        ((5.0, 4.9), 1, 4.9, "too short to say"),
    ],
)
def test_the_curve_is_read(nats: tuple[float, ...], best: int, train: float, words: str) -> None:
    curve = [[step, value] for step, value in enumerate(nats)]
    assert words in foresee({"curve": curve, "best_step": best, "new": min(nats), "train": train})


def test_the_last_doubling_is_counted() -> None:
    curve = [[0, 5.0], [1, 4.8], [2, 4.6], [3, 4.5], [4, 4.4]]
    said = foresee({"curve": curve, "best_step": 4, "new": 4.4, "train": 4.4})
    assert "its last doubling of steps brought 0.200 nats" in said
