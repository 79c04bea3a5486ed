"""`vampnet decompress`: audio from a .vamp file."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "decompress",
    input_help="compressed files (.vamp) or quoted patterns; - reads standard input",
    has_plot=False,
    examples=("vampnet decompress song.vamp -o song.wav",),
)


def decompress_options(parser: CommandParser) -> None:
    """Flags of `vampnet decompress`."""
    add_task_options(parser, COMMAND)


def run_decompress(options: CommandOptions) -> None:
    """Open compressed files."""
    run_task(COMMAND, options)
