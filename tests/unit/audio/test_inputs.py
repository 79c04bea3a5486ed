"""Every kind of audio input becomes `Audio`: paths, arrays, tensors, either order of axes, any type of sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny import tone
from vampnet.audio.files import Audio, read, write
from vampnet.audio.inputs import as_audio
from vampnet.errors import AudioError

STEREO = tone(0.1, 22050, 2).samples
MONO = STEREO[0]


def test_audio_is_itself() -> None:
    audio = Audio(STEREO, 22050)
    assert as_audio(audio) is audio


@pytest.mark.parametrize("kind", [str, Path])
def test_paths(tmp_path: Path, kind: Any) -> None:
    write(tmp_path / "a.wav", Audio(STEREO, 22050), "FLOAT")
    found = as_audio(kind(tmp_path / "a.wav"))
    assert np.array_equal(found.samples, read(tmp_path / "a.wav").samples) and found.sample_rate_hz == 22050
    with pytest.raises(AudioError, match=r"none\.wav"):
        as_audio(kind(tmp_path / "none.wav"))


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (MONO, MONO[None]),
        (MONO[None], MONO[None]),
        (MONO[:, None], MONO[None]),
        (STEREO, STEREO),
        (STEREO.T, STEREO),
        (STEREO[:, :2], STEREO[:, :2]),  # of equally long axes the first is the channels
        (STEREO.T[::2], STEREO[:, ::2]),  # not contiguous
        (STEREO.astype(np.float64), STEREO),
        (STEREO.astype(np.float16), STEREO.astype(np.float16).astype(np.float32)),
        (MONO.tolist(), MONO[None]),
        (torch.from_numpy(STEREO), STEREO),
        (torch.from_numpy(STEREO).T, STEREO),
        (torch.from_numpy(STEREO).double().requires_grad_(), STEREO),
        (torch.from_numpy(STEREO).bfloat16(), torch.from_numpy(STEREO).bfloat16().float().numpy()),
    ],
)
def test_samples_in_every_shape_and_type(samples: Any, expected: np.ndarray) -> None:
    for given in ((samples, 22050), [samples, 22050], (samples, 22050.0), (samples, np.int64(22050))):
        found = as_audio(given)
        assert found.samples.dtype == np.float32 and found.samples.flags.c_contiguous
        assert found.sample_rate_hz == 22050 and np.array_equal(found.samples, expected)
    assert np.array_equal(as_audio(samples, 22050).samples, expected)


def test_the_order_of_scipy_is_understood() -> None:
    assert as_audio((22050, STEREO.T)).samples.shape == STEREO.shape


@pytest.mark.parametrize(
    ("dtype", "lowest", "middle", "highest"),
    [
        (np.int16, -32768, 0, 32767),
        (np.int32, -(2**31), 0, 2**31 - 1),
        (np.int8, -128, 0, 127),
        (np.uint8, 0, 128, 255),
        (np.uint16, 0, 32768, 65535),
    ],
)
def test_integers_have_full_scale_at_the_ends_of_their_type(dtype: Any, lowest: int, middle: int, highest: int) -> None:
    values = np.array([lowest, middle, highest] * 3, dtype)
    for given in (values, torch.from_numpy(values)) if dtype != np.uint16 else (values,):
        found = as_audio((given, 8000)).samples[0]
        step = 2.0 ** (1 - 8 * np.dtype(dtype).itemsize)
        assert found[:3].tolist() == pytest.approx([-1.0, 0.0, 1 - step], abs=1e-7)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (MONO, "samples need their rate"),
        ((MONO, None), "samples need their rate"),
        ((MONO, 44100.5), r"sample rate is 44100\.5"),
        ((MONO, "44100"), "sample rate is '44100'"),
        ((MONO, True), "sample rate is True"),
        ((MONO, 0), "sample rate"),
        ((MONO, float("nan")), "sample rate is nan"),
        ((MONO, float("inf")), "sample rate is inf"),
        ((np.zeros((2, 2, 50)), 44100), r"shape \(2, 2, 50\)"),
        ((np.zeros((100, 100)), 44100), "at most 64 channels"),
        ((np.array(["a"]), 44100), "must be numbers"),
        ((np.array([True, False]), 44100), "must be numbers"),
        ((np.array([1j]), 44100), "must be numbers"),
        ((np.zeros(0), 44100), "sample"),
        ((np.array([0.0, np.nan]), 44100), "(?i)nan|finite"),
        ((torch.zeros(2, 2, 2), 44100), "must be numbers"),
        (None, "samples need their rate"),
        (7, "samples need their rate"),
        (object(), "samples need their rate"),
        ((), "samples need their rate"),
        ((object(), 44100), "must be numbers"),
        (([[1.0], [1.0, 2.0]], 44100), "numbers"),
    ],
)
def test_what_is_no_audio_is_named(given: Any, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        as_audio(given)
