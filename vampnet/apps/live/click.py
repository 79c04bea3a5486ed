"""Click: a short tone on each beat."""

from __future__ import annotations

import math

import numpy as np

from vampnet.apps.live.transport import Grid, Transport
from vampnet.audio.samples import Samples

CLICK_S = 0.03
LEVEL = 0.3
HZ = (1000.0, 1500.0)
"""Pitch of beats and of downbeats."""


class Click:
    """Adds clicks to the output; one that has begun sounds to its end."""

    def __init__(self, sample_rate_hz: int) -> None:
        n = max(int(CLICK_S * sample_rate_hz), 1)
        time_s = np.arange(n) / sample_rate_hz
        fall = np.minimum(time_s / 0.001, 1.0) * np.exp(-time_s / 0.008) * LEVEL
        self._sounds = [(np.sin(2 * math.pi * hz * time_s) * fall).astype(np.float32) for hz in HZ]
        self._left: list[Samples] = []

    def add(self, out: Samples, grid: Grid, transport: Transport, output: int, until: float) -> None:
        """Add the beats before position `until` that begin in `out`, whose first sample is output sample `output`."""
        n = out.shape[1]
        left, self._left = self._left, []
        for sound in left:
            self._sound(out, 0, sound)
        song = transport.last.song_at
        if song(output) >= until:
            return
        for position, is_downbeat in grid.beats(song(output) - 1, song(output + n)):
            place = transport.output_at(position) - output
            if 0 <= place < n and position < until - 0.5:
                self._sound(out, place, self._sounds[is_downbeat])

    def _sound(self, out: Samples, place: int, sound: Samples) -> None:
        k = min(out.shape[1] - place, len(sound))
        out[:, place : place + k] += sound[:k]
        if k < len(sound):
            self._left.append(sound[k:])
