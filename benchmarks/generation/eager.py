"""The authors' way of computing, re-implemented in plain eager float32 to measure against: network and sampling loop.

Written from the paper and from what their published code does, not copied: explicit attention by einsum, the position
bias built at every pass, logits of all tokens whether masked or not, a multinomial draw for every token in every step,
and the order of unmasking by a full sort. Weights are those of a `MaskedTransformer`, so both can be compared.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vampnet.models.transformer import Attention, FeedForward, MaskedTransformer, RMSNorm, TransformerLayer


class EagerNetwork:
    """Float32 logits of all tokens, layer by layer."""

    def __init__(self, model: MaskedTransformer) -> None:
        self.model, self.config = model, model.config

    @torch.no_grad()
    def __call__(self, codes_BCT: Tensor) -> Tensor:
        """Codes (B, C, T) with mask tokens -> logits (B, P * T, V)."""
        model = self.model
        x_BTD = model.embed(codes_BCT)
        bias_HTT = model.position_bias(x_BTD.shape[1])
        for layer in model.layers:
            assert isinstance(layer, TransformerLayer)
            assert isinstance(layer.attention, Attention) and isinstance(layer.feed_forward, FeedForward)
            x_BTD = x_BTD + attend(layer.attention, norm(layer.attention_norm, x_BTD), bias_HTT)
            x_BTD = x_BTD + feed_forward(layer.feed_forward, norm(layer.feed_forward_norm, x_BTD))
        logits_BTX = model.classifier(norm(model.norm, x_BTD))
        return logits_BTX.unflatten(-1, (self.config.n_predicted, -1)).transpose(1, 2).flatten(1, 2)


def norm(own: RMSNorm, x_BTD: Tensor) -> Tensor:
    assert own.eps is not None
    return own.weight * (x_BTD * torch.rsqrt(x_BTD.pow(2).mean(-1, keepdim=True) + own.eps))


def attend(own: Attention, x_BTD: Tensor, bias_HTT: Tensor) -> Tensor:
    query, key, value = (part(x_BTD).unflatten(-1, (own.n_heads, -1)) for part in (own.query, own.key, own.value))
    scores_BHTT = torch.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1]) + bias_HTT
    return own.out(torch.einsum("bhqk,bkhd->bqhd", scores_BHTT.softmax(-1), value).flatten(2))


def feed_forward(own: FeedForward, x_BTD: Tensor) -> Tensor:
    value, gate = own.up(x_BTD).chunk(2, dim=-1)
    cubed = 0.044715 * torch.pow(gate, 3.0)
    return own.down(value * 0.5 * gate * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (gate + cubed))))


@torch.no_grad()
def fill_eagerly(
    network: EagerNetwork, codes_BCT: Tensor, keep_BCT: Tensor, steps: int, mask_temperature: float = 10.5
) -> Tensor:
    """Fill what is not kept, as their loop does; returns codes (B, C, T)."""
    config, n_given = network.config, network.config.n_conditioning_codebooks
    codes_BCT = codes_BCT.masked_fill(~keep_BCT, config.mask_token)
    start_BN = codes_BCT[:, n_given:].flatten(1)
    n_masked = int((start_BN[0] == config.mask_token).sum())
    for step in range(steps):
        codes_BN = codes_BCT[:, n_given:].flatten(1)
        is_masked_BN = codes_BN == config.mask_token
        p_BNV = network(codes_BCT).softmax(-1)
        drawn_BN = torch.multinomial(p_BNV.flatten(0, 1), 1).view_as(codes_BN)
        drawn_BN = torch.where(is_masked_BN, drawn_BN, codes_BN)
        score_BN = p_BNV.gather(-1, drawn_BN.unsqueeze(-1)).squeeze(-1).log().masked_fill(~is_masked_BN, math.inf)
        noise_BN = -torch.log(-torch.log(torch.rand_like(score_BN).clamp(1e-20, 1 - 1e-7)))
        share = (step + 1) / steps
        score_BN = score_BN + mask_temperature * (1 - share) * noise_BN
        n_left = math.floor(n_masked * math.cos(share * math.pi / 2)) if step + 1 < steps else 0
        if n_left:
            limit_B1 = score_BN.sort(dim=-1).values[:, n_left - 1 : n_left]
            drawn_BN = drawn_BN.masked_fill(is_masked_BN & (score_BN <= limit_B1), config.mask_token)
        codes_BCT = torch.cat([codes_BCT[:, :n_given], drawn_BN.view(-1, config.n_predicted, codes_BCT.shape[2])], 1)
    return codes_BCT
