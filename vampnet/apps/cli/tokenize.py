"""`vampnet tokenize`: audio into token shards."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import SettingsError

if TYPE_CHECKING:
    from vampnet.training.data.token_shards import RunTasks, ShardReport, ShardTask


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
    parser.add_argument(
        "--engine",
        type=str,
        default="here",
        help="here: this process; pool: processes of this machine; ray, ray://HOST:10001, ray:HOST:6379: Ray",
    )
    parser.add_argument("--workers", type=int, default=None, help="processes of the engine; all cores when not given")


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
    engine, workers = options.engine, options.workers or os.cpu_count() or 1
    if engine == "here":
        if options.workers is not None:
            raise SettingsError("--workers is for --engine pool or ray; give one of them too")
        return None
    if not 1 <= workers <= 4096:
        raise SettingsError(f"--workers is {workers}, but must lie in 1 to 4096")
    if engine != "pool" and engine != "ray" and not engine.startswith("ray:"):
        raise SettingsError(f"--engine is {engine!r}, but must be here, pool, ray or ray://HOST:PORT")
    from vampnet.jobs.pool import run_in_pool
    from vampnet.jobs.ray import run_on_ray
    from vampnet.training.data.recordings import is_listed
    from vampnet.training.data.token_shards import ShardMaker

    make = functools.partial(ShardMaker, options.bundle)
    if engine == "pool":
        return lambda tasks: run_in_pool(make, tasks, workers)
    if not is_listed(options.source):
        raise SettingsError("--engine ray takes folders and manifests of files that all machines reach")
    address = engine if engine.startswith("ray://") else engine.removeprefix("ray").removeprefix(":")

    def run(tasks: Iterable[ShardTask]) -> Iterator[ShardReport]:
        return run_on_ray(make, tasks, workers, address)

    return run
