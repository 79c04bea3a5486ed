"""`vampnet hum`: a hummed line becomes a lead instrument."""

from __future__ import annotations

from vampnet.apps.cli.generate import describe_sketch
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "hum",
    describe=describe_sketch,
    examples=(
        "vampnet hum hummed.wav -o lead.wav --instrument flute",
        'vampnet hum hummed.wav -o lead.wav --key "D minor" --transpose 12',
    ),
)


def hum_options(parser: CommandParser) -> None:
    """Flags of `vampnet hum`."""
    add_task_options(parser, COMMAND)


def run_hum(options: CommandOptions) -> None:
    """Turn hummed lines into leads."""
    run_task(COMMAND, options)
