"""`vampnet continue`: new music after a recording."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task
from vampnet.jobs.result import JobResult


def _describe(result: JobResult) -> list[str]:
    """Tempo and key that the new music follows."""
    tempo, key = result.facts.get("tempo_bpm"), result.facts.get("key")
    found = [f"{tempo:g} bpm"] if tempo is not None else []
    found += [str(key)] if key else []
    return [f"found: {', '.join(found)}"] if found else []


COMMAND = TaskCommand("continue", describe=_describe, examples=("vampnet continue song.wav -o out.wav --seconds 12",))


def continue_options(parser: CommandParser) -> None:
    """Flags of `vampnet continue`."""
    add_task_options(parser, COMMAND)


def run_continue(options: CommandOptions) -> None:
    """Let recordings go on."""
    run_task(COMMAND, options)
