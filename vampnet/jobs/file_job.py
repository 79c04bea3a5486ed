"""Jobs from file to file: outputs that appear whole or not at all, and unfinished work that can be gone on with."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from vampnet.audio.files import AudioWriter
from vampnet.audio.output_format import restored
from vampnet.audio.sources import FileSource
from vampnet.audio.spool import Spool
from vampnet.audio.units import resampled_length, samples_to_seconds
from vampnet.beats.events import Events, TrackerConfig
from vampnet.config import to_dict
from vampnet.errors import Interrupted
from vampnet.generation.config import SamplingConfig
from vampnet.generation.state import State
from vampnet.generation.stream import Job
from vampnet.generation.timings import Clock, Progress, Timings
from vampnet.jobs.resume import WorkFolder, file_digest, part_path
from vampnet.prompts.parts import Prompt
from vampnet.version import __version__

if TYPE_CHECKING:
    from vampnet.generation.pipeline import Drawn, VampNet

log = logging.getLogger("vampnet")


class FileJob:
    """Variations of one file. `with FileJob(...) as file_job:` run `file_job.job` to its end, then `finish`.

    Leaving it at Ctrl-C writes what is there to part files and raises Interrupted. Work that is worth it is kept, at
    Ctrl-C as after an error (a full disk, say), for a job of the same settings made with `resume`.
    """

    def __init__(
        self,
        model: VampNet,
        input_path: Path,
        output_paths: list[Path],
        prompt: Prompt,
        sampling: SamplingConfig,
        progress: Progress | None = None,
        rhythm: Events | TrackerConfig | None = None,
        resume: bool = False,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """`facts`: what `job_facts` gives for the same arguments, where it is known."""
        self.model, self.outputs, self.clock, self._progress = model, output_paths, Clock(), progress
        self.source = FileSource(input_path)
        self.material = model.prepare(self.source, self.clock)
        self.drawn: list[Drawn] = model.draw(
            self.source, self.material.n_frames, len(output_paths), prompt, sampling, rhythm
        )
        masks_VCT, seeds = torch.stack([item.mask_CT for item in self.drawn]), [item.seed for item in self.drawn]
        self._work: WorkFolder | None = None
        # Only what takes several windows can be left off between two of them.
        if model.takes_windows(self.material.n_frames) or resume:
            facts = facts or job_facts(model, input_path, len(output_paths), prompt, sampling, rhythm)
            self._work = WorkFolder(output_paths[0], facts)
        state = self._work.load() if self._work is not None and resume else None
        with contextlib.ExitStack() as stack:
            # Opened first: an output that cannot be written should fail before minutes of work.
            self._writers = [
                stack.enter_context(
                    AudioWriter(p, self.source.sample_rate_hz, self.source.channels, like=self.source.info)
                )
                for p in output_paths
            ]
            if self._work is not None and state is None:
                self._work.start()
                stack.callback(self._work.remove_if_empty)
            self._spools = [stack.enter_context(self._spool(k, state)) for k in range(len(self.drawn))]
            self._open = stack.pop_all()
        generation = model.generation(masks_VCT, self.material.n_items, sampling, seeds, state)
        self.job = Job(
            self.material, generation, model.codec, self._spools, self.clock, progress, after_window=self._save
        )

    def __enter__(self) -> FileJob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is KeyboardInterrupt and self._worth_keeping:
                self._leave_parts()
        finally:
            self.close(finished=kind is None)

    def close(self, finished: bool = False) -> None:
        """Let go of the files; of unfinished work, keep what is worth it."""
        kind = None if finished else KeyboardInterrupt  # with an exception, writers discard
        self._open.__exit__(kind, None, None)
        if self._work is not None and (finished or not self._worth_keeping):
            self._work.remove()

    def finish(self) -> tuple[list[Drawn], Timings]:
        """Write the outputs, once the job is done."""
        with self.clock.stage("decode"):
            for number, (spool, writer) in enumerate(zip(self._spools, self._writers, strict=True)):
                self._write(spool, writer, number)
        self._open.close()
        for path in self.outputs:
            part_path(path).unlink(missing_ok=True)
        return self.drawn, self.clock.timings(len(self.outputs) * self.duration_s)

    @property
    def share_done(self) -> float:
        """0 to 1."""
        return self.job.decoded / self.material.n_frames

    @property
    def _worth_keeping(self) -> bool:
        return self._work is not None and self.job.decoded > 0

    @property
    def duration_s(self) -> float:
        return samples_to_seconds(self.source.n_samples, self.source.sample_rate_hz)

    def _spool(self, number: int, state: State | None) -> Spool:
        if self._work is None:
            return Spool(self.material.n_items)
        return self._work.spool(number, self.material.n_items, state.n_samples if state is not None else 0)

    def _save(self) -> None:
        generation = self.job.generation
        if self._work is not None and generation.held is not None and self.job.decoded:
            state = State(generation.n_done, self._spools[0].n_samples, generation.first, generation.held)
            self._work.save(state)

    def _write(self, spool: Spool, writer: AudioWriter, number: int) -> None:
        done, total = number * self.source.n_samples, len(self.outputs) * self.source.n_samples
        for block in restored(spool, self.model.codec.sample_rate_hz, self.material.target):
            writer.write(block)
            done += block.shape[1]
            if self._progress is not None:
                self._progress("write", done, total)

    def _leave_parts(self) -> None:
        """Write what is finished to part files; raises Interrupted."""
        codec, target = self.model.codec, self.material.target
        n_samples = resampled_length(self.job.decoded * codec.hop, codec.sample_rate_hz, target.sample_rate_hz)
        target = target.first(min(n_samples, target.n_samples))
        done_s = samples_to_seconds(target.n_samples, target.sample_rate_hz)
        how = "the same command with --resume goes on from there"
        log.warning("interrupted: writing the %.1f s that are finished", done_s)
        try:
            for path, spool in zip(self.outputs, self._spools, strict=True):
                rate_hz, like = target.sample_rate_hz, self.source.info
                with AudioWriter(part_path(path), rate_hz, target.channels, like=like) as writer:
                    for block in restored(spool, codec.sample_rate_hz, target):
                        writer.write(block)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {done_s:.1f} s of {self.duration_s:.1f} s are kept, {how}") from None
        names = ", ".join(str(part_path(path)) for path in self.outputs[:3]) + (", ..." if self.outputs[3:] else "")
        raise Interrupted(f"interrupted; {names}: the first {done_s:.1f} s of {self.duration_s:.1f} s; {how}") from None


def job_facts(
    model: VampNet,
    input_path: Path,
    n: int,
    prompt: Prompt,
    sampling: SamplingConfig,
    rhythm: Events | TrackerConfig | None,
) -> dict[str, Any]:
    """All that the result of a job depends on, by the names that a user knows."""
    return {
        "input": file_digest(input_path),
        "model": model.weights_digest,
        "prompt": str(prompt),
        "beats": repr(rhythm) if rhythm is not None else "",
        **to_dict(sampling),
        "number of variations": n,
        "compat": model.compat,
        "backend": model.backend,
        "number format": str(model.dtype),
        "device": model.device.type,
        "version": f"vampnet {__version__}, torch {torch.__version__}",
    }
