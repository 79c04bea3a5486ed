"""The picture of a vamp: kept tokens above, mel spectrogram of input and output below."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vampnet.audio import AudioReader
from vampnet.errors import AudioError, DependencyError
from vampnet.spectra import log_mel

MAX_PLOT_S = 60.0
"""Only so much of a long file is drawn, seconds."""
N_FFT, N_MELS = 2048, 128


def require_matplotlib(path: str | os.PathLike[str]) -> None:
    """Fail before the work, not after it. Raises DependencyError or AudioError."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise DependencyError("plots need the extra `plot`: pip install 'vampnet[plot]'") from None
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise AudioError(f"{path}: a plot is written as .png, .svg or .pdf")
    if not Path(path).absolute().parent.is_dir():
        raise AudioError(f"{path}: its folder does not exist")


def plot_vamp(
    path: str | os.PathLike[str],
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    mask_CT: Tensor,
    title: str,
    frames_per_s: float = 44100 / 768,
) -> None:
    """Draw the first `MAX_PLOT_S` seconds. `mask_CT` is bool, True where tokens were regenerated."""
    from matplotlib.figure import Figure

    mels = [_mel(input_path), _mel(output_path)]
    duration_s = min(mels[0][1], MAX_PLOT_S)
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes: Any = figure.subplots(3, 1, sharex=True, height_ratios=[1.1, 2, 2])
    kept_CT = (~mask_CT[:, : max(int(duration_s * frames_per_s), 1)]).numpy().astype(float)
    n_codebooks = len(kept_CT)
    extent = (0, kept_CT.shape[1] / frames_per_s, n_codebooks + 0.5, 0.5)
    axes[0].imshow(kept_CT, aspect="auto", cmap="Greys", vmin=0, vmax=1.3, extent=extent, interpolation="nearest")
    axes[0].set_title(f"{title}   (dark: kept tokens)", loc="left", fontsize=10)
    axes[0].set_ylabel("codebook")
    top = max(float(m.max()) for m, _ in mels)
    for axis, (mel_MU, length_s), name in zip(axes[1:], mels, ("input", "output"), strict=True):
        axis.imshow(
            mel_MU, aspect="auto", origin="lower", cmap="magma", vmin=top - 4, vmax=top, extent=(0, length_s, 0, N_MELS)
        )
        axis.set_ylabel(f"{name}\nmel band")
    axes[0].set_xlim(0, duration_s)
    axes[2].set_xlabel("seconds")
    temporary = Path(path).with_name(f".{Path(path).stem}.tmp{Path(path).suffix}")
    figure.savefig(temporary, dpi=110)
    os.replace(temporary, path)


def _mel(path: str | os.PathLike[str]) -> tuple[np.ndarray, float]:
    """log10 mel magnitudes (mels, frames) of the beginning of a file, mixed to mono, and its length in seconds."""
    with AudioReader(path) as reader:
        rate_hz, wanted, parts = reader.info.sample_rate_hz, int(MAX_PLOT_S * reader.info.sample_rate_hz), []
        for block in reader:
            parts.append(block.mean(axis=0))
            if sum(map(len, parts)) >= wanted:
                break
    mono = np.concatenate(parts)[:wanted]
    length_s = len(mono) / rate_hz
    padded = np.pad(mono, (0, max(0, N_FFT - len(mono))))
    return log_mel(torch.from_numpy(padded)[None], rate_hz, N_FFT, N_MELS)[0].T.numpy(), length_s
