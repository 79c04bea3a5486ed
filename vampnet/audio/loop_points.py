"""Loop points in WAV files, for samplers and DAWs."""

from __future__ import annotations

import struct
from pathlib import Path

from vampnet.errors import AudioError, SettingsError
from vampnet.storage import guarded


def mark_loop(path: str | Path, n_samples: int, sample_rate_hz: int) -> None:
    """Add loop points over the whole of a WAV file (a `smpl` chunk, which samplers and DAWs read)."""
    with guarded(path, AudioError), open(path, "r+b") as file:
        if file.read(4) != b"RIFF":
            raise SettingsError(f"{path}: loop points can be written to WAV files only")
        file.seek(0, 2)
        if file.tell() % 2:
            file.write(b"\0")
        period_ns = round(1e9 / sample_rate_hz)
        sampler = struct.pack("<9I", 0, 0, period_ns, 60, 0, 0, 0, 1, 0)  # unity note middle C, one loop
        points = struct.pack("<6I", 0, 0, 0, n_samples - 1, 0, 0)  # forward, endless
        file.write(b"smpl" + struct.pack("<I", len(sampler + points)) + sampler + points)
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
