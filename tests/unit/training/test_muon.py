"""Muon: the steps of PyTorch's own, which rounds to bfloat16, and states that either can go on from."""

from __future__ import annotations

import pytest
import torch

from vampnet.training.muon import Muon, orthogonalise


def matrices() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((24, 8), (8, 24), (16, 16), (8, 24))
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def steps(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], seeds: range) -> None:
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


def torch_muon(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon of its own")
    return torch.optim.Muon(parameters, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")


def our_muon(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return Muon(parameters, lr=0.02, weight_decay=0.1)


def test_takes_the_steps_of_torch() -> None:
    ours, theirs, start = matrices(), matrices(), matrices()
    steps(our_muon(ours), ours, range(5))
    steps(torch_muon(theirs), theirs, range(5))
    for a, b, begin in zip(ours, theirs, start, strict=True):
        moved = (b - begin).norm()
        assert moved > 0.1
        assert (a - b).norm() < 0.03 * moved  # bfloat16 has 8 bits


def test_either_goes_on_from_the_others_state() -> None:
    whole = matrices()
    steps(our_muon(whole), whole, range(6))
    for first, second in ((our_muon, torch_muon), (torch_muon, our_muon)):
        parts = matrices()
        optimizer = first(parts)
        steps(optimizer, parts, range(3))
        continued = second(parts)
        continued.load_state_dict(optimizer.state_dict())
        steps(continued, parts, range(3, 6))
        for a, b, begin in zip(parts, whole, matrices(), strict=True):
            assert (a - b).norm() < 0.03 * (b - begin).norm()


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (1, 7)])
def test_singular_values_end_near_one(shape: tuple[int, int]) -> None:
    result = orthogonalise(torch.randn((3, *shape), generator=torch.Generator().manual_seed(1)))
    values = torch.linalg.svdvals(result)
    assert result.shape == (3, *shape)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_a_gradient_of_nothing_moves_nothing() -> None:
    p = torch.nn.Parameter(torch.ones(4, 6))
    p.grad = torch.zeros(4, 6)
    Muon([p], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(p.detach(), torch.ones(4, 6))


def test_takes_matrices_only() -> None:
    with pytest.raises(ValueError, match="matrices"):
        Muon([torch.nn.Parameter(torch.ones(4))], lr=0.1, weight_decay=0.0)
