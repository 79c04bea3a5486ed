"""The objective that trains conditioning: the masked token objective, with the network itself left as it is.

Only what the controls add is learned (`vampnet.models.conditioning`), so the network without controls stays what it
was, to the byte. Items keep prompts as in the masked objective, and hear some of their controls, drawn anew each time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from vampnet.controls.config import GROUPS
from vampnet.errors import BundleError, CorpusError
from vampnet.models.bundle import load_bundle
from vampnet.models.conditioning import Conditioning, stream_sizes
from vampnet.models.config import ConditioningConfig
from vampnet.models.transformer import MaskedTransformer
from vampnet.seeds import step_seed
from vampnet.training.control_dropout import drop_controls
from vampnet.training.data.token_dataset import TokenSet, open_tokens
from vampnet.training.masked_objective import GradientObjective, draw_keep, masked_loss, weighted
from vampnet.training.recipe import ConditioningRecipe
from vampnet.training.share import BatchShare

VALIDATED = {"beats": ("beats",), "chords": ("chords",), "rhythm": ("rhythm",), "all": tuple(GROUPS)}
"""Groups that validation lets the network hear, by name; "nothing" comes beside them."""
VALIDATION_PERIOD = 13
"""Validation keeps every so many-th frame, and nothing."""


class ConditionedTransformer(nn.Module):
    """A network, which is not trained, and its conditioning, which is."""

    def __init__(self, network: MaskedTransformer, conditioning: Conditioning) -> None:
        super().__init__()
        self.network, self.conditioning = network.requires_grad_(False), conditioning

    def forward(self, codes_BCT: Tensor, chosen_BPT: Tensor, features_BTI: Tensor | None) -> Tensor:
        """Logits (N, V) of the chosen tokens, as the network's own."""
        added_NBTD = None if features_BTI is None else self.conditioning(features_BTI)
        return self.network(codes_BCT, chosen_BPT, added_NBTD)

    def train(self, mode: bool = True) -> ConditionedTransformer:
        """Training mode of the conditioning alone: the network has no dropout here."""
        super().train(mode)
        self.network.eval()
        return self


class ConditioningObjective(GradientObjective):
    """Cross-entropy of masked tokens under controls, of which the conditioning alone learns."""

    module: ConditionedTransformer

    def __init__(
        self, recipe: ConditioningRecipe, network: MaskedTransformer, sets: list[TokenSet], validation: TokenSet
    ) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.sets, self.validation = recipe, sets, validation
        config = ConditioningConfig(
            network.config.dim, network.config.n_layers, recipe.width, recipe.kernel, recipe.styles, recipe.instruments
        )
        self.module = ConditionedTransformer(network, Conditioning(config))
        codes_BCT = validation.batch((11, 0), 2, recipe.crop_frames)[:, : network.config.n_codebooks].contiguous()
        codes_BCT[:, :, 1::2] = network.config.mask_token
        self.module.conditioning.scale_N.copy_(stream_sizes(network.eval(), codes_BCT))

    def compile(self) -> None:
        """Compile the layers, one for all, since they have the same code."""
        for layer in self.module.network.layers:
            layer.compile(dynamic=False)

    @property
    def work(self) -> dict[str, float]:
        """Tokens of a step, masked or not."""
        return {
            "tokens": self.recipe.loop.batch_size * self.recipe.crop_frames * self.module.network.config.n_codebooks
        }

    def loss(self, module: nn.Module, step: int, share: BatchShare) -> dict[str, Tensor]:
        """Scalars of one batch; "loss" is minimised, the others are logged."""
        loop, recipe, config = self.recipe.loop, self.recipe, self.module.network.config
        device = next(module.parameters()).device
        generator = torch.Generator().manual_seed(step_seed(loop.seed, step, 0, "masks"))
        codes, beats, controls = [], [], []
        n_other = int(torch.binomial(torch.tensor(float(loop.batch_size)), torch.tensor(recipe.more_share), generator))
        n_other = n_other if len(self.sets) > 1 else 0
        for data, size in zip(self.sets, (loop.batch_size - n_other, n_other), strict=False):
            if size:
                place = (loop.seed, step, 0), size, recipe.crop_frames
                codes.append(data.batch(*place)[:, : config.n_codebooks])
                beats += data.batch_beats(*place)
                controls += data.batch_controls(*place)
        codes_BCT = torch.cat(codes).contiguous()
        features_BTI = self.module.conditioning.features(controls)
        features_BTI = drop_controls(features_BTI, self.module.conditioning.config, generator)
        keep_BCT = draw_keep(codes_BCT.shape, 0, generator, recipe.prompted_share, beats, recipe.mask_schedule)
        loss, _, hit_N = masked_loss(
            lambda masked_BCT, chosen_BPT: module(masked_BCT, chosen_BPT, share.of(features_BTI).to(device)),
            share.of(codes_BCT).to(device), share.of(keep_BCT), 0, config.mask_token,
        )  # fmt: skip
        return weighted(loss, hit_N, share.weight(keep_BCT))

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Cross-entropy (nats) of held-out crops with and without controls, every 13th frame and nothing kept."""
        assert isinstance(module, ConditionedTransformer)
        return conditioned_figures(module, self.validation, self.recipe.crop_frames)


@torch.no_grad()
def conditioned_figures(
    model: ConditionedTransformer, data: TokenSet, crop_frames: int, n_batches: int = 3, batch_size: int = 8
) -> dict[str, float]:
    """Nats by what is kept and heard: `nats_p13_nothing`, `nats_p13_beats`, `nats_none_all`, ..., and `nats`."""
    config, device = model.network.config, next(model.parameters()).device
    found: dict[str, list[float]] = {}
    for k in range(n_batches):
        place = (11, k), batch_size, crop_frames
        codes_BCT = data.batch(*place)[:, : config.n_codebooks].contiguous()
        features_BTI = model.conditioning.features(data.batch_controls(*place))
        keep_BCT = torch.zeros(codes_BCT.shape, dtype=torch.bool)
        keep_BCT[:, :, ::VALIDATION_PERIOD] = True
        for kept, keep in (("p13", keep_BCT), ("none", torch.zeros_like(keep_BCT))):
            for name, groups in {
                "nothing": None,
                **(VALIDATED if kept == "p13" else {"all": VALIDATED["all"]}),
            }.items():
                heard_BTI = None
                if groups is not None:
                    heard_BTI = model.conditioning.without(features_BTI, [g for g in GROUPS if g not in groups])
                nats_N = _nats(model, codes_BCT.to(device), keep.to(device), heard_BTI)
                found.setdefault(f"nats_{kept}_{name}", []).append(float(nats_N.mean()))
    figures = {name: float(np.mean(values)) for name, values in found.items()}
    return {**figures, "nats": figures["nats_p13_all"]}


def _nats(model: ConditionedTransformer, codes_BCT: Tensor, keep_BCT: Tensor, features_BTI: Tensor | None) -> Tensor:
    """Cross-entropy of each masked token (N,)."""
    return masked_loss(
        lambda masked_BCT, chosen_BPT: model(masked_BCT, chosen_BPT, features_BTI),  # type: ignore[arg-type]
        codes_BCT, keep_BCT, 0, model.network.config.mask_token,
    )[1]  # fmt: skip


def conditioning_task(recipe: ConditioningRecipe) -> ConditioningObjective:
    """Open the data of a recipe and check that bundle and shards belong together and that these have controls."""
    bundle = load_bundle(recipe.bundle)
    if bundle.coarse is None:
        raise BundleError(f"{recipe.bundle}: has no coarse model; conditioning is trained on top of one")
    folders = [folder for folder in (recipe.train_tokens, recipe.more_tokens, recipe.validation_tokens) if folder]
    sets = [open_tokens(folder) for folder in folders]
    for folder, data in zip(folders, sets, strict=True):
        if data.codec_id != bundle.codec.id:
            raise CorpusError(
                f"{folder}: tokens of codec {data.codec_id}, but {recipe.bundle} holds codec {bundle.codec.id}"
            )
        if any(rows is None for rows in data.controls):
            raise CorpusError(f"{folder}: has shards without controls; make them anew with --controls")
    return ConditioningObjective(recipe, bundle.coarse, sets[:-1], sets[-1])
