"""`vampnet tokenize`: a folder of audio into token shards."""

from __future__ import annotations

import sys

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def tokenize_options(parser: CommandParser) -> None:
    """Flags of `vampnet tokenize`."""
    parser.add_argument("folder", type=str, help="folder of audio")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder for the token shards")
    parser.add_argument("--bundle", type=str, default="default", help="bundle whose codec encodes")
    parser.add_argument(
        "--controls", action="store_true", help="write what is heard (beats, chords, melody, levels) beside the codes"
    )


def run_tokenize(options: CommandOptions) -> None:
    """`vampnet tokenize`: a folder of audio as token shards."""
    from vampnet.models.bundle import load_codec
    from vampnet.training.data.token_shards import tokenize_folder

    report = tokenize_folder(options.folder, options.output, load_codec(options.bundle), controls=options.controls)
    print(
        f"{report.n_files} files, {report.audio_s / 3600:.2f} h in {options.output}, {report.audio_s_per_s:.0f} s per s"
    )
    for line in report.skipped:
        print(f"left out: {line}", file=sys.stderr)
