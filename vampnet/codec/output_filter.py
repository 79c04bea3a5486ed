"""Output filter of a decoder: removes DC and rumble, and bounds peaks, for any codes.

Found phases leave an offset and a rumble below all music, and nothing else bounds the sum of two transforms
(`benchmarks/codec/decoder_safety.py` shows both). Axis letters: B batch, S samples, N mean.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DC_WINDOW_S = 0.093
"""Length of the Hann window whose mean is removed: -6 dB at 10.8 Hz, 0.2 dB at most above 21.5 Hz."""
KNEE = 10 ** (-1 / 20)
"""Amplitude from which peaks are bent: 1 dB below full scale."""
_STEP = 96


def remove_dc(audio_BS: Tensor, sample_rate_hz: int, hop: int) -> Tensor:
    """Waveforms, their length a multiple of `hop`, without what is below music; no phase moves, silence stays silent.

    A sample depends on those up to `dc_reach` away, and not on where a multiple of `hop` was cut further off.
    """
    step, n_taps = _grid(sample_rate_hz, hop)
    steps_BNS = audio_BS.unflatten(1, (-1, step))
    mean_BN = _smooth(steps_BNS.mean(2), n_taps)
    mean_BN = torch.where(steps_BNS.abs().amax(2) > 0, mean_BN, 0.0)  # silent frames beside sounding ones
    before_BN1, after_BN1 = (
        F.pad(mean_BN[:, None], sides, mode="replicate")[:, 0, :, None] for sides in ((1, 0), (0, 1))
    )
    # Linear between the middles of the steps: the half of a step before its middle leans on the one before, ...
    place_S = (torch.arange(step, device=audio_BS.device) + 0.5) / step
    early_BNS = torch.lerp(before_BN1[:, :-1], mean_BN[:, :, None], place_S[: step // 2] + 0.5)
    late_BNS = torch.lerp(mean_BN[:, :, None], after_BN1[:, 1:], place_S[step // 2 :] - 0.5)
    return (steps_BNS - torch.cat([early_BNS, late_BNS], dim=2)).flatten(1)


def _smooth(mean_BN: Tensor, n_taps: int) -> Tensor:
    """Mean of a Hann window of `n_taps` around each value, of those that are there."""
    window = torch.hann_window(n_taps + 2, periodic=False)[1:-1].tolist()
    half, total_BN, weight_N = n_taps // 2, torch.zeros_like(mean_BN), torch.zeros_like(mean_BN[0])
    padded_BN, there_N = F.pad(mean_BN, (half, half)), F.pad(torch.ones_like(mean_BN[0]), (half, half))
    for tap, factor in enumerate(window):  # a convolution's rounding would depend on the length
        total_BN += factor * padded_BN[:, tap : tap + mean_BN.shape[1]]
        weight_N += factor * there_N[tap : tap + mean_BN.shape[1]]
    return total_BN / weight_N


def dc_reach(sample_rate_hz: int, hop: int) -> int:
    """Largest number of samples to each side that `remove_dc` depends on."""
    step, n_taps = _grid(sample_rate_hz, hop)
    return step * (n_taps // 2 + 2)


def bound_peaks(audio: Tensor) -> Tensor:
    """The same up to KNEE; what is larger is bent smoothly so that nothing leaves -1 to 1, sample by sample."""
    size = audio.abs()
    bent = KNEE + (1 - KNEE) * torch.tanh((size - KNEE) / (1 - KNEE))
    return torch.where(size > KNEE, torch.copysign(bent.clamp(max=1.0), audio), audio)


def _grid(sample_rate_hz: int, hop: int) -> tuple[int, int]:
    """Samples per mean, a divisor of the hop, and means per window, odd."""
    step = math.gcd(hop, _STEP)
    return step, 2 * round(DC_WINDOW_S * sample_rate_hz / step / 2) + 1
