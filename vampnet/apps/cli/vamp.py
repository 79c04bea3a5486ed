"""`vampnet vamp`: variations of a recording."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "vamp",
    examples=(
        "vampnet vamp song.mp3 -o out.wav",
        "vampnet vamp song.wav -o out.wav --prompt 'beats(after=75ms) & codebooks(3)' --variations 4",
        "vampnet vamp 'songs/*.wav' -o outdir/",
    ),
)


def vamp_options(parser: CommandParser) -> None:
    """Flags of `vampnet vamp`."""
    add_task_options(parser, COMMAND)


def run_vamp(options: CommandOptions) -> None:
    """Vary one or many recordings."""
    run_task(COMMAND, options)
