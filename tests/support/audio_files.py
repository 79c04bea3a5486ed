"""Audio that the tests of reading and writing share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vampnet.audio import files as audio
from vampnet.audio.files import Audio
from vampnet.errors import AudioError

RATE_HZ = 44100
ENDINGS = ["wav", "flac", "aiff", "ogg", "opus", "mp3"]
LOSSLESS = ["wav", "flac", "aiff"]


def tone(n_samples: int = 30000, channels: int = 2, rate_hz: int = RATE_HZ) -> np.ndarray:
    t = np.arange(n_samples) / rate_hz
    noise = 0.02 * np.random.default_rng(0).standard_normal((channels, n_samples))
    return (0.3 * np.sin(2 * np.pi * 440 * t) + noise).astype(np.float32)


def rate_for(ending: str) -> int:
    return 48000 if ending == "opus" else RATE_HZ


def made(folder: Path, ending: str, n_samples: int = 30000, channels: int = 2) -> Path:
    path = folder / f"made.{ending}"
    audio.write(path, Audio(tone(n_samples, channels), rate_for(ending)))
    return path


def failure(path: Path) -> str:
    """The message of reading a bad file: one line that names the file."""
    with pytest.raises(AudioError) as caught:
        audio.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    return message


def no_leftovers(folder: Path, *expected: str) -> None:
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(expected)
