"""Conditioning: how the coarse network hears controls.

Features of the controls (`control_features.py`) go through a convolution over neighbouring frames; one projection for
each layer adds the result to what that layer reads, and one more to what the last norm reads. No part has a bias and
the projections begin at zero: a frame that nothing is said about adds exactly nothing, so without controls the network
gives what it always gave.

Classifier-free guidance (Ho and Salimans 2022) runs the network once more without the controls of some groups, and
goes further in the direction in which these change the logits.

Axis letters: A pass, B batch, T frame, I feature, O hidden feature, D width, N place of adding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.controls.config import GROUPS, parse_guidance
from vampnet.controls.signals import Controls
from vampnet.models.config import ConditioningConfig, ModelConfig
from vampnet.models.control_features import columns, control_features, n_features
from vampnet.models.transformer import MaskedTransformer

LISTEN_GAIN = 3.0
"""Initial weights of the convolution, over PyTorch's: with those its gates would be all but linear."""


class Conditioning(nn.Module):
    """Features (B, T, I) -> what is added before each layer and before the last norm, (N, B, T, D)."""

    scale_N: Tensor
    """Size of what the network itself carries at each place, so that what is learned is of like size everywhere."""

    def __init__(self, config: ConditioningConfig) -> None:
        super().__init__()
        self.config = config
        self.listen = nn.Conv1d(n_features(config), config.width, config.kernel, padding=config.kernel // 2, bias=False)
        self.mix = nn.Linear(config.width, config.width, bias=False)
        self.add_NDO = nn.Parameter(torch.zeros(config.n_layers + 1, config.dim, config.width))
        self.register_buffer("scale_N", torch.ones(config.n_layers + 1))
        if not self.scale_N.is_meta:  # weights from a file follow
            with torch.no_grad():
                self.listen.weight *= LISTEN_GAIN

    def forward(self, features_BTI: Tensor) -> Tensor:
        """Sum to add, (N, B, T, D); exactly 0 where no frame nearby has a control."""
        heard_BTO = F.gelu(self.listen(features_BTI.transpose(1, 2)).transpose(1, 2))
        heard_BTO = heard_BTO + F.gelu(self.mix(heard_BTO))
        return torch.einsum("bto,ndo->nbtd", heard_BTO, self.add_NDO * self.scale_N[:, None, None])

    def features(self, controls: Sequence[Controls]) -> Tensor:
        """Features (B, T, I) of the controls of each item, all of one length, where the weights are."""
        rows = [torch.from_numpy(control_features(own, self.config)) for own in controls]
        return torch.stack(rows).to(self.add_NDO.device)

    def without(self, features_BTI: Tensor, groups: Sequence[str]) -> Tensor:
        """The same features with all controls of some groups left out."""
        places = columns(self.config)
        kept = features_BTI.clone()
        for group in groups:
            for name in GROUPS[group]:
                kept[..., places[name]] = 0.0
        return kept


@torch.no_grad()
def stream_sizes(network: MaskedTransformer, codes_BCT: Tensor) -> Tensor:
    """Root mean square of what each layer and, last, the final norm reads, (N,)."""
    x_BTD = network.embed(codes_BCT)
    bias_HTT, sizes = network.position_bias(x_BTD.shape[1]), [x_BTD.square().mean().sqrt()]
    for layer in network.layers:
        x_BTD = layer(x_BTD, bias_HTT)
        sizes.append(x_BTD.square().mean().sqrt())
    return torch.stack(sizes)


@dataclass(frozen=True)
class Guidance:
    """Weights of control groups: 1 leaves the network as it is, more follows the controls harder, 0 ignores them."""

    weights: tuple[tuple[str, float], ...] = ()
    """Group and weight; groups that are not named have 1."""

    @classmethod
    def parse(cls, text: str) -> Guidance:
        """Guidance from text: "2" for all groups, "chords=2,beats=1.5" for some; empty is 1 for all.

        Raises SettingsError naming the groups and the range.
        """
        return cls(parse_guidance(text))

    @property
    def terms(self) -> tuple[tuple[float, tuple[str, ...]], ...]:
        """Weight and groups of each extra pass: groups of one weight share it, and weight 1 needs none."""
        values = sorted({weight for _, weight in self.weights if weight != 1.0})
        return tuple((value, tuple(group for group, weight in self.weights if weight == value)) for value in values)


@dataclass(frozen=True, eq=False)
class HeardControls:
    """Controls that a network is to follow, and how hard."""

    controls: Controls
    guidance: Guidance = Guidance()

    def slice(self, start: int, stop: int) -> HeardControls:
        """The same for frames `start` to `stop` - 1."""
        return HeardControls(self.controls.slice(start, stop), self.guidance)

    def roll(self, n_frames: int) -> HeardControls:
        """The same round a circle, `n_frames` frames later."""
        return HeardControls(self.controls.roll(n_frames), self.guidance)


class ControlledNetwork:
    """A network that hears the controls of one batch of windows; a `sampling.TokenNetwork` for all of its items.

    The logits are those with controls, plus for each term of the guidance (weight - 1) times what its groups change.
    """

    training = False

    def __init__(self, network: MaskedTransformer, added_ANBTD: Sequence[Tensor], weights_A: Sequence[float]) -> None:
        """`added_ANBTD`: what is added with all controls, then without the groups of each term; `weights_A`: theirs."""
        self.config: ModelConfig = network.config
        self._network, self._added_ANBTD, self._weights_A = network, added_ANBTD, weights_A

    def take(self, items: Sequence[int]) -> ControlledNetwork:
        """The same for some items of the batch."""
        chosen = [added_NBTD[:, list(items)] for added_NBTD in self._added_ANBTD]
        return ControlledNetwork(self._network, chosen, self._weights_A)

    def __call__(self, codes_BCT: Tensor, chosen_BPT: Tensor) -> Tensor:
        """As `MaskedTransformer.forward`; the passes of the guidance are one batch."""
        n_passes = len(self._added_ANBTD)
        if n_passes == 1:
            return self._network(codes_BCT, chosen_BPT, self._added_ANBTD[0])
        added_NBTD = torch.cat(list(self._added_ANBTD), dim=1)
        logits_NV = self._network(codes_BCT.repeat(n_passes, 1, 1), chosen_BPT.repeat(n_passes, 1, 1), added_NBTD)
        # By codebook, then pass, then item: each codebook's passes lie next to each other.
        counts_P = chosen_BPT.sum(dim=(0, 2)).tolist()
        mixed = []
        for part_NV in logits_NV.split([n_passes * count for count in counts_P]):
            passes_ANV = part_NV.unflatten(0, (n_passes, -1)) if len(part_NV) else part_NV[None].float()
            mixed.append(torch.einsum("a,anv->nv", passes_ANV.new_tensor(self._weights_A).float(), passes_ANV.float()))
        return torch.cat(mixed)


@torch.no_grad()
def hear(
    network: MaskedTransformer, conditioning: Conditioning, controls: Sequence[Controls], guidance: Guidance
) -> ControlledNetwork:
    """The network that hears the controls of each item of a batch, with guidance."""
    features_BTI, terms = conditioning.features(controls), guidance.terms
    features_BTI = conditioning.without(features_BTI, [g for g in GROUPS if g not in conditioning.config.groups])
    added_ANBTD = [conditioning(features_BTI)]
    added_ANBTD += [conditioning(conditioning.without(features_BTI, groups)) for _, groups in terms]
    excess_A = [weight - 1.0 for weight, _ in terms]
    return ControlledNetwork(network, added_ANBTD, [1.0 + sum(excess_A), *(-excess for excess in excess_A)])
