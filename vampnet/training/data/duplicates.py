"""Recordings that a corpus holds more than once: the same bytes, or the same sound in another form.

The fingerprint is that of Haitsma and Kalker (ISMIR 2002): 32 bits per frame, each the sign of a change of energy
between neighbouring bands and frames. It survives other rates, formats, levels and lossy coding. Two recordings
sound the same where most frames agree in most bits at some offset.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vampnet.audio.files import read, resample
from vampnet.errors import AudioError, CorpusError
from vampnet.storage import sha256_of_file
from vampnet.training.data.recordings import CorpusRecording

RATE_HZ = 5512
_WINDOW, _HOP = 2048, 256
_LOW_HZ, _HIGH_HZ = 300.0, 2000.0
_N_BANDS = 33
MAX_BIT_ERROR = 0.30
"""Share of bits that may differ between two recordings that sound the same; chance is 0.5."""
MIN_FRAMES = 40
"""Shortest fingerprint that is compared by sound, frames of 46 ms; shorter recordings by their bytes alone."""
_PROBES = 256
_MAX_CANDIDATES = 8


def fingerprint(path: Path) -> np.ndarray:
    """Fingerprint of a recording: uint32 (frames,). Raises AudioError."""
    audio = read(path)
    mono = resample(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz, RATE_HZ)[0]
    return fingerprint_of(mono)


def fingerprint_of(mono: np.ndarray) -> np.ndarray:
    """Fingerprint of samples (S,) at RATE_HZ: uint32 (frames,)."""
    if len(mono) < _WINDOW + _HOP:
        return np.zeros(0, np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(mono, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    edges = np.geomspace(_LOW_HZ, _HIGH_HZ, _N_BANDS + 1) * _WINDOW / RATE_HZ
    energy = np.add.reduceat(power, edges.astype(int)[:-1], axis=1)
    change = np.diff(np.diff(energy, axis=1), axis=0)
    return ((change > 0) @ (1 << np.arange(_N_BANDS - 1, dtype=np.uint64))).astype(np.uint32)


def bit_error(one: np.ndarray, other: np.ndarray, offset: int) -> float:
    """Share of bits in which two fingerprints differ where they overlap, `other` beginning at frame `offset` of `one`.

    1.0 where they overlap in less than half of the shorter one.
    """
    start, stop = max(offset, 0), min(len(one), offset + len(other))
    if stop - start < max(MIN_FRAMES, min(len(one), len(other)) // 2):
        return 1.0
    differ = one[start:stop] ^ other[start - offset : stop - offset]
    return float(np.unpackbits(differ.view(np.uint8)).mean())


class DuplicateIndex:
    """Index of what was seen of a corpus, by bytes and by sound."""

    def __init__(self) -> None:
        self._by_bytes: dict[str, str] = {}
        self._prints: list[tuple[str, np.ndarray]] = []
        self._frames: dict[int, list[tuple[int, int]]] = {}

    def find(self, recording: CorpusRecording) -> str:
        """Why a recording is left out: a sentence naming the one that it repeats; empty for one that is new.

        One that cannot be read counts as new: who reads it says why it cannot be.
        """
        digest = sha256_of_file(recording.path, CorpusError)
        if digest in self._by_bytes:
            return f"{recording.name}: the same bytes as {self._by_bytes[digest]}"
        self._by_bytes[digest] = recording.name
        try:
            bits = fingerprint(recording.path)
        except AudioError:
            return ""
        if len(bits) < MIN_FRAMES or not bits.any():
            return ""  # too short, or silent: all silences sound the same
        same = self._sounding_like(bits)
        if same:
            return f"{recording.name}: sounds the same as {same}"
        place = len(self._prints)
        self._prints.append((recording.name, bits))
        for frame, value in enumerate(bits.tolist()):
            self._frames.setdefault(value, []).append((place, frame))
        return ""

    def _sounding_like(self, bits: np.ndarray) -> str:
        """Name of a recording that sounds the same. Frames that agree in all bits propose where it may lie."""
        votes: dict[tuple[int, int], int] = {}
        for frame in np.linspace(0, len(bits) - 1, min(_PROBES, len(bits))).astype(int).tolist():
            for place, at in self._frames.get(int(bits[frame]), ())[:64]:
                votes[place, at - frame] = votes.get((place, at - frame), 0) + 1
        for place, offset in sorted(votes, key=lambda key: -votes[key])[:_MAX_CANDIDATES]:
            name, other = self._prints[place]
            if bit_error(other, bits, offset) <= MAX_BIT_ERROR:
                return name
        return ""
