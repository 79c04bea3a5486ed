"""The token coders: what goes in comes out, what they cost, that their bytes stay what they are."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from vampnet.compression.adaptive import ABOVE, AFTER, N_EXPERTS, AdaptiveCoder, _CodebookModel, _Pairs, rank_buckets
from vampnet.compression.entropy import (
    Codes,
    FlatCoder,
    StaticCoder,
    TokenCoder,
    least_bytes,
    levels_of,
    pack_levels,
    unpack_levels,
)
from vampnet.errors import SettingsError, VampFileError


def vectors(n_kept: int, size: int, seed: int = 0) -> np.ndarray:
    """Codebook vectors of whole numbers, the same on every machine."""
    return np.random.default_rng(seed).integers(-1000, 1001, (n_kept, size, 4)).astype(np.float32)


def slow_sound(n_frames: int, n_channels: int, codebooks_KVD: np.ndarray, seed: int = 0) -> Codes:
    """Tokens of a random walk in the space of the codebook vectors: what a codec gives for music that moves slowly."""
    rng = np.random.default_rng(seed)
    walk_FND = np.cumsum(rng.normal(0, 60, (n_frames, n_channels, 4)), axis=0).clip(-900, 900)
    codes = [((walk_FND[:, :, None] - book_VD) ** 2).sum(3).argmin(2) for book_VD in codebooks_KVD]
    return np.stack(codes, axis=2)


def coders(name: str, codes_FNK: Codes, codebooks_KVD: np.ndarray) -> tuple[TokenCoder, TokenCoder]:
    """One to encode with, one to decode with."""
    _, n_channels, n_kept = codes_FNK.shape
    size = codebooks_KVD.shape[1]
    if name == "flat":
        return FlatCoder(n_channels, n_kept, size), FlatCoder(n_channels, n_kept, size)
    if name == "static":
        levels_KV = levels_of(codes_FNK, size)
        sent_KV = unpack_levels(pack_levels(levels_KV), n_kept, size)
        assert np.array_equal(levels_KV, sent_KV)
        return StaticCoder(n_channels, levels_KV), StaticCoder(n_channels, sent_KV)
    return AdaptiveCoder(codebooks_KVD, n_channels), AdaptiveCoder(codebooks_KVD, n_channels)


@pytest.mark.parametrize("name", ["flat", "static", "adaptive"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_tokens_come_back(name: str, data: st.DataObject) -> None:
    n_channels, n_kept, size = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from((2, 5, 64))))
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    top = data.draw(st.integers(0, size - 1))  # few entries or all
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    codes_FNK = rng.integers(0, top + 1, (sum(lengths), n_channels, n_kept))
    encoder, decoder = coders(name, codes_FNK, vectors(n_kept, size))
    for block_FNK in np.split(codes_FNK, np.cumsum(lengths)[:-1]):
        payload = encoder.encode(block_FNK)
        assert len(payload) >= least_bytes(block_FNK.size)
        assert np.array_equal(decoder.decode(payload, len(block_FNK)), block_FNK)


def bits_per_token(name: str, codes_FNK: Codes, codebooks_KVD: np.ndarray) -> float:
    coder, _ = coders(name, codes_FNK, codebooks_KVD)
    table = pack_levels(levels_of(codes_FNK, codebooks_KVD.shape[1])) if name == "static" else b""
    return 8 * (len(coder.encode(codes_FNK)) + len(table)) / codes_FNK.size


def test_what_tokens_cost() -> None:
    books = vectors(2, 256)
    slow = slow_sound(600, 1, books)
    costs = {name: bits_per_token(name, slow, books) for name in ("flat", "static", "adaptive")}
    assert 8.0 <= costs["flat"] < 8.05
    assert costs["adaptive"] < 0.7 * costs["static"] < 0.7 * costs["flat"]
    noise = np.random.default_rng(0).integers(0, 256, (600, 1, 2))
    assert bits_per_token("adaptive", noise, books) < 1.02 * 8  # nothing to learn costs little
    silence = np.full((600, 1, 2), 7)
    assert bits_per_token("adaptive", silence, books) < 0.2


def test_equal_channels_are_nearly_free() -> None:
    books = vectors(2, 256)
    mono = slow_sound(600, 1, books)
    alone, twice = (bits_per_token("adaptive", codes, books) for codes in (mono, np.repeat(mono, 2, axis=1)))
    assert 2 * twice < 1.15 * alone


def test_the_bytes_are_those_of_this_version() -> None:
    """Files of today have to open tomorrow: a change of these digests is a new coder and needs a new id."""
    numbers = np.arange(3 * 64 * 4)
    books = ((numbers * 7919) % 2003 - 1001).reshape(3, 64, 4).astype(np.float32)
    tokens = np.arange(200 * 2 * 3)
    codes_FNK = ((tokens // 18) ** 2 % 61 + tokens % 5 // 4).reshape(200, 2, 3) % 64
    expected = {"flat": "481fc4de89cc64e7", "static": "757dd05c05ce458a", "adaptive": "9e3ba26d4d48eb17"}
    made = {}
    for name in expected:
        coder, _ = coders(name, codes_FNK, books)
        payloads = [pack_levels(levels_of(codes_FNK, 64)), *(coder.encode(codes_FNK[k : k + 50]) for k in (0, 50, 100))]
        made[name] = hashlib.sha256(b"".join(payloads)).hexdigest()[:16]
    assert made == expected


def test_rank_buckets() -> None:
    vectors_VD = vectors(1, 37, seed=3)[0]
    vectors_VD[5] = vectors_VD[9]  # equal vectors: each has itself at rank 0
    buckets_VV, sizes = rank_buckets(vectors_VD)
    assert sizes == [1, 1, 2, 4, 8, 16, 5]
    whole_VD = np.round(vectors_VD.astype(np.float64) / np.abs(vectors_VD).max() * 2047).astype(int)
    for context in range(37):
        distance = [((whole_VD[context] - other) ** 2).sum() for other in whole_VD]
        order = sorted(range(37), key=lambda v: (v != context, distance[v], v))
        assert [int(buckets_VV[context, v]) for v in order] == [rank.bit_length() for rank in range(37)]
    assert rank_buckets(np.zeros((2, 3), np.float32))[1] == [1, 1]


def test_a_mixture_is_whole_numbers_that_a_float64_holds_exactly() -> None:
    model, rng = _CodebookModel(vectors(1, 64)[0]), np.random.default_rng(0)
    context = [-1, -1, -1, -1]
    for token in rng.integers(0, 8, 300).tolist():
        weights_V = model.predict(*context)
        assert (weights_V == np.floor(weights_V)).all() and weights_V.min() >= 1 and weights_V.sum() < 2**53
        model.learn(token)
        for weights in model._weights.values():
            assert len(weights) == N_EXPERTS and min(weights) >= 1 and sum(weights) <= 2**20
        context = [token, *context[:3]]


def test_counts_of_pairs_stay_within_16_bits() -> None:
    pairs = _Pairs(4, 1)
    for _ in range(100_000):
        pairs.learn(2, 3)
    pairs.learn(2, 1)
    assert 2**14 <= pairs.totals[2] < 2**15 and pairs.totals[2] == int(pairs.counts_VV[2].sum())
    assert {AFTER, ABOVE} == set(_CodebookModel(vectors(1, 4)[0])._pairs)


def test_refusals() -> None:
    with pytest.raises(SettingsError, match="4096 entries"):
        AdaptiveCoder(np.zeros((1, 4096, 2), np.float32), 1)
    with pytest.raises(VampFileError, match="empty"):
        StaticCoder(1, np.array([[0, 1], [0, 0]]))


@pytest.mark.parametrize("name", ["flat", "static", "adaptive"])
@given(payload=st.binary(max_size=60))
@settings(max_examples=40, deadline=None)
def test_any_bytes_give_tokens_or_one_error(name: str, payload: bytes) -> None:
    books = vectors(2, 64)
    started = time.monotonic()
    try:
        codes_FNK = coders(name, slow_sound(5, 1, books), books)[1].decode(payload, 20)
        assert codes_FNK.shape == (20, 1, 2) and codes_FNK.min() >= 0 and codes_FNK.max() < 64
        unpack_levels(payload, 2, 64)
    except VampFileError:
        pass
    assert time.monotonic() - started < 5
