"""The picture of controls: level and onsets, beats, chroma with chords, and melody over time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.controls.names import TONICS
from vampnet.controls.signals import Controls
from vampnet.controls.timeline import read_beats
from vampnet.errors import AudioError
from vampnet.storage import whole_file

MAX_LABELS = 60
"""Chord names that are written; more could not be read."""
LABEL_SHARE = 0.032
"""Width of a chord name, as a share of the picture's."""


def plot_controls(path: str | os.PathLike[str], controls: Controls, title: str) -> None:
    """Draw what the controls hold to a .png, .svg or .pdf file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    axes: Any = figure.subplots(4, 1, sharex=True, height_ratios=[1.2, 1.6, 1.2, 1.4])
    times_s = controls.times_s
    _draw_levels(axes[0], controls, times_s)
    _draw_chroma(axes[1], controls.chroma, controls, "chroma")
    _draw_chords(axes[1], controls)
    _draw_chroma(axes[2], controls.bass_chroma, controls, "bass")
    if controls.melody is not None:
        axes[3].plot(times_s, np.where(controls.melody > 0, controls.melody, np.nan), ".", ms=2.5, color="tab:red")
    axes[3].set_ylabel("melody\nMIDI pitch")
    for axis in (axes[0], axes[3]):
        _draw_beats(axis, controls)
    said = {"tempo": f"{controls.tempo_bpm:.1f} bpm" if controls.tempo_bpm else None, "metre": controls.metre,
            "key": controls.key, "style": controls.style}  # fmt: skip
    facts = ", ".join(value for value in said.values() if value)
    axes[0].set_title(f"{title}   {facts}", loc="left", fontsize=10)
    axes[-1].set_xlim(0.0, controls.duration_s)
    axes[-1].set_xlabel("seconds")
    with whole_file(path, AudioError) as temporary:
        figure.savefig(temporary, dpi=110, format=Path(path).suffix[1:].lower() or "png")


def _draw_levels(axis: Any, controls: Controls, times_s: np.ndarray) -> None:
    for name, colour in (("onset_high", "tab:orange"), ("onset_low", "tab:blue")):
        signal = getattr(controls, name)
        if signal is not None:
            axis.plot(times_s, signal, lw=0.7, color=colour, label=name.replace("_", " "))
    axis.set_ylabel("onsets, dB")
    if controls.loudness_db is not None:
        other = axis.twinx()
        other.plot(times_s, controls.loudness_db, lw=0.8, color="0.6")
        other.set_ylabel("level, dBFS", color="0.5")
    if axis.lines:
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, frameon=False)


def _draw_chroma(axis: Any, chroma_PT: np.ndarray | None, controls: Controls, name: str) -> None:
    if chroma_PT is not None:
        extent = (0.0, controls.duration_s, -0.5, 11.5)
        axis.imshow(chroma_PT, aspect="auto", origin="lower", cmap="magma", vmin=0, vmax=1, extent=extent)
    axis.set_yticks(range(12), TONICS, fontsize=7)
    axis.set_ylabel(name)


def _draw_chords(axis: Any, controls: Controls) -> None:
    spans = (controls.chords or ())[:MAX_LABELS]
    row = 0
    for number, span in enumerate(spans):
        axis.axvline(span.start_s, color="w", lw=0.6, alpha=0.6)
        # Labels closer than a label's width stand one above the other.
        near = number and span.start_s - spans[number - 1].start_s < LABEL_SHARE * controls.duration_s
        row = (row + 1) % 3 if near else 0
        axis.text(span.start_s, 11.8 + 1.4 * row, span.label, fontsize=7, va="bottom", clip_on=False)


def _draw_beats(axis: Any, controls: Controls) -> None:
    for phase, width in ((controls.beat_phase, 0.4), (controls.bar_phase, 1.0)):
        if phase is not None:
            for beat_s in read_beats(phase, controls.times_s):
                axis.axvline(beat_s, color="0.75", lw=width, zorder=0)
