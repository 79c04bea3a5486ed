"""Out-of-distribution check: the coarse model's cross-entropy (nats per token) with half of the tokens masked.

A model vamps well what resembles the music that it learnt. What it finds surprising it replaces by something else. So
before the work a few seconds of the input are measured, and its user is told when the model's own held-out music is far
from surprising it as much. The limit stands in the bundle (`about.surprise_limit`, `vampnet bundle --surprise-limit`);
`benchmarks/generation/surprise.py` measures it. Bundles without one warn of nothing.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vampnet.audio.files import Samples, resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.audio.sources import Source
from vampnet.generation.pipeline import Pipeline
from vampnet.generation.sampling import TokenNetwork

EXCERPT_S = 12.0
"""Length of the excerpt that is measured, seconds."""
WINDOW_S = 3.0
"""Length of the windows that the excerpt is measured in, seconds: long recordings get no more context than others."""
COMMON_RATE_HZ = 32000
"""Rate that recordings of higher ones are brought to first, Hz: what lies above 16 kHz depends on the file alone."""
DULL_EXCESS = 0.15
"""Nats by which audio of less than COMMON_RATE_HZ surprises less: mean of 12 held-out pieces at 22.05 and 16 kHz."""
LATEST_START_S = 60.0
"""Later audio is not looked for: lossy files have to be decoded up to it."""
MASKED = 0.5
"""Share of the tokens that is masked."""
SEEDS = (0, 1)
"""Seeds of the masks; what is found is the mean over them."""
SHORT_S = 2.0
EXCESS_PER_S = 0.3
"""Nats by which audio shorter than `SHORT_S` surprises more for want of context, per missing second."""
MARGIN = 0.2
"""Margin above the limit before a warning, nats: the standard deviation of excerpts of 3 s."""


def warning(model: Pipeline, source: Source) -> str:
    """Warning when the source is out of the model's distribution; empty when it is not, or when that is unknown."""
    limit = surprise_limit(model)
    if limit is None:
        return ""
    found = surprise(model, source)
    duration_s = source.n_samples / source.sample_rate_hz
    # The shorter the recording, the more by chance.
    margin = MARGIN * max(1.0, math.sqrt(WINDOW_S / duration_s))
    if math.isnan(found) or found <= limit + margin:
        return ""
    return (
        "this recording is foreign to the model: it has heard little like it, so what it generates will sound like "
        "the music that it knows instead, with other instruments and often other notes. Keep more of the recording "
        "(--prompt subtle), or fine-tune the model on such music (vampnet finetune). "
        f"({found:.2f} nats per token; the music that it knows stays below {limit:.2f})"
    )


def surprise_limit(model: Pipeline) -> float | None:
    """Nats per token that the music which the model knows hardly ever exceeds; None where the bundle does not say."""
    limit = model.bundle.config.get("about", {}).get("surprise_limit")
    return None if limit is None else float(limit)


@torch.no_grad()
def surprise(model: Pipeline, source: Source) -> float:
    """Cross-entropy of masked coarse tokens, nats per token, of about 12 s of the source in mono; NaN for silence.

    The same for the same music at other sample rates and levels, and on average at other lengths. The same tokens are
    masked at every call. 0 would be certainty, log(V) (6.9 for 1024 entries) chance.
    """
    rate_hz = model.codec.sample_rate_hz
    audio_1S = _with_full_peak(excerpt(source, rate_hz))
    lufs = measure(audio_1S, rate_hz)
    if not math.isfinite(lufs):
        return math.nan
    audio_BS = torch.from_numpy((_windows(audio_1S, rate_hz) * gain_to(lufs)).astype(np.float32)).to(model.device)
    codes_BCT = model.codec.encode(audio_BS)
    found = float(np.mean([surprise_of_codes(model.coarse, codes_BCT, seed) for seed in SEEDS]))
    found -= EXCESS_PER_S * max(SHORT_S - audio_1S.shape[1] / rate_hz, 0.0)
    return found + (DULL_EXCESS if source.sample_rate_hz < COMMON_RATE_HZ else 0.0)


def surprise_of_codes(network: TokenNetwork, codes_BCT: Tensor, seed: int = 0) -> float:
    """Mean cross-entropy, nats, of half of the tokens given the others; codes (B, C, T), C at least the network's."""
    codes_BCT = codes_BCT[:, : network.config.n_codebooks].long()
    noise_BCT = torch.rand(codes_BCT.shape, generator=torch.Generator().manual_seed(seed))
    masked_BCT = (noise_BCT < MASKED).to(codes_BCT.device)
    logits_NV = network(codes_BCT.masked_fill(masked_BCT, network.config.mask_token), masked_BCT).float()
    targets_N = codes_BCT.transpose(0, 1)[masked_BCT.transpose(0, 1)]
    return float(F.cross_entropy(logits_NV, targets_N)) if len(targets_N) else math.nan


def excerpt(source: Source, rate_hz: int) -> Samples:
    """Mono (1, S) at `rate_hz`: about 12 s from the middle of the source, or from 60 s in where that is earlier."""
    n_wanted = min(int(EXCERPT_S * source.sample_rate_hz), source.n_samples)
    first = min((source.n_samples - n_wanted) // 2, int(LATEST_START_S * source.sample_rate_hz))
    parts, n_read = [], 0
    for block in source.blocks(first):
        parts.append(block.mean(axis=0, keepdims=True, dtype=np.float32))
        n_read += block.shape[1]
        if n_read >= n_wanted:
            break
    mono_1S = np.concatenate(parts, axis=1)[:, :n_wanted]
    common_hz = min(COMMON_RATE_HZ, source.sample_rate_hz)
    return resample(resample(mono_1S, source.sample_rate_hz, common_hz), common_hz, rate_hz)


def _with_full_peak(audio_1S: Samples) -> Samples:
    """The audio with a peak of 1: loudness is measured above a fixed level, which quiet audio would fall below."""
    peak = float(np.abs(audio_1S).max())
    return (audio_1S / peak).astype(np.float32) if peak > 1e-5 else np.zeros_like(audio_1S)


def _windows(audio_1S: Samples, rate_hz: int) -> Samples:
    """The audio in whole windows (B, S) of WINDOW_S, or as it is when it is shorter."""
    n_window = int(WINDOW_S * rate_hz)
    n_windows = audio_1S.shape[1] // n_window
    return audio_1S[0, : n_windows * n_window].reshape(n_windows, n_window) if n_windows else audio_1S
