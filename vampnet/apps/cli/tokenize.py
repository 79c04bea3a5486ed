"""`vampnet tokenize`: audio into token shards."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

from vampnet.apps.cli.engine import add_engine_flags, engine_of
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import SettingsError

if TYPE_CHECKING:
    from vampnet.training.data.token_shards import RunTasks


def tokenize_options(parser: CommandParser) -> None:
    """Flags of `vampnet tokenize`."""
    parser.add_argument(
        "source",
        type=str,
        help="folder of audio, manifest (.csv, .tsv, .jsonl, .parquet), tar shards (a-{000..123}.tar) or hf:DATASET",
    )
    parser.add_argument("-o", "--output", type=str, required=True, help="folder for the token shards")
    parser.add_argument("--bundle", type=str, default="default", help="bundle whose codec encodes")
    parser.add_argument(
        "--controls", action="store_true", help="write what is heard (beats, chords, melody, levels) beside the codes"
    )
    parser.add_argument(
        "--deduplicate",
        action="store_true",
        help="leave out recordings that repeat an earlier one, by bytes or sound",
    )
    add_engine_flags(parser)


def run_tokenize(options: CommandOptions) -> None:
    """`vampnet tokenize`: audio as token shards."""
    run = _engine(options)
    from vampnet.models.bundle import load_codec
    from vampnet.training.data.token_shards import tokenize

    report = tokenize(
        options.source,
        options.output,
        load_codec(options.bundle),
        controls=options.controls,
        deduplicate=options.deduplicate,
        run=run,
    )
    print(
        f"{report.n_files} files, {report.audio_s / 3600:.2f} h in {options.output}, {report.audio_s_per_s:.0f} s per s"
    )
    for line in report.skipped:
        print(f"left out: {line}", file=sys.stderr)


def _engine(options: CommandOptions) -> RunTasks | None:
    """The maker of the shards; None for this process."""
    engine = engine_of(options)
    if engine is None:
        return None
    from vampnet.training.data.recordings import is_listed
    from vampnet.training.data.token_shards import ShardMaker

    if engine.is_ray and not is_listed(options.source):
        raise SettingsError("--engine ray takes folders and manifests of files that all machines reach")
    return functools.partial(engine.run, functools.partial(ShardMaker, options.bundle))
