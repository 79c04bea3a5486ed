"""Beats, downbeats and onsets of audio, in seconds: tracked, read from a file, or counted.

Trackers: "learned", a small network that was trained on this package's composer (beats/network.py) with a search for
the best path and bars (beats/decode.py); "librosa", Ellis's tracker of 2007 with an estimate of the bar
(beats/ellis.py); or the network of Beat This, where the user has its checkpoint (beats/beat_this.py).
benchmarks/evaluation/beats.py measures them; docs/guide/beats.md has its figures.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vampnet.audio.files import Samples, resample_blocks
from vampnet.audio.units import resampled_length
from vampnet.beats import beat_this, features as spectra, librosa_tracker as ellis, tcn_tracker as learned
from vampnet.beats.events import Events, TrackerConfig


@dataclass(frozen=True)
class _Network:
    """A tracker that is a network."""

    ear: spectra.Collector
    track: Callable[[np.ndarray], tuple[tuple[float, ...], tuple[float, ...]]]
    """Beats and downbeats in seconds, from the spectra of `ear`."""


def track_events(
    blocks: Iterable[Samples],
    sample_rate_hz: int,
    n_samples: int,
    tracking: TrackerConfig = TrackerConfig(),
) -> Events:
    """Track a recording given as blocks (channels, samples). Memory: 50 kB per second. Silence has no events.

    Raises BundleError for a checkpoint of Beat This that cannot be used.
    """
    powers = spectra.Collector(ellis.FFT, ellis.HOP, ellis.mel_powers)
    network = _network(tracking.tracker)
    for samples in _mono(blocks, sample_rate_hz, n_samples):
        powers.push(samples)
        if network is not None:
            network.ear.push(samples)
    mel_db = ellis.decibels(powers.finish())
    strength = ellis.onset_strength(mel_db)
    if len(strength) < 4 or strength.max() <= 1e-6:
        return Events((), (), ())
    if network is None:
        beats_s, downbeats_s = ellis.track(mel_db, strength)
    else:
        beats_s, downbeats_s = network.track(network.ear.finish())
    return Events(beats_s, downbeats_s, ellis.onset_times(strength))


def _network(tracker: str) -> _Network | None:
    """Feature collector and tracking function of a network tracker; None for librosa's, which needs onsets."""
    if tracker == "librosa":
        return None
    if tracker == "learned":
        return _Network(spectra.Collector(spectra.FFT, spectra.HOP, spectra.band_magnitudes), learned.track)
    network = beat_this.load_beat_this(tracker)
    ear = spectra.Collector(spectra.FFT, spectra.HOP, beat_this.band_magnitudes)
    return _Network(ear, functools.partial(beat_this.track, network))


def find_bars(blocks: Iterable[Samples], sample_rate_hz: int, n_samples: int, beats_s: Sequence[float]) -> Events:
    """The downbeats among beats that are known, seconds: the learned network hears how likely each is one, and bars of
    2 to 7 beats that mostly keep their length are laid over them (beats/decode.py)."""
    magnitudes = spectra.Collector(spectra.FFT, spectra.HOP, spectra.band_magnitudes)
    for samples in _mono(blocks, sample_rate_hz, n_samples):
        magnitudes.push(samples)
    return Events(tuple(beats_s), learned.downbeats_among(beats_s, magnitudes.finish()))


def _mono(blocks: Iterable[Samples], sample_rate_hz: int, n_samples: int) -> Iterator[np.ndarray]:
    """The mean of the channels in blocks (n,) at the rate of beats/spectra.py."""
    mono = (block.mean(axis=0, keepdims=True) for block in blocks)
    length = resampled_length(n_samples, sample_rate_hz, spectra.RATE_HZ)
    for block in resample_blocks(mono, sample_rate_hz, spectra.RATE_HZ, length):
        yield block[0]
