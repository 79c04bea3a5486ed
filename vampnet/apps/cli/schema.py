"""`vampnet schema`: the JSON Schema of requests and results."""

from __future__ import annotations

import json

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def schema_options(parser: CommandParser) -> None:
    """Flags of `vampnet schema`."""
    parser.add_argument("--result", action="store_true", help="the schema of results, in the place of requests")


def run_schema(options: CommandOptions) -> None:
    """Print the schema."""
    from vampnet.jobs.request import request_schema
    from vampnet.jobs.result import result_schema

    print(json.dumps(result_schema() if options.result else request_schema(), indent=1))
