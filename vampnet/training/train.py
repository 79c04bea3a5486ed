"""From a recipe file to a finished run: what `vampnet train` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vampnet.codec.magnitude import MagnitudeCodec
from vampnet.errors import BundleError, SettingsError
from vampnet.models.bundle import load_codec
from vampnet.models.config import ModelConfig
from vampnet.models.transformer import relative_position_bucket
from vampnet.training.codec_objective import CodecObjective
from vampnet.training.conditioning_objective import ConditioningObjective, conditioning_task
from vampnet.training.data.wave_dataset import open_waves
from vampnet.training.export import codec_of_run, model_of
from vampnet.training.masked_objective import MaskedObjective, masked_task
from vampnet.training.recipe import CodecRecipe, ConditioningRecipe, Recipe, read_recipe, recipe_to_dict
from vampnet.training.trainer import Trainer


def train(
    recipe_path: str | Path,
    folder: str | Path,
    steps: int | None = None,
    device: str = "auto",
    devices: int = 1,
    stop_after_s: float = float("inf"),
    resume: bool = True,
    start_from: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Train what a recipe says in `folder` (resuming what is there). Returns the last validation's figures.

    `steps` replaces the recipe's number of steps: with the "stable-decay" schedule the final fall of the learning
    rate moves with it, so a run can be lengthened or ended early. `changes`: single settings of the recipe, such as
    "loop.batch_size" -> 4 or "train_tokens" -> a folder.
    """
    recipe = read_recipe(recipe_path, changes)
    if steps is not None:
        recipe = dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, steps=steps))
    task = make_objective(recipe)
    if start_from is not None:
        take_over(task, start_from)
    run = Trainer(task, recipe.loop, Path(folder), recipe_to_dict(recipe), device, devices, resume, stop_after_s)
    return run.train()


def take_over(task: CodecObjective | MaskedObjective | ConditioningObjective, source: str | Path) -> None:
    """Give a task the weights of a run (the averaged ones) or of a bundle.

    A masked model may tell more distances apart than the weights do (`n_buckets`, `max_distance`); all else has to
    agree. Raises BundleError or SettingsError if it does not fit.
    """
    if isinstance(task, ConditioningObjective):
        raise SettingsError("--start-from does not go with conditioning, which always begins at the recipe's `bundle`")
    if isinstance(task, CodecObjective):
        is_run = (Path(source) / "last.ckpt").exists()
        codec = codec_of_run(source)[0] if is_run else load_codec(source)
        if not isinstance(codec, MagnitudeCodec):
            raise SettingsError(f"{source}: only the magnitude codec can be trained here")
        task.adopt(codec)
        return
    part = "c2f" if task.recipe.model.n_conditioning_codebooks else "coarse"
    model, steps = model_of(source, part)
    if not torch.equal(model.codebooks_CVK, task.module.codebooks_CVK):
        raise BundleError(f"{source}: its {part} model reads tokens of another codec")
    weights, wanted = model.state_dict(), task.recipe.model
    if wanted.n_buckets > model.config.n_buckets:
        table_NH = weights["position_bias.table_NH"]
        weights["position_bias.table_NH"] = resample_position_bias(table_NH, model.config, wanted)
    try:
        task.module.load_state_dict(weights)
    except RuntimeError as error:
        raise BundleError(f"{source}: its network is another one ({str(error).splitlines()[-1].strip()})") from None
    task.steps_before = steps or 0


def resample_position_bias(table_NH: Tensor, old: ModelConfig, new: ModelConfig) -> Tensor:
    """A relative position bias in the buckets of other settings: each holds the mean over the distances that it serves.

    Where the new buckets are finer than the old ones nothing changes for the network.
    """
    reach = 2 * max(old.max_distance, new.max_distance)
    distance = torch.arange(-reach, reach + 1)
    before = relative_position_bucket(distance, old.n_buckets, old.max_distance)
    after = relative_position_bucket(distance, new.n_buckets, new.max_distance)
    total_NH = table_NH.new_zeros(new.n_buckets, table_NH.shape[1]).index_add_(0, after, table_NH[before])
    return total_NH / after.bincount(minlength=new.n_buckets).clamp_min(1)[:, None]


def make_objective(recipe: Recipe) -> CodecObjective | MaskedObjective | ConditioningObjective:
    """The task of a recipe, its data opened."""
    if isinstance(recipe, CodecRecipe):
        rate_hz = recipe.codec.sample_rate_hz
        return CodecObjective(
            recipe, open_waves(recipe.train_audio, rate_hz), open_waves(recipe.validation_audio, rate_hz)
        )
    return conditioning_task(recipe) if isinstance(recipe, ConditioningRecipe) else masked_task(recipe)
