"""`vampnet inpaint`: regions replaced by generated music, all else bit for bit."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "inpaint",
    examples=("vampnet inpaint song.wav -o out.wav --region 3:5.5 --region 12:",),
)


def inpaint_options(parser: CommandParser) -> None:
    """Flags of `vampnet inpaint`."""
    add_task_options(parser, COMMAND)


def run_inpaint(options: CommandOptions) -> None:
    """Fill regions of recordings."""
    run_task(COMMAND, options)
