"""The memorisation check finds copies, and lets through what only resembles."""

from __future__ import annotations

import numpy as np

from vampnet.making.memorisation import describe, find_nearest
from vampnet.training.data.token_dataset import TokenSet

RATE = 20.0  # frames per second: a passage is 40 frames


def tokens(*lengths: int, seed: int = 0) -> TokenSet:
    shard = np.random.default_rng(seed).integers(0, 64, size=(sum(lengths), 4)).astype("<u2")
    starts = np.cumsum([0, *lengths[:-1]])
    pieces = np.array([(0, start, length) for start, length in zip(starts, lengths, strict=True)])
    return TokenSet("id", 4, (shard,), pieces, tuple(f"{k}.wav" for k in range(len(lengths))))


def test_a_copy_is_found_and_named() -> None:
    train = tokens(300, 200, 20)
    made = np.random.default_rng(5).integers(0, 64, size=(4, 80))
    made[:, 40:] = train.shards[0][300 + 77 : 300 + 117].T
    found = find_nearest(made, train, RATE)
    assert [round(one.share, 2) for one in found][1] == 1.0 and found[0].share < 0.2
    assert (found[1].name, found[1].at_s, found[1].own_s) == ("1.wav", 77 / RATE, 2.0)
    held_out = find_nearest(np.random.default_rng(6).integers(0, 64, size=(4, 80)), train, RATE)
    assert "learned by heart, from 1.wav at 3.9 s" in describe(found, held_out)
    assert "nothing is nearer" in describe(held_out, held_out)


def test_too_little_music_is_said() -> None:
    assert "too little music" in describe(find_nearest(np.zeros((4, 10), int), tokens(300), RATE), [])
