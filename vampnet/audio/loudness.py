"""Loudness by ITU-R BS.1770-4, measured in one pass over blocks, and the gain that goes with it.

Audio is brought to `INPUT_LUFS` before encoding (the paper's -24 dBFS, which its authors measure by BS.1770), and the
output gets the input's own loudness back.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pyloudnorm import Meter
from scipy.signal import sosfilt

from vampnet.audio.levels import LevelMeter
from vampnet.errors import AudioError, SettingsError

INPUT_LUFS = -24.0
"""Loudness that the codec and the models are trained on and fed with, LUFS."""

_GATE_LUFS = -70.0
_GATE_LU = -10.0
_OFFSET_DB = -0.691
_BLOCK_S = 0.4
_STEPS_PER_BLOCK = 4  # gating blocks overlap by 75 %, so they begin every 100 ms
_MIN_RATE_HZ = 4000  # the K-weighting shelf lies at 1500 Hz, which must stay below half of the sample rate


class LoudnessMeter:
    """Integrated loudness of a stream of blocks, in bounded memory (one number per 100 ms).

    Equals pyloudnorm's meter on a whole signal of 0.4 s or more. A shorter one, which the standard does not define,
    is measured as a single 0.4 s block filled up with silence. Channel order for up to five channels: left, right,
    centre, left surround, right surround; six channels are taken as 5.1 in the order of WAV files, whose fourth
    channel (LFE) does not count; with more, all channels count alike.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        """Raises SettingsError for a rate below 4000 Hz or fewer than one channel."""
        if sample_rate_hz < _MIN_RATE_HZ:
            raise SettingsError(f"sample rate is {sample_rate_hz} Hz, but loudness needs at least {_MIN_RATE_HZ}")
        if channels < 1:
            raise SettingsError(f"number of channels is {channels}, but must be at least 1")
        self._rate_hz = sample_rate_hz
        self._weights = _channel_weights(channels)[:, None]
        self._sos = k_weighting(sample_rate_hz)
        self._state = np.zeros((len(self._sos), channels, 2))
        self._n_samples = 0
        self.level = LevelMeter(channels)
        """Peak and constant offset of everything added so far."""
        # Weighted energy per step of 100 ms; the last entry is the step that is still being filled.
        self._step_energy: list[float] = [0.0]

    def add(self, block: NDArray[np.float32]) -> None:
        """Measure the next samples, shape (channels, samples)."""
        if block.ndim != 2 or len(block) != len(self._weights):
            raise AudioError(f"block has shape {block.shape}, but must be ({len(self._weights)}, samples)")
        n = block.shape[1]
        if n == 0:
            return
        self.level.add(block)
        filtered, self._state = sosfilt(self._sos, block.astype(np.float64), axis=-1, zi=self._state)
        energy = np.sum(self._weights * np.square(filtered), axis=0)
        done = 0
        while done < n:
            edge = self._step_edge(len(self._step_energy)) - self._n_samples
            stop = min(edge, n)
            self._step_energy[-1] += float(np.sum(energy[done:stop]))
            if stop == edge:
                self._step_energy.append(0.0)
            done = stop
        self._n_samples += n

    @property
    def integrated_lufs(self) -> float:
        """Gated loudness of everything added so far, LUFS; -inf for silence and for what stays below -70 LUFS."""
        return self.lufs_of_first(self._n_samples)

    def lufs_of_first(self, n_samples: int) -> float:
        """The same for the first `n_samples` alone, to the nearest 100 ms."""
        power = self._block_power(min(n_samples, self._n_samples))
        power = power[power >= _power(_GATE_LUFS)]
        if not len(power):
            return -math.inf
        threshold = _power(_lufs(float(np.mean(power))) + _GATE_LU)
        return _lufs(float(np.mean(power[power > threshold])))

    def _block_power(self, n_samples: int) -> NDArray[np.float64]:
        """Mean weighted power of each gating block. The last block may reach half a step past the end: so rounds
        pyloudnorm, and the missing samples count as silence."""
        duration_s = n_samples / self._rate_hz
        n_blocks = max(1, round((duration_s - _BLOCK_S) / (_BLOCK_S / _STEPS_PER_BLOCK)) + 1)
        steps = np.zeros(n_blocks + _STEPS_PER_BLOCK - 1)
        n_steps = min(len(steps), len(self._step_energy))
        steps[:n_steps] = self._step_energy[:n_steps]
        return np.convolve(steps, np.ones(_STEPS_PER_BLOCK), mode="valid") / (_BLOCK_S * self._rate_hz)

    def _step_edge(self, index: int) -> int:
        """First sample of step `index`."""
        return int(_BLOCK_S * index / _STEPS_PER_BLOCK * self._rate_hz)


def measure(samples: NDArray[np.float32], sample_rate_hz: int) -> float:
    """Integrated loudness of a whole signal (channels, samples), LUFS; see LoudnessMeter."""
    meter = LoudnessMeter(sample_rate_hz, len(samples))
    meter.add(samples)
    return meter.integrated_lufs


def gain_to(lufs_in: float, target_lufs: float = INPUT_LUFS) -> float:
    """The factor that brings a signal of loudness `lufs_in` to `target_lufs`.

    1.0 if either is not finite: silence stays silence, whatever it is to be matched with.
    """
    if not (math.isfinite(lufs_in) and math.isfinite(target_lufs)):
        return 1.0
    return 10 ** ((target_lufs - lufs_in) / 20)


def finite_or_none(lufs: float) -> float | None:
    """Loudness for JSON, which has no infinity: None for silence."""
    return lufs if math.isfinite(lufs) else None


def k_weighting(sample_rate_hz: int) -> NDArray[np.float64]:
    """The two biquads of the K-weighting filter as second-order sections (2, 6), by pyloudnorm's design."""
    filters = Meter(sample_rate_hz)._filters.values()
    return np.array([np.concatenate(stage.generate_coefficients()) for stage in filters])


def _channel_weights(channels: int) -> NDArray[np.float64]:
    if channels <= 5:
        return np.array([1.0, 1.0, 1.0, 1.41, 1.41])[:channels]
    if channels == 6:
        return np.array([1.0, 1.0, 1.0, 0.0, 1.41, 1.41])
    return np.ones(channels)


def _lufs(power: float) -> float:
    return _OFFSET_DB + 10 * math.log10(power) if power > 0 else -math.inf


def _power(lufs: float) -> float:
    return 10 ** ((lufs - _OFFSET_DB) / 10)
