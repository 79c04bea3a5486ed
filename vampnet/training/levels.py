"""Levels of a trained decoder, put right band by band.

A decoder that learned by the L1 of logarithms says medians, which lie below means, and phases that are made up lose a
little more. So what it says sounds too soft, by another amount in each band. Here the amount is measured on waveforms
and added to the biases of the decoder's last layers; no code and no shape changes.

Axis letters: B batch, S samples, U window, M mel band, F bin.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vampnet.codec.magnitude import Grid, MagnitudeCodec
from vampnet.training.codec_losses import Reconstruction, log_mel

CODEBOOKS = (4, 14)
"""Levels are measured with so many leading codebooks and averaged: with few, decoders say less still."""
ROUNDS = 2
"""A band leaks into its neighbours, so what is left after the first correction is measured again."""


@torch.no_grad()
def put_levels_right(codec: MagnitudeCodec, audio_NS: Tensor) -> list[float]:
    """Change the decoder's biases so that each band is as loud as in `audio_NS`, crops of levelled music.

    Returns the mean over bands of the size of the error in dB before each round, and after the last.
    """
    bands = Reconstruction(codec)
    audio_NS = audio_NS[:, : audio_NS.shape[1] // codec.hop * codec.hop]
    parts = (
        (codec.low, bands.low_mel_FM, codec.decoder.leave_low),
        (codec.high, bands.high_mel_FM, codec.decoder.leave_high),
    )
    sizes = []
    for number in range(ROUNDS + 1):
        errors = _errors(codec, audio_NS, [(grid, mel_FM) for grid, mel_FM, _ in parts])
        sizes.append(float(torch.cat(errors).abs().mean()) * 8.686)
        if number == ROUNDS:
            return sizes
        for error_M, (grid, mel_FM, layer) in zip(errors, parts, strict=True):
            weight_MF = mel_FM.T / mel_FM.sum(1).clamp_min(1e-12)
            covered_F = mel_FM.sum(1) > 0
            error_F = torch.where(covered_F, error_M @ weight_MF, 0.0)
            layer.bias.sub_(error_F.repeat(len(layer.bias) // grid.n_bins))
    return sizes


def _errors(codec: MagnitudeCodec, audio_NS: Tensor, parts: list[tuple[Grid, Tensor]]) -> list[Tensor]:
    """For each grid, mean ln magnitude of what is decoded minus that of the audio, per mel band (M,).

    Of all windows: were loud ones chosen, they would seem too soft, and soft ones too loud, with any decoder that errs.
    """
    totals = [torch.zeros(mel_FM.shape[1], dtype=torch.float64) for _, mel_FM in parts]
    counts = [0] * len(parts)
    for audio_S in audio_NS:
        codes_1CT = codec.encode(audio_S[None])
        for n in CODEBOOKS:
            made_1S = codec.decode(codes_1CT[:, : min(n, codec.n_codebooks)])
            for k, (grid, mel_FM) in enumerate(parts):
                made_UM, there_UM = (log_mel(grid(x), mel_FM)[0].double() for x in (made_1S, audio_S[None]))
                totals[k] += (made_UM - there_UM).sum(0)
                counts[k] += len(there_UM)
    return [(total_M / max(count, 1)).float() for total_M, count in zip(totals, counts, strict=True)]
