"""Beats, tempo, onsets, chroma and key of signals made to measure, and the signs of a collapse."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from vampnet.beats.events import steady_events
from vampnet.errors import AudioError, DependencyError
from vampnet.evaluation.metrics import harmony, rhythm
from vampnet.evaluation.metrics.clips import clip_statistics, silence_share
from vampnet.evaluation.metrics.harmony import KeyEstimate, chroma_of, chroma_similarity, key_agreement, key_of
from vampnet.evaluation.metrics.onsets import mel_db_of, onset_times_s
from vampnet.evaluation.metrics.rhythm import beat_f_measure, compare_rhythm, onset_ratio, tempo_agreement, tempo_bpm

RATE_HZ = 22050


def noise(duration_s: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal((1, int(duration_s * RATE_HZ)))).astype(np.float32)


def clicks(every_s: float, duration_s: float = 8.0, first_s: float = 0.25) -> np.ndarray:
    """Decaying bursts of noise over near-silence."""
    samples = noise(duration_s, 1e-4)
    burst = noise(0.1, 0.3, seed=1)[0] * np.exp(-np.arange(int(0.1 * RATE_HZ)) / 400)
    for start_s in np.arange(first_s, duration_s - 0.2, every_s):
        at = int(start_s * RATE_HZ)
        samples[0, at : at + len(burst)] += burst.astype(np.float32)
    return samples


def chord(classes: list[int], duration_s: float = 2.0) -> np.ndarray:
    """Pitch classes (0 = C) in two octaves."""
    time = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    notes = [60 + c + octave for c in classes for octave in (0, 12)]
    tones = [np.sin(2 * np.pi * 440 * 2 ** ((n - 69) / 12) * time) for n in notes]
    return 0.05 * np.sum(tones, axis=0, keepdims=True).astype(np.float32)


def scale(tonic: int, steps: tuple[int, ...]) -> np.ndarray:
    """A cadence of triads I IV V I on the degrees of a scale."""
    notes = [(tonic + s) % 12 for s in steps]
    triads = [[notes[(d + k) % 7] for k in (0, 2, 4)] for d in (0, 3, 4, 0)]
    return np.concatenate([chord(t, 1.0) for t in triads], axis=1)


MAJOR_STEPS, MINOR_STEPS = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)


def test_beat_f_measure() -> None:
    beats = [0.5, 1.0, 1.5, 2.0]
    assert beat_f_measure(beats, beats) == 1
    assert beat_f_measure([b + 0.05 for b in beats], beats) == 1  # within 70 ms
    assert beat_f_measure([b + 0.1 for b in beats], beats) == 0
    assert beat_f_measure([0.5, 1.5], beats) == pytest.approx(2 * 1.0 * 0.5 / 1.5)  # precision 1, recall 1/2
    assert math.isnan(beat_f_measure(beats, [])) and beat_f_measure([], beats) == 0


@pytest.mark.parametrize(
    ("bpm", "expected"),
    [(120, "same"), (124, "same"), (126, "other"), (60, "octave"), (243, "octave"), (40, "octave"), (90, "other")],
)
def test_tempo_agreement(bpm: float, expected: str) -> None:
    assert tempo_agreement(bpm, 120.0) == expected


def test_tempo() -> None:
    assert tempo_bpm(steady_events(96, 10).beats_s) == pytest.approx(96)
    assert math.isnan(tempo_bpm([1.0, 2.0])) and tempo_agreement(math.nan, 120) == "none"
    found = compare_rhythm(steady_events(60, 10), steady_events(120, 10))
    assert (found.tempo, found.bpm, found.reference_bpm) == ("octave", 60, 120)
    assert found.beat_f == pytest.approx(2 / 3)


def test_tracked_clicks_keep_their_beat() -> None:
    slow = rhythm.rhythm_of(clicks(0.5, 5.0), RATE_HZ)
    assert compare_rhythm(slow, slow).beat_f == 1
    assert tempo_agreement(tempo_bpm(slow.beats_s), 120) == "same"


def test_onsets() -> None:
    found = onset_times_s(mel_db_of(clicks(0.5), RATE_HZ))
    assert np.abs(found - np.arange(0.25, 7.8, 0.5)).max() < 0.06
    assert onset_ratio(clicks(0.25), clicks(0.5), RATE_HZ) == pytest.approx(2, abs=0.15)
    for steady in (noise(4), chord([0, 4, 7], 4), noise(4, 0)):
        assert len(onset_times_s(mel_db_of(steady, RATE_HZ))) == 0
    assert math.isnan(onset_ratio(clicks(0.5), noise(4, 0), RATE_HZ))


def test_chroma_similarity() -> None:
    c_major, other = chroma_of(chord([0, 4, 7]), RATE_HZ), chroma_of(chord([1, 3, 6]), RATE_HZ)
    assert chroma_similarity(c_major, c_major) == pytest.approx(1)
    # Ideally -1/3: three of twelve tones each, none in common.
    assert chroma_similarity(other, c_major) == pytest.approx(-1 / 3, abs=0.06)
    quiet = chroma_of(np.float32(0.05) * chord([0, 4, 7]), RATE_HZ)
    assert chroma_similarity(quiet, c_major) > 0.98
    assert chroma_similarity(chroma_of(chord([0, 4, 9]), RATE_HZ), c_major) == pytest.approx(5 / 9, abs=0.1)
    assert abs(chroma_similarity(chroma_of(noise(2), RATE_HZ), c_major)) < 0.2


def test_chroma_and_silence() -> None:
    sounding, silent = chroma_of(chord([0, 4, 7]), RATE_HZ), chroma_of(noise(2, 0), RATE_HZ)
    assert math.isnan(chroma_similarity(sounding, silent)) and chroma_similarity(silent, sounding) == 0
    half = chord([0, 4, 7], 2.0)
    half[:, RATE_HZ:] = 0
    # Where the reference is silent nothing counts; where only the output is, it scores 0.
    assert chroma_similarity(sounding, chroma_of(half, RATE_HZ)) > 0.95
    assert chroma_similarity(chroma_of(half, RATE_HZ), sounding) == pytest.approx(0.5, abs=0.15)
    with pytest.raises(AudioError, match="cannot be compared"):
        chroma_similarity(sounding, chroma_of(chord([0], 3.0), RATE_HZ))


@pytest.mark.parametrize("tonic", [0, 5, 10])
def test_key(tonic: int) -> None:
    name = harmony.CLASSES[tonic]
    assert key_of(chroma_of(scale(tonic, MAJOR_STEPS), RATE_HZ)).name == f"{name} major"
    assert key_of(chroma_of(scale(tonic, MINOR_STEPS), RATE_HZ)).name == f"{name} minor"


def test_key_agreement() -> None:
    c = KeyEstimate("C major", 0.9)
    expected = {"C major": 1, "G major": 0.5, "A minor": 0.3, "C minor": 0.2, "F# major": 0, "none": 0}
    assert {name: key_agreement(KeyEstimate(name, 0.9), c) for name in expected} == expected
    assert math.isnan(key_agreement(c, KeyEstimate("none", 0.1)))
    silent = key_of(chroma_of(noise(1, 0), RATE_HZ))
    assert silent.name == "none" and math.isnan(silent.strength)


def test_clip_statistics_tell_music_from_collapse() -> None:
    beat = clip_statistics(clicks(0.5), RATE_HZ)
    assert beat.onsets_hz == pytest.approx(2, abs=0.2) and beat.flux_deviation_db > 1
    drone, hiss, silence = (
        clip_statistics(x, RATE_HZ) for x in (chord([0, 4, 7], 6.0), noise(6), np.zeros((2, 6 * RATE_HZ), np.float32))
    )
    assert drone.drone_share == hiss.drone_share == 1 and beat.drone_share == 0
    assert drone.onsets_hz == hiss.onsets_hz == silence.onsets_hz == 0
    assert silence.silence_share == 1 and silence.loudness_lufs == -math.inf and math.isnan(silence.drone_share)
    assert beat.silence_share > 0.5 > drone.silence_share == 0
    assert drone.peak_dbfs == pytest.approx(20 * np.log10(np.abs(chord([0, 4, 7], 6.0)).max()))


def test_silence_share_and_short_clips() -> None:
    samples = noise(1.0)[0]
    samples[: RATE_HZ // 4] = 0
    assert silence_share(samples, RATE_HZ) == pytest.approx(0.25, abs=0.05)
    assert silence_share(samples[-100:], RATE_HZ) == 0
    assert clip_statistics(noise(0.02), RATE_HZ).duration_s == pytest.approx(0.02)


def test_without_mir_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mir_eval", None)
    monkeypatch.setitem(sys.modules, "mir_eval.key", None)
    with pytest.raises(DependencyError, match=r"vampnet\[eval\]"):
        beat_f_measure([1.0], [1.0])
    with pytest.raises(DependencyError, match=r"vampnet\[eval\]"):
        key_agreement(KeyEstimate("C major", 0.9), KeyEstimate("C major", 0.9))
