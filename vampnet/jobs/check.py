"""Checks of a job before the work, without a model and without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vampnet.audio.files import AudioInfo, AudioWriter, output_coding as coding_of, probe
from vampnet.beats.events import Events, read_events
from vampnet.compression.container import read_header
from vampnet.controls.config import ReshapeConfig
from vampnet.controls.reading import check_controls_file
from vampnet.errors import AudioError, PromptError, SettingsError, VampFileError, require
from vampnet.generation.token_file import read_token_facts
from vampnet.jobs.request import (
    CompressRequest,
    DecompressRequest,
    GenerateRequest,
    HumRequest,
    InpaintRequest,
    LoopRequest,
    OutputConfig,
    Request,
    TapRequest,
    TelephoneRequest,
    VampRequest,
    steering_of,
)
from vampnet.models.check import heard_groups
from vampnet.prompts.grammar import parse_prompt
from vampnet.prompts.time import check_region
from vampnet.storage import make_folder

NEW_HZ = 44100
"""Rate that music made from nothing is assumed to have when its output is tried out, before a model is loaded."""
VAMP_ENDING = ".vamp"
PLOT_ENDINGS = (".png", ".svg", ".pdf")


def output_paths(output: Path, request: Request) -> list[Path]:
    """One path per output: OUT itself, or OUT-1, OUT-2, ... before the ending for several variations."""
    if isinstance(request, LoopRequest) and request.join:
        return [output]
    if len(request.numbers) == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{number}{output.suffix}") for number in request.numbers]


def is_sketch_alone(request: Request) -> bool:
    """Whether a request asks for a sketch and nothing more: no model is loaded, no token generated."""
    if isinstance(request, GenerateRequest):
        return request.sketch == "only"
    return isinstance(request, TapRequest | HumRequest) and not request.prompt


def generates_nothing(request: Request) -> bool:
    """Whether a request is done without filling windows. Raises VampFileError for a file that is no .vamp file."""
    if isinstance(request, DecompressRequest):
        return read_header(request.input).generation is None
    return isinstance(request, CompressRequest) or is_sketch_alone(request)


def check_job(
    request: Request, outputs: Sequence[Path], *, plot: Path | None = None, hears: Sequence[str] | None = None
) -> None:
    """Check all of a job that can be checked without the model; makes the outputs' folders.

    `hears`: groups of controls that the model follows by itself; None looks into its folder.

    Raises VampnetError for an input that cannot be read, regions and times of prompts beyond it, outputs that cannot be
    written or that are the input itself, and extras that are not installed.
    """
    info = _check_input(request)
    if steering_of(request).is_on:
        hears = heard_groups(request.model, getattr(request, "compat", "")) if hears is None else hears
        _check_steering(request, plot, hears)
    if plot is not None and is_sketch_alone(request):
        raise SettingsError("a plot shows kept tokens, of which a sketch alone has none; leave the plot out")
    _check_clash(request, outputs)
    for path in outputs:
        if path.parent != Path():
            make_folder(path.parent, AudioError)
        _check_output(request, path, info)
    if plot is not None:
        check_plot(plot)


def check_plot(path: Path) -> None:
    """Raise where a picture cannot be drawn: the extra is missing, the ending unknown, the folder not there."""
    require("matplotlib", "plots")
    if path.suffix.lower() not in PLOT_ENDINGS:
        raise AudioError(f"{path}: a plot is written as {', '.join(PLOT_ENDINGS)}")
    make_folder(path.absolute().parent, AudioError)


def _check_input(request: Request) -> AudioInfo | None:
    """Facts of the input's header; None where there is no input."""
    if isinstance(request, DecompressRequest):
        header = read_header(request.input)
        if header.generation is None and (request.model.lora or request.any_model or request.seed is not None):
            raise SettingsError(f"{request.input} holds all tokens: a seed, adapters or any_model would change nothing")
        return None
    if isinstance(request, GenerateRequest):
        return probe(request.like) if request.like else None
    if not request.input:
        raise SettingsError(f"input: {request.task} needs an audio file")
    info = probe(request.input)
    if request.tokens:
        _check_tokens(request, info)
    if isinstance(request, InpaintRequest):
        for start_s, end_s in request.regions:
            if start_s >= info.duration_s:
                end = "" if end_s is None else f"{end_s:g}"
                raise SettingsError(
                    f"region {start_s:g}:{end} must begin within the {info.duration_s:.3f} s of audio and end later"
                )
            check_region(start_s, math.inf if end_s is None else end_s, info.duration_s)
    if isinstance(request, VampRequest | InpaintRequest | LoopRequest | TelephoneRequest):
        if request.beats.file:
            read_events(request.beats.file).check_fits(info.duration_s)
        Events(tuple(sorted(request.beats.beats_s)), ()).check_fits(info.duration_s)
        try:
            parse_prompt(request.prompt).check_fits(info.duration_s)
        except PromptError as error:
            raise PromptError(f"prompt: {error}") from None
    return info


def _check_tokens(request: Request, info: AudioInfo) -> None:
    """Raise for tokens that are not those of the input, or that a task cannot go on from."""
    if isinstance(request, (CompressRequest, TapRequest, HumRequest)) or getattr(request, "compat", ""):
        raise SettingsError(f"tokens: {request.task} always reads the sound of its input; leave the tokens out")
    if getattr(request, "bars", 0) or getattr(request, "reshape", ReshapeConfig()) != ReshapeConfig():
        raise SettingsError(
            "tokens are those of the input as it is, not of bars cut out of it or of another pitch or tempo; leave the "
            "tokens out"
        )
    facts = read_token_facts(request.tokens)
    if (facts.sample_rate_hz, facts.n_samples) != (info.sample_rate_hz, info.n_samples):
        raise SettingsError(
            f"tokens: {Path(request.tokens).name} belongs to {facts.n_samples} samples at {facts.sample_rate_hz} Hz, "
            f"but the input has {info.n_samples} at {info.sample_rate_hz} Hz; name the tokens that lie beside the input"
        )


def network_follows(request: Request, hears: Sequence[str]) -> tuple[str, ...]:
    """Groups of controls that a request has the network itself follow. `hears`: those that the model follows at all."""
    steering = steering_of(request)
    if not steering.follows or is_sketch_alone(request):
        return ()
    return tuple(name for name in steering.split()[1] if name in hears)


def count_candidates(request: Request, hears: Sequence[str]) -> int:
    """Number of candidates that are made and compared; 0: outputs are what is made first.

    Where the network itself follows all that is to be followed one will do, unless the request asks for more.
    """
    steering = steering_of(request)
    by_itself = steering.follows and set(network_follows(request, hears)) == set(steering.split()[1])
    return steering.n_candidates(by_itself) if steering.is_on else 0


def is_chosen(request: Request, hears: Sequence[str]) -> bool:
    """True if outputs are chosen among candidates, which have to be made and heard first."""
    return count_candidates(request, hears) > 0


def _check_steering(request: Request, plot: Path | None, hears: Sequence[str]) -> None:
    """Raise for settings that a choice among candidates leaves no room for, and a file that cannot be followed."""
    steering = steering_of(request)
    file, _ = steering.split()
    if file:
        check_controls_file(file)
    if steering.guidance and not network_follows(request, hears):
        raise SettingsError(
            f"guidance is {steering.guidance!r}, but weighs only what the network itself follows, which takes a bundle "
            f"with conditioning; {request.model.bundle!r}, as it is run here, follows {', '.join(hears) or 'nothing'}; "
            "leave guidance out"
        )
    n_candidates, n_wanted = count_candidates(request, hears), len(request.numbers)
    if not n_candidates:
        return
    if is_sketch_alone(request):
        raise SettingsError(
            "a sketch alone leaves nothing to choose among: the model makes nothing; leave `best_of` and `follow` out"
        )
    joined = isinstance(request, LoopRequest) and request.join
    if request.variation or plot is not None or joined:
        what = "variation" if request.variation else "join" if joined else "plot"
        raise SettingsError(
            f"{what} cannot be combined with `follow` or `best_of`: which candidate is kept is not known before"
        )
    if n_candidates < n_wanted:
        raise SettingsError(
            f"best_of is {n_candidates}, but {n_wanted} variations are to be kept; make `best_of` larger"
        )


def _check_clash(request: Request, outputs: Sequence[Path]) -> None:
    for source in (request.input, getattr(request, "like", "")):
        if source and Path(source).exists() and any(p.exists() and p.samefile(source) for p in outputs):
            raise AudioError(f"{source}: is the input itself; choose another output")
    places = [str(path.absolute()).casefold() for path in outputs]
    if len(set(places)) < len(places):
        raise AudioError("two outputs have the same name; choose others")


def _check_output(request: Request, path: Path, info: AudioInfo | None) -> None:
    """Try an output out: its ending, coding and folder."""
    if isinstance(request, CompressRequest):
        if path.suffix.lower() != VAMP_ENDING:
            raise VampFileError(f"cannot write '{path}': compressed files end in {VAMP_ENDING}")
        return
    rate_hz, channels = NEW_HZ, 1
    if isinstance(request, DecompressRequest):
        header = read_header(request.input)
        rate_hz, channels = header.sample_rate_hz, header.channels
    elif info is not None:
        rate_hz, channels = info.sample_rate_hz, info.channels
    like = None if isinstance(request, GenerateRequest) else info
    subtype = subtype_of(request.output)
    if isinstance(request, LoopRequest) and request.loop_points and coding_of(path, subtype, like)[0] != "WAV":
        raise SettingsError("loop_points needs WAV files; choose an output that ends in .wav")
    AudioWriter(path, rate_hz, channels, subtype, like).discard()


def subtype_of(output: OutputConfig) -> str | None:
    """libsndfile's name of the coding that is asked for; None for the default."""
    return output.subtype.upper() or None
