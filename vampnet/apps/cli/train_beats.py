"""`vampnet train-beats`: the learned beat tracker, from composed music."""

from __future__ import annotations

from pathlib import Path

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def train_beats_options(parser: CommandParser) -> None:
    """Flags of `vampnet train-beats`."""
    parser.add_argument("folder", type=str, help="working folder; pieces that are there already are not rendered again")
    parser.add_argument("--soundfont", type=str, default=None, help="General MIDI sound font; none: synthesis only")
    parser.add_argument("--pieces", type=int, default=260, help="pieces of each of four seeds")
    parser.add_argument("--steps", type=int, default=2400, help="optimiser steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and crops")
    parser.add_argument("--workers", type=int, default=None, help="rendering processes; all cores when not given")


def run_train_beats(options: CommandOptions) -> None:
    """`vampnet train-beats`: render what is missing, train, write the tracker."""
    from vampnet.errors import Interrupted
    from vampnet.training.beats.train import BeatTrainingConfig, train_beats

    settings = BeatTrainingConfig(pieces=options.pieces, steps=options.steps, seed=options.seed)
    try:
        path = train_beats(Path(options.folder), settings, soundfont=options.soundfont, workers=options.workers)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; pieces rendered so far are in {options.folder}, training begins again"
        ) from None
    print(f"wrote {path}")
