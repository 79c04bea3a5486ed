"""The masked token objective, coarse and coarse-to-fine (paper, section 3.2).

Per item one r ~ U(0, 1]; each predicted token is masked with probability gamma(r) = cos(pi r / 2), the schedule that
sampling follows too, unless the recipe has another one; the loss is the cross-entropy of the masked tokens alone.
Conditioning codebooks stay in sight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.errors import CorpusError, SettingsError
from vampnet.models.bundle import load_codec
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.masks import gamma, mask_codes
from vampnet.seeds import step_seed
from vampnet.training.data.token_dataset import DeviceTokens, TokenSet, open_tokens
from vampnet.training.initialization import begin_as_neighbours
from vampnet.training.prompt_masks import draw_prompt_keep
from vampnet.training.recipe import MaskedRecipe
from vampnet.training.share import BatchShare

VALIDATION_RATES = (0.2, 0.5, 0.8)
"""Shares of the predicted tokens that validation masks."""


def draw_keep(
    shape: torch.Size,
    n_conditioning: int,
    generator: torch.Generator,
    prompted_share: float = 0.0,
    beats: Sequence[np.ndarray] = (),
    schedule: str = "cosine",
) -> Tensor:
    """Draw the keep mask of a training batch: keep_BCT of `shape`, False = to be predicted.

    prompted_share: share of the items that also keep a whole prompt, 0 to 1.
    schedule: `MaskedRecipe.mask_schedule`.

    The r of a batch are stratified: each is uniform on (0, 1], together they cover it evenly, which calms the loss
    (the authors take a Sobol sequence for the same end).
    """
    n_items = shape[0]
    order_B = torch.randperm(n_items, generator=generator)
    r_B = 1 - (order_B + torch.rand(n_items, generator=generator)) / n_items
    share_B = gamma(r_B) if schedule == "cosine" else 1 - r_B
    keep_BCT = torch.rand(shape, generator=generator) >= share_B.view(-1, 1, 1)
    keep_BCT[:, :n_conditioning] = True
    return keep_BCT | draw_prompt_keep(shape, prompted_share, generator, beats) if prompted_share else keep_BCT


def draw_fixed_rate_keep(codes_BCT: Tensor, n_conditioning: int, rate: float, generator: torch.Generator) -> Tensor:
    """Draw a keep mask that masks each predicted token with probability `rate`: keep_BCT of the codes' shape."""
    keep_BCT = torch.rand(codes_BCT.shape, generator=generator) >= rate
    keep_BCT[:, :n_conditioning] = True
    return keep_BCT


def masked_loss(
    network: Callable[[Tensor, Tensor], Tensor],
    codes_BCT: Tensor,
    keep_BCT: Tensor,
    n_conditioning: int,
    mask_token: int,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy over masked tokens (nats), the per-token values (N,) and hits (N,).

    They are ordered by codebook, then item, then frame. `network` maps codes (B, C, T) and the choice of tokens
    (B, P, T) to logits (N, V) in that order; the P codebooks are those after the `n_conditioning` first. `keep_BCT` may
    lie on the CPU while all else does not: then an accelerator is never asked how many tokens are masked.
    """
    chosen_BPT = ~keep_BCT[:, n_conditioning:]
    masked_BCT = mask_codes(codes_BCT, keep_BCT.to(codes_BCT.device, non_blocking=True), mask_token)
    logits_NV = network(masked_BCT, chosen_BPT).float()
    target_N = codes_BCT[:, n_conditioning:].transpose(0, 1)[chosen_BPT.transpose(0, 1)]
    nats_N = F.cross_entropy(logits_NV, target_N, reduction="none", label_smoothing=smoothing)
    return nats_N.mean(), nats_N.detach(), logits_NV.detach().argmax(-1) == target_N


def weighted(loss: Tensor, hit_N: Tensor, weight: float) -> dict[str, Tensor]:
    """Loss and accuracy of a share of a batch, so that their means over all shares are those of the batch."""
    if weight != 1.0:
        loss = loss.nan_to_num() * weight  # a share may have no masked token
    return {"loss": loss, "accuracy": hit_N.float().mean().nan_to_num() * weight}


class GradientObjective:
    """Base of objectives whose weights are trained by gradients alone: no other state, nothing to hear."""

    steps_before: int = 0
    """Steps that the weights were trained for which the run began with."""

    def begin_step(self, step: int) -> bool:
        """Nothing to prepare: the weights are never set anew."""
        return False

    def end_step(self, step: int) -> None:
        """Nothing to update."""

    def audio(self, module: nn.Module) -> dict[str, tuple[Tensor, int]]:
        """Name -> (samples (S,), rate in Hz) to listen to in TensorBoard."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State beside the weights, for a checkpoint."""
        return {"steps_before": self.steps_before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.steps_before = state.get("steps_before", self.steps_before)


class MaskedObjective(GradientObjective):
    """Objective of a masked recipe: cross-entropy of masked tokens."""

    module: MaskedTransformer

    def __init__(self, recipe: MaskedRecipe, train: TokenSet, validation: TokenSet, codebooks_CVK: Tensor) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe, self.validation = recipe, validation
        self.train: TokenSet | DeviceTokens = train
        self.module = MaskedTransformer(recipe.model)
        self.module.set_codebooks(codebooks_CVK[: recipe.model.n_codebooks])
        if recipe.initial == "neighbours":
            begin_as_neighbours(self.module)

    def _codes(self, data: TokenSet | DeviceTokens, seed: tuple[int, ...], size: int) -> Tensor:
        codes_BCT = data.batch(seed, size, self.recipe.crop_frames)[:, : self.recipe.model.n_codebooks]
        return codes_BCT.contiguous()

    def compile(self) -> None:
        """Compile the layers, one for all, since they have the same code."""
        for layer in self.module.layers:
            layer.compile(dynamic=False)

    @property
    def work(self) -> dict[str, float]:
        """Tokens, masked or not, and 10**12 floating point operations of a step, forward and back.

        Two per weight and frame forward, for half of the tokens in the classifier, and attention's products; twice
        that back.
        """
        config, n_frames = self.recipe.model, self.recipe.crop_frames
        matrices = 16 * config.dim**2 * config.n_layers + config.n_codebooks * config.codebook_dim * config.dim
        matrices += config.n_predicted * config.vocab_size * config.dim / 2
        per_frame = 2 * matrices + 4 * n_frames * config.dim * config.n_layers
        frames = self.recipe.loop.batch_size * n_frames
        return {"tokens": frames * config.n_predicted, "tflop": 3e-12 * per_frame * frames}

    def loss(self, module: nn.Module, step: int, share: BatchShare) -> dict[str, Tensor]:
        """Scalars of one batch; "loss" is minimised, the others are logged."""
        config, loop = self.recipe.model, self.recipe.loop
        device = next(module.parameters()).device
        if device.type == "cuda" and isinstance(self.train, TokenSet):
            self.train = self.train.on(device)
        seed, prompted, data = (loop.seed, step, 0), self.recipe.prompted_share, self.train
        codes_BCT = self._codes(data, seed, loop.batch_size)
        beats = data.batch_beats(seed, loop.batch_size, self.recipe.crop_frames) if prompted else ()
        generator = torch.Generator().manual_seed(step_seed(loop.seed, step, 0, "masks"))
        schedule = self.recipe.mask_schedule
        keep_BCT = draw_keep(codes_BCT.shape, config.n_conditioning_codebooks, generator, prompted, beats, schedule)
        loss, _, hit_N = masked_loss(
            module,
            share.of(codes_BCT).to(device),
            share.of(keep_BCT),
            config.n_conditioning_codebooks,
            config.mask_token,
            self.recipe.label_smoothing,
        )
        return weighted(loss, hit_N, share.weight(keep_BCT))

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Cross-entropy (nats) and top-1 accuracy per codebook at fixed mask rates, and their mean."""
        assert isinstance(module, MaskedTransformer)
        return masked_figures(module, self.validation, self.recipe.crop_frames)


@torch.no_grad()
def masked_figures(
    model: MaskedTransformer, data: TokenSet, crop_frames: int, n_batches: int = 6, batch_size: int = 8
) -> dict[str, float]:
    """Held-out figures: `nats_r0.5` and `top1_r0.5` over all predicted codebooks, `nats_r0.5_c2` of one, ..."""
    config, device = model.config, next(model.parameters()).device
    first, figures = config.n_conditioning_codebooks, {}
    for rate in VALIDATION_RATES:
        nats: dict[int, list[Tensor]] = {c: [] for c in range(first, config.n_codebooks)}
        hits: dict[int, list[Tensor]] = {c: [] for c in range(first, config.n_codebooks)}
        for k in range(n_batches):
            codes_BCT = data.batch((11, k), batch_size, crop_frames)[:, : config.n_codebooks].contiguous()
            keep_BCT = draw_fixed_rate_keep(codes_BCT, first, rate, torch.Generator().manual_seed(k))
            _, nats_N, hit_N = masked_loss(model, codes_BCT.to(device), keep_BCT.to(device), first, config.mask_token)
            codebook_N = (~keep_BCT[:, first:]).transpose(0, 1).nonzero()[:, 0] + first
            for c in nats:
                nats[c].append(nats_N[(codebook_N == c).to(device)])
                hits[c].append(hit_N[(codebook_N == c).to(device)])
        for c in nats:
            figures[f"nats_r{rate}_c{c}"] = float(torch.cat(nats[c]).mean())
            figures[f"top1_r{rate}_c{c}"] = float(torch.cat(hits[c]).float().mean())
        for name in ("nats", "top1"):
            per_codebook = [figures[f"{name}_r{rate}_c{c}"] for c in nats]
            figures[f"{name}_r{rate}"] = sum(per_codebook) / len(per_codebook)
    figures["nats"] = sum(figures[f"nats_r{rate}"] for rate in VALIDATION_RATES) / len(VALIDATION_RATES)
    return figures


def masked_task(recipe: MaskedRecipe) -> MaskedObjective:
    """Open the data of a recipe and check that codec, shards and model belong together."""
    codec = load_codec(recipe.bundle)
    sets = [open_tokens(recipe.train_tokens), open_tokens(recipe.validation_tokens)]
    for folder, data in zip((recipe.train_tokens, recipe.validation_tokens), sets, strict=True):
        if data.codec_id != codec.id:
            raise CorpusError(f"{folder}: tokens of codec {data.codec_id}, but {recipe.bundle} holds codec {codec.id}")
    if recipe.model.n_codebooks > codec.n_codebooks:
        raise SettingsError(f"model.n_codebooks is {recipe.model.n_codebooks}, the codec has {codec.n_codebooks}")
    return MaskedObjective(recipe, sets[0], sets[1], codec.codebooks())
