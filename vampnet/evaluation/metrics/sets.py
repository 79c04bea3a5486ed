"""Sets of excerpts as embeddings, built one excerpt at a time in bounded memory, for the Fréchet and kernel distances.

Each excerpt leaves its moments and a few of its vectors. When either grows too large, neighbouring excerpts are joined
and vectors thinned, always in the same way, so a set is a function of its excerpts and their order; sets of the same
number of excerpts in the same order stay matched group by group.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from vampnet.audio.files import resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.units import seconds_to_samples
from vampnet.config import check
from vampnet.errors import AudioError, SettingsError
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.metrics.frechet import Floats, FrechetResult, GroupedMoments, Moments, frechet
from vampnet.evaluation.metrics.kernel import KernelResult, kernel_distance
from vampnet.storage import whole_file

EXCERPT_S = 10.0
"""Length of an excerpt, seconds: the unit of resampling (paper: 10 s)."""
MAX_VECTORS = 8192
"""Vectors that are kept for the kernel distance."""
MOMENTS_BYTES = 2**27
"""Memory for the moments of groups; beyond it, neighbouring groups are joined."""
MIN_GROUPS_KEPT = 32


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """Embeddings and metadata of a set of audio, for the set distances."""

    name: str
    """Name of the set, such as its folder."""
    embedding: str
    """Id of the embedding."""
    n_excerpts: int
    duration_s: float
    moments: GroupedMoments
    vectors: tuple[Floats, ...]
    """At most MAX_VECTORS in all, those of one group in each array (n, D)."""

    @property
    def n_vectors(self) -> int:
        """Vectors in the moments."""
        return int(self.moments.n_G.sum())

    def describe(self) -> dict[str, str | int | float]:
        """Facts that every report states about a set."""
        about = {"name": self.name, "embedding": self.embedding, "excerpts": self.n_excerpts}
        return about | {"vectors": self.n_vectors, "duration_s": round(self.duration_s, 3)}


class SetBuilder:
    """Collects excerpts: `builder = SetBuilder(embedding, "inputs"); builder.add(samples, 44100); builder.finish()`."""

    def __init__(self, embedding: Embedding, name: str, *, excerpt_s: float = EXCERPT_S, seed: int = 0) -> None:
        """`excerpt_s`: longer audio is cut into excerpts of about this length. `seed` chooses the vectors kept."""
        check("excerpt length", excerpt_s, 0.5, embedding.max_s)
        self.embedding, self.name, self.excerpt_s = embedding, name, excerpt_s
        self.n_excerpts, self._seed, self._duration_s = 0, seed, 0.0
        self._groups = _Groups(_max_groups(embedding.dim))

    def add(self, samples: NDArray[np.float32], sample_rate_hz: int) -> None:
        """Add audio, mono (S,) or (channels, S), whose channels are averaged; any rate."""
        mono = np.atleast_2d(samples).mean(axis=0, keepdims=True).astype(np.float32)
        if not mono.size:
            raise AudioError("audio has no samples to embed")
        for excerpt in _excerpts(resample(mono, sample_rate_hz, self.embedding.sample_rate_hz), self):
            self.add_vectors(_embed(excerpt, self.embedding), excerpt.shape[1] / self.embedding.sample_rate_hz)

    def add_vectors(self, vectors_ND: Floats, duration_s: float) -> None:
        """Add one excerpt whose vectors are known."""
        rng = np.random.default_rng(np.random.SeedSequence((self._seed, self.n_excerpts)))
        self._groups.add(np.asarray(vectors_ND), rng)
        self.n_excerpts += 1
        self._duration_s += duration_s

    def finish(self) -> EmbeddedSet:
        """The set so far. Raises AudioError if nothing was added."""
        if not self.n_excerpts:
            raise AudioError(f"{self.name}: no audio to embed")
        return EmbeddedSet(
            self.name,
            self.embedding.id,
            self.n_excerpts,
            self._duration_s,
            GroupedMoments.of(self._groups.moments),
            tuple(self._groups.kept),
        )


@dataclass
class _Groups:
    """Groups of excerpts; the last one may be filling up."""

    max_groups: int
    size: int = 1
    """Excerpts per group."""
    filled: int = 0
    """Excerpts in the last group."""
    share: int = 0
    """Vectors kept per group; 0 keeps all."""
    moments: list[Moments] = field(default_factory=list)
    kept: list[Floats] = field(default_factory=list)

    def add(self, vectors_ND: Floats, rng: np.random.Generator) -> None:
        found, vectors = Moments.of(vectors_ND), vectors_ND[rng.permutation(len(vectors_ND))]
        if self.moments and self.filled < self.size:
            self.moments[-1] = self.moments[-1].merge(found)
            self.kept[-1] = _interleave(self.kept[-1], vectors)
            self.filled += 1
        else:
            self.moments.append(found)
            self.kept.append(vectors)
            self.filled = 1
        if len(self.moments) > self.max_groups:
            self._join()
        self._thin()

    def _join(self) -> None:
        pairs = range(0, len(self.moments) - 1, 2)
        odd = len(self.moments) % 2
        moments = [self.moments[k].merge(self.moments[k + 1]) for k in pairs]
        kept = [_interleave(self.kept[k], self.kept[k + 1]) for k in pairs]
        self.filled = self.filled if odd else self.size + self.filled
        self.size *= 2
        self.moments, self.kept = moments + self.moments[-odd:] * odd, kept + self.kept[-odd:] * odd

    def _thin(self) -> None:
        """Keep the first few of each group's shuffled vectors, as many from each as MAX_VECTORS allows."""
        if sum(map(len, self.kept)) > MAX_VECTORS:
            self.share = max(MAX_VECTORS // len(self.kept) * 3 // 4, 1)
        if self.share:
            self.kept = [vectors[: self.share] for vectors in self.kept]


def frechet_of(
    reference: EmbeddedSet, evaluated: EmbeddedSet, *, paired: bool = False, n_resamples: int = 200, seed: int = 0
) -> FrechetResult:
    """Fréchet audio distance of two sets; see `frechet`. Raises SettingsError for different embeddings."""
    _check_same(reference, evaluated)
    return frechet(reference.moments, evaluated.moments, paired=paired, n_resamples=n_resamples, seed=seed)


def kernel_of(
    reference: EmbeddedSet,
    evaluated: EmbeddedSet,
    *,
    kernel: str = "rbf",
    bandwidth: float | None = None,
    paired: bool = False,
) -> KernelResult:
    """Kernel audio distance of two sets; see `kernel_distance`. Raises SettingsError for different embeddings."""
    _check_same(reference, evaluated)
    return kernel_distance(reference.vectors, evaluated.vectors, kernel=kernel, bandwidth=bandwidth, paired=paired)


def save_set(path: str | os.PathLike[str], found: EmbeddedSet) -> None:
    """Write a set as .npz, to be read again by `load_set`."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            name=found.name,
            embedding=found.embedding,
            n_excerpts=found.n_excerpts,
            duration_s=found.duration_s,
            n_G=found.moments.n_G,
            mean_GD=found.moments.mean_GD,
            scatter_GDD=found.moments.scatter_GDD,
            vectors=np.concatenate(found.vectors),
            counts=[len(v) for v in found.vectors],
        )


def load_set(path: str | os.PathLike[str]) -> EmbeddedSet:
    """Read what `save_set` wrote. Raises SettingsError for another file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            moments = GroupedMoments(data["n_G"], data["mean_GD"], data["scatter_GDD"])
            vectors = tuple(np.split(data["vectors"], np.cumsum(data["counts"])[:-1]))
            names = str(data["name"]), str(data["embedding"])
            return EmbeddedSet(*names, int(data["n_excerpts"]), float(data["duration_s"]), moments, vectors)
    except (OSError, KeyError, ValueError) as error:
        raise SettingsError(f"{path}: not a set of embeddings ({error}); make it anew") from None


def _check_same(reference: EmbeddedSet, evaluated: EmbeddedSet) -> None:
    if reference.embedding != evaluated.embedding:
        raise SettingsError(
            f"the sets have embeddings {reference.embedding} and {evaluated.embedding}, but must have the same"
        )


def _max_groups(dim: int) -> int:
    return max(MIN_GROUPS_KEPT, MOMENTS_BYTES // (8 * dim * dim))


def _interleave(one: Floats, other: Floats) -> Floats:
    """Vectors of both in turns, so that the first few are of both."""
    n = min(len(one), len(other))
    mixed = np.stack([one[:n], other[:n]], axis=1).reshape(2 * n, one.shape[1])
    return np.concatenate([mixed, one[n:], other[n:]])


def _excerpts(mono_1S: NDArray[np.float32], builder: SetBuilder) -> list[NDArray[np.float32]]:
    """Cut into excerpts; what is left at the end is one of its own from half the length, else part of the last."""
    length = seconds_to_samples(builder.excerpt_s, builder.embedding.sample_rate_hz)
    n = max(round(mono_1S.shape[1] / length), 1)
    bounds = [*range(0, n * length, length), mono_1S.shape[1]]
    return [mono_1S[:, a:b] for a, b in pairwise(bounds)]


def _embed(excerpt_1S: NDArray[np.float32], embedding: Embedding) -> Floats:
    """Vectors (N, D) of one excerpt."""
    if embedding.input_lufs is not None:
        gain = gain_to(measure(excerpt_1S, embedding.sample_rate_hz), embedding.input_lufs)
        excerpt_1S = excerpt_1S * np.float32(gain)
    missing = max(embedding.min_samples - excerpt_1S.shape[1], 0)
    padded = torch.from_numpy(np.ascontiguousarray(np.pad(excerpt_1S, ((0, 0), (0, missing)))))
    return embedding.vectors(padded)[0].numpy()
