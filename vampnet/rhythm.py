"""Beats, downbeats and onsets of audio, in seconds: found by librosa's tracker, read from a file, or counted.

Librosa's tracker (Ellis 2007) gives beats and no bars. The first beats of bars are estimated from its beats: a bar of
three or four beats, beginning where bass onsets and changes of the spectrum together are strongest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np

from vampnet.audio import Samples, resample_blocks
from vampnet.config import check
from vampnet.errors import AudioError
from vampnet.frames import resampled_length

RATE_HZ, FFT, HOP, N_MELS = 22050, 2048, 512, 128
"""What librosa's tracker is tuned to: 43 spectra per second."""
BASS_MELS = 8
"""Lowest mel bands (below about 200 Hz), whose onsets mark the bar."""
BAR_LENGTHS = (4, 3)
"""Beats per bar that are considered."""
FOUR_BIAS = 1.15
"""How much stronger a bar of three must be marked than one of four: most music counts four."""


@dataclass(frozen=True)
class Rhythm:
    """Moments of a recording, seconds from its start, ascending."""

    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    onsets_s: tuple[float, ...] = ()

    def events(self, kind: str) -> Sequence[float]:
        """The moments called "beats", "downbeats" or "onsets"."""
        return {"beats": self.beats_s, "downbeats": self.downbeats_s, "onsets": self.onsets_s}[kind]


def find_rhythm(blocks: Iterable[Samples], sample_rate_hz: int, n_samples: int) -> Rhythm:
    """Track a recording given as blocks (channels, samples). Memory: 22 kB per second. Silence has no events."""
    mel_db = _mel_db(blocks, sample_rate_hz, n_samples)
    strength = librosa.onset.onset_strength(S=mel_db, sr=RATE_HZ, hop_length=HOP)
    if len(strength) < 4 or strength.max() <= 1e-6:
        return Rhythm((), (), ())
    _, beats = librosa.beat.beat_track(onset_envelope=strength, sr=RATE_HZ, hop_length=HOP, trim=False)
    onsets = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE_HZ, hop_length=HOP, backtrack=True)
    beats_s = [float(t) for t in librosa.frames_to_time(beats, sr=RATE_HZ, hop_length=HOP)]
    onsets_s = [float(t) for t in librosa.frames_to_time(onsets, sr=RATE_HZ, hop_length=HOP)]
    length, first = bar_of(np.asarray(beats), mel_db)
    return Rhythm(tuple(beats_s), tuple(beats_s[first::length]), tuple(onsets_s))


def bar_of(beats: np.ndarray, mel_db: np.ndarray) -> tuple[int, int]:
    """Beats per bar (3 or 4) and the number of the first downbeat, from the spectra (mels, frames) around beats."""
    if len(beats) < 2 * max(BAR_LENGTHS):
        return BAR_LENGTHS[0], 0
    # Bass counts by its amplitude (in dB, the low end of a snare would weigh as much as a kick), colour in dB.
    loudness = 10 ** (mel_db[:BASS_MELS] / 20)
    bass = np.maximum(np.diff(loudness, axis=1, prepend=loudness[:, :1]), 0).mean(axis=0)
    bass_at = np.array([bass[max(b - 1, 0) : b + 3].max() for b in beats])
    bounds = [*beats, mel_db.shape[1]]
    means = np.stack([mel_db[:, a : max(b, a + 1)].mean(axis=1) for a, b in pairwise(bounds)])
    change = np.concatenate([[0.0], np.abs(np.diff(means, axis=0)).mean(axis=1)])
    accent = bass_at / (bass_at.std() + 1e-9) + change / (change.std() + 1e-9)
    best, chosen = -math.inf, (BAR_LENGTHS[0], 0)
    for length in BAR_LENGTHS:
        for first in range(length):
            marked = np.zeros(len(accent), dtype=bool)
            marked[first::length] = True
            score = (accent[marked].mean() - accent[~marked].mean()) * (FOUR_BIAS if length == 4 else 1.0)
            if score > best:
                best, chosen = score, (length, first)
    return chosen


def steady_rhythm(bpm: float, duration_s: float, downbeat_s: float = 0.0, beats_per_bar: int = 4) -> Rhythm:
    """Even beats over a recording. Raises SettingsError for values out of range."""
    check("bpm", bpm, 10.0, 1000.0)
    check("downbeat", downbeat_s, -3600.0, 1e6)
    check("beats per bar", beats_per_bar, 1, 64)
    gap_s = 60.0 / bpm
    first = math.ceil(-downbeat_s / gap_s - 1e-9)
    last = math.ceil((duration_s - downbeat_s) / gap_s - 1e-9)
    beats = range(first, max(last, first))
    times = {beat: downbeat_s + beat * gap_s for beat in beats}
    return Rhythm(tuple(times.values()), tuple(t for beat, t in times.items() if beat % beats_per_bar == 0))


def read_rhythm(path: str | Path) -> Rhythm:
    """Beat times from a file.

    JSON (a list, or {"beats": [...], "downbeats": [...]}), or lines of a time in seconds and, if known, the beat's
    number in its bar (1 is a downbeat), as beat trackers and annotations write them.

    Raises AudioError naming the file and the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AudioError(f"cannot read the beats in '{path}': {error}") from None
    try:
        data = json.loads(text) if text.lstrip().startswith(("[", "{")) else _lines(text)
        beats = data["beats"] if isinstance(data, dict) else data
        downbeats = data.get("downbeats", []) if isinstance(data, dict) else []
        beats_s, downbeats_s = (tuple(sorted({float(t) for t in times})) for times in (beats, downbeats))
    except (ValueError, KeyError, TypeError) as error:
        raise AudioError(f"cannot read the beats in '{path}': {error}") from None
    wrong = [t for t in (*beats_s, *downbeats_s) if not 0 <= t < 1e7]
    if wrong or not beats_s:
        raise AudioError(f"cannot read the beats in '{path}': {f'{wrong[0]} is no time' if wrong else 'it has none'}")
    return Rhythm(beats_s, downbeats_s or beats_s[::4])


def _lines(text: str) -> dict[str, list[float]]:
    beats, downbeats = [], []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("#")[0].replace(",", " ").split()
        if not fields:
            continue
        try:
            time_s = float(fields[0])
            is_first = len(fields) > 1 and float(fields[1]) == 1
        except ValueError:
            raise ValueError(f"line {number} is {line.strip()!r}, not a time in seconds") from None
        beats.append(time_s)
        if is_first:
            downbeats.append(time_s)
    return {"beats": beats, "downbeats": downbeats}


def _mel_db(blocks: Iterable[Samples], sample_rate_hz: int, n_samples: int) -> np.ndarray:
    """Mel spectra in dB (mels, frames), at most 80 dB below the loudest; frame k is centred on sample k * HOP."""
    mono = (block.mean(axis=0, keepdims=True) for block in blocks)
    resampled = resample_blocks(mono, sample_rate_hz, RATE_HZ, resampled_length(n_samples, sample_rate_hz, RATE_HZ))
    parts = [
        librosa.feature.melspectrogram(y=chunk, sr=RATE_HZ, n_fft=FFT, hop_length=HOP, n_mels=N_MELS, center=False)
        for chunk in _chunks(resampled)
    ]
    return librosa.power_to_db(np.concatenate(parts, axis=1), ref=np.max)


def _chunks(blocks: Iterable[Samples]) -> Iterator[np.ndarray]:
    """Mono blocks (1, n) -> overlapping chunks that hold whole spectra, as if the signal were padded on both sides."""
    pending = np.zeros(FFT // 2, dtype=np.float32)
    for block in blocks:
        pending = np.concatenate([pending, block[0]])
        n_frames = (len(pending) - FFT) // HOP + 1
        if n_frames > 0:
            yield pending[: (n_frames - 1) * HOP + FFT]
            pending = pending[n_frames * HOP :]
    yield np.pad(pending, (0, max(FFT // 2, FFT - len(pending))))
