"""Parallel iterative decoding: masked codes and a network in, filled codes out (paper, section 3.3).

In each step every masked token is drawn from the network's categorical, and of these the most confident are committed
while the rest stay masked for the next step. How many stay masked follows gamma. Everything that is random comes from
one generator per item, seeded with the item's own seed, and drawn on the CPU: a result depends on (codes, mask,
settings, seed) and neither on the item's neighbours in the batch nor on the kind of device.

Axis letters: B batch, C codebook read, P codebook predicted, T frame, V vocabulary, N masked token of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vampnet.config import check
from vampnet.errors import BundleError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.models.conditioning import ControlledNetwork
from vampnet.models.config import ModelConfig
from vampnet.prompts.masks import gamma, mask_codes

Progress = Callable[[int, int], None]

BELOW_ONE = 1 - 2.0**-23
"""A float32 times this is smaller than before, whatever its last bit."""


class TokenNetwork(Protocol):
    """Interface of a network to the sampler; `vampnet.models.transformer.MaskedTransformer` implements it."""

    @property
    def config(self) -> ModelConfig:
        """Configuration of the network."""
        ...

    def __call__(self, codes_BCT: Tensor, chosen_BPT: Tensor, /) -> Tensor:
        """Codes (B, C, T) with the mask token V -> logits (N, V) where `chosen_BPT` is true, by codebook, item, frame.

        The P = C - n_conditioning predicted codebooks are the last ones.
        """
        ...


@torch.no_grad()
def fill(
    model: TokenNetwork,
    codes_BCT: Tensor,
    keep_BCT: Tensor,
    settings: SamplingConfig,
    seeds: Sequence[int],
    steps: int,
    progress: Progress | None = None,
    controlled: ControlledNetwork | None = None,
) -> Tensor:
    """Generate the tokens that are not kept; returns new codes (B, C, T), int64, 0..V-1, on the device of `codes_BCT`.

    model: network in evaluation mode, on the same device.
    codes_BCT: int64 codes. Where they are kept they must lie in 0..V-1 and are returned unchanged; elsewhere they are
        ignored.
    keep_BCT: bool, True = keep. The network's conditioning codebooks are always kept, whatever it says.
    settings: all but seed, steps and c2f_steps are used here; seeds and steps are arguments of their own, as they
        differ between items and between the two models.
    seeds: one per item of the batch, 0..2**63-1.
    steps: passes of the network, 1..1000. Passes that would commit nothing are left out, so an item with n masked
        tokens costs at most n passes, and one with none costs none and is returned as it is.
    controlled: the same network with the controls of these items; it computes the logits in the place of `model`.
    progress: called with (steps done, steps) after each step; whatever it raises ends the sampling.

    Raises SettingsError for arguments that do not fit, BundleError when the network's logits are not finite.
    """
    config = model.config
    _check_arguments(model, codes_BCT, keep_BCT, seeds, steps)
    keep_BCT = _with_conditioning(keep_BCT, config.n_conditioning_codebooks)
    _check_kept(codes_BCT, keep_BCT, config.vocab_size)
    codes_BCT = mask_codes(codes_BCT, keep_BCT, config.mask_token)
    places = config.n_predicted, codes_BCT.shape[2]
    schedules = [masked_after_each_step(n_masked, steps) for n_masked in (~keep_BCT).sum((1, 2)).tolist()]
    n_masked = [schedule[0] for schedule in schedules]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for step in range(steps):
        # Items that commit nothing in this step are left out of the batch, and draw nothing.
        active = [item for item, schedule in enumerate(schedules) if n_masked[item] > schedule[step + 1]]
        if active:
            turn = Turn(
                [n_masked[item] - schedules[item][step + 1] for item in active],
                settings.mask_temperature * (1 - (step + 1) / steps),
                torch.stack([_draw_noise(generators[item], *places) for item in active]),
            )
            network = model if controlled is None else controlled.take(active)
            codes_BCT[active] = _step(network, codes_BCT[active], settings, turn)
        for item in active:
            n_masked[item] = schedules[item][step + 1]
        if progress is not None:
            progress(step + 1, steps)
    return codes_BCT


def masked_after_each_step(n_masked: int, steps: int) -> list[int]:
    """Number of masked tokens at the start and after each of `steps` steps: steps + 1 falling numbers, the last 0.

    After step i of S (from 1): floor(gamma(i / S) * n), in float32, but at least one fewer than before while more than
    one is left, and never none before the last step.
    """
    gammas = gamma(torch.arange(1, steps + 1) / steps)
    left = [n_masked]
    for target in torch.floor(gammas * n_masked).long().tolist()[:-1]:
        left.append(min(left[-1], max(1, min(left[-1] - 1, target))))
    return [*left, 0]


def _with_conditioning(keep_BCT: Tensor, n_conditioning: int) -> Tensor:
    keep_BCT = keep_BCT.clone()
    keep_BCT[:, :n_conditioning] = True
    return keep_BCT


@dataclass(frozen=True, eq=False)
class Turn:
    """State of one decoding step of B items, besides codes and settings."""

    n_commit: Sequence[int]
    """Tokens that each item gets."""
    noise_weight: float
    """Weight of the Gumbel noise in the confidence."""
    noise_B2PT: Tensor
    """Uniform numbers: for the token, and for the order of committing."""


def _step(model: TokenNetwork, codes_BCT: Tensor, settings: SamplingConfig, turn: Turn) -> Tensor:
    """One pass of the network over codes with mask tokens; item b gets `turn.n_commit[b]` of them filled in."""
    config = model.config
    n_conditioning = config.n_conditioning_codebooks
    codes_BPT = codes_BCT[:, n_conditioning:]
    mask_BPT = codes_BPT == config.mask_token
    mask_PBT = mask_BPT.transpose(0, 1)  # masked tokens come in this order from the network
    logits_NV = model(codes_BCT, mask_BPT).float()
    noise_B2PT = turn.noise_B2PT.to(codes_BCT.device)
    noise_N2 = noise_B2PT.permute(2, 0, 3, 1)[mask_PBT]
    tokens_N, log_p_N = draw(logits_NV, noise_N2[:, 0], settings)
    if not torch.isfinite(log_p_N).all():
        raise BundleError(
            "the network's output is not finite: its weights are damaged, or their number format overflows"
        )
    gumbel_N = -torch.log(-torch.log(noise_N2[:, 1]))
    confidence_PBT = torch.full(mask_PBT.shape, -torch.inf, device=codes_BCT.device)
    confidence_PBT[mask_PBT] = log_p_N + turn.noise_weight * gumbel_N
    drawn_BPT = codes_BPT.transpose(0, 1).masked_scatter(mask_PBT, tokens_N).transpose(0, 1)
    commit_BPT = most_confident(confidence_PBT.transpose(0, 1).flatten(1), turn.n_commit).view_as(mask_BPT)
    filled_BPT = torch.where(commit_BPT, drawn_BPT, codes_BPT)
    return torch.cat([codes_BCT[:, :n_conditioning], filled_BPT], dim=1)


def _draw_noise(generator: torch.Generator, n_predicted: int, n_frames: int) -> Tensor:
    """Uniform numbers (2, P, T), strictly between 0 and 1: for the token, and for the order of committing.

    They are drawn for every place, masked or not, so that the stream does not depend on the mask.
    """
    noise = torch.rand(2, n_predicted, n_frames, generator=generator)
    return noise.clamp(2.0**-25, 1 - 2.0**-24)


def draw(logits_NV: Tensor, uniform_N: Tensor, settings: SamplingConfig) -> tuple[Tensor, Tensor]:
    """A token of each row and the log of its probability: tokens_N int64, log_p_N float32.

    logits_NV: float32, finite. uniform_N: 0 <= u < 1. As in the authors' code the filters look at the network's own
    distribution, and temperature flattens or sharpens what they left; the probability is that of this last one, but
    that of temperature 1 when temperature 0 takes the most likely token.
    """
    filtered_NV = top_p_filter(
        typical_filter(logits_NV, settings.typical_mass, settings.typical_min_tokens), settings.top_p
    )
    p_NV = torch.softmax(temper(filtered_NV, settings.temperature), dim=-1)
    tokens_N = filtered_NV.argmax(-1) if settings.temperature == 0 else draw_by_inverse_cdf(p_NV, uniform_N)
    return tokens_N, p_NV.gather(-1, tokens_N.unsqueeze(-1)).squeeze(-1).log()


def draw_by_inverse_cdf(p_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """The token at which each row's running sum of probabilities passes u times its total: tokens_N, int64.

    Never a token of probability 0: the target stays below the total, and where rounding lets a parallel running sum
    dip, the most likely token is taken.
    """
    cdf_NV = p_NV.cumsum(-1)
    total_N1 = cdf_NV[:, -1:]
    target_N1 = torch.minimum(uniform_N.unsqueeze(-1) * total_N1, total_N1 * BELOW_ONE)
    tokens_N1 = torch.searchsorted(cdf_NV, target_N1, right=True).clamp(max=p_NV.shape[-1] - 1)
    possible_N1 = p_NV.gather(-1, tokens_N1) > 0
    if not possible_N1.all():
        tokens_N1 = torch.where(possible_N1, tokens_N1, p_NV.argmax(-1, keepdim=True))
    return tokens_N1.squeeze(-1)


def temper(logits_NV: Tensor, temperature: float) -> Tensor:
    """Logits divided by `temperature`; 0 (which has no distribution) and 1 leave them as they are."""
    if temperature in (0, 1):
        return logits_NV
    # With the maximum at 0 even a tiny temperature gives no infinity minus infinity.
    return (logits_NV - logits_NV.amax(-1, keepdim=True)) / temperature


def top_p_filter(logits_NV: Tensor, mass: float) -> Tensor:
    """Nucleus filter (Holtzman et al. 2020): -inf for all but the smallest set of tokens of probability `mass`.

    mass: above 0 up to 1; 1 keeps all. The most likely token always stays.
    """
    if mass >= 1:
        return logits_NV
    return _keep_leading(logits_NV, torch.softmax(logits_NV, dim=-1), -logits_NV, mass, min_tokens=1)


def typical_filter(logits_NV: Tensor, mass: float, min_tokens: int = 1) -> Tensor:
    """Locally typical filter (Meister et al. 2023): -inf for all but the tokens whose surprise is closest to the
    distribution's entropy, as many as have probability `mass`, and at least `min_tokens`.

    mass: above 0 up to 1; 1 keeps all. min_tokens: 1 or more.
    """
    if mass >= 1:
        return logits_NV
    log_p_NV = torch.log_softmax(logits_NV, dim=-1)
    p_NV = log_p_NV.exp()
    # A token of probability 0 adds nothing to the entropy, but 0 * -inf would be NaN.
    entropy_N1 = -torch.where(p_NV > 0, p_NV * log_p_NV, 0.0).sum(-1, keepdim=True)
    return _keep_leading(logits_NV, p_NV, (log_p_NV + entropy_N1).abs(), mass, min_tokens)


def _keep_leading(logits_NV: Tensor, p_NV: Tensor, rank_by_NV: Tensor, mass: float, min_tokens: int) -> Tensor:
    """-inf for all but the lowest tokens by `rank_by_NV`: as many as reach `mass`, and at least `min_tokens`."""
    order_NV = torch.argsort(rank_by_NV, dim=-1, stable=True)
    mass_up_to_NV = p_NV.gather(-1, order_NV).cumsum(-1)
    keep_NV = F.pad(mass_up_to_NV[:, :-1], (1, 0)) < mass
    keep_NV[:, :min_tokens] = True
    return logits_NV.masked_fill(~torch.zeros_like(keep_NV).scatter(-1, order_NV, keep_NV), -torch.inf)


def most_confident(confidence_BN: Tensor, n_commit: Sequence[int]) -> Tensor:
    """commit_BN, bool: True at the `n_commit[b]` highest values of row b; of equal ones the first comes first."""
    order_BN = torch.argsort(confidence_BN, dim=-1, descending=True, stable=True)
    n_commit_B1 = torch.tensor(n_commit, device=confidence_BN.device).unsqueeze(-1)
    leading_BN = torch.arange(confidence_BN.shape[-1], device=confidence_BN.device) < n_commit_B1
    return torch.zeros_like(leading_BN).scatter(-1, order_BN, leading_BN)


def _check_arguments(
    model: TokenNetwork, codes_BCT: Tensor, keep_BCT: Tensor, seeds: Sequence[int], steps: int
) -> None:
    if getattr(model, "training", False):
        raise SettingsError("the network is in training mode, in which dropout is random; call its eval() first")
    check("steps", steps, 1, 1000)
    n_codebooks = model.config.n_codebooks
    if codes_BCT.ndim != 3 or codes_BCT.shape[1] != n_codebooks or codes_BCT.dtype != torch.int64:
        raise SettingsError(
            f"codes are {codes_BCT.dtype} of shape {tuple(codes_BCT.shape)}, but must be int64 of shape "
            f"(batch, {n_codebooks}, frames)"
        )
    if keep_BCT.shape != codes_BCT.shape or keep_BCT.dtype != torch.bool:
        raise SettingsError(
            f"the keep mask is {keep_BCT.dtype} of shape {tuple(keep_BCT.shape)}, but must be bool of the codes' shape "
            f"{tuple(codes_BCT.shape)}"
        )
    if len(seeds) != len(codes_BCT):
        raise SettingsError(f"{len(seeds)} seeds were given for a batch of {len(codes_BCT)}; give one per item")
    for seed in seeds:
        check("seed", seed, 0, 2**63 - 1)


def _check_kept(codes_BCT: Tensor, keep_BCT: Tensor, vocab_size: int) -> None:
    wrong_BCT = keep_BCT & ((codes_BCT < 0) | (codes_BCT >= vocab_size))
    if wrong_BCT.any():
        value = int(codes_BCT[wrong_BCT][0])
        raise SettingsError(
            f"a kept code is {value}, but must lie in 0 to {vocab_size - 1}; codes of the conditioning codebooks "
            "are always kept, all others where the keep mask is True"
        )
