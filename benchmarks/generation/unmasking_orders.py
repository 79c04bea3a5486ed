"""Unmasking orders that are no options of the product, since none gained anything (docs/results/experiments.md).

- "levels": codebook by codebook, the coarsest first, by confidence within each (SoundStorm, Borsos et al. 2023).
- "halton": places spread evenly over frames and codebooks, whatever is drawn there (Besnier et al. 2025).
- "random": uniformly, the order in which the network was trained.

and re-masking: in every step a share of the tokens committed so far is masked again (ReMDM, Wang et al. 2025).
`python -m benchmarks.generation.samplers` measures them. Axis letters: B item, P codebook predicted, T frame.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vampnet.generation.config import SamplingConfig
from vampnet.generation.sampling import TokenNetwork, draw, masked_after_each_step, most_confident
from vampnet.prompts.masks import mask_codes

ORDERS = ("confidence", "levels", "halton", "random")

LEVEL_STEP = 1e4
"""Gap between the priorities of two codebooks; confidences are far smaller."""
POINTS_PER_PLACE = 16
"""Halton points drawn; positions that no point hits are unmasked last."""


def priority(order: str, confidence_BPT: Tensor, noise_BPT: Tensor, halton_BPT: Tensor | None) -> Tensor:
    """Priority (B, P, T) of each place; the highest are committed first.

    confidence_BPT: log probability of the token drawn there and what noise was added to it. noise_BPT: uniform numbers,
    new in every step. halton_BPT: ranks by `halton_ranks`, for that order.
    """
    if order == "random":
        return noise_BPT
    if order == "halton":
        assert halton_BPT is not None
        return -halton_BPT.to(confidence_BPT.dtype)
    if order == "levels":
        level_P1 = torch.arange(confidence_BPT.shape[1], device=confidence_BPT.device).unsqueeze(1)
        return confidence_BPT.clamp(-LEVEL_STEP / 4, LEVEL_STEP / 4) - LEVEL_STEP * level_P1
    return confidence_BPT


def halton_ranks(n_codebooks: int, n_frames: int, shift: tuple[float, float]) -> Tensor:
    """When each place's turn comes, 0 first: int64 (P, T), each rank once.

    Place k of the sequence lies at frame and codebook of the two van der Corput sequences of bases 2 and 3, turned
    round by `shift` (two numbers in 0 to 1), which makes one seed's order unlike another's.
    """
    n_places = n_codebooks * n_frames
    index = torch.arange(1, POINTS_PER_PLACE * n_places + 1)
    frame, codebook = (
        (((van_der_corput(index, base) + offset) % 1.0) * size).long().clamp(max=size - 1)
        for base, offset, size in ((2, shift[0], n_frames), (3, shift[1], n_codebooks))
    )
    place = codebook * n_frames + frame
    first = torch.full((n_places,), len(index)).scatter_reduce(0, place, torch.arange(len(index)), "amin")
    return first.argsort(stable=True).argsort().view(n_codebooks, n_frames)


def van_der_corput(index: Tensor, base: int) -> Tensor:
    """Digits of each number in `base`, mirrored at the point: float64 in 0 to 1."""
    value, share, left = torch.zeros(len(index), dtype=torch.float64), 1.0, index.clone()
    for _ in range(math.ceil(math.log(int(index.max()) + 1, base)) + 1):
        share /= base
        value += share * (left % base)
        left //= base
    return value


@torch.no_grad()
def fill_in_order(
    network: TokenNetwork,
    codes_CT: Tensor,
    mask_CT: Tensor,
    sampling: SamplingConfig,
    order: str,
    remask: float,
    generator: torch.Generator,
) -> Tensor:
    """As `sampling.fill` for one item of a network without conditioning codebooks, in another order."""
    mask_token = network.config.mask_token
    codes_CT = mask_codes(codes_CT, ~mask_CT, mask_token)
    schedule = masked_after_each_step(int(mask_CT.sum()), sampling.steps)
    shift = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    halton_BPT = halton_ranks(*codes_CT.shape, (shift[0], shift[1]))[None]
    for step in range(sampling.steps):
        waiting_CT = codes_CT == mask_token
        logits_NV = network(codes_CT[None], waiting_CT[None]).float()
        noise_2CT = torch.rand(2, *codes_CT.shape, generator=generator).clamp(2.0**-25, 1 - 2.0**-24)
        drawn_N, log_p_N = draw(logits_NV, noise_2CT[0][waiting_CT], sampling)
        weight = sampling.mask_temperature * (1 - (step + 1) / sampling.steps)
        confidence_CT = torch.full(codes_CT.shape, -torch.inf)
        confidence_CT[waiting_CT] = log_p_N - weight * torch.log(-torch.log(noise_2CT[1][waiting_CT]))
        first_BPT = priority(order, confidence_CT[None], noise_2CT[1][None], halton_BPT)
        n_commit = int(waiting_CT.sum()) - schedule[step + 1]
        ranked_1N = first_BPT.masked_fill(~waiting_CT, -torch.inf).flatten(1)
        commit_CT = most_confident(ranked_1N, [n_commit]).view_as(codes_CT)
        codes_CT = torch.where(commit_CT, codes_CT.masked_scatter(waiting_CT, drawn_N), codes_CT)
        if remask and step < sampling.steps - 1:
            made_CT = mask_CT & (codes_CT != mask_token)
            noise_CT = torch.rand(codes_CT.shape, generator=generator).masked_fill(~made_CT, -torch.inf)
            again_1N = most_confident(noise_CT.flatten()[None], [int(remask * int(made_CT.sum()))])
            codes_CT = mask_codes(codes_CT, ~again_1N.view_as(codes_CT), mask_token)
    return codes_CT


@torch.no_grad()
def fill_by_codebook(
    network: TokenNetwork,
    codes_CT: Tensor,
    mask_CT: Tensor,
    sampling: SamplingConfig,
    steps_C: tuple[int, ...],
    generator: torch.Generator,
) -> Tensor:
    """Fill one codebook after the other, each in its own number of steps (SoundStorm: one for all but the first)."""
    mask_token = network.config.mask_token
    codes_CT = mask_codes(codes_CT, ~mask_CT, mask_token)
    for c, steps in enumerate(steps_C):
        schedule = masked_after_each_step(int(mask_CT[c].sum()), steps)
        for step in range(steps):
            chosen_CT = torch.zeros_like(mask_CT)
            chosen_CT[c] = codes_CT[c] == mask_token
            logits_NV = network(codes_CT[None], chosen_CT[None]).float()
            uniform_2N = torch.rand(2, len(logits_NV), generator=generator).clamp(2.0**-25, 1 - 2.0**-24)
            drawn_N, log_p_N = draw(logits_NV, uniform_2N[0], sampling)
            noise_N = -torch.log(-torch.log(uniform_2N[1]))
            confidence_N = log_p_N + sampling.mask_temperature * (1 - (step + 1) / steps) * noise_N
            leading_N = confidence_N.topk(schedule[step] - schedule[step + 1]).indices
            places_N = chosen_CT[c].nonzero().squeeze(1)[leading_N]
            codes_CT[c, places_N] = drawn_N[leading_N]
    return codes_CT
