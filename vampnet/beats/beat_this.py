"""Beat This (Foscarin, Schlüter, Widmer, ISMIR 2024): the authors' published checkpoint, where the user has the file.

Only the network's inference is here, in our own words. Mel spectra pass a stem (a convolution that joins four bands),
three blocks that attend over bands, then over time, and halve the bands while doubling the channels, then a
transformer with rotary positions; one linear map gives two logits per frame, and the downbeat's is added to the
beat's. 50 frames per second; 30 s at a time, as in training. Names of the weights are the authors'.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vampnet.audio.compiled import librosa
from vampnet.beats.features import FFT, HOP, RATE_HZ
from vampnet.errors import BundleError
from vampnet.torch_files import StateDictReader, read_pth

N_BANDS, MIN_HZ, MAX_HZ = 128, 30.0, 11000.0
WINDOW_FRAMES, BORDER_FRAMES = 1500, 6
"""Length of the input, and how much of its ends is thrown away."""
PEAK_FRAMES = 3
"""A beat is the largest logit within so many frames to each side, and above 0."""

COUNTER, ROTARY = "num_batches_tracked", "rotary_embed.freqs"
"""Ends of names that are counts of training, and fixed frequencies."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network, read from the shapes of the weights; the defaults are the paper's."""

    width: int = 512
    n_layers: int = 6
    head: int = 32
    stem: int = 32
    feed: int = 4
    """Width of the transformer's feed-forward layers, in widths."""
    has_partial: bool = True
    """True if the front end has attention."""
    sums: bool = True
    """True if the downbeat's logit is added to the beat's."""


class BeatThisNetwork(nn.Module):
    """Spectra (B, T, N_BANDS) -> logits (B, T, 2) of a beat and of a downbeat at each frame."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sums = sizes.sums
        channels = [sizes.stem * 2**k for k in range(4)]
        blocks = [FrontBlock(c, sizes.head, sizes.has_partial) for c in channels[:3]]
        linear = nn.Linear(channels[3] * (N_BANDS // 32), sizes.width)
        self.frontend = nn.ModuleDict({"stem": Stem(sizes.stem), "blocks": nn.Sequential(*blocks), "linear": linear})
        self.transformer_blocks = Transformer(sizes)
        self.task_heads = nn.ModuleDict({"beat_downbeat_lin": nn.Linear(sizes.width, 2)})

    def forward(self, spectra_BTM: Tensor) -> Tensor:
        """Log-mel spectra (B, T, M) -> logits (B, T, 2) of beat and downbeat."""
        x_BDMT = self.frontend["blocks"](self.frontend["stem"](spectra_BTM.mT))
        x_BTD = self.frontend["linear"](x_BDMT.flatten(1, 2).mT)
        logits_BT2 = self.task_heads["beat_downbeat_lin"](self.transformer_blocks(x_BTD))
        if not self.sums:
            return logits_BT2
        return torch.stack([logits_BT2.sum(-1), logits_BT2[..., 1]], dim=-1)


class Stem(nn.Module):
    """(B, N_BANDS, T) -> (B, channels, N_BANDS / 4, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn1d = nn.BatchNorm1d(N_BANDS)
        self.conv2d = nn.Conv2d(1, channels, (4, 3), stride=(4, 1), padding=(0, 1), bias=False)
        self.bn2d = nn.BatchNorm2d(channels)

    def forward(self, x_BMT: Tensor) -> Tensor:
        """Spectra (B, M, T) -> feature maps (B, D, M, T)."""
        return nn.functional.gelu(self.bn2d(self.conv2d(self.bn1d(x_BMT)[:, None])))


class FrontBlock(nn.Module):
    """(B, D, M, T) -> (B, 2 D, M / 2, T)."""

    def __init__(self, channels: int, head: int, has_partial: bool) -> None:
        super().__init__()
        self.partial = BandsThenTime(channels, head) if has_partial else nn.Identity()
        self.conv2d = nn.Conv2d(channels, 2 * channels, (2, 3), stride=(2, 1), padding=(0, 1), bias=False)
        self.norm = nn.BatchNorm2d(2 * channels)

    def forward(self, x_BDMT: Tensor) -> Tensor:
        """Feature maps (B, D, M, T) -> twice the channels, half the bands."""
        return nn.functional.gelu(self.norm(self.conv2d(self.partial(x_BDMT))))


class BandsThenTime(nn.Module):
    """Attention and feed-forward over the bands of each frame, then over the frames of each band."""

    def __init__(self, channels: int, head: int) -> None:
        super().__init__()
        self.attnF, self.ffF = GatedRotaryAttention(channels, head), GeluFeedForward(channels, 4)
        self.attnT, self.ffT = GatedRotaryAttention(channels, head), GeluFeedForward(channels, 4)

    def forward(self, x_BDMT: Tensor) -> Tensor:
        """Attention along bands, then along time; the shape (B, D, M, T) stays."""
        x_BTMD = x_BDMT.permute(0, 3, 2, 1)
        x_BTMD = x_BTMD + self.attnF(x_BTMD)
        x_BTMD = x_BTMD + self.ffF(x_BTMD)
        x_BMTD = x_BTMD.transpose(1, 2)
        x_BMTD = x_BMTD + self.attnT(x_BMTD)
        x_BMTD = x_BMTD + self.ffT(x_BMTD)
        return x_BMTD.permute(0, 3, 1, 2)


class Transformer(nn.Module):
    """Pre-norm transformer with a norm at its end, (B, T, D)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        pairs = [
            (GatedRotaryAttention(sizes.width, sizes.head), GeluFeedForward(sizes.width, sizes.feed))
            for _ in range(sizes.n_layers)
        ]
        self.layers = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)
        self.norm = RmsNorm(sizes.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Features (B, T, D) -> (B, T, D)."""
        for layer in self.layers:
            attend, feed = layer  # type: ignore[misc]
            x_BTD = x_BTD + attend(x_BTD)
            x_BTD = x_BTD + feed(x_BTD)
        return self.norm(x_BTD)


class RmsNorm(nn.Module):
    """x / rms(x) * gamma over the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis to a root mean square of 1, then scale."""
        return nn.functional.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * self.gamma


class GeluFeedForward(nn.Module):
    """norm, wider, gelu, back."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        wide = width * factor
        layers = {"0": RmsNorm(width), "1": nn.Linear(width, wide), "2": nn.GELU(), "4": nn.Linear(wide, width)}
        self.net = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Feed-forward layer on the last axis, without the residual sum."""
        return self.net(x)


class GatedRotaryAttention(nn.Module):
    """Attention over the last axis but one with rotary positions; each head's output is scaled by a gate in 0..1."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.n_heads, self.head = width // head, head
        self.norm = RmsNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_gates = nn.Linear(width, self.n_heads)
        self.to_out = nn.Sequential(nn.Linear(width, width, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Self-attention along the last axis but one, without the residual sum."""
        x = self.norm(x)
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.n_heads, self.head)).movedim(-3, 0).transpose(-3, -2)
        attended = nn.functional.scaled_dot_product_attention(rotate(q), rotate(k), v)
        gates = self.to_gates(x).sigmoid().transpose(-1, -2)[..., None]
        return self.to_out((attended * gates).transpose(-3, -2).flatten(-2))


def rotate(x: Tensor) -> Tensor:
    """Neighbouring pairs of the last axis turned by angles that grow with the place on the axis before it."""
    length, head = x.shape[-2:]
    angles = torch.outer(torch.arange(length), rotary_rates(head))
    pairs = torch.view_as_complex(x.float().unflatten(-1, (head // 2, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def rotary_rates(head: int) -> Tensor:
    """Radians per place of each pair, (head / 2,)."""
    return 10000.0 ** (-torch.arange(0, head, 2) / head)


def load_beat_this(path: str | os.PathLike[str]) -> BeatThisNetwork:
    """The network of a published checkpoint (a file of PyTorch Lightning, such as final0.ckpt or small0.ckpt).

    Raises BundleError for a file that is missing, damaged, holds more than tensors and plain data, or whose keys or
    shapes are not exactly those of this network.
    """
    data = read_pth(path)
    state, given = (data.get(name) for name in ("state_dict", "hyper_parameters")) if isinstance(data, dict) else (0, 0)
    if not isinstance(state, dict) or not state:
        raise BundleError(f"{path}: is no checkpoint of Beat This, it lacks 'state_dict'")
    tensors = {str(name).replace("_orig_mod.", "").removeprefix("model."): value for name, value in state.items()}
    sums = bool(given.get("sum_head", True)) if isinstance(given, dict) else True
    sizes = _sizes(tensors, sums, path)
    network = BeatThisNetwork(sizes)
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
    rotary = {name for name in tensors if name.endswith(ROTARY)}
    held = StateDictReader({name: value for name, value in tensors.items() if not name.endswith(COUNTER)}, path)
    weights = {name: held.take(name, tuple(tensor.shape)) for name, tensor in wanted.items()}
    rates = [held.take(name, (sizes.head // 2,)) for name in sorted(rotary)]
    held.finish()
    if any(not torch.allclose(one, rotary_rates(2 * len(one)), rtol=1e-4) for one in rates):
        raise BundleError(f"{path}: does not fit; its rotary frequencies are not those of the paper")
    network.load_state_dict(weights, strict=False)
    return network.eval()


def _sizes(tensors: dict[str, Any], sums: bool, path: str | os.PathLike[str]) -> Sizes:
    """Sizes from shapes; keys that cannot be found or are odd fall back to the paper's, and are then reported."""

    def shape(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        value = tensors.get(name)
        fits = (
            isinstance(value, Tensor)
            and value.ndim == len(default)
            and 0 < min(value.shape) <= max(value.shape) < 10**5
        )
        return tuple(value.shape) if fits else default  # type: ignore[union-attr]

    width, _ = shape("frontend.linear.weight", (512, 1024))
    numbers = [name.split(".")[2] for name in tensors if name.startswith("transformer_blocks.layers.")]
    n_layers = max((int(number) + 1 for number in numbers if number.isdecimal() and len(number) < 3), default=6)
    heads, _ = shape("transformer_blocks.layers.0.0.to_gates.weight", (width // 32, width))
    if width % heads:
        raise BundleError(f"{path}: does not fit; {heads} heads do not divide a width of {width}")
    stem, *_ = shape("frontend.stem.conv2d.weight", (32, 1, 4, 3))
    wide, _ = shape("transformer_blocks.layers.0.1.net.1.weight", (4 * width, width))
    has_partial = any(".partial." in name for name in tensors)
    return Sizes(width, n_layers, width // heads, stem, max(wide // width, 1), has_partial, sums)


def band_magnitudes(chunk: np.ndarray) -> np.ndarray:
    """Mel magnitudes (frames, N_BANDS) of a chunk of whole frames, as the authors' front end scales them."""
    bands = {"n_mels": N_BANDS, "fmin": MIN_HZ, "fmax": MAX_HZ, "norm": None}
    mel = librosa.feature.melspectrogram(
        y=chunk, sr=RATE_HZ, n_fft=FFT, hop_length=HOP, power=1.0, center=False, **bands
    )
    return mel.T / FFT**0.5


@torch.inference_mode()
def frame_logits(network: BeatThisNetwork, magnitudes: np.ndarray) -> np.ndarray:
    """Logits (frames, 2) of spectra (frames, N_BANDS), 30 s at a time; of overlapping windows the first one counts."""
    spectra = torch.log1p(1000.0 * torch.from_numpy(np.ascontiguousarray(magnitudes, dtype=np.float32)))
    n_frames, step = len(spectra), WINDOW_FRAMES - 2 * BORDER_FRAMES
    starts = list(range(0, n_frames, step))
    if n_frames > step:
        starts[-1] = n_frames - step
    padded = nn.functional.pad(spectra, (0, 0, BORDER_FRAMES, BORDER_FRAMES))
    logits = torch.zeros(n_frames, 2)
    for start in reversed(starts):
        window = network(padded[None, start : start + WINDOW_FRAMES])[0]
        logits[start : start + step] = window[BORDER_FRAMES:-BORDER_FRAMES]
    return logits.numpy()


def peaks(logits_T: np.ndarray) -> np.ndarray:
    """Places, in frames, of the peaks above 0; of neighbours that are equally high, their mean."""
    if not len(logits_T):
        return np.zeros(0)
    padded = torch.from_numpy(np.ascontiguousarray(logits_T))[None]
    highest = nn.functional.max_pool1d(padded, 2 * PEAK_FRAMES + 1, 1, PEAK_FRAMES)[0].numpy()
    found = np.flatnonzero((logits_T == highest) & (logits_T > 0))
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
    return np.array([run.mean() for run in runs if len(run)])


def track(network: BeatThisNetwork, magnitudes: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Beats and downbeats in seconds, from `band_magnitudes`; a downbeat is moved to the nearest beat."""
    logits = frame_logits(network, magnitudes)
    beats, downs = (peaks(logits[:, k]) * HOP / RATE_HZ for k in (0, 1))
    if not len(beats):
        return (), ()
    nearest = {float(beats[np.abs(beats - down).argmin()]) for down in downs}
    return tuple(beats.tolist()), tuple(sorted(nearest))
