"""`vampnet generate`: new music, from nothing or in the style of a clip."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "generate",
    input_help="",
    output_help="audio file to write, its ending is the format; - writes to stdout",
    examples=(
        "vampnet generate -o out.wav --seconds 20",
        "vampnet generate -o out.wav --seconds 20 --like clip.wav",
    ),
)


def generate_options(parser: CommandParser) -> None:
    """Flags of `vampnet generate`."""
    add_task_options(parser, COMMAND)


def run_generate(options: CommandOptions) -> None:
    """Make new music."""
    run_task(COMMAND, options)
