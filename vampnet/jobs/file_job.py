"""A job from a file to files: what a request means as runs of a task, and how its outputs are written."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from vampnet.audio.files import Audio, AudioWriter, changed, probe
from vampnet.audio.levels import check_levels
from vampnet.audio.sources import FileSource, MemorySource, Source
from vampnet.audio.units import samples_to_seconds
from vampnet.beats.config import BeatsConfig
from vampnet.compression.container import VampReader, open_vamp
from vampnet.generation.coded import CodedSource, code_source, level_of, read_coded
from vampnet.generation.progress import Report
from vampnet.generation.run import Run
from vampnet.generation.token_file import TokenFacts, write_tokens
from vampnet.jobs.check import subtype_of
from vampnet.jobs.data_folder import tokens_path
from vampnet.jobs.flags import command_of
from vampnet.jobs.journal import WindowJournal, part_path
from vampnet.jobs.request import (
    DecompressRequest,
    GenerateRequest,
    InpaintRequest,
    LoopRequest,
    OutpaintRequest,
    Request,
    request_to_json,
    steering_of,
)
from vampnet.jobs.result import InputFacts, JobOutput, JobResult, JobTimings
from vampnet.jobs.task_runs import run_loop, run_task
from vampnet.storage import sha256_of_file
from vampnet.tasks.compress import decompress
from vampnet.tasks.model import VampNet
from vampnet.tasks.out_of_domain import warning
from vampnet.tasks.task import Session, Variation, Workspace
from vampnet.version import __version__

log = logging.getLogger("vampnet")


class FileJob:
    """One request at work: `with FileJob(...) as job:` drive `job.runs` and give what they make to `job.write`.

    Leaving it by an exception keeps the journal, so that the same request goes on with `resume`.
    """

    def __init__(
        self,
        request: Request,
        outputs: Sequence[Path],
        model: VampNet,
        *,
        resume: bool = False,
        report: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Raises VampnetError for an input that cannot be read, SettingsError for unfinished work of another job."""
        self.request, self.outputs, self.model = request, list(outputs), model
        self._report = report
        sampling = request.sampling
        self._reader: VampReader | None = None
        self.space = Workspace(
            model,
            sampling,
            1 if isinstance(request, LoopRequest) else len(request.numbers),
            report=report,
            cancelled=cancelled,
            folder=outputs[0].absolute().parent,
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.space)
            self._warnings = self.space.enter_context(_WarningCollector())
            if isinstance(request, DecompressRequest):
                self._reader = VampReader(self.space.enter_context(open_vamp(request.input)), request.input)
                assert self._reader.header.generation is not None
                sampling = self._reader.header.generation.sampling
                if request.seed is not None:
                    sampling = dataclasses.replace(sampling, seed=request.seed)
                self.space.sampling = sampling
            self.space.keeps_tokens = request.output.tokens
            self._stamps = self._stamp_inputs()
            self.source = _open_source(request)
            self.facts = self._collect_facts()
            # Windows of a loop are numbered from those of its seam on, which may be known from another job.
            resume = resume and not (isinstance(request, LoopRequest) and model.memory is not None)
            self.journal = WindowJournal(outputs[0], self.facts, resume)
            self.space.callback(self.journal.close)
            self.sessions = [self.space.session(number) for number in request.numbers]
            self.runs = self._make_runs()
            self._open = stack.pop_all()
        self.written: dict[int, JobOutput] = {}

    def __enter__(self) -> FileJob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def check_levels(self) -> None:
        """Warn of a constant offset in an input of which a task sees excerpts alone. Raises AudioError for no sound."""
        if isinstance(self.request, (InpaintRequest, OutpaintRequest)) and self.source is not None:
            for text in check_levels(self.source.blocks(), self.source.channels, self.request.input):
                log.warning("%s: %s", self.request.input, text)

    def check_domain(self) -> None:
        """Warn when the input is out of the model's domain."""
        if not self.request.domain_warning or not isinstance(self.source, FileSource):
            return
        if said := warning(self.model, self.source):
            log.warning("%s: %s", self.request.input, said)

    def write(self, variations: Sequence[Variation]) -> None:
        """Write finished variations to their outputs. Raises AudioError where an input has changed meanwhile."""
        request = self.request
        if self._stamp_inputs() != self._stamps:
            raise changed(request.input)
        if isinstance(request, LoopRequest) and request.join:
            variations = [_join(variations)]
        for variation in variations:
            place = 0 if len(self.outputs) == 1 else request.numbers.index(variation.number)
            path = self.outputs[place]
            sound, turn = variation.sound, 0
            if isinstance(request, LoopRequest) and request.loop_points:
                turn = sound.n_samples // (len(request.numbers) if request.join else 1)
            with self.space.clock.stage("decode"):
                self._write(path, sound, loop_turn=turn)
            if request.output.tokens:
                self._write_tokens(path, variation)
            self.written[place] = JobOutput(
                str(path),
                variation.seed,
                variation.number,
                round(samples_to_seconds(sound.n_samples, sound.sample_rate_hz), 6),
                round(variation.kept_share, 4),
                command_of(self._single(variation.number), path),
                variation.kept_s,
            )
        if len(self.runs) > 1 and self.model.runs_at_once == 1:  # in turns: open files do not grow with variations
            self.space.files.close()

    def _write_tokens(self, path: Path, variation: Variation) -> None:
        """Keep the tokens of an output beside it, where the task made all of them."""
        codes_NCT, sound = variation.codes_NCT, variation.sound
        level = variation.level if variation.level is not None else level_of(sound)
        if codes_NCT is None or level is None:
            return
        is_loop, written = isinstance(self.request, LoopRequest), probe(path)  # Opus, for one, changes the rate
        facts = TokenFacts(self.model.codec.id, written.sample_rate_hz, written.n_samples, 1 / level, is_loop)
        write_tokens(tokens_path(path), codes_NCT.cpu().numpy(), facts)

    def finish(self) -> JobResult:
        """The result, once all outputs are written; the journal and parts of outputs go."""
        self.journal.remove()
        for path in self.outputs:
            part_path(path).unlink(missing_ok=True)
        outputs = tuple(self.written[place] for place in sorted(self.written))
        timings = self.space.clock.timings(sum(output.seconds for output in outputs))
        return JobResult(
            self.request.task,
            outputs,
            self._input_facts(),
            getattr(self.request, "prompt", ""),
            self.model.precision,
            self.model.id,
            JobTimings(
                *(round(s, 3) for s in (timings.encode_s, timings.coarse_s, timings.c2f_s, timings.decode_s)),
                total_s=round(timings.total_s, 3),
                real_time_factor=round(timings.real_time_factor, 3),
            ),
            facts=self.space.facts,
            warnings=tuple(self._warnings.texts),
        )

    def finish_as_before(self) -> JobResult:
        """The result of outputs that an earlier run made."""
        outputs = tuple(
            JobOutput(str(path), None, number, 0.0, None, command_of(self._single(number), path))
            for number, path in zip(self.request.numbers, self.outputs, strict=False)  # joined loops are one file
        )
        return JobResult(self.request.task, outputs, self._input_facts(), done_before=True)

    def _single(self, number: int) -> Request:
        """The request that makes the output of variation `number` alone; joined loops are made together."""
        if isinstance(self.request, LoopRequest) and self.request.join:
            return self.request
        return dataclasses.replace(self.request, variation=number)

    def write_parts(self) -> list[tuple[Path, float]]:
        """Write what is final of unfinished outputs to part files; their paths and lengths in seconds."""
        parts = []
        for place, session in enumerate(self.sessions[: len(self.outputs)]):
            if place in self.written:
                continue
            draft = session.draft()
            if draft is None or not draft.n_samples:
                continue
            path = part_path(self.outputs[place])
            self._write(path, draft, silent=True)
            parts.append((path, samples_to_seconds(draft.n_samples, draft.sample_rate_hz)))
        return parts

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the journal holds work that a later job can go on with."""
        return self.journal.n_records > 0

    def _write(self, path: Path, sound: Source, silent: bool = False, loop_turn: int = 0) -> None:
        info = self.source.info if isinstance(self.source, FileSource) else None
        subtype, done = subtype_of(self.request.output), 0
        with AudioWriter(path, sound.sample_rate_hz, sound.channels, subtype, info, loop_turn) as writer:
            for block in sound.blocks(exact=True):
                writer.write(block)
                done += block.shape[1]
                if not silent:
                    self.space.tell(0, "write", done, sound.n_samples, 0.0)

    def _collect_facts(self) -> dict[str, Any]:
        """All that the result depends on, by the names that a user knows."""
        request = request_to_json(dataclasses.replace(self.request, domain_warning=True))
        files = {name: getattr(self.request, name, "") for name in ("input", "like")}
        steering = steering_of(self.request)
        files["followed file"] = steering.split()[0]
        files["beats file"] = getattr(self.request, "beats", BeatsConfig()).file
        files["tokens"] = self.request.tokens
        digests = {name: sha256_of_file(path) for name, path in files.items() if path}
        # Of the choice of a model its weights count, whatever they are called and wherever they lie.
        apart = ("input", "like", "tokens", "sampling", "beats", "model")
        settings = {key: value for key, value in request.items() if key not in apart}
        nested = {f"{key} {k}": v for key in ("sampling", "beats") for k, v in request.get(key, {}).items()}
        nested.pop("beats file", None)
        return {
            **digests,
            **({"conditioning": self.model.conditioning_digest[:16]} if self._hears() else {}),
            "model": self.model.id,
            **settings,
            **nested,
            "backend": self.model.backend,
            "precision": self.model.precision,
            "device": self.model.device.type,
            "version": f"vampnet {__version__}, torch {torch.__version__}",
        }

    def _hears(self) -> bool:
        """Whether the result may depend on the conditioning: something is followed, asked for or by default."""
        carries = isinstance(self.request, InpaintRequest | OutpaintRequest)
        return steering_of(self.request).follows or (carries and bool(self.model.hears))

    def _stamp_inputs(self) -> list[tuple[int, int, int]]:
        """Fingerprint of the inputs; it changes when one is written to or replaced."""
        paths = [getattr(self.request, name, "") for name in ("input", "like")]
        found = [os.stat(path) for path in paths if path and os.path.exists(path)]
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]

    def _input_facts(self) -> InputFacts | None:
        return InputFacts.of(self.request.input, self.source) if isinstance(self.source, FileSource) else None

    def _make_runs(self) -> list[Run[list[Variation]]]:
        """The runs of the task: one per variation, or one for all of a loop."""
        request = self.request
        if isinstance(request, LoopRequest):
            return [run_loop(self.space, request, self._known())]
        return [_as_list(self._run(session)) for session in self.sessions]

    def _run(self, session: Session) -> Run[Variation]:
        if isinstance(self.request, DecompressRequest):
            assert self._reader is not None
            return decompress(session, self._reader, any_model=self.request.any_model)
        output = self.outputs[self.request.numbers.index(session.number)]
        return self._run_coded(session, output)

    def _run_coded(self, session: Session, output: Path) -> Run[Variation]:
        """A task on the input with its tokens, where they are known or wanted, else on its sound."""
        source: Source | None = self._known() or self.source
        if source is self.source and self.request.output.tokens and isinstance(
            self.request, (InpaintRequest, OutpaintRequest)
        ):  # fmt: skip
            assert self.source is not None
            sound = self.source
            with self.space.clock.stage("encode"):
                source = self.space.once("coded input", lambda: code_source(sound, self.model.codec, self.model.memory))
        return (yield from run_task(session, self.request, source, output))

    def _known(self) -> CodedSource | None:
        """The input with the tokens that the request names; None where it names none."""
        if not self.request.tokens or self.source is None:
            return None
        source = self.source
        return self.space.once("known tokens", lambda: read_coded(self.request.tokens, source, self.model.codec))


def _open_source(request: Request) -> FileSource | None:
    """The input as a source; None for tasks that read it otherwise or have none."""
    if isinstance(request, (GenerateRequest, DecompressRequest)):
        return None
    return FileSource(request.input)


def _as_list(run: Run[Variation]) -> Run[list[Variation]]:
    """The run of one variation as one that makes a list."""
    variation = yield from run
    return [variation]


def _join(variations: Sequence[Variation]) -> Variation:
    """Variations one after the other, as one."""
    audios = [variation.audio for variation in variations]
    joined = Audio(np.concatenate([audio.samples for audio in audios], axis=1), audios[0].sample_rate_hz)
    keep_CT = torch.cat([variation.keep_CT for variation in variations], dim=1)
    return dataclasses.replace(variations[0], sound=MemorySource(joined), keep_CT=keep_CT, codes_NCT=None)


class _WarningCollector(logging.Handler):
    """Collects what is logged as a warning while a job is at work."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.texts:
            self.texts.append(text)

    def __enter__(self) -> _WarningCollector:
        log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)
