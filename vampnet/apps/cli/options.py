"""What the subcommands share: settings as flags, regions, numbered outputs, the progress bar."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vampnet.errors import AudioError, PromptError, SettingsError

if TYPE_CHECKING:
    from vampnet.beats.events import Events, TrackerConfig
    from vampnet.tasks.model import VampNet


def add_settings(parser: ArgumentParser, kind: type, title: str) -> None:
    """One flag per field of a settings dataclass, its docstring the help."""
    from docstring_parser import parse_from_object

    documented = {p.arg_name: p.description or "" for p in parse_from_object(kind).params}
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(kind):
        flag = "--" + field.name.replace("_", "-")
        help_text = documented.get(field.name, "").replace("\n", " ").replace("%", "%%")
        group.add_argument(flag, type=type(field.default), default=field.default, help=help_text)


def settings_from(kind: type, options: Namespace) -> Any:
    """The settings dataclass from parsed flags."""
    return kind(**{field.name: options[field.name] for field in dataclasses.fields(kind)})


def add_model_options(parser: ArgumentParser) -> None:
    """Which model, bent how, on which device."""
    parser.add_argument("--bundle", type=str, default="default", help="model: 'default', a folder, or OWNER/NAME")
    parser.add_argument(
        "--lora", action="append", default=None, metavar="FILE[:STRENGTH]", help="adapter to add; repeatable"
    )
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--backend", type=str, default="torch", help="torch, or openvino (an extra; faster on many CPUs)"
    )


def load_model(options: Namespace, compat: str = "") -> VampNet:
    """The model that these flags ask for."""
    from vampnet.tasks.model import load

    return load(options.bundle, options.device, options.lora or [], compat, options.backend)


def add_warning_option(parser: ArgumentParser) -> None:
    """Off switch of the warning about recordings that are foreign to the model."""
    parser.add_argument(
        "--no-domain-warning", action="store_true", help="do not say when a recording is foreign to the model"
    )


def warn_if_foreign(options: Namespace, model: VampNet, paths: Sequence[str | Path]) -> None:
    """A line on stderr for each input that the model does not know the like of; what cannot be read is left out."""
    if options.no_domain_warning:
        return
    from tqdm import tqdm

    from vampnet.audio.sources import FileSource
    from vampnet.tasks.out_of_domain import surprise_limit, warning

    if surprise_limit(model) is None:
        return
    for path in paths:
        try:
            said = warning(model, FileSource(path))
        except AudioError:
            continue  # the work itself says so
        if said:
            tqdm.write(f"vampnet: {path}: {said}", file=sys.stderr)  # above a progress bar, if there is one


def protect_input(input_path: str, outputs: list[Path]) -> None:
    """AudioError where an output is the input itself."""
    if Path(input_path).exists() and any(path.exists() and path.samefile(input_path) for path in outputs):
        raise AudioError(f"{input_path}: is the input itself; choose another output")


def parse_region(text: str, part: str) -> tuple[float, float]:
    """ "1.5:4" -> (1.5, 4.0); an empty side is the start or the end of the file."""
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(start or 0), float(end or "inf")
    except ValueError:
        raise PromptError(
            f"{part}: {text!r} is not a region; write START:END in seconds, such as 0:2 or 3.5:"
        ) from None


def output_paths(output: str, variations: int) -> list[Path]:
    """One path per variation: OUT itself, or OUT-1, OUT-2, ... before the ending."""
    if not 1 <= variations <= 1000:
        raise SettingsError(f"variations is {variations}, but must lie in 1 to 1000")
    path = Path(output)
    if variations == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{k + 1}{path.suffix}") for k in range(variations)]


def add_beat_options(parser: ArgumentParser) -> None:
    """Where the beats are, or what finds them."""
    group = parser.add_argument_group("Beats, for prompts and bars that follow them")
    group.add_argument(
        "--beat-tracker",
        type=str,
        default=None,
        help="what finds beats: learned (default) or librosa; see docs/beats.md",
    )
    group.add_argument(
        "--beats", type=str, default=None, help="file of beat times: JSON, or lines of TIME [NUMBER IN THE BAR]"
    )
    group.add_argument("--bpm", type=float, default=None, help="even beats at this tempo, instead of tracked ones")
    group.add_argument("--downbeat", type=float, default=0.0, help="with --bpm: where a bar begins, seconds")
    group.add_argument("--beats-per-bar", type=int, default=4, help="with --bpm: beats in a bar")


def rhythm_from(options: Namespace) -> Events | TrackerConfig | None:
    """Beats that the flags give, or how to find them; None leaves that to the default."""
    given = [flag for flag in ("beats", "bpm", "beat_tracker") if options[flag] is not None]
    if len(given) > 1:
        one, other = ("--" + flag.replace("_", "-") for flag in given[:2])
        raise SettingsError(f"{one} and {other} both say where beats are; give one of them")
    if options.bpm is None and (options.downbeat != 0 or options.beats_per_bar != 4):
        raise SettingsError("--downbeat and --beats-per-bar say where the beats of a tempo lie; give it with --bpm")
    if not given:
        return None
    from vampnet.audio.files import probe
    from vampnet.beats.events import TrackerConfig, read_events, steady_events

    if options.beat_tracker is not None:
        return TrackerConfig(options.beat_tracker)
    if options.beats is not None:
        return read_events(options.beats)
    assert options.bpm is not None  # one of the three is given
    info = probe(options.input)
    return steady_events(options.bpm, info.n_samples / info.sample_rate_hz, options.downbeat, options.beats_per_bar)


STAGE_SHARES = {"encode": 0.05, "coarse": 0.55, "c2f": 0.25, "decode": 0.1, "write": 0.05}
"""Rough share of each stage in the whole work, for the progress bar. The stages take turns; any other is all of it."""


class ProgressBar:
    """One line on stderr: the share that is done of all stages together, and which one is at work."""

    def __init__(self, shares: dict[str, float] = STAGE_SHARES) -> None:
        """`shares`: of each stage that will report, about 1 together."""
        self._bar: Any = None
        self._open = contextlib.ExitStack()
        self._shares, self._done = shares, dict.fromkeys(shares, 0.0)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(self, what: str) -> None:
        """Show the bar before there is progress to report."""
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        layout = "{desc:<7} {percentage:3.0f}%|{bar:30}| {elapsed} left {remaining}"
        self._bar = self._open.enter_context(tqdm(total=1.0, desc=what, bar_format=layout, leave=False))
        self._open.enter_context(logging_redirect_tqdm())  # a warning gets a line of its own, above the bar

    def update(self, stage: str, done: int, total: int) -> None:
        if self._bar is None:
            self.start(stage)
        assert self._bar is not None
        self._done[stage] = done / max(total, 1)
        self._bar.set_description_str(stage, refresh=False)
        shares = (self._shares.get(name, 1.0) * share for name, share in self._done.items())
        self._bar.update(sum(shares) - self._bar.n)
