"""Splices: overlays where they should lie, excerpts from any sample on; files read from the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tone
from vampnet.audio.files import Audio, write
from vampnet.audio.sources import FileSource, MemorySource, Source
from vampnet.audio.splice import Overlay, Slice, Splice
from vampnet.audio.spool import Spool

RATE = 44100


def all_of(source: Source, first: int = 0) -> np.ndarray:
    return np.concatenate([np.zeros((source.channels, 0), np.float32), *source.blocks(first)], axis=1)


def ramp(n: int, start: int = 0) -> MemorySource:
    return MemorySource(Audio(np.arange(start, start + n, dtype=np.float32)[None], RATE))


def test_overlays_lie_where_they_should() -> None:
    splice = Splice(MemorySource(Audio(np.full((1, 200000), 0.5, np.float32), RATE)), 100, 50)
    with Spool(1) as spool:
        spool.add(np.ones((1, 70000), np.float32))
        splice.overlays.append(Overlay(65000, 135000, spool, fade_in=4, fade_out=2))
        whole = all_of(splice)[0]
        assert len(whole) == splice.n_samples == 200150 and not whole[:100].any() and not whole[-50:].any()
        assert np.allclose(whole[64998:65006], [0.5, 0.5, 0.5625, 0.6875, 0.8125, 0.9375, 1, 1])
        assert np.allclose(whole[134997:135002], [1, 0.875, 0.625, 0.5, 0.5])
        for first, stop in ((0, 200150), (50, 101), (64999, 65003), (134999, 200110), (200120, 200150)):
            assert np.array_equal(all_of(Slice(splice, first, stop))[0], whole[first:stop])


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_reading_from_the_middle(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a.{ending}", tone(2.0, 44100, 2))
    source = FileSource(tmp_path / f"a.{ending}")
    whole = all_of(source)
    for first in (1, 30000, 70001):
        assert np.array_equal(all_of(source, first), whole[:, first:])


def test_an_excerpt_ends_where_it_should() -> None:
    excerpt = Slice(ramp(200000), 65530, 131080)
    for first in (0, 6, 65549, 65550, 65560):
        assert np.array_equal(all_of(excerpt, first)[0], np.arange(65530 + first, 131080)), first
