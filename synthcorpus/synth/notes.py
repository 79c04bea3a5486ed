"""Plays notes from templates: a voice makes each distinct note once, and every repeat of it is a scaled copy.

Music repeats the same few dozen notes; making each once, as samplers do, is about ten times faster than synthesis
of every event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

MAX_NOTE_S = 10.0
"""Longest note that is synthesised; longer notes fade out there."""


class Voice(Protocol):
    """An instrument: makes single notes."""

    @property
    def release_s(self) -> float:
        """Fade after a note's end, seconds; time in which it falls by 60 dB."""
        ...

    @property
    def one_shot_s(self) -> float:
        """Length of every note for voices that ignore note lengths (drums), seconds; 0 for voices that obey them."""
        ...

    @property
    def layers(self) -> tuple[int, ...]:
        """Velocities that are synthesised; others are scaled copies of the nearest layer."""
        ...

    def note(self, pitch: int, velocity: int, n_samples: int) -> np.ndarray:
        """One held note, float32 (2, n_samples)."""
        ...


def play_notes(
    voice: Voice, notes: Sequence[tuple[float, float, int, int]], sample_rate_hz: int, n_samples: int
) -> np.ndarray:
    """Mix of all notes, float32 (2, n_samples). Notes are (start_s, duration_s, pitch, velocity)."""
    out = np.zeros((2, n_samples), dtype=np.float32)
    groups: dict[tuple[int, int], list[tuple[float, float, int]]] = {}
    for start_s, duration_s, pitch, velocity in notes:
        layer = min(voice.layers, key=lambda level: abs(level - velocity))
        groups.setdefault((pitch, layer), []).append((start_s, duration_s, velocity))
    fade = int(voice.release_s * sample_rate_hz)
    curve = _release_curve(fade)
    for (pitch, layer), uses in groups.items():
        longest_s = min(voice.one_shot_s or max(use[1] for use in uses), MAX_NOTE_S)
        template = voice.note(pitch, layer, int(longest_s * sample_rate_hz) + fade)
        for start_s, duration_s, velocity in uses:
            held = int(min(voice.one_shot_s or duration_s, longest_s) * sample_rate_hz)
            gain = np.float32((velocity / layer) ** 1.4)
            _add(out, template, int(start_s * sample_rate_hz), held, curve, gain)
    return out


def _release_curve(n_samples: int) -> np.ndarray:
    """A fall of 60 dB with a linear end, so that it reaches zero."""
    ramp = np.linspace(0.0, 1.0, max(n_samples, 1), dtype=np.float32)
    return np.power(np.float32(10.0), -3.0 * ramp) * (1.0 - ramp)


def _add(out: np.ndarray, template: np.ndarray, start: int, held: int, curve: np.ndarray, gain: np.float32) -> None:
    """Add a note: the held stretch, then the release; what passes the end of `out` is cut."""
    end = min(start + held, out.shape[1])
    if end > start:
        out[:, start:end] += template[:, : end - start] * gain
    tail_end = min(start + held + len(curve), out.shape[1])
    if tail_end > end >= start + held:
        count = tail_end - end
        out[:, end:tail_end] += template[:, held : held + count] * (curve[:count] * gain)
