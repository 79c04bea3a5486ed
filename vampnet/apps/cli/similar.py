"""`vampnet similar`: the files of a table of embeddings that sound most like a recording."""

from __future__ import annotations

import dataclasses
import json

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def similar_options(parser: CommandParser) -> None:
    """Flags of `vampnet similar`."""
    parser.epilog = "examples:\n  vampnet similar song.wav --in embeddings.parquet"
    parser.add_argument("query", metavar="QUERY", help="recording that is compared")
    parser.add_argument("--in", dest="table", metavar="PARQUET", required=True, help="table that `vampnet embed` made")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many files are named (default: 10)")
    parser.add_argument("--json", action="store_true", help="print them as JSON")


def run_similar(options: CommandOptions) -> None:
    """Print the files that sound alike."""
    from vampnet.evaluation.embedding_table import find_similar

    found = find_similar(options.table, options.query, n=options.top)
    if options.json:
        print(json.dumps([dataclasses.asdict(match) for match in found], indent=1))
        return
    for match in found:
        print(f"{match.similarity:6.3f}  {match.file} at {match.start_s:.1f} s")
