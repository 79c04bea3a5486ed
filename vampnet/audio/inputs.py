"""Audio inputs: whatever a caller has becomes `Audio`."""

from __future__ import annotations

import numbers
import os
from typing import Any

import numpy as np

from vampnet.audio.files import Audio, read
from vampnet.errors import AudioError

AudioLike = Any
"""A path, `Audio`, or a pair (samples, sample rate in Hz) with samples as a numpy array or a torch tensor: (n,) is
mono; of two axes the shorter one is the channels; floats have full scale at 1.0, integers at their type's range."""

MANY_CHANNELS = 64
"""Arrays whose shorter axis is longer than this are refused: hardly anyone has so many channels."""


def as_audio(audio: AudioLike, sample_rate_hz: int | None = None) -> Audio:
    """`Audio` from a path, `Audio`, or samples with their rate.

    audio: path of an audio file, `Audio`, a pair (samples, sample rate in Hz), or samples alone with `sample_rate_hz`.
        Samples are a numpy array or torch tensor: (n,) is mono; (channels, n) and (n, channels) are told apart by which
        axis is shorter, and of equally long ones the first is the channels. Floats have full scale at 1.0; int16,
        int32, uint8 and so on at the ends of their type.

    Raises AudioError for anything else.
    """
    if isinstance(audio, Audio):
        return audio
    if isinstance(audio, (str, os.PathLike)):
        return read(audio)
    if isinstance(audio, (tuple, list)) and len(audio) == 2 and sample_rate_hz is None:
        samples, rate_hz = audio
        if isinstance(samples, (int, np.integer)) and not isinstance(rate_hz, (int, np.integer)):
            samples, rate_hz = rate_hz, samples  # (rate, samples), as scipy.io.wavfile has it
    else:
        samples, rate_hz = audio, sample_rate_hz
    if rate_hz is None:
        raise AudioError("samples need their rate: give (samples, sample_rate_hz), a path, or vampnet.Audio")
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, numbers.Real) or not float(rate_hz).is_integer():
        raise AudioError(f"sample rate is {rate_hz!r}, but must be a whole number of Hz")
    return Audio(_channels_first(_as_floats(_as_array(samples))), int(float(rate_hz)))


def _as_array(samples: Any) -> np.ndarray:
    detach = getattr(samples, "detach", None)  # a torch tensor, wherever it lies
    if detach is not None:
        tensor = detach().cpu()
        array = np.asarray(tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy())
    else:
        try:
            array = np.asarray(samples)
        except ValueError:  # rows of different lengths
            array = np.asarray(samples, dtype=object)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise AudioError(
            f"samples are {array.dtype} of shape {array.shape}, but must be numbers of shape (n,), (channels, n) or "
            "(n, channels)"
        )
    return array


def _as_floats(array: np.ndarray) -> np.ndarray:
    """Float samples; integers are scaled by their type's range, unsigned ones around its middle."""
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    full_scale = float(np.iinfo(array.dtype).max) + 1.0
    if array.dtype.kind == "u":
        full_scale /= 2
        return ((array.astype(np.float64) - full_scale) / full_scale).astype(np.float32)
    return (array / full_scale).astype(np.float32)


def _channels_first(array: np.ndarray) -> np.ndarray:
    if array.ndim == 1:
        return array[None]
    turned = array.T if array.shape[1] < array.shape[0] else array
    if len(turned) > MANY_CHANNELS:
        raise AudioError(f"samples have shape {array.shape}: neither axis has at most {MANY_CHANNELS} channels")
    return np.ascontiguousarray(turned)
