"""`vampnet generate`: new music, from nothing, in the style of a clip, or to words."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task
from vampnet.jobs.result import JobResult


def describe_sketch(result: JobResult) -> list[str]:
    """Say that the music began as a sketch, and to which words."""
    return [f"sketched to: {result.facts['words']}"] if result.facts.get("sketch") else []


COMMAND = TaskCommand(
    "generate",
    input_help="",
    output_help="audio file to write, its ending is the format; - writes to stdout",
    examples=(
        "vampnet generate -o out.wav --seconds 20",
        "vampnet generate -o out.wav --seconds 20 --like clip.wav",
        'vampnet generate -o loop.wav --bpm 96 --key "D minor" --chords "Dm7 | G7 | Cmaj7 A7" --bars 8 --style funk',
    ),
    describe=describe_sketch,
)


def generate_options(parser: CommandParser) -> None:
    """Flags of `vampnet generate`."""
    add_task_options(parser, COMMAND)


def run_generate(options: CommandOptions) -> None:
    """Make new music."""
    run_task(COMMAND, options)
