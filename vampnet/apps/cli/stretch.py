"""`vampnet stretch`: a longer recording, new music between the old."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "stretch",
    examples=("vampnet stretch song.wav -o out.wav --factor 1.5",),
)


def stretch_options(parser: CommandParser) -> None:
    """Flags of `vampnet stretch`."""
    add_task_options(parser, COMMAND)


def run_stretch(options: CommandOptions) -> None:
    """Make recordings longer."""
    run_task(COMMAND, options)
