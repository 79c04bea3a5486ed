"""Flags `--engine` and `--workers`, shared by the commands that many processes can do."""

from __future__ import annotations

import argparse

from vampnet.apps.cli.parser import CommandOptions
from vampnet.jobs.task_engine import TaskEngine, choose_engine


def add_engine_flags(group: argparse._ActionsContainer) -> None:
    """Add `--engine` and `--workers` to a parser or a group of flags."""
    group.add_argument(
        "--engine",
        default="here",
        metavar="ENGINE",
        help="here: this process; pool: processes of this machine; ray, ray://HOST:10001, ray:HOST:6379: Ray",
    )
    group.add_argument(
        "--workers", type=int, default=None, metavar="N", help="processes of the engine; one per core when not given"
    )


def engine_of(options: CommandOptions) -> TaskEngine | None:
    """The engine that the flags name; None for this process. Raises SettingsError."""
    return choose_engine(options.engine, options.workers)
