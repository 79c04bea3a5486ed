"""Orders in which tokens are committed, and tokens that are masked again."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from vampnet.errors import SettingsError
from vampnet.generation.config import ORDERS, SamplingConfig
from vampnet.generation.sampling import fill, masked_after_each_step
from vampnet.generation.unmasking_order import halton_ranks, van_der_corput
from vampnet.models.config import ModelConfig

CONFIG = ModelConfig(n_codebooks=5, n_conditioning_codebooks=1, vocab_size=20)
P, T, STEPS = 4, 50, 8


class Uniform:
    """A network that knows nothing, and remembers what it was given."""

    training = False

    def __init__(self) -> None:
        self.config, self.inputs = CONFIG, []

    def __call__(self, codes_BCT: torch.Tensor, chosen_BPT: torch.Tensor) -> torch.Tensor:
        self.inputs.append(codes_BCT.clone())
        return torch.zeros(int(chosen_BPT.sum()), 20)


def example(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(20, (batch, P + 1, T), generator=generator)
    mask = torch.rand(codes.shape, generator=generator) < 0.9
    mask[:, 0] = False
    return codes, mask


def masks_of_steps(settings: SamplingConfig, seeds: list[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What was masked before each step, predicted codebooks (B, P, T), and the result."""
    network, (codes, mask) = Uniform(), example(len(seeds))
    out = fill(network, codes, mask, settings, seeds, STEPS)
    assert torch.equal(out[~mask], codes[~mask]) and out.max() < 20
    return [given[:, 1:] == CONFIG.mask_token for given in network.inputs], out


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("remask", [0.0, 0.3])
def test_every_order_follows_the_schedule_and_its_seed(order: str, remask: float) -> None:
    settings = SamplingConfig(order=order, remask=remask)
    masks, out = masks_of_steps(settings, [5, 6])
    n_masked = int(example()[1][0].sum())
    planned = masked_after_each_step(n_masked, STEPS)
    counts = [int(mask_BPT[0].sum()) for mask_BPT in masks]
    if remask == 0:
        assert counts == planned[:-1]
    else:  # what was committed up to then, and its share of it
        assert counts[0] == n_masked
        assert counts[1:] == [n + int(remask * (n_masked - n)) for n in planned[1:-1]]
    assert torch.equal(out, masks_of_steps(settings, [5, 6])[1])
    alone = fill(Uniform(), example()[0][1:], example()[1][1:], settings, [6], STEPS)
    assert torch.equal(alone[0], out[1])
    assert not torch.equal(out, masks_of_steps(settings, [7, 8])[1])


def test_tokens_are_masked_again_and_kept_ones_are_not() -> None:
    masks, _ = masks_of_steps(SamplingConfig(remask=0.3), [0, 1])
    back = [(~before & after).sum() for before, after in itertools.pairwise(masks)]
    assert sum(back) > 0
    _, mask = example()
    assert all(not (mask_BPT & ~mask[:, 1:]).any() for mask_BPT in masks)
    assert all(not (~before & after).any() for before, after in _pairs(SamplingConfig()))


def _pairs(settings: SamplingConfig) -> itertools.pairwise:
    return itertools.pairwise(masks_of_steps(settings, [0, 1])[0])


def test_levels_are_filled_one_after_the_other() -> None:
    masks, _ = masks_of_steps(SamplingConfig(order="levels"), [0, 1])
    half_filled = 0
    for mask_BPT in masks:
        for left_P, wanted_P in zip(mask_BPT.sum(2).tolist(), example()[1][:, 1:].sum(2).tolist(), strict=True):
            first = next(p for p in range(P) if left_P[p])
            assert left_P[:first] == [0] * first and left_P[first + 1 :] == wanted_P[first + 1 :]
            half_filled += left_P[first] < wanted_P[first]
    assert half_filled > 0


def test_halton_spreads_what_is_committed_together() -> None:
    """Share of frames that have a token once there are as many tokens as frames, beside random order."""
    ranks = halton_ranks(P, 200, (0.1, 0.7))
    assert torch.equal(ranks.flatten().sort().values, torch.arange(P * 200))
    shuffled = torch.randperm(P * 200, generator=torch.Generator().manual_seed(0)).view(P, 200)
    reached, by_chance = ((r < 200).any(dim=0).float().mean() for r in (ranks, shuffled))
    assert reached > 0.8 > by_chance
    assert (ranks < 200).sum(dim=1).float().std() < 2  # each codebook gets its share
    assert not torch.equal(ranks, halton_ranks(P, 200, (0.2, 0.7)))


def test_van_der_corput_mirrors_digits() -> None:
    assert van_der_corput(torch.arange(1, 8), 2).tolist() == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
    assert van_der_corput(torch.arange(1, 5), 3).tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 9, 4 / 9])


def test_wrong_settings_are_named() -> None:
    with pytest.raises(SettingsError, match="known: confidence, levels, halton, random"):
        SamplingConfig(order="best")
    with pytest.raises(SettingsError, match="remask is 1"):
        replace(SamplingConfig(), remask=1.0)
