"""`vampnet loop`: variations of a loop that join themselves and each other."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task
from vampnet.jobs.result import JobResult


def _describe(result: JobResult) -> list[str]:
    """Tempo, bar and length of the loop."""
    words = {"tempo_bpm": "{:g} bpm", "beats_per_bar": "{:g} beats in a bar", "bar_s": "a bar of {:.4g} s"}
    words["loop_s"] = "a loop of {:.4g} s"
    found = [text.format(result.facts[name]) for name, text in words.items() if result.facts.get(name) is not None]
    return [f"found: {', '.join(found)}"] if found else []


COMMAND = TaskCommand(
    "loop",
    describe=_describe,
    examples=(
        "vampnet loop loop.wav -o out.wav --variations 8 --loop-points",
        "vampnet loop song.wav -o out.wav --bars 2",
    ),
)


def loop_options(parser: CommandParser) -> None:
    """Flags of `vampnet loop`."""
    add_task_options(parser, COMMAND)


def run_loop(options: CommandOptions) -> None:
    """Vary loops."""
    run_task(COMMAND, options)
