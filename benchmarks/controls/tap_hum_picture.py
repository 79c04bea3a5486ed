"""A picture of a beatboxed rhythm and a hummed line, and of the drums and the lead that they become.

    python -m benchmarks.controls.tap_hum_picture docs/results/controls-tap-hum.png [--index 0]

The inputs are those of benchmarks.controls.tap_hum by espeak-ng. White lines are what was tapped or hummed, coloured
ones what the sketch plays.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.controls.tap_hum import hum, mouth_sounds, tap
from vampnet.audio.compiled import librosa
from vampnet.audio.files import Audio
from vampnet.controls.onsets import find_hits
from vampnet.controls.signals import Controls
from vampnet.controls.sketching import hummed_notes, sketch_drums, sketch_lead
from vampnet.controls.timeline import paint_melody

COLOURS = {"kick": "tab:red", "snare": "tab:orange", "hat": "tab:cyan"}


def draw_spectrogram(axis: Any, audio: Audio, title: str, top_hz: float) -> None:
    """A spectrogram in dB up to a frequency."""
    mono = audio.samples.mean(axis=0)
    levels = librosa.amplitude_to_db(np.abs(librosa.stft(mono, n_fft=2048, hop_length=512)), ref=np.max, top_db=70)
    extent = (0.0, audio.duration_s, 0.0, audio.sample_rate_hz / 2000)
    axis.imshow(levels, aspect="auto", origin="lower", extent=extent, cmap="magma", interpolation="nearest")
    axis.set(ylim=(0, top_hz / 1000), ylabel="kHz", title=title)


def draw_pitch(axis: Any, times_s: NDArray[Any], pitch: NDArray[Any], colour: str, width: float) -> None:
    """A line of MIDI pitches over a spectrogram in kHz."""
    hz = np.where(pitch > 0, 440.0 * 2.0 ** ((pitch - 69.0) / 12), np.nan)
    axis.plot(times_s, hz / 1000, color=colour, lw=width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--index", type=int, default=0)
    options = parser.parse_args()
    tapped, times_s, _ = tap(options.index, mouth_sounds())
    hummed, notes = hum(options.index, True)
    drums, lead = sketch_drums(tapped), sketch_lead(hummed)
    figure = Figure(figsize=(11, 9), layout="constrained")
    axes: Any = figure.subplots(4, 1)
    draw_spectrogram(axes[0], tapped, "beatboxed (white: where), and the drum that is heard in each hit", 8000)
    draw_spectrogram(axes[1], drums.audio, "its drums", 8000)
    for axis in axes[:2]:
        axis.vlines(times_s, 6.5, 8.0, color="white", lw=1)
        for hit in find_hits(tapped):
            axis.vlines(hit.time_s, 0, 2.5, color=COLOURS[hit.drum], lw=2)
    frames = Controls(lead.controls.n_frames)
    draw_spectrogram(axes[2], hummed, "hummed (white: pitch), and the notes that are heard (cyan)", 1500)
    draw_spectrogram(axes[3], lead.audio, "its lead", 1500)
    for axis in axes[2:]:
        draw_pitch(axis, frames.times_s, paint_melody(notes, frames.times_s), "white", 3.5)
        draw_pitch(axis, frames.times_s, paint_melody(hummed_notes(hummed), frames.times_s), "cyan", 1.5)
    axes[3].set_xlabel("s")
    figure.savefig(options.output, dpi=70, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
