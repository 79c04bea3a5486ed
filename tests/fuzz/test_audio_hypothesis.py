"""Audio files damaged as hypothesis likes, so that a fault shrinks to its smallest damage."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings, strategies as st

from tests.fuzz.fuzz_audio import CHECKED, SIZED, N, healthy_file, sound_of

places = st.floats(0, 1, exclude_max=True)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    st.sampled_from((*CHECKED, *SIZED)),
    st.lists(st.tuples(places, st.integers(0, 255)), max_size=4),
    st.one_of(st.just(1.0), places),
    st.binary(max_size=12),
)
def test_damage_is_refused_or_told_or_harmless(
    ending: str, bytes_set: list[tuple[float, int]], kept: float, behind: bytes
) -> None:
    data, healthy = healthy_file(ending)
    damaged = bytearray(data)
    for place, value in bytes_set:
        damaged[int(place * min(len(data), 2000))] = value  # headers are where damage matters
    with tempfile.TemporaryDirectory(prefix="vampnet-fuzz-") as folder:
        found, told = sound_of(Path(folder), ending, bytes(damaged[: int(kept * len(damaged))]) + behind)
    if found is None or told:
        return
    assert found.n_samples == N
    if ending in CHECKED:
        assert (found.samples == healthy.samples).all()
