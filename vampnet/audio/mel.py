"""Log-mel spectra, as the training loss and the evaluation both define them.

The distance is the paper's: L1 between log10 mel magnitudes, FFT 2048 and 512 with 150 and 80 mels, hop FFT / 4,
magnitudes clamped at 1e-5, averaged over both resolutions (Hann window, no normalisation, Slaney mel filters).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from vampnet.audio.compiled import librosa

PAPER_SCALES = ((2048, 150), (512, 80))
"""(FFT size in samples, mel bands) of the paper's distance."""
FLOOR = 1e-5
"""Mel magnitudes below this count as this."""


@functools.lru_cache(maxsize=32)
def mel_filters_FM(sample_rate_hz: int, n_fft: int, n_mels: int) -> Tensor:
    """Slaney's mel filters (n_fft / 2 + 1, n_mels), which turn magnitudes into mel magnitudes."""
    return torch.from_numpy(librosa.filters.mel(sr=sample_rate_hz, n_fft=n_fft, n_mels=n_mels)).T.contiguous()


def mel_magnitude(audio_BS: Tensor, sample_rate_hz: int, n_fft: int, n_mels: int) -> Tensor:
    """Mel magnitudes (B, frames, n_mels) of a waveform (B, S), S at least n_fft / 2 + 1 samples."""
    window = torch.hann_window(n_fft, device=audio_BS.device)
    spectrum = torch.stft(audio_BS.float(), n_fft, n_fft // 4, window=window, return_complex=True)
    # The square root of a tiny positive number, not of zero, keeps the gradient of silence finite.
    magnitude_BFU = (spectrum.real.square() + spectrum.imag.square()).clamp_min(1e-16).sqrt()
    return magnitude_BFU.mT @ mel_filters_FM(sample_rate_hz, n_fft, n_mels).to(audio_BS.device)


def log_mel(audio_BS: Tensor, sample_rate_hz: int, n_fft: int, n_mels: int) -> Tensor:
    """log10 of `mel_magnitude`, clamped at FLOOR: (B, frames, n_mels)."""
    return mel_magnitude(audio_BS, sample_rate_hz, n_fft, n_mels).clamp_min(FLOOR).log10()


def mel_distance(
    audio_BS: Tensor,
    reference_BS: Tensor,
    sample_rate_hz: int,
    scales: tuple[tuple[int, int], ...] = PAPER_SCALES,
) -> Tensor:
    """Distance per item (B,) in log10 units; 0 for equal waveforms, about 1 for a tenfold error in every band."""
    total_B = torch.zeros(audio_BS.shape[0], device=audio_BS.device)
    for n_fft, n_mels in scales:
        one = log_mel(audio_BS, sample_rate_hz, n_fft, n_mels)
        other = log_mel(reference_BS, sample_rate_hz, n_fft, n_mels)
        total_B = total_B + (one - other).abs().mean(dim=(1, 2))
    return total_B / len(scales)
