"""`vampnet embed`: files as vectors of a model's layer, in one table."""

from __future__ import annotations

import sys

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def embed_options(parser: CommandParser) -> None:
    """Flags of `vampnet embed`."""
    parser.epilog = (
        "examples:\n  vampnet embed songs/ -o embeddings.parquet\n"
        "  vampnet embed 'songs/*.wav' -o frames.parquet --embedding hidden:4 --frames"
    )
    parser.add_argument("files", metavar="FILES", nargs="+", help="audio files, folders or quoted patterns")
    parser.add_argument("-o", "--output", type=str, required=True, help="table to write, .parquet")
    parser.add_argument(
        "--embedding",
        type=str,
        default="hidden",
        help="mel, codec, hidden[:LAYER] (the coarse model; 0 is the embedding of the tokens), ... (default: hidden)",
    )
    parser.add_argument("--frames", action="store_true", help="a row per frame; by default one per excerpt, its mean")
    parser.add_argument("--excerpt-s", type=float, default=10.0, help="length of an excerpt, seconds (default: 10)")
    parser.add_argument("--bundle", type=str, default="default", help="model of codec and hidden")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:N or mps")


def run_embed(options: CommandOptions) -> None:
    """Embed files into a table."""
    from vampnet.apps.cli.distance import CountBar
    from vampnet.audio.folders import expand_inputs
    from vampnet.evaluation.embedding_table import EmbedConfig, write_embeddings

    config = EmbedConfig(options.embedding, options.bundle, options.device, options.excerpt_s, options.frames)
    found = expand_inputs(options.files)
    with CountBar() as bar:
        made = write_embeddings(found.files, options.output, config, bar.update)
    for line in (*found.describe(), *made.unreadable) if found.left_out else made.unreadable:
        print(f"vampnet: {line}", file=sys.stderr)
    print(f"{options.output}: {made.n_rows} rows of {made.n_files} files, {made.dim} numbers each, {made.embedding}")
