"""Flags `--engine` and `--workers`, shared by the commands that many processes can do."""

from __future__ import annotations

import argparse
import sys

from vampnet.apps.cli.parser import CommandOptions
from vampnet.jobs.task_engine import TaskEngine, choose_engine


def add_engine_flags(group: argparse._ActionsContainer) -> None:
    """Add `--engine` and `--workers` to a parser or a group of flags."""
    group.add_argument(
        "--engine",
        default="here",
        metavar="ENGINE",
        help="here: this process; pool: processes of this machine; ray, ray://HOST:10001, ray:HOST:6379: Ray; ranks: "
        "those of torchrun",
    )
    group.add_argument(
        "--workers", type=int, default=None, metavar="N", help="processes of the engine; one per core when not given"
    )


def engine_of(options: CommandOptions) -> TaskEngine | None:
    """The engine that the flags name; None for this process. Raises SettingsError.

    Under torchrun the ranks after the first work here until the first has finished, and end.
    """
    return open_engine(options.engine, options.workers)


def open_engine(name: str, workers: int | None) -> TaskEngine | None:
    """As `engine_of`, by name and number of workers."""
    if name != "ranks":
        return choose_engine(name, workers)
    from vampnet.jobs.ranks import join_ranks

    engine = join_ranks()
    if engine is None:
        sys.exit(0)
    return engine
