"""Reference mode: prepare and chunk audio as the authors' code does (`compat="reference"`), to repeat their numbers.

* Before encoding: their resampler, the mean of all channels, their loudness meter, a gain to -24 LUFS that even silence
  gets, the peak limited to 1. The result is mono; here it is copied to all channels of the output.
* Material is cut into chunks of 10 s (coarse) and 3 s (coarse-to-fine) that know nothing of each other. The first and
  the last frame of a coarse chunk are kept. A short coarse-to-fine chunk is filled up with token 0, as if music.

Everything else stays as it is everywhere: seeds, the schedule per item, silence in masked frames, the output's length,
rate and loudness. The whole input is held in memory.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.signal import sosfilt
from torch import Tensor

from vampnet.audio.files import Samples
from vampnet.audio.loudness import INPUT_LUFS, k_weighting
from vampnet.audio.sources import Source
from vampnet.codec.base import Codec
from vampnet.errors import SettingsError
from vampnet.generation.tokens import Encoded

COMPATS = ("", "reference")
LEAST_LUFS = -70.0
"""Value of their loudness meter for silence, LUFS."""
LEAST_S = 0.5
"""Shorter audio is filled up with silence to this length before it is measured."""
_BLOCK_S, _STEP_S = 0.4, 0.1
_ZERO_CROSSINGS, _ROLL_OFF = 24, 0.945
_AT_ONCE = 1 << 16
_CHANNEL_WEIGHTS = np.array([1.0, 1.0, 1.0, 1.41, 1.41])


def check_compat(compat: str) -> str:
    """The name itself; SettingsError for one that is not in COMPATS."""
    if compat not in COMPATS:
        raise SettingsError(f"compat is {compat!r}, but must be 'reference' (the authors' way) or '' (the default)")
    return compat


# Before encoding --------------------------------------------------------------------------------------------------


def encode_like_reference(source: Source, codec: Codec) -> Encoded:
    """Codes (1, C, T) of the mean of all channels, prepared as the authors do."""
    samples = np.concatenate(list(source.blocks()), axis=1)
    mono_S = to_mono(samples, source.sample_rate_hz, codec.sample_rate_hz)
    lufs = reference_lufs(mono_S[None], codec.sample_rate_hz)
    ready_S, gain = normalise(mono_S, lufs)
    padded_S = np.pad(ready_S, (0, -len(ready_S) % codec.hop))
    codes_BCT = codec.encode(torch.from_numpy(padded_S)[None]).to("cpu", torch.int32)
    return Encoded(codes_BCT, source.sample_rate_hz, source.n_samples, lufs, gain)


def to_mono(samples: Samples, from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Samples (channels, n) at another rate, the mean of all channels: (m,)."""
    return np.stack([sinc_resample(channel, from_hz, to_hz) for channel in samples]).mean(axis=0, dtype=np.float32)


def normalise(mono_S: NDArray[np.float32], lufs: float) -> tuple[NDArray[np.float32], float]:
    """Samples at -24 LUFS, but with no peak above 1, and the factor that does it."""
    gain = 10 ** ((INPUT_LUFS - lufs) / 20)
    peak = float(np.abs(mono_S).max(initial=0.0)) * gain
    gain = gain / peak if peak > 1 else gain
    return (mono_S * np.float32(gain)).astype(np.float32), gain


def sinc_resample(samples_S: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Band-limited interpolation, a windowed sinc of 24 zero crossings on each side; the ends are repeated outwards.

    The length is rounded down, as in the `julius` library, which the authors use.
    """
    if from_hz == to_hz:
        return samples_S
    cutoff = min(from_hz, to_hz) * _ROLL_OFF / from_hz  # in half cycles per input sample
    reach = math.ceil(_ZERO_CROSSINGS / cutoff) + 1
    n_out = len(samples_S) * to_hz // from_hz
    out_S = np.empty(n_out, np.float32)
    for start in range(0, n_out, _AT_ONCE):
        number = np.arange(start, min(start + _AT_ONCE, n_out))
        whole, rest = np.divmod(number * from_hz, to_hz)  # exact for any length
        tap = np.arange(-reach, reach + 1)
        distance = (tap - (rest / to_hz)[:, None]) * cutoff
        window = np.cos(distance.clip(-_ZERO_CROSSINGS, _ZERO_CROSSINGS) * np.pi / (2 * _ZERO_CROSSINGS)) ** 2
        kernel = np.sinc(distance) * window
        kernel /= kernel.sum(axis=1, keepdims=True)
        taken = samples_S[(whole[:, None] + tap).clip(0, len(samples_S) - 1)]
        out_S[start : start + len(number)] = (kernel * taken).sum(axis=1)
    return out_S


def reference_lufs(samples: Samples, sample_rate_hz: int) -> float:
    """Their loudness of samples (channels, n), at least -70 LUFS: BS.1770, but the last block, filled up with zeros,
    counts as much as a whole one."""
    short = max(0, int(LEAST_S * sample_rate_hz) - samples.shape[1])
    padded = np.pad(samples.astype(np.float64), ((0, 0), (0, short)))
    filtered = np.asarray(sosfilt(k_weighting(sample_rate_hz), padded, axis=-1))
    length, step = int(_BLOCK_S * sample_rate_hz), int(_STEP_S * sample_rate_hz)
    n_blocks = math.ceil((filtered.shape[1] - length) / step) + 1
    filtered = np.pad(filtered, ((0, 0), (0, (n_blocks - 1) * step + length - filtered.shape[1])))
    blocks = np.lib.stride_tricks.sliding_window_view(filtered, length, axis=1)[:, ::step]
    power = _CHANNEL_WEIGHTS[: len(samples)] @ (np.square(blocks).sum(axis=2) / length)
    loud = power[_lufs(power) > LEAST_LUFS]
    if not len(loud):
        return LEAST_LUFS
    loud = loud[_lufs(loud) > _lufs(loud.mean()) - 10]
    return max(float(_lufs(loud.mean())), LEAST_LUFS)


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-30))


# Chunks -----------------------------------------------------------------------------------------------------------


def reference_chunk(
    codes_BCT: Tensor, keep_BCT: Tensor, n_conditioning: int, chunk_frames: int
) -> tuple[Tensor, Tensor]:
    """Codes and keep mask of a chunk as their generator gets them; only the chunk's own frames count afterwards."""
    if n_conditioning == 0:
        keep_BCT = keep_BCT.clone()
        keep_BCT[:, :, [0, -1]] = True
        return codes_BCT, keep_BCT
    missing = chunk_frames - codes_BCT.shape[2]
    return F.pad(codes_BCT, (0, missing)), F.pad(keep_BCT, (0, missing), value=False)
