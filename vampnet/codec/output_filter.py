"""What a decoder's waveform goes through last, so that any codes, generated or random ones too, give a sane one.

Found phases leave an offset and a rumble below all music, and nothing else bounds the sum of two transforms
(`benchmarks/codec/decoder_safety.py` shows both). Axis letters: B batch, S samples, K mean.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DC_WINDOW_S = 0.093
"""What is taken away is the mean over a Hann window of this length: -6 dB at 10.8 Hz, 0.2 dB at most above 21.5."""
KNEE = 10 ** (-1 / 20)
"""Amplitude from which peaks are bent: 1 dB below full scale."""
_STEP = 96


def without_dc(audio_BS: Tensor, sample_rate_hz: int, hop: int) -> Tensor:
    """Waveforms, their length a multiple of `hop`, without what is below music; no phase moves, silence stays silent.

    A sample depends on those up to `dc_reach` away, and not on where a multiple of `hop` was cut further off.
    """
    step, n_taps = _grid(sample_rate_hz, hop)
    steps_BKS = audio_BS.unflatten(1, (-1, step))
    mean_BK = _smooth(steps_BKS.mean(2), n_taps)
    mean_BK = torch.where(steps_BKS.abs().amax(2) > 0, mean_BK, 0.0)  # silent frames beside sounding ones
    before_BK1, after_BK1 = (
        F.pad(mean_BK[:, None], sides, mode="replicate")[:, 0, :, None] for sides in ((1, 0), (0, 1))
    )
    # Linear between the middles of the steps: the half of a step before its middle leans on the one before, ...
    place_S = (torch.arange(step, device=audio_BS.device) + 0.5) / step
    early_BKS = torch.lerp(before_BK1[:, :-1], mean_BK[:, :, None], place_S[: step // 2] + 0.5)
    late_BKS = torch.lerp(mean_BK[:, :, None], after_BK1[:, 1:], place_S[step // 2 :] - 0.5)
    return (steps_BKS - torch.cat([early_BKS, late_BKS], dim=2)).flatten(1)


def _smooth(mean_BK: Tensor, n_taps: int) -> Tensor:
    """Mean of a Hann window of `n_taps` around each value, of those that are there."""
    window = torch.hann_window(n_taps + 2, periodic=False)[1:-1].tolist()
    half, total_BK, weight_K = n_taps // 2, torch.zeros_like(mean_BK), torch.zeros_like(mean_BK[0])
    padded_BK, there_K = F.pad(mean_BK, (half, half)), F.pad(torch.ones_like(mean_BK[0]), (half, half))
    for tap, factor in enumerate(window):  # a convolution's rounding would depend on the length
        total_BK += factor * padded_BK[:, tap : tap + mean_BK.shape[1]]
        weight_K += factor * there_K[tap : tap + mean_BK.shape[1]]
    return total_BK / weight_K


def dc_reach(sample_rate_hz: int, hop: int) -> int:
    """How many samples to each side `without_dc` looks at, at most."""
    step, n_taps = _grid(sample_rate_hz, hop)
    return step * (n_taps // 2 + 2)


def bounded(audio: Tensor) -> Tensor:
    """The same up to KNEE; what is larger is bent smoothly so that nothing leaves -1 to 1, sample by sample."""
    size = audio.abs()
    bent = KNEE + (1 - KNEE) * torch.tanh((size - KNEE) / (1 - KNEE))
    return torch.where(size > KNEE, torch.copysign(bent.clamp(max=1.0), audio), audio)


def _grid(sample_rate_hz: int, hop: int) -> tuple[int, int]:
    """Samples per mean, a divisor of the hop, and means per window, odd."""
    step = math.gcd(hop, _STEP)
    return step, 2 * round(DC_WINDOW_S * sample_rate_hz / step / 2) + 1
