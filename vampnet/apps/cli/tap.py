"""`vampnet tap`: a tapped or beatboxed rhythm becomes drums."""

from __future__ import annotations

from vampnet.apps.cli.generate import describe_sketch
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task

COMMAND = TaskCommand(
    "tap",
    describe=describe_sketch,
    examples=(
        "vampnet tap tapped.wav -o drums.wav",
        "vampnet tap tapped.wav -o drums.wav --bpm 96 --tightness 0.8",
    ),
)


def tap_options(parser: CommandParser) -> None:
    """Flags of `vampnet tap`."""
    add_task_options(parser, COMMAND)


def run_tap(options: CommandOptions) -> None:
    """Turn rhythms into drums."""
    run_task(COMMAND, options)
