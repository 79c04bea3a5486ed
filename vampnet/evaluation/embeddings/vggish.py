"""VGGish (Hershey et al. 2017), the embedding of the original Fréchet audio distance, from a local weight file.

The network and its input features are rebuilt here from the published description; the weights are the user's own: a
`.safetensors` or `.pth` state dict with the names of the PyTorch port of AudioSet's release (features.0.weight, ...,
embeddings.4.bias). Every key must fit. Not verified here, for want of the weights: that the vectors equal those of the
TensorFlow release. Axis letters: N example of 0.96 s, U spectrum every 10 ms, M mel band, F bin.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vampnet.device import select_device
from vampnet.errors import BundleError
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.models.weights import sha256_of
from vampnet.torch_files import StateDictReader, read_pth

WINDOW, HOP, FFT = 400, 160, 512
"""Samples at 16 kHz: 25 ms windows every 10 ms."""
MELS, LOWEST_HZ, HIGHEST_HZ, LOG_OFFSET = 64, 125.0, 7500.0, 0.01
EXAMPLE_FRAMES = 96
"""Frames per example, 0.96 s; examples do not overlap."""
CONVOLUTIONS = ((0, 1, 64), (3, 64, 128), (6, 128, 256), (8, 256, 256), (11, 256, 512), (13, 512, 512))
"""(number in the file's names, channels in, channels out) of the 3 x 3 convolutions, each followed by a ReLU."""
POOLED_AFTER = (0, 3, 8, 13)
"""Convolutions that are followed by 2 x 2 max pooling."""
LINEARS = ((0, 512 * 6 * 4, 4096), (2, 4096, 4096), (4, 4096, 128))
_NOT_USED = ("pproc.pca_eigen_vectors", "pproc.pca_means")


class Network(nn.Module):
    """Log-mel examples (N, 96, 64) -> (N, 128), before the last ReLU, as current releases embed."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for _, i, o in CONVOLUTIONS)
        self.linears = nn.ModuleList(nn.Linear(i, o) for _, i, o in LINEARS)

    def forward(self, mel_NUM: Tensor) -> Tensor:
        """Log-mel examples (N, 96, 64) -> embeddings (N, 128)."""
        x = mel_NUM.unsqueeze(1)
        for (number, _, _), convolution in zip(CONVOLUTIONS, self.convolutions, strict=True):
            x = convolution(x).relu()
            if number in POOLED_AFTER:
                x = nn.functional.max_pool2d(x, 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # the first linear layer was trained on channels last
        for linear in list(self.linears)[:-1]:
            x = linear(x).relu()
        return self.linears[-1](x)


class Vggish(Embedding):
    """VGGish: 128 dimensions per 0.96 s of audio at 16 kHz.

    It was trained to tell the sound classes of YouTube videos apart: it hears timbre and kind of sound, little of pitch
    and rhythm, nothing above 7.5 kHz.
    """

    dim, sample_rate_hz = 128, 16000
    min_samples = WINDOW + (EXAMPLE_FRAMES - 1) * HOP

    def __init__(self, path: str | os.PathLike[str], device: str = "auto") -> None:
        """Raises BundleError for a file that is missing, damaged, or does not fit in every key."""
        self._device = select_device(device)
        self._network = load_network(path).to(self._device)
        self.id = f"vggish:{os.path.basename(path)}#{sha256_of(Path(path))[:8]}"

    @torch.no_grad()
    def vectors(self, audio_BS: Tensor) -> Tensor:
        """Embedding vectors, see `Embedding.vectors`."""
        mel_BUM = log_mel(audio_BS.to(self._device))
        n = mel_BUM.shape[1] // EXAMPLE_FRAMES
        examples_BNUM = mel_BUM[:, : n * EXAMPLE_FRAMES].unflatten(1, (n, EXAMPLE_FRAMES))
        return self._network(examples_BNUM.flatten(0, 1)).unflatten(0, (len(audio_BS), n)).float().cpu()


def load_network(path: str | os.PathLike[str]) -> Network:
    """The network with a file's weights; see the module's docstring for its keys."""
    network, given = Network(), _read(path)
    state = StateDictReader({name: value for name, value in given.items() if name not in _NOT_USED}, path)
    named: list[tuple[str, Any]]
    named = [(f"features.{n}", m) for (n, _, _), m in zip(CONVOLUTIONS, network.convolutions, strict=True)]
    named += [(f"embeddings.{n}", m) for (n, _, _), m in zip(LINEARS, network.linears, strict=True)]
    with torch.no_grad():
        for name, module in named:
            module.weight.copy_(state.take(f"{name}.weight", tuple(module.weight.shape)))
            module.bias.copy_(state.take(f"{name}.bias", tuple(module.bias.shape)))
    state.finish()
    return network.eval()


def log_mel(audio_BS: Tensor) -> Tensor:
    """Waveform at 16 kHz -> ln(mel magnitude + 0.01), (B, U, 64); whole windows only, nothing is padded."""
    frames_BUS = audio_BS.unfold(1, WINDOW, HOP) * torch.hann_window(WINDOW, device=audio_BS.device)
    magnitude_BUF = torch.fft.rfft(frames_BUS, FFT).abs()
    return (magnitude_BUF @ _filters_FM().to(audio_BS.device) + LOG_OFFSET).log()


@functools.lru_cache(maxsize=1)
def _filters_FM() -> Tensor:
    """Triangles that are straight on the mel scale 1127 ln(1 + f / 700); the constant term (bin 0) does not count."""

    def mel(hz: float | np.ndarray) -> np.ndarray:
        return 1127 * np.log1p(np.asarray(hz) / 700)

    edges = np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), MELS + 2)
    bins_F1 = mel(np.arange(FFT // 2 + 1) * Vggish.sample_rate_hz / FFT)[:, None]
    rising = (bins_F1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins_F1) / (edges[2:] - edges[1:-1])
    filters_FM = np.maximum(0, np.minimum(rising, falling))
    filters_FM[0] = 0
    return torch.from_numpy(filters_FM).float()


def _read(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    if os.fspath(path).endswith(".safetensors") and os.path.isfile(path):
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path}: damaged ({error})") from None
    state = read_pth(path)
    if not isinstance(state, dict):
        raise BundleError(f"{path}: is no state dict of VGGish")
    return state
