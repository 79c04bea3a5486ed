"""Adaptive entropy coder: several simple predictors of the next token, weighted by their past likelihood.

A file has few tokens for an alphabet of a thousand entries, so what counts is how fast a model learns. Each codebook
has eight experts, that is distributions over its entries:

    even     all alike
    often    by how often each came in this file
    recent   by how often each came among the last 32 tokens
    near     by how near the entry's codebook vector is to that of the frame before (see below)
    near2    the same, two frames before
    beside   the same, to the token of the channel before, in the same frame
    after    by what followed the token of the frame before, as far as that was seen; else like `often`
    above    by what came with the token of the codebook before, in the same frame; else like `often`

"Near" counts ranks: entries are sorted by distance to the context's entry, ranks fall into buckets of doubling size,
and each bucket's frequency is learned. So a steady or slowly moving sound is cheap from its second frame on, with any
codec and without tables learned beforehand: the vectors come from the codec, which both ends have.

The mixture is Bayesian with a fixed share (Herbster and Warmuth 1998): a weight is multiplied by the probability that
its expert gave to the token, and a little is dealt out evenly, so that an expert can come back. Everything is in whole
numbers, so both ends agree to the last bit whatever the machine.

Axis letters: F kept frame, N channel, K kept codebook, V entry, D dimension of a codebook vector.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vampnet.compression.entropy import Codes, categorical, decoded_symbol, finish, range_decoder, range_encoder
from vampnet.errors import SettingsError

MAX_VOCAB = 2048
"""Counts of pairs take 5 V**2 bytes per codebook."""
ABSENT = -1
"""In place of a context token that does not exist: before the first frame, above the first codebook."""

EVEN, OFTEN, RECENT, NEAR, NEAR2, BESIDE, AFTER, ABOVE = range(8)
N_EXPERTS = 8
_ONE = 1 << 30  # probability 1
_MASS = 1 << 20  # sum of the experts' weights, about; products stay below 2**53, where a float64 is exact
_SHARE = 16  # one part of so many of the mass is dealt out evenly after each token
_PRIOR = 200  # tokens' worth of an even distribution in `often`
_RECENT, _RECENT_PRIOR = 32, 10
_AFTER_PRIOR, _ABOVE_PRIOR = 1, 2
_MAX_ROW = 1 << 15  # counts of pairs are halved here, before 16 bits overflow


class AdaptiveCoder:
    """Codes blocks of one file one after the other, in either direction."""

    def __init__(self, codebooks_KVD: NDArray[np.float32], n_channels: int) -> None:
        """codebooks_KVD: vectors of the kept codebooks. Raises SettingsError for more than MAX_VOCAB entries."""
        n_kept, vocab_size = codebooks_KVD.shape[:2]
        if vocab_size > MAX_VOCAB:
            raise SettingsError(
                f"the codec has {vocab_size} entries per codebook, but adaptive coding takes at most {MAX_VOCAB}; "
                "choose static"
            )
        self._models = [_CodebookModel(vectors_VD) for vectors_VD in codebooks_KVD]
        # The last two frames: [channel][codebook].
        self._before = [[ABSENT] * n_kept for _ in range(n_channels)]
        self._earlier = [[ABSENT] * n_kept for _ in range(n_channels)]

    def encode(self, codes_FNK: Codes) -> bytes:
        """Codes (F, N, K) of a block -> bytes."""
        encoder, tokens = range_encoder(), iter(codes_FNK.ravel().tolist())

        def put(weights_V: NDArray[np.float64]) -> int:
            token = next(tokens)
            encoder.encode(token, categorical(weights_V))
            return token

        self._run(len(codes_FNK), put)
        return finish(encoder, codes_FNK.size)

    def decode(self, payload: bytes, n_frames: int) -> Codes:
        """Bytes of a block -> codes (F, N, K)."""
        decoder = range_decoder(payload)
        tokens = self._run(n_frames, lambda weights_V: decoded_symbol(decoder, weights_V))
        return np.array(tokens, np.int64).reshape(n_frames, len(self._before), len(self._models))

    def _run(self, n_frames: int, code: Callable[[NDArray[np.float64]], int]) -> list[int]:
        """Visit every token of a block: `code` gets its weights and says what it is."""
        done = []
        for _ in range(n_frames):
            beside = [ABSENT] * len(self._models)
            for n, before in enumerate(self._before):
                frame, above = [], ABSENT
                for k, model in enumerate(self._models):
                    weights_V = model.predict(before[k], self._earlier[n][k], beside[k], above)
                    above = code(weights_V)
                    model.learn(above)
                    frame.append(above)
                self._earlier[n], self._before[n], beside = before, frame, frame
                done += frame
        return done


class _Ranks:
    """Learned frequencies of rank buckets: 0 the entry itself, then ranks 1, 2-3, 4-7, ..."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes
        self._counts = [4] + [1] * (len(sizes) - 1)
        self._total = sum(self._counts)

    def per_entry(self, mass: int) -> NDArray[np.int64]:
        """`mass` shared out over the buckets: what one entry of each gets."""
        pairs = zip(self._counts, self._sizes, strict=True)
        return np.array([mass * count // (self._total * size) for count, size in pairs], np.int64)

    def probability(self, bucket: int) -> int:
        return _ONE * self._counts[bucket] // (self._total * self._sizes[bucket])

    def learn(self, bucket: int) -> None:
        self._counts[bucket] += 2
        self._total += 2


class _Pairs:
    """Counts of the entries that came with each context token."""

    def __init__(self, vocab_size: int, prior: int) -> None:
        self.prior = prior
        self.counts_VV = np.zeros((vocab_size, vocab_size), np.uint16)
        self.totals = [0] * vocab_size

    def probability(self, context: int, token: int, often: int) -> int:
        count = int(self.counts_VV[context, token])
        return (count * _ONE + self.prior * often) // (self.totals[context] + self.prior)

    def learn(self, context: int, token: int) -> None:
        self.counts_VV[context, token] += 1
        self.totals[context] += 1
        if self.totals[context] >= _MAX_ROW:
            self.counts_VV[context] >>= 1
            self.totals[context] = int(self.counts_VV[context].sum())


class _CodebookModel:
    """Adaptive model of one codebook."""

    def __init__(self, vectors_VD: NDArray[np.float32]) -> None:
        vocab_size = len(vectors_VD)
        self._vocab_size = vocab_size
        # The first channel has nothing beside it, the others do: what experts are worth differs between the two.
        self._weights = {alone: [_MASS // N_EXPERTS] * N_EXPERTS for alone in (True, False)}
        self._often_V, self._n_tokens = np.zeros(vocab_size, np.int64), 0
        self._recent_V, self._recent = np.zeros(vocab_size, np.int64), []
        self._buckets_VV, sizes = rank_buckets(vectors_VD)
        self._ranks = {expert: _Ranks(sizes) for expert in (NEAR, NEAR2, BESIDE)}
        self._pairs = {AFTER: _Pairs(vocab_size, _AFTER_PRIOR), ABOVE: _Pairs(vocab_size, _ABOVE_PRIOR)}
        self._context: dict[int, int] = {}

    def predict(self, before: int, earlier: int, beside: int, above: int) -> NDArray[np.float64]:
        """The mixture's weights (V,) of the next token, whole numbers of at most 2**50 together.

        before, earlier, beside, above: context tokens, or ABSENT.
        """
        self._context = {NEAR: before, NEAR2: earlier, BESIDE: beside, AFTER: before, ABOVE: above}
        masses = [weight * _ONE for weight in self._weights[beside == ABSENT]]
        even, often = masses[EVEN], masses[OFTEN]
        share = masses[RECENT] // (len(self._recent) + _RECENT_PRIOR)
        total_V = self._recent_V * share
        often += share * _RECENT_PRIOR
        for expert, ranks in self._ranks.items():
            context = self._context[expert]
            if context == ABSENT:
                even += masses[expert]
            else:
                total_V += ranks.per_entry(masses[expert])[self._buckets_VV[context]]
        for expert, pairs in self._pairs.items():
            context = self._context[expert]
            if context == ABSENT or not pairs.totals[context]:
                often += masses[expert]
            else:
                share = masses[expert] // (pairs.totals[context] + pairs.prior)
                total_V += pairs.counts_VV[context] * np.int64(share)
                often += share * pairs.prior
        share = often // (self._n_tokens + _PRIOR)
        total_V += self._often_V * share
        total_V += (even + share * _PRIOR) // self._vocab_size
        return total_V.astype(np.float64)

    def learn(self, token: int) -> None:
        """Update with the token that `predict` was about."""
        self._reweigh(self._probabilities(token))
        self._often_V[token] += 1
        self._n_tokens += 1
        self._recent_V[token] += 1
        self._recent.append(token)
        if len(self._recent) > _RECENT:
            self._recent_V[self._recent.pop(0)] -= 1
        for expert, ranks in self._ranks.items():
            if self._context[expert] != ABSENT:
                ranks.learn(int(self._buckets_VV[self._context[expert], token]))
        for expert, pairs in self._pairs.items():
            if self._context[expert] != ABSENT:
                pairs.learn(self._context[expert], token)

    def _probabilities(self, token: int) -> list[int]:
        """Probability that each expert gave to the token."""
        even = _ONE // self._vocab_size
        often = (int(self._often_V[token]) * _ONE + _PRIOR * even) // (self._n_tokens + _PRIOR)
        recent = int(self._recent_V[token]) * _ONE + _RECENT_PRIOR * often
        given = [even, often, recent // (len(self._recent) + _RECENT_PRIOR)]
        for expert, ranks in self._ranks.items():
            context = self._context[expert]
            given.append(even if context == ABSENT else ranks.probability(int(self._buckets_VV[context, token])))
        for expert, pairs in self._pairs.items():
            context = self._context[expert]
            given.append(often if context == ABSENT else pairs.probability(context, token, often))
        return given

    def _reweigh(self, probabilities: list[int]) -> None:
        alone = self._context[BESIDE] == ABSENT
        posterior = [weight * p for weight, p in zip(self._weights[alone], probabilities, strict=True)]
        scale, dealt = sum(posterior), _MASS // (_SHARE * N_EXPERTS)
        kept = _MASS - _MASS // _SHARE
        self._weights[alone] = [kept * mass // scale + dealt for mass in posterior]


def rank_buckets(vectors_VD: NDArray[np.float32]) -> tuple[NDArray[np.uint8], list[int]]:
    """The bucket (V, V) of each entry's rank by distance to each context's entry, and how many ranks a bucket holds.

    Distances are those of vectors rounded to 12 bits, in whole numbers: the same everywhere. Of equal ones the lower
    entry comes first, after the context's own, which has rank 0 always.
    """
    scale = max(float(np.abs(vectors_VD).max()), 1e-30)
    whole_VD = np.round(vectors_VD.astype(np.float64) / scale * 2047).astype(np.int64)
    norms_V = (whole_VD * whole_VD).sum(axis=1)
    size = len(vectors_VD)
    keys_VV = (norms_V[:, None] + norms_V[None] - 2 * (whole_VD @ whole_VD.T)) * size + np.arange(size)
    np.fill_diagonal(keys_VV, -1)
    sorted_VV = np.sort(keys_VV, axis=1)
    buckets_VV = np.zeros((size, size), np.uint8)
    starts = [1 << power for power in range((size - 1).bit_length())]  # the first rank of each bucket but the first
    for start in starts:
        buckets_VV += keys_VV >= sorted_VV[:, start, None]
    return buckets_VV, np.diff([0, *starts, size]).tolist()
