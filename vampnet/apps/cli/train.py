"""`vampnet train`: a codec or a masked model from a recipe."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
from typing import Any

from vampnet.apps.cli.parser import CommandOptions, CommandParser

_PATHS = {
    "train_tokens": "folder of token shards to train a masked model on",
    "validation_tokens": "folder of token shards to validate it on",
    "bundle": "bundle or codec whose tokens those are",
    "train_audio": "folder of audio to train a codec on",
    "validation_audio": "folder of audio to validate it on",
}


def add_changes(parser: CommandParser, *prefixes: str) -> None:
    """Flags of single settings of a recipe, such as --loop.steps; with prefixes also those of its sections."""
    said = ", ".join(f"--{prefix}loop.steps N" for prefix in ("", *prefixes))
    group = parser.add_argument_group(
        "Recipe", f"--loop.NAME, --model.NAME and --NAME change one setting of the recipe ({said}, ...)"
    )
    names = [f"loop.{name}" for name in _fields("TrainerConfig")] + [f"model.{name}" for name in _fields("ModelConfig")]
    names += [name for name in _fields("MaskedRecipe") if name not in ("loop", "model", *_PATHS)]
    if prefixes:
        names.append("crop_s")
    for name in (f"{prefix}{name}" for prefix in ("", *prefixes) for name in names):
        group.add_argument(f"--{name}", dest=f"change {name}", type=str, default=None, help=argparse.SUPPRESS)


def _fields(kind: str) -> list[str]:
    from vampnet.models.config import ModelConfig
    from vampnet.training.recipe import MaskedRecipe, TrainerConfig

    kinds: dict[str, Any] = {"TrainerConfig": TrainerConfig, "ModelConfig": ModelConfig, "MaskedRecipe": MaskedRecipe}
    return [field.name for field in dataclasses.fields(kinds[kind])]


def changes_from(options: CommandOptions) -> dict[str, Any]:
    """The settings of a recipe that flags change: "loop.steps" -> 2000. Raises SettingsError."""
    from vampnet.training.recipe import parse_changes

    words = {key[len("change ") :]: value for key, value in vars(options).items() if key.startswith("change ")}
    return parse_changes({name: value for name, value in words.items() if value is not None})


def train_options(parser: CommandParser) -> None:
    """Flags of `vampnet train`."""
    parser.add_argument("recipe", type=str, help="recipe: a YAML file, or the name of a shipped one")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder of the run; what is there is resumed")
    parser.add_argument("--steps", type=int, default=None, help="steps in all, instead of the recipe's")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop cleanly after so many minutes")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--devices", type=int, default=1, help="devices to train on together (torchrun brings its own)")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    parser.add_argument("--start-from", type=str, default=None, help="finished run whose weights a new run begins with")
    parser.add_argument("--fresh", action="store_true", help="start anew instead of resuming")
    for name, what in _PATHS.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=str, default=None, help=f"{what}, instead of the recipe's")
    add_changes(parser)


def run_train(options: CommandOptions) -> None:
    """`vampnet train`: run a recipe."""
    import torch

    from vampnet.training.recipe import find_recipe
    from vampnet.training.train import train

    if options.threads:
        torch.set_num_threads(options.threads)
    figures = train(
        find_recipe(options.recipe),
        options.output,
        steps=options.steps,
        device=options.device,
        devices=options.devices,
        stop_after_s=60 * options.minutes,
        resume=not options.fresh,
        start_from=options.start_from,
        changes={**changes_from(options), **{name: options[name] for name in _PATHS if options[name] is not None}},
    )
    if os.environ.get("RANK", "0") != "0":  # one of several that torchrun started: the first one tells
        return
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")
