"""`vampnet train`: a codec or a masked model from a recipe."""

from __future__ import annotations

import math

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def train_options(parser: CommandParser) -> None:
    """Flags of `vampnet train`."""
    parser.add_argument("recipe", type=str, help="recipe: a YAML file, or the name of a shipped one")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder of the run; what is there is resumed")
    parser.add_argument("--steps", type=int, default=None, help="steps in all, instead of the recipe's")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop cleanly after so many minutes")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--devices", type=int, default=1, help="devices to train on together")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    parser.add_argument("--start-from", type=str, default=None, help="finished run whose weights a new run begins with")
    parser.add_argument("--fresh", action="store_true", help="start anew instead of resuming")


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
    )
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")
