"""Windows of long material: properties, and a few by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from vampnet.errors import SettingsError
from vampnet.generation import spans


@given(st.integers(0, 5000), st.integers(1, 600), st.data())
def test_windows_cover_everything_once(n: int, window: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, window - 1))
    result = spans.windows(n, window, overlap)
    generated = [frame for w in result for frame in range(w.first_new, w.stop)]
    assert generated == list(range(n))
    for before, after in itertools.pairwise(result):
        assert after.start + after.n_context == before.stop
        assert after.n_context >= overlap
        assert after.start > before.start
    assert all(w.n_frames == min(window, n) for w in result)
    assert not result or (result[0].start, result[0].n_context, result[-1].stop) == (0, 0, n)


def test_windows_by_hand() -> None:
    assert spans.windows(10, 20, 5) == [spans.Window(0, 10, 0)]
    assert spans.windows(20, 20, 5) == [spans.Window(0, 20, 0)]
    assert spans.windows(21, 20, 5) == [spans.Window(0, 20, 0), spans.Window(1, 21, 19)]
    assert spans.windows(35, 20, 5) == [spans.Window(0, 20, 0), spans.Window(15, 35, 5)]
    assert spans.windows(0, 20, 5) == []


@pytest.mark.parametrize(("n", "window", "overlap"), [(-1, 10, 2), (5, 0, 0), (5, 10, 10), (5, 10, -1)])
def test_bad_windows_are_refused(n: int, window: int, overlap: int) -> None:
    with pytest.raises(SettingsError):
        spans.windows(n, window, overlap)
