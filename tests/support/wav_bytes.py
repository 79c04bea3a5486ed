"""Bytes of small WAV files, made without numpy."""

from __future__ import annotations

import io
import math
import struct
import wave


def wav_bytes(seconds: float = 0.5, seed: int = 0, *, rate_hz: int = 44100, channels: int = 1) -> bytes:
    """A tone, 16 bits, whose pitch tells the seed."""
    n = int(seconds * rate_hz)
    hertz = 220.0 + seed % 1000
    samples = [int(8000 * math.sin(2 * math.pi * hertz * k / rate_hz)) for k in range(n)]
    frames = b"".join(struct.pack("<h", sample) * channels for sample in samples)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(frames)
    return buffer.getvalue()
