"""Codebook statistics against distributions whose entropy is known."""

from __future__ import annotations

import math

import pytest
import torch

from vampnet.codec.perplexity import codebook_perplexity, perplexity


def test_known_distributions() -> None:
    even = torch.arange(8).repeat(2, 5)
    one = torch.full((2, 40), 3)
    halves = torch.tensor([0] * 20 + [7] * 20).repeat(2, 1)
    codes_BCT = torch.stack([even, one, halves], dim=1)
    assert codebook_perplexity(codes_BCT, 8).tolist() == pytest.approx([8, 1, 2])
    skewed = torch.tensor([0, 0, 0, 1])
    assert perplexity(skewed, 16) == pytest.approx(math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)))


def test_mask_tokens_do_not_count() -> None:
    codes_BCT = torch.tensor([[[0, 1, 8, 8, 8]]])
    assert codebook_perplexity(codes_BCT, 8).tolist() == pytest.approx([2])
