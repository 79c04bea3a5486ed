"""Runs one job: request -> task -> output files, written whole or not at all; unfinished jobs can be resumed."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from vampnet.audio.files import AudioWriter
from vampnet.audio.plot import plot_vamp
from vampnet.audio.sources import FileSource
from vampnet.audio.spool import Spool
from vampnet.audio.units import samples_to_seconds
from vampnet.beats.config import BeatsConfig
from vampnet.beats.events import Events, TrackerConfig
from vampnet.beats.tracking import track_events
from vampnet.codec.base import Codec
from vampnet.compression.container import Header, VampReader, open_vamp
from vampnet.device import select_device
from vampnet.errors import Cancelled, Interrupted, VampnetError
from vampnet.generation.progress import Progress, Report
from vampnet.generation.run import drive
from vampnet.jobs.best_of import choose_outputs
from vampnet.jobs.check import check_job, generates_nothing, is_chosen, subtype_of
from vampnet.jobs.file_job import FileJob
from vampnet.jobs.flags import command_of
from vampnet.jobs.request import (
    CompressRequest,
    DecompressRequest,
    InpaintRequest,
    OutpaintRequest,
    Request,
)
from vampnet.jobs.result import InputFacts, JobOutput, JobResult
from vampnet.jobs.sketch_job import write_sketches
from vampnet.jobs.task_runs import find_beats
from vampnet.models.bundle import load_codec
from vampnet.storage import whole_file
from vampnet.tasks.compress import compress, decode_whole, needs_model, rates_of
from vampnet.tasks.model import VampNet, load
from vampnet.tasks.task import Variation

log = logging.getLogger("vampnet")

PLOT_LEAD_S = 10.0
"""A picture of a long file begins so much before the first new audio, seconds."""
MAX_TRACKED_S = 600.0
"""Beats are drawn in plots of outputs up to this length, seconds: longer ones would take long to track."""


def load_model(request: Request) -> VampNet:
    """The model that a request asks for."""
    choice = request.model
    model = load(
        choice.bundle,
        device=choice.device,
        lora=choice.lora,
        backend=choice.backend,
        precision=choice.precision,
        compat=getattr(request, "compat", ""),
    )
    log.info("loaded %s on %s, %s, %s", choice.bundle, model.device, model.precision, model.backend)
    return model


def run_job(
    request: Request,
    outputs: Sequence[Path],
    *,
    model: VampNet | None = None,
    resume: bool = False,
    plot: Path | None = None,
    report: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> JobResult:
    """Do a job: read, generate, write each output whole or not at all.

    model: a loaded model; None loads the one that the request asks for.
    resume: go on with what an interrupted job of the same request kept beside the first output.
    plot: PNG of input, first output and kept tokens.
    report: hears Progress after every decoding step; what it raises ends the job.
    cancelled: asked after every decoding step; the job then raises Cancelled.

    Raises VampnetError; Interrupted at Ctrl-C, when what is finished was written to part files.
    """
    check_job(request, outputs, plot=plot, hears=None if model is None else model.hears)
    if generates_nothing(request):
        if isinstance(request, CompressRequest):
            return _compress(request, outputs[0], model, report)
        if isinstance(request, DecompressRequest):
            return _decode(request, outputs[0], model, report)
        return write_sketches(request, outputs)
    if model is None:
        if report is not None:
            report(Progress("load", 0, 1, 0.0))
        model = load_model(request)
    if is_chosen(request, model.hears):
        run = functools.partial(run_job, model=model, resume=resume, report=report, cancelled=cancelled)
        return choose_outputs(request, outputs, run, model.hears)
    with FileJob(request, outputs, model, resume=resume, report=report, cancelled=cancelled) as job:
        try:
            job.check_levels()
            job.check_domain()
            for finished in drive(job.runs, model.fill, at_once=model.runs_at_once, journal=job.journal):
                if finished.error is not None:
                    raise finished.error
                variations = finished.result or []
                job.write(variations)
                if plot is not None and finished.number == 0:
                    draw_plot(job, plot, variations[0])
        except KeyboardInterrupt:
            raise _interrupted(job) from None
        except Cancelled:
            job.journal.remove()
            raise
        result = job.finish()
    return result if plot is None else with_plot(result, plot)


def _interrupted(job: FileJob) -> Interrupted:
    """Message after Ctrl-C, once part files are written."""
    how = "the same command with --resume goes on from there"
    if not job.is_worth_keeping:
        job.journal.remove()
        return Interrupted("interrupted; no output was written")
    try:
        log.info("interrupted: writing what is finished")
        parts = job.write_parts()
    except (KeyboardInterrupt, VampnetError):
        return Interrupted(f"interrupted; what was generated is kept, {how}")
    if not parts:
        return Interrupted(f"interrupted; nothing can be heard yet, but what was generated is kept: {how}")
    names = ", ".join(str(path) for path, _ in parts[:3]) + (", ..." if parts[3:] else "")
    return Interrupted(f"interrupted; {names}: the first {parts[0][1]:.1f} s; {how}")


def draw_plot(job: FileJob, path: Path, variation: Variation) -> None:
    """Draw input, output and kept tokens of a job's first variation."""
    request, output = job.request, job.outputs[0]
    beside: str | None = request.input or getattr(request, "like", "") or None
    prompt = getattr(request, "prompt", "")
    before_s = from_s = 0.0
    if isinstance(request, OutpaintRequest):
        before_s = request.before_s
        if not before_s and isinstance(job.source, FileSource):
            from_s = samples_to_seconds(job.source.n_samples, job.source.sample_rate_hz) - PLOT_LEAD_S
    elif isinstance(request, InpaintRequest):
        from_s = min(start_s for start_s, _ in request.regions) - PLOT_LEAD_S
    if isinstance(request, DecompressRequest) or getattr(request, "bars", 0):
        beside = None  # bars that were cut out of the input have no picture of their own to be compared with
    title = f"{request.task}: {prompt}" if prompt else request.task
    plot_vamp(
        path,
        beside,
        output,
        variation.keep_CT,
        title,
        variation.frames_per_s,
        input_at_s=before_s,
        from_s=max(from_s, 0),
        beats_s=_beats_of(job, Path(output)),
    )


def _beats_of(job: FileJob, output: Path) -> tuple[float, ...]:
    """Beats of what is drawn, seconds: given ones, or tracked in the output; none where it is long."""
    source = FileSource(output)
    if source.n_samples > MAX_TRACKED_S * source.sample_rate_hz:
        return ()
    given = BeatsConfig() if getattr(job.request, "bars", 0) else getattr(job.request, "beats", BeatsConfig())
    beats = find_beats(given, source)
    if isinstance(beats, Events):
        return beats.beats_s
    return track_events(source.blocks(), source.sample_rate_hz, source.n_samples, beats or TrackerConfig()).beats_s


def with_plot(result: JobResult, plot: Path) -> JobResult:
    """The result, with the picture's path in it."""
    return JobResult(**{**vars(result), "plot": str(plot)})


# Jobs that generate nothing ----------------------------------------------------------------------------------------


def _codec_for(request: Request, model: VampNet | None) -> Codec:
    if model is not None:
        return model.codec
    return load_codec(request.model.bundle).to(select_device(request.model.device))


def _compress(request: CompressRequest, output: Path, model: VampNet | None, report: Report | None) -> JobResult:
    """Write a .vamp file; only one that leaves tokens to be generated needs the networks."""
    user: VampNet | Codec = model if model is not None else _codec_for(request, None)
    if needs_model(request.compression, _codec_for(request, model)) and model is None:
        user = load_model(request)
    source = FileSource(Path(request.input))
    with whole_file(output) as temporary, open(temporary, "wb") as file:
        made = compress(source, file, user, request.compression, request.sampling, report)
    facts = InputFacts.of(request.input, source)
    generation = made.header.generation
    seed = None if generation is None else generation.sampling.seed
    done = JobOutput(str(output), seed, 1, facts.seconds, None, command_of(request, output))
    return JobResult(
        request.task, (done,), facts, model="" if generation is None else generation.model_id, facts=rates_of(made)
    )


def _decode(request: DecompressRequest, output: Path, model: VampNet | None, report: Report | None) -> JobResult:
    """Open a .vamp file that holds all tokens; a codec does."""
    codec = _codec_for(request, model)
    with contextlib.ExitStack() as stack:
        reader = VampReader(stack.enter_context(open_vamp(request.input)), request.input)
        header: Header = reader.header
        writer = stack.enter_context(
            AudioWriter(output, header.sample_rate_hz, header.channels, subtype_of(request.output))
        )
        spool = stack.enter_context(Spool(header.channels, folder=output.absolute().parent))
        sound = decode_whole(reader, codec, spool, report)
        for block in sound.blocks(exact=True):
            writer.write(block)
    facts = InputFacts.of(request.input, header)
    done = JobOutput(str(output), None, 1, facts.seconds, None, command_of(request, output))
    return JobResult(request.task, (done,), facts)
