"""`vampnet vamp`: variations of a recording."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from vampnet.apps.cli.batch import is_batch, run_batch
from vampnet.apps.cli.options import (
    ProgressBar,
    add_beat_options,
    add_model_options,
    add_settings,
    add_warning_option,
    load_model,
    output_paths,
    parse_region,
    protect_input,
    rhythm_from,
    settings_from,
    warn_if_foreign,
)
from vampnet.errors import PromptError
from vampnet.generation.config import SamplingConfig

if TYPE_CHECKING:
    from vampnet.generation.pipeline import Drawn
    from vampnet.generation.timings import Timings
    from vampnet.prompts.parts import Prompt


log = logging.getLogger("vampnet")


# --- vamp ------------------------------------------------------------------------------------------------------------


def vamp_options(parser: ArgumentParser) -> None:
    parser.add_argument("input", type=str, nargs="+", help="audio files: WAV, FLAC, OGG, MP3 or AIFF")
    parser.add_argument(
        "-o",
        "--output",
        type=str,
        required=True,
        help="audio file to write, its ending is the format; with several inputs, a folder",
    )
    add_model_options(parser)
    add_warning_option(parser)
    parser.add_argument(
        "--compat", type=str, default="", help="'reference': prepare and cut audio as the authors' code does"
    )
    parser.add_argument(
        "--variations", type=int, default=1, help="how many; above 1 they are numbered OUT-1, OUT-2, ..."
    )
    parser.add_argument(
        "--plot",
        type=str,
        default=None,
        help="PNG of input and output spectrogram and the kept tokens; a folder if -o is one",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.add_argument(
        "--resume", action="store_true", help="go on where Ctrl-C stopped the same command; the result is the same"
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings")
    group = parser.add_argument_group("Prompt: what is kept (nothing given: --periodic 7)")
    group.add_argument(
        "--prompt",
        type=str,
        default=None,
        help="any prompt or preset as text, such as 'vary | keep(0, 2)' or 'beats(after=75ms) & codebooks(3)', instead "
        "of the flags below; `vampnet prompts` lists what there is",
    )
    group.add_argument("--periodic", type=int, default=None, help="keep every N-th frame; 0 keeps none, 1 all")
    group.add_argument("--width", type=int, default=1, help="frames kept at each periodic place")
    group.add_argument("--random", type=float, default=None, help="keep each token with this probability, 0 to 1")
    group.add_argument(
        "--codebooks", type=int, default=None, help="of what the above keep, only the N coarsest codebooks"
    )
    group.add_argument("--keep", action="append", default=None, metavar="A:B", help="keep seconds A to B; repeatable")
    add_beat_options(parser)
    add_settings(parser, SamplingConfig, "Sampling")


def run_vamp(options: Namespace) -> None:
    """`vampnet vamp`: variations of a recording."""
    prompt, sampling = _prompt_of(options), settings_from(SamplingConfig, options)
    if options.plot:
        _check_plot(options)
    if is_batch(options.input, options.output):
        run_batch(options, prompt, sampling)
        return
    options.input = options.input[0]
    rhythm = rhythm_from(options)
    outputs = output_paths(options.output, options.variations)
    protect_input(options.input, outputs)
    with ProgressBar() as bar:
        bar.start("load")
        model = load_model(options, options.compat)
        warn_if_foreign(options, model, [options.input])
        log.info("device %s, %s, %s, prompt %s", model.device, model.dtype, model.backend, prompt)
        tokens, timings = model.vamp_file(options.input, outputs, prompt, sampling, bar.update, rhythm, options.resume)
    if options.plot:
        from vampnet.audio.plot import plot_vamp

        plot_vamp(options.plot, options.input, outputs[0], tokens[0].mask_CT, str(prompt))
    _report_vamp(options, outputs, tokens, timings, prompt)


def _prompt_of(options: Namespace) -> Prompt:
    if options.prompt is None:
        return prompt_from(options.periodic, options.width, options.random, options.codebooks, options.keep or [])
    given = [name for name in ("periodic", "random", "codebooks", "keep") if options[name] is not None]
    if given:
        raise PromptError(f"--prompt says all that is kept; write --{given[0]} as a part of it")
    from vampnet.prompts.grammar import parse_prompt

    return parse_prompt(options.prompt)


def prompt_from(
    periodic: int | None, width: int, random: float | None, codebooks: int | None, keep: Sequence[str]
) -> Prompt:
    """The prompt that the flags spell: ((periodic | random) & codebooks) | keep regions."""
    from vampnet.prompts.parts import Codebooks, Keep, Periodic, Random

    spread: Prompt | None = None
    if periodic is not None:
        spread = Periodic(periodic, width)
    if random is not None:
        spread = Random(random) if spread is None else spread | Random(random)
    if codebooks is not None:
        spread = Codebooks(codebooks) if spread is None else spread & Codebooks(codebooks)
    for text in keep:
        region = Keep(*parse_region(text, "keep"))
        spread = region if spread is None else spread | region
    return Periodic(7, width) if spread is None else spread


def _report_vamp(
    options: Namespace, outputs: list[Path], tokens: list[Drawn], timings: Timings, prompt: Prompt
) -> None:
    factor = timings.real_time_factor
    if options.json:
        kept = [1 - float(item.mask_CT.float().mean()) for item in tokens]
        done = [
            {"file": str(path), "seed": item.seed, "kept_share": round(share, 4)}
            for path, item, share in zip(outputs, tokens, kept, strict=True)
        ]
        report = {"input": options.input, "outputs": done, "prompt": str(prompt)}
        report |= {"timings": dataclasses.asdict(timings), "real_time_factor": round(factor, 3)}
        print(json.dumps(report, indent=1))
        return
    for path, item in zip(outputs, tokens, strict=True):
        print(f"{path}: {prompt}, seed {item.seed}")
    print(f"{timings.audio_s:.1f} s of audio in {timings.total_s:.1f} s: {factor:.2f} times real time")


def _check_plot(options: Namespace) -> None:
    from vampnet.audio.plot import require_matplotlib

    require_matplotlib(options.plot, folder=is_batch(options.input, options.output))
