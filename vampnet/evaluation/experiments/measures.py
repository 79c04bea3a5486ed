"""Measurements of every output: distances to its input, rhythm, harmony, and embeddings for the set distances.

Per excerpt and condition a handful of numbers and one small matrix per embedding are kept, no audio.
Axis letters: B excerpt, A variation, S sample, N vector, D dimension, Y row of a factor.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vampnet.audio.files import Samples
from vampnet.audio.mel import mel_distance
from vampnet.beats.events import Events
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.experiments.conditions import ConditionOutputs
from vampnet.evaluation.metrics.distances import loudness_difference, token_accuracy
from vampnet.evaluation.metrics.frechet import Moments
from vampnet.evaluation.metrics.harmony import Chroma, KeyEstimate, chroma_of, chroma_similarity, key_agreement, key_of
from vampnet.evaluation.metrics.onsets import mel_db_of, onset_times_s
from vampnet.evaluation.metrics.perception import visqol
from vampnet.evaluation.metrics.rhythm import beat_f_measure, rhythm_of, tempo_agreement, tempo_bpm
from vampnet.evaluation.metrics.sets import EXCERPT_S, SetBuilder

Floats = NDArray[np.float64]
KERNEL_VECTORS = 24
"""Vectors kept per excerpt for the kernel distance, drawn at random."""


@dataclass(frozen=True)
class ReportedMetric:
    """A metric that gives a number per excerpt."""

    name: str
    label: str
    unit: str
    better: str
    """"lower", "higher" or "" where neither is better."""
    meaning: str


METRICS = (
    ReportedMetric(
        "mel", "mel distance", "log10", "lower", "the paper's: L1 of log10 mel magnitudes, FFT 2048 and 512"
    ),
    ReportedMetric("visqol", "ViSQOL", "MOS", "higher", "opinion score that listeners would give a codec, 1 to 4.73"),
    ReportedMetric(
        "beat_f", "beat F", "", "higher", "F-measure of the output's tracked beats against the input's, 70 ms"
    ),
    ReportedMetric("tempo", "tempo kept", "share", "higher", "same tempo within 4 %, or an octave of it"),
    ReportedMetric("onsets", "onset ratio", "", "", "onsets per second, output over input; 1 is alike"),
    ReportedMetric(
        "chroma", "chroma", "", "higher", "correlation of pitch classes frame by frame; unrelated music: about 0"
    ),
    ReportedMetric("key", "key", "", "higher", "MIREX score of the estimated key against the input's"),
    ReportedMetric("tokens", "tokens hit", "share", "higher", "generated coarse tokens that equal the input's"),
    ReportedMetric("rate", "kept rate", "bit/s", "", "what is kept of the input or sent, measured"),
    ReportedMetric("loudness", "loudness", "LU", "", "output minus input, after the output was levelled"),
    ReportedMetric("diversity", "diversity", "log10", "", "mel distance between variations of the same excerpt"),
)


@dataclass(frozen=True, eq=False)
class Reference:
    """Excerpts with their codes, rhythm, onsets and harmony, found once for all conditions."""

    audio_BS: Samples
    """Mono at the codec's rate and -24 LUFS, as the codec hears it."""
    codes_BCT: Tensor
    rhythms: tuple[Events, ...]
    onsets_hz: tuple[float, ...]
    chromas: tuple[Chroma, ...]
    keys: tuple[KeyEstimate, ...]


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of one output, packed: moments as a factor of their scatter, and a few of the vectors."""

    n: int
    mean_D: Floats
    factor_YD: NDArray[np.float32]
    """Scatter = factor^T factor, Y at most D."""
    vectors_ND: NDArray[np.float32]

    @property
    def moments(self) -> Moments:
        """Count, mean and scatter of the vectors."""
        factor_YD = self.factor_YD.astype(np.float64)
        return Moments(self.n, self.mean_D, factor_YD.T @ factor_YD)


def analyse_excerpts(audio_BS: Samples, codes_BCT: Tensor, rate_hz: int) -> Reference:
    """Analyse excerpts once, so that outputs can be measured against them."""
    chromas = tuple(chroma_of(mono[None], rate_hz) for mono in audio_BS)
    return Reference(
        audio_BS,
        codes_BCT,
        tuple(rhythm_of(mono[None], rate_hz) for mono in audio_BS),
        tuple(_onsets_hz(mono, rate_hz) for mono in audio_BS),
        chromas,
        tuple(key_of(chroma) for chroma in chromas),
    )


def measure_outputs(made: ConditionOutputs, reference: Reference, rate_hz: int, n_coarse: int) -> dict[str, Floats]:
    """Every metric, (B,) each, NaN where it is not defined; the mean over variations where there are several."""
    audio_BAS, n_variants = torch.from_numpy(made.audio_BAS), made.audio_BAS.shape[1]
    inputs_BS = torch.from_numpy(reference.audio_BS)
    each: dict[str, list[Floats]] = {}
    for v in range(n_variants):
        outputs_BS = audio_BAS[:, v]
        found = {
            "mel": mel_distance(outputs_BS, inputs_BS, rate_hz).double().numpy(),
            "loudness": loudness_difference(outputs_BS, inputs_BS, rate_hz).double().numpy(),
            "tokens": _tokens_hit(made, reference.codes_BCT, v, n_coarse),
        }
        found |= _musical(made.audio_BAS[:, v], reference, rate_hz)
        for name, values in found.items():
            each.setdefault(name, []).append(values)
    values = {name: np.mean(rows, axis=0) for name, rows in each.items()}
    values["rate"] = made.bits_B * rate_hz / made.audio_BAS.shape[2]
    values["diversity"] = _diversity(audio_BAS, rate_hz)
    return {metric.name: np.asarray(values[metric.name], dtype=np.float64) for metric in METRICS}


def embed(audio_AS: Samples, rate_hz: int, embedding: Embedding) -> Embedded:
    """Embeddings of one excerpt, all its variations together."""
    builder = SetBuilder(embedding, "excerpt", excerpt_s=min(EXCERPT_S, embedding.max_s))
    for mono in audio_AS:
        builder.add(mono, rate_hz)
    found = builder.finish()
    vectors_ND = np.concatenate(found.vectors).astype(np.float64)
    mean_D = vectors_ND.mean(axis=0)
    factor_YD = np.asarray(np.linalg.qr(vectors_ND - mean_D, mode="r"))
    step = max(len(vectors_ND) // KERNEL_VECTORS, 1)
    few_ND = vectors_ND[::step][:KERNEL_VECTORS]  # a builder's vectors are in random order, variation by variation
    return Embedded(len(vectors_ND), mean_D, factor_YD.astype(np.float32), few_ND.astype(np.float32))


def _musical(audio_BS: Samples, reference: Reference, rate_hz: int) -> dict[str, Floats]:
    rows = [_compare(mono, reference, item, rate_hz) for item, mono in enumerate(audio_BS)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _compare(mono_S: Samples, reference: Reference, item: int, rate_hz: int) -> dict[str, float]:
    theirs, rhythm = reference.rhythms[item], rhythm_of(mono_S[None], rate_hz)
    tempo = tempo_agreement(tempo_bpm(rhythm.beats_s), tempo_bpm(theirs.beats_s))
    chroma, onsets_hz = chroma_of(mono_S[None], rate_hz), reference.onsets_hz[item]
    reference_S = reference.audio_BS[item]
    return {
        "visqol": visqol(mono_S[None], reference_S[None], rate_hz) if _has_visqol() else math.nan,
        "beat_f": beat_f_measure(rhythm.beats_s, theirs.beats_s),
        "tempo": {"same": 1.0, "octave": 1.0, "other": 0.0}.get(tempo, math.nan),
        "onsets": _onsets_hz(mono_S, rate_hz) / onsets_hz if onsets_hz else math.nan,
        "chroma": chroma_similarity(chroma, reference.chromas[item]),
        "key": key_agreement(key_of(chroma), reference.keys[item]),
    }


@functools.cache
def _has_visqol() -> bool:
    """Whether the extra is whole; evaluations do without ViSQOL otherwise."""
    return importlib.util.find_spec("visqol") is not None


def _onsets_hz(mono_S: Samples, rate_hz: int) -> float:
    return len(onset_times_s(mel_db_of(mono_S[None], rate_hz))) * rate_hz / len(mono_S)


def _tokens_hit(made: ConditionOutputs, codes_BCT: Tensor, variant: int, n_coarse: int) -> Floats:
    """Share of generated coarse tokens that equal the input's, all codebooks together; NaN where none is generated."""
    if made.codes_BACT is None or made.keep_BACT is None:
        return np.full(len(codes_BCT), np.nan)
    mask_BCT = ~made.keep_BACT[:, variant, :n_coarse]
    accuracy_BC = token_accuracy(made.codes_BACT[:, variant, :n_coarse], codes_BCT[:, :n_coarse].int(), mask_BCT)
    counts_BC = mask_BCT.sum(dim=2)
    return ((accuracy_BC.nan_to_num() * counts_BC).sum(dim=1) / counts_BC.sum(dim=1)).double().numpy()


def _diversity(audio_BAS: Tensor, rate_hz: int) -> Floats:
    pairs: Sequence[tuple[int, int]] = list(itertools.combinations(range(audio_BAS.shape[1]), 2))
    if not pairs:
        return np.full(len(audio_BAS), np.nan)
    found = [mel_distance(audio_BAS[:, a], audio_BAS[:, b], rate_hz).double().numpy() for a, b in pairs]
    return np.mean(found, axis=0)
