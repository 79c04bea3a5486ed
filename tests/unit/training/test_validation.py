"""Held-out figures: whole files, the same masks each time, every file once, and errors over files."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_codec, tiny_models
from vampnet.errors import CorpusError
from vampnet.training.data.token_dataset import TokenSet, join
from vampnet.training.validation import Change, _crops, file_nats, split, subset, without_short


def tokens(*lengths: int) -> TokenSet:
    rng = np.random.default_rng(0)
    shard = rng.integers(0, 64, size=(sum(lengths), 6)).astype("<u2")
    starts = np.cumsum([0, *lengths[:-1]])
    pieces = np.array([(0, start, length) for start, length in zip(starts, lengths, strict=True)], dtype=np.int64)
    return TokenSet("id", 6, (shard,), pieces, tuple(f"{k}.wav" for k in range(len(lengths))))


def test_crops_tile_a_file_and_short_files_are_one() -> None:
    data = tokens(100, 7)
    assert _crops(data, 0, 30, 1).shape == (3, 6, 30) and _crops(data, 1, 30, 1).shape == (1, 6, 7)
    assert np.array_equal(_crops(data, 0, 30, 1)[1].numpy().T, data.shards[0][30:60])
    assert _crops(data, 0, 30, 3).shape[0] == 1 and _crops(data, 1, 30, 50).shape[0] == 1


def test_figures_are_the_same_each_time_and_those_of_chance_without_knowledge() -> None:
    model = tiny_models(tiny_codec())[0]
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()
    assert file_nats(model, tokens(90, 40), 20) == pytest.approx([math.log(64)] * 2, rel=1e-5)
    plain = tiny_models(tiny_codec())[0]
    first = file_nats(plain, tokens(90, 40), 20)
    assert first == file_nats(plain.train(), tokens(90, 40), 20)
    assert first[0] != first[1] and first != file_nats(plain, tokens(90, 40), 20, max_crops=2)


def test_error_is_over_files() -> None:
    change = Change(("a", "b", "c"), (5.0, 4.0, 6.0), (4.9, 3.8, 5.7))
    assert change.mean == pytest.approx(-0.2) and change.standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert str(change) == "5.000 -> 4.800 nats, change -0.200 ± 0.058 over 3 files"
    assert "±" not in str(Change(("a",), (5.0,), (4.0,)))


def test_short_files_are_left_out_by_name() -> None:
    long, short = without_short(tokens(100, 3, 50), 20)
    assert long.names == ("0.wav", "2.wav") and short == ("1.wav",)
    with pytest.raises(CorpusError, match="long enough"):
        without_short(tokens(3, 4), 20)


def test_sets_are_joined_with_their_shards() -> None:
    one, two = tokens(30, 40), tokens(10, 60)
    both = join([one, subset(two, [1])])
    assert both.names == ("0.wav", "1.wav", "1.wav") and both.n_frames == 130
    assert np.array_equal(_crops(both, 2, 60, 1), _crops(two, 1, 60, 1))
    train, held_out = split(one, 0.5, 0)
    assert held_out is not None and train.n_frames + held_out.n_frames == 70
