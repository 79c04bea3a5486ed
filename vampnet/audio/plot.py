"""Picture of a variation: kept tokens above, mel spectrograms of input and output below, beats as lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vampnet.audio.compiled import librosa
from vampnet.audio.files import AudioReader
from vampnet.audio.mel import log_mel
from vampnet.errors import AudioError, DependencyError
from vampnet.storage import whole_file

MAX_PLOT_S = 60.0
"""Only so much of a long file is drawn, seconds."""
N_FFT, N_MELS = 2048, 128
TICKS_HZ = (100, 500, 1000, 2000, 5000, 10000)
"""Frequencies that the spectrograms name."""


def require_matplotlib(path: str | os.PathLike[str], folder: bool = False) -> None:
    """Fail before the work, not after it; `folder`: it will be made. Raises DependencyError or AudioError."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise DependencyError("plots need the extra `plot`: pip install 'vampnet[plot]'") from None
    if folder:
        return
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise AudioError(f"{path}: a plot is written as .png, .svg or .pdf")
    if not Path(path).absolute().parent.is_dir():
        raise AudioError(f"{path}: its folder does not exist")


def plot_vamp(
    path: str | os.PathLike[str],
    input_path: str | os.PathLike[str] | None,
    output_path: str | os.PathLike[str],
    keep_CT: Tensor,
    title: str,
    frames_per_s: float,
    input_at_s: float = 0.0,
    from_s: float = 0.0,
    beats_s: Sequence[float] = (),
) -> None:
    """Draw `MAX_PLOT_S` seconds of the output from `from_s` on, above it the input (None: there is none).

    `keep_CT` is bool, True where tokens were kept, with `frames_per_s` frames per second. `input_at_s`: where in the
    output the input begins. `beats_s`: beats of the output, seconds, drawn as lines.
    """
    from matplotlib.figure import Figure

    pictures = [("output", from_s, _mel(output_path, from_s))]
    if input_path is not None:
        starts_at_s = max(from_s, input_at_s)
        pictures.insert(0, ("input", starts_at_s, _mel(input_path, starts_at_s - input_at_s)))
    until_s = from_s + pictures[-1][2][1]
    figure = Figure(figsize=(11, 2.5 + 2 * len(pictures)), layout="constrained")
    axes: Any = figure.subplots(1 + len(pictures), 1, sharex=True, height_ratios=[1.1, *[2] * len(pictures)])
    first, stop = int(from_s * frames_per_s), max(int(until_s * frames_per_s), int(from_s * frames_per_s) + 1)
    kept_CT = keep_CT[:, first:stop].numpy().astype(float)
    extent = (first / frames_per_s, (first + kept_CT.shape[1]) / frames_per_s, len(kept_CT) + 0.5, 0.5)
    axes[0].imshow(kept_CT, aspect="auto", cmap="Greys", vmin=0, vmax=1.3, extent=extent, interpolation="nearest")
    axes[0].set_title(f"{title}   (dark: kept tokens{'; lines: beats' if beats_s else ''})", loc="left", fontsize=10)
    axes[0].set_ylabel("codebook")
    top = max(float(mel_MU.max()) for _, _, (mel_MU, _, _) in pictures)
    for axis, (name, start_s, (mel_MU, length_s, rate_hz)) in zip(axes[1:], pictures, strict=True):
        extent = (start_s, start_s + length_s, 0, N_MELS)
        axis.imshow(mel_MU, aspect="auto", origin="lower", cmap="magma", vmin=top - 4, vmax=top, extent=extent)
        ticks_hz = [hz for hz in TICKS_HZ if hz < rate_hz / 2]
        axis.set_yticks(_mel_places(ticks_hz, rate_hz), [f"{hz:g}" for hz in ticks_hz], fontsize=7)
        axis.set_ylabel(f"{name}\nHz")
    for axis in axes:
        for beat_s in beats_s:
            axis.axvline(beat_s, color="tab:cyan", lw=0.6, alpha=0.6)
    axes[0].set_xlim(from_s, until_s)
    axes[-1].set_xlabel("time, s")
    with whole_file(path, AudioError) as temporary:
        figure.savefig(temporary, dpi=110, format=Path(path).suffix[1:].lower() or "png")


def _mel_places(frequencies_hz: Sequence[float], rate_hz: int) -> np.ndarray:
    """Heights of frequencies in a picture of N_MELS bands."""
    centres_hz = librosa.mel_frequencies(N_MELS + 2, fmin=0.0, fmax=rate_hz / 2)[1:-1]
    return np.interp(frequencies_hz, centres_hz, np.arange(N_MELS) + 0.5)


def _mel(path: str | os.PathLike[str], from_s: float = 0.0) -> tuple[np.ndarray, float, int]:
    """log10 mel magnitudes (mels, frames) of `MAX_PLOT_S` seconds of a file, mixed to mono, their length and rate."""
    with AudioReader(path) as reader:
        rate_hz, wanted, parts = reader.info.sample_rate_hz, int(MAX_PLOT_S * reader.info.sample_rate_hz), []
        reader.skip(min(int(from_s * rate_hz), reader.info.n_samples - 1))
        for block in reader:
            parts.append(block.mean(axis=0))
            if sum(map(len, parts)) >= wanted:
                break
    mono = np.concatenate(parts)[:wanted]
    length_s = len(mono) / rate_hz
    padded = np.pad(mono, (0, max(0, N_FFT - len(mono))))
    return log_mel(torch.from_numpy(padded)[None], rate_hz, N_FFT, N_MELS)[0].T.numpy(), length_s, rate_hz
