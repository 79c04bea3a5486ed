"""Subcommands that make music in other ways than `vamp`: inpaint, outpaint, continue, generate, stretch, telephone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from vampnet.cli_shared import (
    ProgressBar,
    add_beat_options,
    add_model_options,
    add_settings,
    load_model,
    output_paths,
    parse_region,
    protect_input,
    rhythm_from,
    settings_from,
)
from vampnet.config import Sampling
from vampnet.errors import PromptError, SettingsError

if TYPE_CHECKING:
    from vampnet.audio import AudioInfo
    from vampnet.pipeline import Vampnet
    from vampnet.tasks import Made


def _common(parser: ArgumentParser, with_input: bool = True) -> None:
    if with_input:
        parser.add_argument("input", type=str, help="audio file: WAV, FLAC, OGG, MP3 or AIFF")
    parser.add_argument("-o", "--output", type=str, required=True, help="audio file to write; its ending is the format")
    add_model_options(parser)
    parser.add_argument("--variations", type=int, default=1, help="how many; above 1: OUT-1, OUT-2, ...")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    add_settings(parser, Sampling, "Sampling")


def inpaint_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--region", action="append", default=None, metavar="A:B", help="seconds to generate anew; repeatable"
    )
    _common(parser)


def run_inpaint(options: Namespace) -> None:
    """`vampnet inpaint`: generate regions anew, leave all else bit for bit."""
    regions = [parse_region(text, "region") for text in options.region or []]
    if not regions:
        raise SettingsError("inpaint needs what to fill in: --region START:END in seconds")
    _make(options, lambda tasks, model, audio, s, p: tasks.inpaint(model, audio, regions, s, p))


def outpaint_options(parser: ArgumentParser) -> None:
    parser.add_argument("--before", type=float, default=0.0, help="seconds to add before the audio")
    parser.add_argument("--after", type=float, default=0.0, help="seconds to add after it")
    _common(parser)


def run_outpaint(options: Namespace) -> None:
    """`vampnet outpaint`: music before and after a recording."""
    _make(options, lambda tasks, model, audio, s, p: tasks.outpaint(model, audio, options.before, options.after, s, p))


def continue_options(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds to go on for")
    _common(parser)


def run_continue(options: Namespace) -> None:
    """`vampnet continue`: how it could go on."""
    _make(options, lambda tasks, model, audio, s, p: tasks.outpaint(model, audio, 0.0, options.seconds, s, p))


def stretch_options(parser: ArgumentParser) -> None:
    parser.add_argument("--factor", type=float, default=2.0, help="times the length, 1 to 16")
    _common(parser)


def run_stretch(options: Namespace) -> None:
    """`vampnet stretch`: tokens spread out, the gaps generated."""
    _make(options, lambda tasks, model, audio, s, p: tasks.stretch(model, audio, options.factor, s, p))


def telephone_options(parser: ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=8, help="how often the result becomes the next input")
    parser.add_argument("--prompt", type=str, default="vary", help="prompt of every round")
    _common(parser)


def run_telephone(options: Namespace) -> None:
    """`vampnet telephone`: the result of many rounds."""
    from vampnet.prompt_text import parse_prompt

    prompt = parse_prompt(options.prompt)
    _make(options, lambda tasks, model, audio, s, p: tasks.telephone(model, audio, options.rounds, prompt, s, p)[-1])


def generate_options(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the new audio")
    parser.add_argument("--like", type=str, default=None, help="clip whose style is taken up")
    parser.add_argument("--prompt", type=str, default=None, help="what of the clip is kept (default: periodic(32))")
    _common(parser, with_input=False)


def run_generate(options: Namespace) -> None:
    """`vampnet generate`: new audio, from nothing or like a clip."""
    from vampnet.audio import read
    from vampnet.prompt_text import parse_prompt

    if options.prompt is not None and options.like is None:
        raise PromptError("--prompt says what is kept of a clip; name the clip with --like")
    like = read(options.like) if options.like is not None else None
    prompt = parse_prompt(options.prompt) if options.prompt is not None else None
    _make(options, lambda tasks, model, audio, s, p: tasks.generate(model, options.seconds, like, prompt, s, p))


def loop_options(parser: ArgumentParser) -> None:
    _common(parser)
    parser.add_argument(
        "--prompt", type=str, default="vary", help="what is kept; `vampnet prompts` lists what there is"
    )
    parser.add_argument(
        "--bars", type=int, default=None, help="cut this many bars first (default: the file is the loop)"
    )
    add_beat_options(parser)
    parser.add_argument("--join", action="store_true", help="write all variations into one file, one after the other")
    parser.add_argument("--loop-points", action="store_true", help="mark the loop in WAV files for samplers and DAWs")


def run_loop(options: Namespace) -> None:
    """`vampnet loop`: variations of a loop that join themselves and each other."""
    import numpy as np

    from vampnet import loops
    from vampnet.audio import Audio, output_coding, probe, read, write
    from vampnet.prompt_text import parse_prompt

    prompt, sampling, info = parse_prompt(options.prompt), settings_from(Sampling, options), probe(options.input)
    paths = output_paths(options.output, 1 if options.join else options.variations)
    protect_input(options.input, paths)
    codings = [output_coding(path, None, info) for path in paths]
    if options.loop_points and any(format_ != "WAV" for format_, _ in codings):
        raise SettingsError("--loop-points needs WAV files; choose an output that ends in .wav")
    audio, rhythm = read(options.input), rhythm_from(options)
    if options.bars is not None:
        audio = loops.cut_bars(audio, loops.rhythm_of(audio, rhythm), options.bars)
        rhythm = None
    model = load_model(options)
    with ProgressBar() as bar:
        made = loops.loop(model, audio, options.variations, prompt, sampling, bar.update, rhythm)
    if options.join:
        joined = Audio(np.concatenate([m.audio.samples for m in made], axis=1), audio.sample_rate_hz)
        made = [dataclasses.replace(made[0], audio=joined)]
    for path, item in zip(paths, made, strict=True):
        write(path, item.audio, like=info)
        if options.loop_points:
            loops.mark_loop(path, item.audio.n_samples, item.audio.sample_rate_hz)
    pairs = zip(paths, made, strict=True)
    _report(
        [{"output": str(p), "seed": m.seed, "seconds": round(m.audio.duration_s, 6)} for p, m in pairs], options.json
    )


Task = Callable[..., "Made"]


def _make(options: Namespace, task: Task) -> None:
    """Read, run the task once per variation, write."""
    from vampnet import tasks
    from vampnet.audio import output_coding, probe, read, write

    sampling, paths = settings_from(Sampling, options), output_paths(options.output, options.variations)
    info: AudioInfo | None = probe(options.input) if "input" in options else None
    if info is not None:
        protect_input(options.input, paths)
    for path in paths:
        output_coding(path, None, info)  # an output that cannot be written should fail before the work
    audio = read(options.input) if info is not None else None
    model: Vampnet = load_model(options)
    done = []
    for number, path in enumerate(paths):
        drawn = dataclasses.replace(sampling, seed=(sampling.seed + number) % 2**63)
        with ProgressBar() as bar:
            made: Made = task(tasks, model, audio, drawn, bar.update)
        write(path, made.audio, like=info)
        done.append({"output": str(path), "seed": made.seed, "seconds": round(made.audio.duration_s, 6)})
    _report(done, options.json)


def _report(done: Sequence[dict[str, object]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(done, indent=1))
        return
    for item in done:
        print(f"{item['output']}: {item['seconds']:g} s, seed {item['seed']}")
