"""Subcommands that make music in other ways than `vamp`: inpaint, outpaint, continue, generate, stretch, telephone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

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
from vampnet.errors import PromptError, SettingsError
from vampnet.generation.config import SamplingConfig

if TYPE_CHECKING:
    from torch import Tensor

    from vampnet.audio.files import AudioInfo
    from vampnet.audio.sources import Source
    from vampnet.prompts.parts import Prompt
    from vampnet.tasks.model import VampNet
    from vampnet.tasks.takes import Desk, Take

NEW_HZ = 44100
"""Rate that music made from nothing is assumed to have when its output is tried out, before a model is loaded."""
PLOT_LEAD_S = 10.0
"""A picture of a long file begins so much before the first new audio, seconds."""


def _common(parser: ArgumentParser, with_input: bool = True) -> None:
    if with_input:
        parser.add_argument("input", type=str, help="audio file: WAV, FLAC, OGG, MP3 or AIFF")
        add_warning_option(parser)
    parser.add_argument("-o", "--output", type=str, required=True, help="audio file to write; its ending is the format")
    add_model_options(parser)
    parser.add_argument("--variations", type=int, default=1, help="how many; above 1: OUT-1, OUT-2, ...")
    parser.add_argument(
        "--plot", type=str, default=None, help="PNG of input, output and kept tokens (of the first variation)"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    add_settings(parser, SamplingConfig, "Sampling")


def inpaint_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--region", action="append", default=None, metavar="A:B", help="seconds to generate anew; repeatable"
    )
    parser.add_argument("--prompt", type=str, default=None, help="what is kept within the regions (default: nothing)")
    _common(parser)


def run_inpaint(options: Namespace) -> None:
    """`vampnet inpaint`: generate regions anew, leave all else bit for bit."""
    regions = [parse_region(text, "region") for text in options.region or []]
    if not regions:
        raise SettingsError("inpaint needs what to fill in: --region START:END in seconds")
    from vampnet.tasks import takes

    prompt = _prompt(options.prompt)
    from_s = min(start_s for start_s, _ in regions) - PLOT_LEAD_S
    _make(options, "inpaint", lambda d, i, s: takes.inpaint(d, i, regions, s, prompt), from_s=from_s)


def outpaint_options(parser: ArgumentParser) -> None:
    parser.add_argument("--before", type=float, default=0.0, help="seconds to add before the audio")
    parser.add_argument("--after", type=float, default=0.0, help="seconds to add after it")
    _theme_option(parser)
    _common(parser)


def run_outpaint(options: Namespace) -> None:
    """`vampnet outpaint`: music before and after a recording."""
    from vampnet.tasks import takes

    before_s, after_s, theme = options.before, options.after, _prompt(options.theme)
    _make(options, "outpaint", lambda d, i, s: takes.outpaint(d, i, before_s, after_s, s, theme), before_s=before_s)


def continue_options(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds to go on for")
    _theme_option(parser)
    _common(parser)


def run_continue(options: Namespace) -> None:
    """`vampnet continue`: how it could go on."""
    from vampnet.audio.files import probe
    from vampnet.tasks import takes

    from_s, theme = probe(options.input).duration_s - PLOT_LEAD_S, _prompt(options.theme)
    _make(options, "continue", lambda d, i, s: takes.outpaint(d, i, 0.0, options.seconds, s, theme), from_s=from_s)


def _theme_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--theme",
        type=str,
        default="periodic(16) | beats(after=75ms)",
        help="what new music keeps of the bars next to it, repeated; 'nothing' lets it go its own way",
    )


def stretch_options(parser: ArgumentParser) -> None:
    parser.add_argument("--factor", type=float, default=2.0, help="times the length, 1 to 16")
    _common(parser)


def run_stretch(options: Namespace) -> None:
    """`vampnet stretch`: tokens spread out, the gaps generated."""
    from vampnet.tasks import takes

    _make(options, "stretch", lambda d, i, s: takes.stretch(d, i, options.factor, s))


def telephone_options(parser: ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=8, help="how often the result becomes the next input")
    parser.add_argument("--prompt", type=str, default="vary", help="prompt of every round")
    _common(parser)


def run_telephone(options: Namespace) -> None:
    """`vampnet telephone`: the result of many rounds."""
    from vampnet.tasks import takes

    prompt = _prompt(options.prompt)
    assert prompt is not None  # it has a default

    def last_round(desk: Desk, source: Source, sampling: SamplingConfig) -> Take:
        *_, last = takes.telephone(desk, source, options.rounds, prompt, sampling)
        return last

    _make(options, "telephone", last_round)


def generate_options(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the new audio")
    parser.add_argument("--like", type=str, default=None, help="clip whose style is taken up")
    parser.add_argument("--prompt", type=str, default=None, help="what of the clip is kept (default: loosely)")
    parser.add_argument(
        "--theme",
        type=str,
        default=None,
        help="without --like, beyond 10 s: what is kept of the opening's bars, repeated (default: that of continue)",
    )
    _common(parser, with_input=False)


def run_generate(options: Namespace) -> None:
    """`vampnet generate`: new audio, from nothing or like a clip."""
    from vampnet.audio.files import read
    from vampnet.tasks import takes

    if options.prompt is not None and options.like is None:
        raise PromptError("--prompt says what is kept of a clip; name the clip with --like")
    if options.theme is not None and options.like is not None:
        raise PromptError("--theme is for music from nothing; what is kept of a clip says --prompt")
    like = read(options.like) if options.like is not None else None
    prompt, theme = _prompt(options.prompt), _prompt(options.theme) or takes.DEFAULT_THEME
    _make(options, "generate", lambda d, i, s: takes.generate(d, options.seconds, like, prompt, s, theme))


def _prompt(text: str | None) -> Prompt | None:
    from vampnet.prompts.grammar import parse_prompt

    return parse_prompt(text) if text is not None else None


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
    import torch

    from vampnet.audio.files import Audio, output_coding, probe, read, write
    from vampnet.audio.loop_points import mark_loop
    from vampnet.prompts.grammar import parse_prompt
    from vampnet.tasks import loop as loops

    prompt, sampling, info = parse_prompt(options.prompt), settings_from(SamplingConfig, options), probe(options.input)
    paths = output_paths(options.output, 1 if options.join else options.variations)
    _check_outputs(options, paths, info)
    codings = [output_coding(path, None, info) for path in paths]
    if options.loop_points and any(format_ != "WAV" for format_, _ in codings):
        raise SettingsError("--loop-points needs WAV files; choose an output that ends in .wav")
    audio, rhythm = read(options.input), rhythm_from(options)
    if options.bars is not None:
        audio = loops.cut_bars(audio, loops.rhythm_of(audio, rhythm), options.bars)
        rhythm = None
    model = load_model(options)
    warn_if_foreign(options, model, [options.input])
    with ProgressBar() as bar:
        made = loops.loop(model, audio, options.variations, prompt, sampling, bar.update, rhythm)
    if options.join:
        joined = Audio(np.concatenate([m.audio.samples for m in made], axis=1), audio.sample_rate_hz)
        joined_mask_CT = torch.cat([m.mask_CT for m in made], dim=1)
        made = [dataclasses.replace(made[0], audio=joined, mask_CT=joined_mask_CT)]
    for path, item in zip(paths, made, strict=True):
        write(path, item.audio, like=info)
        if options.loop_points:
            mark_loop(path, item.audio.n_samples, item.audio.sample_rate_hz)
    pairs = zip(paths, made, strict=True)
    done = [_facts(path, item.seed, item.audio.duration_s, item.mask_CT) for path, item in pairs]
    if options.plot:
        # Bars that were cut out of the input have no picture of their own to be compared with.
        beside = options.input if options.bars is None else None
        _plot(options.plot, f"loop: {prompt}", beside, paths[0], made[0].mask_CT)
    _report(options, "loop", done)


Task = Callable[["Desk", Any, SamplingConfig], "Take"]
"""A task: desk, input source (None without an input) and sampling settings -> what it made."""


def _make(options: Namespace, name: str, task: Task, before_s: float = 0.0, from_s: float = 0.0) -> None:
    """Run the task once per variation, from file to file in bounded memory.

    `before_s`: where the input begins in the output; `from_s`: where a picture begins, seconds.
    """
    from vampnet.audio.files import AudioWriter, probe
    from vampnet.audio.sources import FileSource
    from vampnet.tasks.takes import Desk

    sampling, paths = settings_from(SamplingConfig, options), output_paths(options.output, options.variations)
    info: AudioInfo | None = probe(options.input) if "input" in options else None
    _check_outputs(options, paths, info)
    source = FileSource(options.input) if info is not None else None
    model: VampNet = load_model(options)
    if source is not None:
        warn_if_foreign(options, model, [options.input])
    done = []
    for number, path in enumerate(paths):
        drawn = dataclasses.replace(sampling, seed=(sampling.seed + number) % 2**63)
        with ProgressBar() as bar, Desk(model, bar.update, path.parent) as desk:
            take = task(desk, source, drawn)
            sound = take.sound
            with AudioWriter(path, sound.sample_rate_hz, sound.channels, like=info) as writer:
                for block in sound.blocks(exact=True):
                    writer.write(block)
        done.append(_facts(path, drawn.seed, sound.n_samples / sound.sample_rate_hz, take.mask_CT))
        if options.plot and number == 0:
            beside = options.input if info is not None else options.get("like")
            title = f"{name}: {options.prompt}" if options.get("prompt") else name
            _plot(options.plot, title, beside, path, take.mask_CT, before_s, max(from_s, 0.0))
    _report(options, name, done)


def _check_outputs(options: Namespace, paths: Sequence[Path], info: AudioInfo | None) -> None:
    """What cannot be written should fail before the work."""
    from vampnet.audio.files import AudioWriter, probe
    from vampnet.audio.plot import require_matplotlib

    if info is not None:
        protect_input(options.input, list(paths))
    like = info if info is not None or options.get("like") is None else probe(options.like)
    rate_hz, channels = (like.sample_rate_hz, like.channels) if like is not None else (NEW_HZ, 1)
    for path in paths:
        AudioWriter(path, rate_hz, channels, like=info).discard()
    if options.plot:
        require_matplotlib(options.plot)


def _facts(path: Path, seed: int, seconds: float, mask_CT: Tensor) -> dict[str, Any]:
    kept_share = round(1 - float(mask_CT.float().mean()), 4)
    return {"file": str(path), "seed": seed, "seconds": round(seconds, 6), "kept_share": kept_share}


def _plot(
    plot: str, title: str, beside: str | None, path: Path, mask_CT: Tensor, before_s: float = 0.0, from_s: float = 0.0
) -> None:
    from vampnet.audio.plot import plot_vamp

    plot_vamp(plot, beside, path, mask_CT, title, input_at_s=before_s, from_s=from_s)


def _report(options: Namespace, name: str, done: Sequence[dict[str, Any]]) -> None:
    if options.json:
        report = {"task": name, "input": options.get("input"), "outputs": done, "prompt": options.get("prompt")}
        print(json.dumps({key: value for key, value in report.items() if value is not None}, indent=1))
        return
    for item in done:
        print(f"{item['file']}: {item['seconds']:g} s, seed {item['seed']}")
