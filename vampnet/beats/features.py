"""Mel spectra for beat trackers, from a recording that arrives in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vampnet.audio.compiled import librosa

RATE_HZ = 22050
"""Sample rate of all that tracks beats, Hz."""
HOP, FFT = 441, 1024
"""The learned tracker sees 50 spectra of 46 ms per second."""
N_BANDS, MIN_HZ, MAX_HZ = 72, 30.0, 10000.0
"""Mel bands and their range."""
FRAMES_PER_S = RATE_HZ / HOP
GAIN = 10.0
"""Gain on magnitudes relative to the recording's mean, before the logarithm."""


class Framer:
    """Cuts a mono signal that comes in pieces into chunks that hold whole frames, as if padded by half a frame."""

    def __init__(self, fft: int, hop: int) -> None:
        self.fft, self.hop = fft, hop
        self._pending = np.zeros(fft // 2, dtype=np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray | None:
        """Take samples (n,); the chunk that is complete now, of overlapping frames, or None."""
        self._pending = np.concatenate([self._pending, samples])
        n_frames = (len(self._pending) - self.fft) // self.hop + 1
        if n_frames < 1:
            return None
        chunk = self._pending[: (n_frames - 1) * self.hop + self.fft]
        self._pending = self._pending[n_frames * self.hop :]
        return chunk

    def finish(self) -> np.ndarray:
        """The rest, padded at its end: at least one frame."""
        return np.pad(self._pending, (0, max(self.fft // 2, self.fft - len(self._pending))))


def band_magnitudes(chunk: np.ndarray, hop: int = HOP) -> np.ndarray:
    """Mel magnitudes (frames, N_BANDS) of a chunk of whole frames; frame k is centred FFT / 2 after sample k * hop."""
    mel = librosa.feature.melspectrogram(
        y=chunk,
        sr=RATE_HZ,
        n_fft=FFT,
        hop_length=hop,
        n_mels=N_BANDS,
        fmin=MIN_HZ,
        fmax=MAX_HZ,
        power=1.0,
        center=False,
    )
    return mel.T


def compress(magnitudes: np.ndarray) -> np.ndarray:
    """log(1 + 10 m / mean) of mel magnitudes (frames, bands): loudness does not matter, silence is zero."""
    mean = float(magnitudes.mean()) if magnitudes.size else 0.0
    return np.log1p(magnitudes * (GAIN / mean)) if mean > 1e-9 else np.zeros_like(magnitudes)


class Collector:
    """Spectra (frames, bands) of a mono signal that comes in pieces."""

    def __init__(self, fft: int, hop: int, transform: Callable[[np.ndarray], np.ndarray]) -> None:
        self._framer, self._transform = Framer(fft, hop), transform
        self._parts: list[np.ndarray] = []

    def push(self, samples: np.ndarray) -> None:
        """Take samples (n,)."""
        chunk = self._framer.push(samples)
        if chunk is not None:
            self._parts.append(self._transform(chunk))

    def finish(self) -> np.ndarray:
        """All spectra; the last call."""
        return np.concatenate([*self._parts, self._transform(self._framer.finish())])
