"""Is a recording foreign to a model? What its tokens cost the coarse network when half of them are masked.

A model vamps well what resembles the music that it learnt. What it finds surprising it replaces by something else. So
before the work a few seconds of the input are measured, and its user is told when the model's own held-out music hardly
ever surprises it as much. That limit stands in the bundle (`about.surprise_limit`, `vampnet bundle --surprise-limit`);
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

EXCERPT_S = 10.0
LATEST_START_S = 60.0
"""Later audio is not looked for: lossy files have to be decoded up to it."""
MASKED = 0.5
"""Share of the tokens that is masked."""


def warning(model: Pipeline, source: Source) -> str:
    """One sentence for the user when the source is foreign to the model; empty when it is not, or cannot be known."""
    limit = surprise_limit(model)
    if limit is None:
        return ""
    found = surprise(model, source)
    if math.isnan(found) or found <= limit:
        return ""
    return (
        f"this recording is foreign to the model ({found:.2f} nats per token; the music that it knows stays below "
        f"{limit:.2f}): expect something else where tokens are generated, and keep more of them (--prompt subtle), "
        "or fine-tune on such music (vampnet finetune)"
    )


def surprise_limit(model: Pipeline) -> float | None:
    """Nats per token above which the bundle calls a recording foreign; None where it does not say."""
    limit = model.bundle.config.get("about", {}).get("surprise_limit")
    return None if limit is None else float(limit)


@torch.no_grad()
def surprise(model: Pipeline, source: Source) -> float:
    """Nats per masked coarse token of about 10 s of the source, its channels mixed; NaN for silence.

    The same tokens are masked at every call. 0 would be certainty, log(V) (6.9 for 1024 entries) chance.
    """
    rate_hz = model.codec.sample_rate_hz
    audio_1S = excerpt(source, rate_hz)
    lufs = measure(audio_1S, rate_hz)
    if not math.isfinite(lufs):
        return math.nan
    audio_BS = torch.from_numpy((audio_1S * gain_to(lufs)).astype(np.float32)).to(model.device)
    return surprise_of_codes(model.coarse, model.codec.encode(audio_BS))


def surprise_of_codes(network: TokenNetwork, codes_BCT: Tensor) -> float:
    """Mean cross-entropy, nats, of half of the tokens given the others; codes (B, C, T), C at least the network's."""
    codes_BCT = codes_BCT[:, : network.config.n_codebooks].long()
    noise_BCT = torch.rand(codes_BCT.shape, generator=torch.Generator().manual_seed(0))
    masked_BCT = (noise_BCT < MASKED).to(codes_BCT.device)
    logits_NV = network(codes_BCT.masked_fill(masked_BCT, network.config.mask_token), masked_BCT).float()
    targets_N = codes_BCT.transpose(0, 1)[masked_BCT.transpose(0, 1)]
    return float(F.cross_entropy(logits_NV, targets_N)) if len(targets_N) else math.nan


def excerpt(source: Source, rate_hz: int) -> Samples:
    """Mono (1, S) at `rate_hz`: about 10 s from the middle of the source, or from 60 s in where that is earlier."""
    n_wanted = min(int(EXCERPT_S * source.sample_rate_hz), source.n_samples)
    first = min((source.n_samples - n_wanted) // 2, int(LATEST_START_S * source.sample_rate_hz))
    parts, n_read = [], 0
    for block in source.blocks(first):
        parts.append(block.mean(axis=0, keepdims=True, dtype=np.float32))
        n_read += block.shape[1]
        if n_read >= n_wanted:
            break
    mono_1S = np.concatenate(parts, axis=1)[:, :n_wanted]
    return resample(mono_1S, source.sample_rate_hz, rate_hz)
