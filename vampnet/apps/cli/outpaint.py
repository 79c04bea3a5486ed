"""`vampnet outpaint`: new music before and after a recording."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "outpaint",
    examples=("vampnet outpaint song.wav -o out.wav --before 4 --after 8",),
)


def outpaint_options(parser: CommandParser) -> None:
    """Flags of `vampnet outpaint`."""
    add_task_options(parser, COMMAND)


def run_outpaint(options: CommandOptions) -> None:
    """Add music before and after recordings."""
    run_task(COMMAND, options)
