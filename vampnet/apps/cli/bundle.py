"""`vampnet bundle`: training runs packed into a bundle."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def bundle_options(parser: CommandParser) -> None:
    """Flags of `vampnet bundle`."""
    parser.add_argument("-o", "--output", type=str, required=True, help="bundle folder to write")
    parser.add_argument("--codec", type=str, required=True, help="codec run, or a bundle to take the codec from")
    parser.add_argument("--coarse", type=str, default=None, help="run of the coarse model, or a bundle")
    parser.add_argument("--c2f", type=str, default=None, help="run of the coarse-to-fine model, or a bundle")
    parser.add_argument(
        "--conditioning",
        type=str,
        default=None,
        help="run of what controls add to the coarse model, or a bundle",
    )
    parser.add_argument("--groups", type=str, default="", help="groups of controls that it follows, by default all")
    parser.add_argument("--guidance", type=str, default="", help="guidance where a request says none: 'beats=3'")
    parser.add_argument("--storage", type=str, default="int8", help="float32, bfloat16 or int8")
    parser.add_argument("--card", type=str, default=None, help="Markdown file that becomes the bundle's model card")
    parser.add_argument(
        "--surprise-limit",
        type=float,
        default=None,
        help="cross-entropy, nats per token, above which a recording counts as out of the model's distribution",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it exists")


def run_bundle(options: CommandOptions) -> None:
    """`vampnet bundle`: training runs -> a bundle that `vampnet.load` takes."""
    from vampnet.training.export import write_bundle

    write_bundle(
        options.output,
        codec=options.codec,
        coarse=options.coarse,
        c2f=options.c2f,
        conditioning=options.conditioning,
        groups=[name.strip() for name in options.groups.split(",") if name.strip()],
        guidance=options.guidance,
        storage=options.storage,
        card=options.card,
        surprise_limit=options.surprise_limit,
        overwrite=options.overwrite,
    )
    print(f"wrote {options.output}")
