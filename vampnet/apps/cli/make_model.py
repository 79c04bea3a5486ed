"""`vampnet make-model`: a model of one's own from a folder of audio."""

from __future__ import annotations

import sys
from pathlib import Path

from vampnet.apps.cli.distance import CountBar
from vampnet.apps.cli.options import add_settings, settings_from
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.apps.cli.train import add_changes, changes_from
from vampnet.making.config import MakingConfig, parse_budget


def make_model_options(parser: CommandParser) -> None:
    """Flags of `vampnet make-model`."""
    parser.add_argument("folder", type=str, help="folder of audio")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder of the bundle; work lies in its .work")
    parser.add_argument("--budget", type=str, default="2h", help="time for everything, such as 30m or 2h (default: 2h)")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--plan", action="store_true", help="print what would be done, with time and disk, and stop")
    add_settings(parser, MakingConfig, "Model")
    add_changes(parser, "coarse.", "c2f.")


def run_make_model(options: CommandOptions) -> None:
    """`vampnet make-model`: scan, encode, train, bundle, report."""
    from tqdm import tqdm

    from vampnet.errors import Interrupted
    from vampnet.making.make import Making

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    with CountBar() as bar:
        making = Making(
            Path(options.folder),
            Path(options.output),
            settings_from(MakingConfig, options),
            parse_budget(options.budget),
            changes_from(options),
            options.device,
            say,
            bar.update,
        )
        if options.plan:
            print("\n".join(making.plan()))
            return
        try:
            making.make()
        except KeyboardInterrupt:
            raise Interrupted("interrupted; the same command goes on from the last checkpoint") from None
    print(f"wrote {options.output}; report: {Path(options.output) / 'report.html'}")
    print(f"use it with: vampnet vamp IN -o OUT --bundle {options.output}")
