"""`vampnet corpus`: audio, or tokens, to train on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vampnet.apps.cli.engine import open_engine
from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import CorpusError

if TYPE_CHECKING:
    from synthcorpus.corpus import PieceSource


def corpus_options(parser: CommandParser) -> None:
    """Flags of `vampnet corpus`."""
    parser.add_argument("folder", type=str, help="folder to write FLAC files and index.jsonl, or token shards, to")
    parser.add_argument("--hours", type=float, default=1.0, help="hours of audio, or of tokens")
    parser.add_argument(
        "--tokens",
        type=str,
        default=None,
        metavar="BUNDLE",
        help="write tokens of this bundle's codec in the place of audio ('default', or a folder)",
    )
    parser.add_argument(
        "--versions",
        type=int,
        default=1,
        help="with --tokens: encode each piece so often, with other channels and at other speeds",
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="with --tokens: write the controls of each piece (beats, chords, melody, levels) beside its codes",
    )
    parser.add_argument(
        "--material",
        type=str,
        default="music",
        help="music: composed pieces; diverse: for codecs, also solos, drums, textures, speech, song (with espeak-ng)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole corpus")
    parser.add_argument("--split", type=str, default="train", help="train, validation or test: disjoint pieces")
    parser.add_argument(
        "--soundfont", type=str, default=None, help="General MIDI sound font (.sf2); none: synthesis only"
    )
    parser.add_argument(
        "--style", action="append", default=None, help="compose in this style alone; repeatable (default: all)"
    )
    parser.add_argument("--scores", type=float, default=0.0, help="share of tunes in the public domain, 0 to 1")
    parser.add_argument("--workers", type=int, default=None, help="processes; all cores when not given")
    parser.add_argument(
        "--engine",
        default=None,
        metavar="ENGINE",
        help="with --tokens: pool (a killed process loses nothing), ray, ray://HOST:10001, ray:HOST:6379, ranks",
    )


def run_corpus(options: CommandOptions) -> None:
    """`vampnet corpus`: make music, or diverse audio, to train on, or its tokens."""
    from synthcorpus.corpus import write_corpus
    from vampnet.training.data.token_corpus import write_token_corpus

    if options.tokens is None and options.versions != 1:
        raise CorpusError("--versions is for tokens; give --tokens too")
    if options.tokens is None and options.controls:
        raise CorpusError("--controls is for tokens; give --tokens too")
    engine = None if options.engine is None else open_engine(options.engine, options.workers)
    if engine is not None and options.tokens is None:
        raise CorpusError("--engine is for tokens; give --tokens too")
    what = {"seed": options.seed, "split": options.split, "workers": options.workers, "soundfont": options.soundfont}
    if options.tokens is None:
        write_corpus(options.folder, options.hours, settings=_material(options), **what)
        return
    report = write_token_corpus(
        options.folder,
        options.hours,
        options.tokens,
        options.versions,
        settings=_material(options),
        controls=options.controls,
        run=None if engine is None else engine.run,
        **what,
    )
    print(
        f"{report.hours:.2f} h of tokens in {options.folder}; {report.made_hours:.2f} h made in "
        f"{report.elapsed_s:.0f} s, {report.hours_per_hour:.0f} hours per hour"
    )


def _material(options: CommandOptions) -> PieceSource:
    from synthcorpus.compose.piece import ComposeConfig
    from synthcorpus.corpus import CorpusConfig
    from synthcorpus.diverse.pieces import DiverseConfig
    from synthcorpus.diverse.speech import PROGRAM, version

    if options.material == "music":
        compose = ComposeConfig(styles_only=tuple(options.style or ()), score_share=options.scores)
        return CorpusConfig(compose=compose)
    if options.material != "diverse":
        raise CorpusError(f"material {options.material!r} is unknown; it must be music or diverse")
    if options.style or options.scores:
        raise CorpusError("--style and --scores choose among composed music; leave them out with --material diverse")
    spoken = version()
    if spoken is None:
        print(f"{PROGRAM} is not on PATH: speech and song are left out", file=sys.stderr)
    return DiverseConfig(espeak_ng=spoken)
