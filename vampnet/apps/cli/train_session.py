"""`vampnet train-session`: render audio and train codec and models on it, within a given time."""

from __future__ import annotations

from pathlib import Path

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def train_session_options(parser: CommandParser) -> None:
    """Flags of `vampnet train-session`."""
    parser.add_argument("work", type=str, help="working folder, several GB; a stopped session is resumed from it")
    parser.add_argument("-o", "--output", type=str, required=True, help="bundle to write")
    parser.add_argument("--seconds", type=float, required=True, help="training time of all stages together")
    parser.add_argument(
        "--recipes",
        type=str,
        default=None,
        help="folder with codec.yaml, coarse.yaml, c2f.yaml and decoder.yaml (default: the shipped ones)",
    )
    parser.add_argument("--soundfont", type=str, default=None, help="General MIDI sound font, SF2 or SF3")
    parser.add_argument("--start-from", type=str, default="default", help="bundle whose codec to begin with, or none")
    parser.add_argument("--codec-share", type=float, default=0.3, help="share of the time that the codec gets")
    parser.add_argument("--hours", type=float, default=60.0, help="audio to render; the processor is free after that")
    parser.add_argument("--workers", type=int, default=None, help="rendering processes (default: all cores but one)")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:N or mps")


def run_train_session(options: CommandOptions) -> None:
    """`vampnet train-session`: render and train at once, then write the bundle."""
    from vampnet.errors import Interrupted
    from vampnet.training.recipe import SHIPPED
    from vampnet.training.session.config import SessionConfig
    from vampnet.training.session.session import session

    settings = SessionConfig(
        options.seconds,
        soundfont=options.soundfont,
        start_from=None if options.start_from == "none" else options.start_from,
        codec_share=options.codec_share,
        hours=options.hours,
        workers=options.workers,
        device=options.device,
    )
    try:
        session(Path(options.work), Path(options.output), Path(options.recipes or SHIPPED / "accelerator"), settings)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the same command goes on from {options.work}") from None
