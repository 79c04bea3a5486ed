"""`vampnet vamp` of several files into a folder."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from vampnet.apps.cli.options import ProgressBar, load_model, rhythm_from, warn_if_foreign
from vampnet.errors import AudioError, BatchError, Interrupted, SettingsError
from vampnet.generation.config import SamplingConfig

if TYPE_CHECKING:
    from vampnet.beats.events import Events, TrackerConfig
    from vampnet.jobs.batch import Outcome
    from vampnet.prompts.parts import Prompt


def is_batch(inputs: list[str], output: str) -> bool:
    """Whether the output names a folder: of several inputs always, of one if it is there or ends like one."""
    return len(inputs) > 1 or Path(output).is_dir() or output.endswith(("/", os.sep))


def run_batch(options: Namespace, prompt: Prompt, sampling: SamplingConfig) -> None:
    """Vamp all inputs; raises BatchError at the end when some failed."""
    if options.beats is not None and len(options.input) > 1:
        raise SettingsError("--beats are those of one file; leave it out and the beats of each file are found")
    from vampnet.jobs.batch import plan, vamp_files

    folder = _make_folder(options.output)
    plots = _make_folder(options.plot) if options.plot else None
    planned = plan([Path(path) for path in options.input], folder, options.variations)
    model = load_model(options, options.compat)
    warn_if_foreign(options, model, options.input)
    errors, n_done = [], 0

    def rhythm_of(path: Path) -> Events | TrackerConfig | None:
        single = options.clone()
        single.input = str(path)
        return rhythm_from(single)

    try:
        with ProgressBar() as bar:
            outcomes = vamp_files(model, planned, prompt, sampling, bar.update, options.resume, rhythm_of)
            with contextlib.closing(outcomes):
                for outcome in outcomes:
                    _report(outcome, prompt, options.json)
                    n_done += outcome.error is None
                    if outcome.error is not None:
                        errors.append(f"  {outcome.planned.input}: {outcome.error}")
                    elif plots is not None and outcome.drawn:
                        _plot(plots, outcome, prompt)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {n_done} of {len(planned)} files are done; the same command with --resume does the others"
        ) from None
    if errors:
        raise BatchError("\n".join([f"{len(errors)} of {len(planned)} files could not be vamped:", *errors]))


def _make_folder(name: str) -> Path:
    folder = Path(name)
    if folder.exists() and not folder.is_dir():
        raise AudioError(f"{folder}: is a file; what several inputs give goes into a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioError(f"{folder}: cannot be made ({error.strerror})") from None
    return folder


def _report(outcome: Outcome, prompt: Prompt, as_json: bool) -> None:
    """One line about one file, a JSON object or words."""
    outputs = [str(path) for path in outcome.planned.outputs]
    if as_json:
        facts: dict[str, Any] = {"input": str(outcome.planned.input)}
        if outcome.error is not None:
            facts["error"] = str(outcome.error)
        elif outcome.done_before or outcome.timings is None:
            facts |= {"outputs": [{"file": path} for path in outputs], "done_before": True}
        else:
            kept = [round(1 - float(item.mask_CT.float().mean()), 4) for item in outcome.drawn]
            trios = zip(outputs, outcome.drawn, kept, strict=True)
            facts["outputs"] = [{"file": path, "seed": item.seed, "kept_share": share} for path, item, share in trios]
            facts |= {"prompt": str(prompt), "seconds": round(outcome.timings.audio_s / len(outputs), 6)}
        print(json.dumps(facts), flush=True)
    elif outcome.error is None:
        how = "was done before" if outcome.done_before else f"{prompt}, seed {outcome.drawn[0].seed}"
        print(f"{outcome.planned.input} -> {', '.join(outputs)}: {how}", flush=True)


def _plot(folder: Path, outcome: Outcome, prompt: Prompt) -> None:
    from vampnet.audio.plot import plot_vamp

    output = outcome.planned.outputs[0]
    plot_vamp(folder / f"{output.stem}.png", outcome.planned.input, output, outcome.drawn[0].mask_CT, str(prompt))
