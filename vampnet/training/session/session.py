"""Training session: render audio and train codec and models on it at the same time, within a given time.

Made for a machine with an accelerator that is lent for some minutes: `vampnet train-session`. Workers render audio. The
codec trains on it first, for its share of the time. Then all pieces are encoded, new ones as they come, and the coarse
model, the coarse-to-fine model and the codec's decoder train side by side to the end. The same command goes on where it
was stopped: what a stage has trained counts against its time. Recipes are the shipped ones, accelerator/*.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from vampnet.device import select_device
from vampnet.errors import CorpusError, SettingsError
from vampnet.storage import locked
from vampnet.training.export import write_bundle
from vampnet.training.session.config import SessionConfig
from vampnet.training.session.rendering import rendering, say_error
from vampnet.training.session.stages import (
    FIRST_PER_WORKER,
    encode_pieces,
    has_finished,
    train_codec,
    train_decoder,
    train_masked,
)

RECIPES = ("codec", "coarse", "c2f", "decoder")

Report = Callable[[str], None]


def session(work: Path, output: Path, recipes: Path, settings: SessionConfig, *, report: Report = print) -> None:
    """Train a codec, a coarse and a coarse-to-fine model while their audio is rendered, and write a bundle.

    Args:
        work: working folder, several GB; a session that was stopped is resumed from it.
        output: bundle to write.
        recipes: folder with a YAML file for each of RECIPES.
        settings: time, audio and resources.
        report: called with each line about progress.

    Raises:
        SettingsError: recipes that are missing.
        CorpusError: a stage that failed.
    """
    missing = [name for name in RECIPES if not (recipes / f"{name}.yaml").is_file()]
    if missing:
        raise SettingsError(f"{recipes}: holds no {', '.join(f'{name}.yaml' for name in missing)}")
    with locked(work, SettingsError, "working folder"):
        _session(work, output, recipes, settings, report)


def _session(work: Path, output: Path, recipes: Path, settings: SessionConfig, report: Report) -> None:
    seconds, where = settings.seconds, str(select_device(settings.device))
    for_codec, for_models = seconds * settings.codec_share, seconds * (1 - settings.codec_share)
    began = time.monotonic()
    n_workers = settings.workers if settings.workers is not None else max((os.cpu_count() or 2) - 1, 1)
    with rendering(work / "audio", settings.soundfont, n_workers, 10 * seconds, settings.hours) as renderers:
        if not has_finished(work / "codec-run", for_codec):
            n_first = FIRST_PER_WORKER * n_workers
            arguments = (work, recipes / "codec.yaml", for_codec, where, settings.start_from, n_first)
            _run_stages(renderers, (train_codec, arguments))
        write_bundle(work / "codec", work / "codec-run", overwrite=True)
        encoder = _start(encode_pieces, (work, for_models, where))
        while not list((work / "tokens" / "train").glob("shard-*.json")):
            _check([encoder, *renderers])
            time.sleep(0.5)
        stages: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (train_masked, (work, recipes / f"{name}.yaml", name, for_models, where))
            for name in ("coarse", "c2f")
            if not has_finished(work / f"{name}-run", for_models)
        ]
        if not has_finished(work / "decoder-run", for_models):
            stages.append((train_decoder, (work, recipes / "decoder.yaml", for_models, where)))
        _run_stages([encoder, *renderers], *stages)
        encoder.terminate()
    write_bundle(output, work / "decoder-run", work / "coarse-run", work / "c2f-run", overwrite=True)
    report(f"wrote {output} after {time.monotonic() - began:.0f} s")


def _start(stage: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    """Start a stage in a process of its own."""
    context = multiprocessing.get_context("spawn")
    # A daemon ends with this process.
    process = context.Process(target=say_error, args=(stage, *arguments), name=stage.__name__, daemon=True)
    process.start()
    return process


def _run_stages(helpers: Sequence[BaseProcess], *stages: tuple[Callable[..., None], tuple[Any, ...]]) -> None:
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
    """Raises CorpusError when a process failed."""
    failed = sorted({process.name for process in processes if process.exitcode})
    if failed:
        raise CorpusError(f"{', '.join(failed)} failed; what went wrong is printed above. The same command goes on")
