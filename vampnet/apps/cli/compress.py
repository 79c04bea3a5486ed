"""`vampnet compress`: a small file of some of the tokens."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.task import TaskCommand, add_task_options, run_task
from vampnet.jobs.result import JobResult


def _describe(result: JobResult) -> list[str]:
    """Describe a compressed file: size, rates, what is generated on opening."""
    facts = result.facts
    frames = "every frame" if facts["period"] == 1 else f"one frame in {facts['period']}"
    label = facts.get("paper_label_bps")
    named = "" if label is None else f"; {label:.0f} by the paper's formula"
    return [
        f"{facts['codebooks']} codebooks of {frames}, {facts['bytes']} bytes: {facts['file_bps']:.0f} bit/s "
        f"({facts['entropy']} coding; {facts['kept_tokens_bps']:.0f} uncoded{named})"
    ]


COMMAND = TaskCommand(
    "compress",
    output_help="file to write, it ends in .vamp; a folder for several inputs; - writes to stdout",
    ending=".vamp",
    has_plot=False,
    describe=_describe,
    examples=("vampnet compress song.wav -o song.vamp --codebooks 14",),
)


def compress_options(parser: CommandParser) -> None:
    """Flags of `vampnet compress`."""
    add_task_options(parser, COMMAND)


def run_compress(options: CommandOptions) -> None:
    """Compress recordings."""
    run_task(COMMAND, options)
