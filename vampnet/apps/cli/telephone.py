"""`vampnet telephone`: repeated variation, each output the next input."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "telephone",
    examples=("vampnet telephone song.wav -o out.wav --rounds 4",),
)


def telephone_options(parser: CommandParser) -> None:
    """Flags of `vampnet telephone`."""
    add_task_options(parser, COMMAND)


def run_telephone(options: CommandOptions) -> None:
    """Vamp recordings many times over."""
    run_task(COMMAND, options)
