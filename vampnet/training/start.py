"""From a recipe file to a finished run: what `vampnet train` does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vampnet.data.waves import open_waves
from vampnet.errors import BundleError
from vampnet.training.codec import CodecTask
from vampnet.training.export import read_run
from vampnet.training.loop import Run, Task
from vampnet.training.recipe import CodecRecipe, MaskedRecipe, read_recipe, recipe_to_dict


def train(
    recipe_path: str | Path,
    folder: str | Path,
    steps: int | None = None,
    device: str = "auto",
    devices: int = 1,
    stop_after_s: float = float("inf"),
    resume: bool = True,
    start_from: str | Path | None = None,
) -> dict[str, float]:
    """Train what a recipe says in `folder` (resuming what is there). Returns the last validation's figures.

    `steps` replaces the recipe's number of steps: with the "stable-decay" schedule the final fall of the learning
    rate moves with it, so a run can be lengthened or ended early.
    """
    recipe = read_recipe(recipe_path)
    if steps is not None:
        recipe = dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, steps=steps))
    task = make_task(recipe)
    if start_from is not None:
        take_over(task, start_from)
    run = Run(task, recipe.loop, Path(folder), recipe_to_dict(recipe), device, devices, resume, stop_after_s)
    return run.train()


def take_over(task: Task, folder: str | Path) -> None:
    """Give a task the averaged weights (and codebook statistics) of a run. Raises BundleError if they do not fit."""
    _, average, state = read_run(folder)
    try:
        task.module.load_state_dict(average)
    except RuntimeError as error:
        raise BundleError(f"{folder}: its network is another one ({str(error).splitlines()[-1].strip()})") from None
    task.load_state_dict(state["task"])


def make_task(recipe: CodecRecipe | MaskedRecipe) -> Task:
    """The task of a recipe, its data opened."""
    if isinstance(recipe, CodecRecipe):
        rate_hz = recipe.codec.sample_rate_hz
        return CodecTask(recipe, open_waves(recipe.train_audio, rate_hz), open_waves(recipe.validation_audio, rate_hz))
    from vampnet.training.masked import masked_task

    return masked_task(recipe)
