"""Distances between an output and its reference, sample by sample or token by token.

Pure functions of tensors, batched, on any device. Waveforms are (B, S) float, full scale at 1.0; both must have the
same shape. Each returns one value per item, (B,); 0 is a perfect match unless the docstring says otherwise. The
paper's mel distance is `vampnet.audio.mel.mel_distance`; its relatives that other toolkits report are here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vampnet.audio.loudness import measure
from vampnet.audio.mel import FLOOR, PAPER_SCALES, mel_distance, mel_magnitude
from vampnet.errors import AudioError

LN10 = 2.302585092994046
DAC_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""(FFT size, mel bands) of the loss that DAC was trained with (Kumar et al. 2023, section 3.4)."""
STFT_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""(FFT size, hop, window) in samples of the multi-resolution STFT (Yamamoto et al. 2020, table 1)."""
STFT_FLOOR = 1e-4
"""Magnitudes below this count as this (auraloss clamps the power at 1e-8)."""
SI_SDR_LIMIT_DB = 100.0
"""SI-SDR is cut off at plus and minus this."""


def waveform_l1(audio_BS: Tensor, reference_BS: Tensor) -> Tensor:
    """mean |x - y| over samples; linear amplitude, 0 to 2. Says little about what is heard: a phase shift is large."""
    _check_pair(audio_BS, reference_BS)
    return (audio_BS - reference_BS).abs().mean(dim=1)


def si_sdr(audio_BS: Tensor, reference_BS: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio, dB; higher is better, cut off at +-100 (Le Roux et al. 2019).

    10 log10(|a y|^2 / |x - a y|^2) with a = <x, y> / |y|^2, the means of both removed. NaN where the reference is
    silent or constant.
    """
    _check_pair(audio_BS, reference_BS)
    x_BS, y_BS = (s.double() - s.double().mean(dim=1, keepdim=True) for s in (audio_BS, reference_BS))
    power_B1 = y_BS.square().sum(dim=1, keepdim=True)
    target_BS = (x_BS * y_BS).sum(dim=1, keepdim=True) / power_B1 * y_BS
    ratio_B = target_BS.square().sum(dim=1) / (x_BS - target_BS).square().sum(dim=1)
    found_B = (10 * ratio_B.log10()).clamp(-SI_SDR_LIMIT_DB, SI_SDR_LIMIT_DB)
    silent_B = (x_BS == 0).all(dim=1)  # 0 / 0 above: nothing of the reference is there
    found_B = torch.where(silent_B, torch.full_like(found_B, -SI_SDR_LIMIT_DB), found_B)
    return torch.where(power_B1[:, 0] > 1e-20, found_B, torch.full_like(found_B, torch.nan)).to(audio_BS.dtype)


def spectral_convergence(audio_BS: Tensor, reference_BS: Tensor) -> Tensor:
    """Mean over STFT_RESOLUTIONS of ||X| - |Y||_F / ||Y||_F (Arik et al. 2018); no unit, each item by itself."""
    return _stft_terms(audio_BS, reference_BS)[0]


def stft_log_magnitude(audio_BS: Tensor, reference_BS: Tensor) -> Tensor:
    """Mean over STFT_RESOLUTIONS of mean |ln |X| - ln |Y||, nats, magnitudes clamped at 1e-4 (Arik et al. 2018)."""
    return _stft_terms(audio_BS, reference_BS)[1]


def stft_distance(audio_BS: Tensor, reference_BS: Tensor) -> Tensor:
    """Spectral convergence + log magnitude: the multi-resolution STFT loss of Yamamoto et al. 2020.

    Equals auraloss' MultiResolutionSTFTLoss with its defaults for a batch of one (there the convergence is taken over
    the whole batch).
    """
    convergence_B, log_magnitude_B = _stft_terms(audio_BS, reference_BS)
    return convergence_B + log_magnitude_B


def mel_distance_natural(audio_BS: Tensor, reference_BS: Tensor, sample_rate_hz: int) -> Tensor:
    """The paper's mel distance with natural logarithms, nats: ln 10 times the distance in log10 units."""
    _check_pair(audio_BS, reference_BS)
    return LN10 * mel_distance(audio_BS, reference_BS, sample_rate_hz)


def mel_distance_audiotools(audio_BS: Tensor, reference_BS: Tensor, sample_rate_hz: int) -> Tensor:
    """Mel loss of audiotools (MelSpectrogramLoss with its defaults): the sum over FFT 2048 (150 mels) and 512 (80).

    Each scale adds mean |log10 X^2 - log10 Y^2| + mean |X - Y|, mel magnitudes clamped at 1e-5 in the logarithm. So it
    is four times the paper's distance, plus a linear term that depends on level.
    """
    _check_pair(audio_BS, reference_BS)
    total_B = torch.zeros(len(audio_BS), device=audio_BS.device)
    for n_fft, n_mels in PAPER_SCALES:
        one, other = (mel_magnitude(x, sample_rate_hz, n_fft, n_mels) for x in (audio_BS, reference_BS))
        logs = one.clamp_min(FLOOR).log10() - other.clamp_min(FLOOR).log10()
        total_B = total_B + 2 * logs.abs().mean(dim=(1, 2)) + (one - other).abs().mean(dim=(1, 2))
    return total_B


def mel_distance_dac(audio_BS: Tensor, reference_BS: Tensor, sample_rate_hz: int) -> Tensor:
    """DAC's mel loss, log10 units: mean |log10 X - log10 Y| summed over DAC_SCALES (Kumar et al. 2023)."""
    _check_pair(audio_BS, reference_BS)
    return len(DAC_SCALES) * mel_distance(audio_BS, reference_BS, sample_rate_hz, DAC_SCALES)


def loudness_difference(audio_BS: Tensor, reference_BS: Tensor, sample_rate_hz: int) -> Tensor:
    """Integrated loudness of output minus reference, LU (ITU-R BS.1770-4); above 0 is louder than the reference.

    0 where both are silent (below -70 LUFS), infinite where one of them is. Works on the CPU.
    """
    _check_pair(audio_BS, reference_BS)
    values = []
    for pair in zip(audio_BS, reference_BS, strict=True):
        one, other = (measure(x.detach().float().cpu().numpy()[None], sample_rate_hz) for x in pair)
        values.append(0.0 if one == other else one - other)
    return torch.tensor(values, device=audio_BS.device)


def token_accuracy(codes_BCT: Tensor, reference_BCT: Tensor, mask_BCT: Tensor | None = None) -> Tensor:
    """Share of tokens that equal the reference's, (B, C) in 0 to 1 (1 is a perfect match).

    With a mask only tokens where it is True (regenerated) count; NaN where a codebook has none. A token in the same
    place is needed, so music shifted by a frame scores like other music: see `edit_rate`.
    """
    _check_codes(codes_BCT, reference_BCT, same_length=True)
    counted = torch.ones_like(codes_BCT, dtype=torch.bool) if mask_BCT is None else mask_BCT.expand_as(codes_BCT)
    hits = ((codes_BCT == reference_BCT) & counted).sum(dim=2)
    return hits.float() / counted.sum(dim=2)


def edit_rate(codes_BCT: Tensor, reference_BCT: Tensor) -> Tensor:
    """Levenshtein distance of each codebook's sequence / length of the reference, (B, C); 0 is a perfect match.

    Insertions, deletions and substitutions cost 1 each, so a shift by a few frames costs little (the word error rate
    of speech recognition, on tokens). Lengths may differ. T steps over rows of length T.
    """
    _check_codes(codes_BCT, reference_BCT, same_length=False)
    n_reference = reference_BCT.shape[2]
    place_T = torch.arange(n_reference + 1, device=codes_BCT.device)
    row = place_T.expand(*codes_BCT.shape[:2], -1)  # cost of turning nothing into the reference's first tokens
    for step in range(codes_BCT.shape[2]):
        substituted = row[..., :-1] + (codes_BCT[..., step, None] != reference_BCT)
        best = torch.cat([row[..., :1] + 1, torch.minimum(substituted, row[..., 1:] + 1)], dim=-1)
        # Insertions chain along the row: best[j] = min over k <= j of best[k] + (j - k).
        row = (best - place_T).cummin(dim=-1).values + place_T
    return row[..., -1].float() / n_reference


def _stft_terms(audio_BS: Tensor, reference_BS: Tensor) -> tuple[Tensor, Tensor]:
    _check_pair(audio_BS, reference_BS)
    convergence_B = log_magnitude_B = torch.zeros(len(audio_BS), device=audio_BS.device)
    for n_fft, hop, window in STFT_RESOLUTIONS:
        one, other = (_magnitude(x, n_fft, hop, window) for x in (audio_BS, reference_BS))
        error_B = (one - other).square().sum(dim=(1, 2)).sqrt()
        convergence_B = convergence_B + error_B / other.square().sum(dim=(1, 2)).sqrt()
        log_magnitude_B = log_magnitude_B + (one.log() - other.log()).abs().mean(dim=(1, 2))
    return convergence_B / len(STFT_RESOLUTIONS), log_magnitude_B / len(STFT_RESOLUTIONS)


def _magnitude(audio_BS: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    hann = torch.hann_window(window, device=audio_BS.device)
    spectrum = torch.stft(audio_BS.float(), n_fft, hop, window, hann, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).clamp_min(STFT_FLOOR**2).sqrt()


def _check_pair(audio_BS: Tensor, reference_BS: Tensor) -> None:
    if audio_BS.ndim != 2 or audio_BS.shape != reference_BS.shape:
        raise AudioError(
            f"waveforms have shapes {tuple(audio_BS.shape)} and {tuple(reference_BS.shape)}, but both must be "
            "(batch, samples) and equal; cut or pad one of them"
        )


def _check_codes(codes_BCT: Tensor, reference_BCT: Tensor, same_length: bool) -> None:
    shapes = (codes_BCT.shape, reference_BCT.shape) if same_length else (codes_BCT.shape[:2], reference_BCT.shape[:2])
    if codes_BCT.ndim != 3 or reference_BCT.ndim != 3 or shapes[0] != shapes[1] or not reference_BCT.numel():
        raise AudioError(
            f"codes have shapes {tuple(codes_BCT.shape)} and {tuple(reference_BCT.shape)}, but both must be "
            f"(batch, codebooks, frames){' and equal' if same_length else ' with equal batch and codebooks'}"
        )
