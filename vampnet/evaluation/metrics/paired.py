"""Metrics of pairs by name: an output against its reference, one number each, and their means with intervals."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vampnet.audio.mel import mel_distance
from vampnet.beats.events import Events
from vampnet.codec.base import Codec
from vampnet.errors import AudioError, SettingsError
from vampnet.evaluation.metrics import distances, harmony, perception, rhythm
from vampnet.evaluation.metrics.statistics import Interval, bootstrap_mean

MIN_SAMPLES = 2048
"""Minimum length of a pair, samples (the longest FFT); shorter ones are padded with silence."""


class Pair:
    """An output and its reference, mono (S,) at one rate; what several metrics need is computed once.

    The longer one is cut to the shorter; `length_difference_s` (output minus reference) says by how much.
    """

    def __init__(
        self,
        reference: NDArray[np.float32],
        evaluated: NDArray[np.float32],
        sample_rate_hz: int,
        codec: Codec | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """`codec` serves the token metrics; audio must then have its rate. Raises AudioError for empty audio."""
        n = min(len(reference), len(evaluated))
        if not n:
            raise AudioError("a pair has no samples to compare")
        self.sample_rate_hz, self.codec = sample_rate_hz, codec
        self.length_difference_s = (len(evaluated) - len(reference)) / sample_rate_hz
        self.duration_s = n / sample_rate_hz
        self._device = device
        self.reference, self.evaluated = (np.ascontiguousarray(x[None, :n]) for x in (reference, evaluated))

    @functools.cached_property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """(evaluated, reference), each (1, S)."""
        missing = max(MIN_SAMPLES - self.reference.shape[1], 0)
        padded = (np.pad(x, ((0, 0), (0, missing))) for x in (self.evaluated, self.reference))
        one, other = (torch.from_numpy(x).to(self._device) for x in padded)
        return one, other

    @functools.cached_property
    def rhythms(self) -> tuple[Events, Events]:
        """Pair (evaluated, reference)."""
        one, other = (rhythm.rhythm_of(x, self.sample_rate_hz) for x in (self.evaluated, self.reference))
        return one, other

    @functools.cached_property
    def chromas(self) -> tuple[harmony.Chroma, harmony.Chroma]:
        """Pair (evaluated, reference)."""
        one, other = (harmony.chroma_of(x, self.sample_rate_hz) for x in (self.evaluated, self.reference))
        return one, other

    @functools.cached_property
    def codes(self) -> tuple[Tensor, Tensor]:
        """Codes (1, C, T) of evaluated and reference."""
        if self.codec is None or self.codec.sample_rate_hz != self.sample_rate_hz:
            raise SettingsError("token metrics need a codec, and audio at its sample rate")
        one, other = (self.codec.encode(x) for x in self.tensors)
        return one, other


@dataclass(frozen=True)
class PairMetric:
    """A named metric of pairs."""

    name: str
    unit: str
    better: str
    """"lower", "higher", or the value that a perfect match has where both sides of it are worse."""
    of: Callable[[Pair], float]
    """The value; NaN where it is not defined."""
    needs_codec: bool = False


def _waveform(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Pair], float]:
    return lambda pair: float(function(*pair.tensors))


def _rated(function: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Pair], float]:
    return lambda pair: float(function(*pair.tensors, pair.sample_rate_hz))


def _beats(pair: Pair) -> float:
    return rhythm.beat_f_measure(pair.rhythms[0].beats_s, pair.rhythms[1].beats_s)


def _tempo(pair: Pair) -> float:
    """1 the same tempo, 0.5 an octave error, 0 another or none in the output; NaN where the reference has none."""
    agreement = rhythm.compare_rhythm(*pair.rhythms)
    if math.isnan(agreement.reference_bpm):
        return math.nan
    return {"same": 1.0, "octave": 0.5}.get(agreement.tempo, 0.0)


def _onsets(pair: Pair) -> float:
    return rhythm.onset_ratio(pair.evaluated, pair.reference, pair.sample_rate_hz)


def _chroma(pair: Pair) -> float:
    return harmony.chroma_similarity(*pair.chromas)


def _key(pair: Pair) -> float:
    output, reference = (harmony.key_of(chroma) for chroma in pair.chromas)
    return harmony.key_agreement(output, reference)


def _visqol(pair: Pair) -> float:
    return perception.visqol(pair.evaluated, pair.reference, pair.sample_rate_hz)


def _tokens(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Pair], float]:
    return lambda pair: float(function(*pair.codes).mean())


METRICS = {
    metric.name: metric
    for metric in (
        PairMetric("mel", "log10", "lower", _rated(mel_distance)),
        PairMetric("mel-natural", "nats", "lower", _rated(distances.mel_distance_natural)),
        PairMetric("mel-audiotools", "log10, mixed", "lower", _rated(distances.mel_distance_audiotools)),
        PairMetric("mel-dac", "log10", "lower", _rated(distances.mel_distance_dac)),
        PairMetric("stft", "mixed", "lower", _waveform(distances.stft_distance)),
        PairMetric("stft-convergence", "ratio", "lower", _waveform(distances.spectral_convergence)),
        PairMetric("stft-log-magnitude", "nats", "lower", _waveform(distances.stft_log_magnitude)),
        PairMetric("waveform", "amplitude", "lower", _waveform(distances.waveform_l1)),
        PairMetric("visqol", "MOS", "higher", _visqol),
        PairMetric("si-sdr", "dB", "higher", _waveform(distances.si_sdr)),
        PairMetric("loudness", "LU", "0", _rated(distances.loudness_difference)),
        PairMetric("beats", "F-measure", "higher", _beats),
        PairMetric("tempo", "score", "higher", _tempo),
        PairMetric("onsets", "ratio", "1", _onsets),
        PairMetric("chroma", "correlation", "higher", _chroma),
        PairMetric("key", "MIREX score", "higher", _key),
        PairMetric("token-accuracy", "share", "higher", _tokens(distances.token_accuracy), needs_codec=True),
        PairMetric("edit-rate", "share", "lower", _tokens(distances.edit_rate), needs_codec=True),
    )
}
"""Name -> metric, as the command line and reports call them."""


def find_metrics(names: Sequence[str]) -> tuple[PairMetric, ...]:
    """The metrics of these names. Raises SettingsError naming all there are."""
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise SettingsError(f"metric is {unknown[0]!r}, but must be one of {', '.join(METRICS)}")
    return tuple(METRICS[name] for name in dict.fromkeys(names))


def measure_pair(pair: Pair, metrics: Iterable[PairMetric]) -> dict[str, float]:
    """Name -> value."""
    return {metric.name: metric.of(pair) for metric in metrics}


def summarise(rows: Sequence[dict[str, float]], metrics: Iterable[PairMetric], seed: int = 0) -> dict[str, Interval]:
    """Mean of each metric over files with its bootstrap interval; infinite values count as undefined."""
    found = {}
    for metric in metrics:
        values = np.array([row[metric.name] for row in rows], dtype=np.float64)
        found[metric.name] = bootstrap_mean(np.where(np.isfinite(values), values, np.nan), seed=seed)
    return found
