"""From nothing to a bundle on a machine that is lent for a while.

    python -m vampnet.training.session.session WORK --seconds 720 --soundfont FluidR3_GM.sf2 -o BUNDLE

Workers render audio, `--hours` of it. The codec trains on it first, for `--codec-share` of the time, from that of
`--start-from`. Then all pieces are encoded, new ones as they come, and the coarse model, the coarse-to-fine model and
the codec's decoder train side by side to the end. The same command goes on where it was stopped: what a stage has
trained counts against its time. Recipes are in recipes/accelerator.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from vampnet.device import select_device
from vampnet.errors import CorpusError, SettingsError, VampnetError
from vampnet.training.export import write_bundle
from vampnet.training.session.rendering import rendering
from vampnet.training.session.stages import (
    FIRST_PER_WORKER,
    encode_pieces,
    finished,
    train_codec,
    train_decoder,
    train_masked,
)

RECIPES = ("codec", "coarse", "c2f", "decoder")


def session(
    work: Path,
    output: Path,
    seconds: float,
    recipes: Path,
    soundfont: str | None = None,
    start_from: str | None = "default",
    codec_share: float = 0.3,
    hours: float = 60.0,
    workers: int | None = None,
    device: str = "auto",
) -> None:
    """What the module says. Raises SettingsError for bad arguments, CorpusError for a stage that failed."""
    missing = [name for name in RECIPES if not (recipes / f"{name}.yaml").is_file()]
    if missing:
        raise SettingsError(f"{recipes}: holds no {', '.join(f'{name}.yaml' for name in missing)}")
    if not (seconds > 0 and 0 < codec_share < 1):
        raise SettingsError(
            f"seconds is {seconds} and codec_share {codec_share}; they must be above 0, the share below 1"
        )
    where = str(select_device(device))
    for_codec, for_models = seconds * codec_share, seconds * (1 - codec_share)
    began = time.monotonic()
    n_workers = workers if workers is not None else max((os.cpu_count() or 2) - 1, 1)
    with rendering(work / "audio", soundfont, n_workers, 10 * seconds, hours) as renderers:
        if not finished(work / "codec-run", for_codec):
            arguments = (work, recipes / "codec.yaml", for_codec, where, start_from, FIRST_PER_WORKER * n_workers)
            _together(renderers, (train_codec, arguments))
        write_bundle(work / "codec", work / "codec-run", overwrite=True)
        encoder = _start(encode_pieces, (work, for_models, where))
        while not list((work / "tokens" / "train").glob("shard-*.json")):
            _check([encoder, *renderers])
            time.sleep(0.5)
        stages: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (train_masked, (work, recipes / f"{name}.yaml", name, for_models, where))
            for name in ("coarse", "c2f")
            if not finished(work / f"{name}-run", for_models)
        ]
        if not finished(work / "decoder-run", for_models):
            stages.append((train_decoder, (work, recipes / "decoder.yaml", for_models, where)))
        _together([encoder, *renderers], *stages)
        encoder.terminate()
    write_bundle(output, work / "decoder-run", work / "coarse-run", work / "c2f-run", overwrite=True)
    print(f"wrote {output} after {time.monotonic() - began:.0f} s", flush=True)


def _start(stage: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=stage, args=arguments, name=stage.__name__, daemon=True)  # ends with this one
    process.start()
    return process


def _together(helpers: Sequence[BaseProcess], *stages: tuple[Callable[..., None], tuple[Any, ...]]) -> None:
    """Run stages side by side; when one of them, or a helper, fails, all stages are ended."""
    processes = [_start(stage, arguments) for stage, arguments in stages]
    try:
        while any(process.is_alive() for process in processes):
            _check([*processes, *helpers])
            time.sleep(0.5)
        _check(processes)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _check(processes: Sequence[BaseProcess]) -> None:
    failed = sorted({process.name for process in processes if process.exitcode})
    if failed:
        raise CorpusError(f"{', '.join(failed)} failed; what went wrong is printed above. The same command goes on")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m vampnet.training.session.session",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("work", type=Path, help="working folder; several GB")
    parser.add_argument("-o", "--output", type=Path, required=True, help="bundle to write")
    parser.add_argument("--seconds", type=float, required=True, help="training time, both stages together")
    parser.add_argument("--recipes", type=Path, default=Path("recipes/accelerator"))
    parser.add_argument("--soundfont", default=None, help="General MIDI sound font, SF2 or SF3")
    parser.add_argument("--start-from", default="default", help="bundle whose codec to begin with, or `none`")
    parser.add_argument("--codec-share", type=float, default=0.3, help="share of the time that the codec gets")
    parser.add_argument("--hours", type=float, default=60.0, help="audio to render; the processor is free after that")
    parser.add_argument("--workers", type=int, default=None, help="rendering processes (default: all cores but one)")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    given = vars(parser.parse_args(arguments))
    given["start_from"] = None if given["start_from"] == "none" else given["start_from"]
    try:
        session(**given)
    except VampnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
