"""Many files at once: windows of different files are filled as one batch, in memory that their number does not change.

A few files are open at a time, as many as fill a batch; when one is finished the next is taken up. Windows go together
when model and length agree, which all but those of short files and the last ones do; whatever they go with, they come
out as they would alone in float32. In bfloat16, batches of another size may round differently: other tokens.
A file that cannot be read or written does not stop the others.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vampnet.audio.files import ENDINGS, probe
from vampnet.beats.events import Events, TrackerConfig
from vampnet.errors import AudioError, VampnetError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.pipeline import Drawn, VampNet
from vampnet.generation.timings import Progress, Timings
from vampnet.generation.windows import Request
from vampnet.jobs.file_job import FileJob, job_facts
from vampnet.prompts.parts import Prompt

MAX_ITEMS = 8
"""Items (channels x variations) of a batch; files are taken up until there are so many."""
DONE_LIST = ".vampnet-done"
"""In the output folder while a batch is unfinished: what is done, for `resume`."""


@dataclass(frozen=True)
class Planned:
    """One file of a batch."""

    input: Path
    outputs: tuple[Path, ...]
    """One per variation."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one file of a batch."""

    planned: Planned
    drawn: tuple[Drawn, ...] = ()
    """One per variation; none for a file that failed or was done before."""
    timings: Timings | None = None
    """Of this file: its windows' batches are shared out evenly."""
    error: VampnetError | None = None
    done_before: bool = False


def plan(inputs: Sequence[Path], folder: Path, variations: int) -> list[Planned]:
    """Outputs in `folder` named after the inputs, with their endings where these can be written, else .wav.

    Inputs of one name get NAME, NAME_2, ...; no output is one of the inputs, and no input counts twice.
    """
    taken = {_place(path) for path in inputs}
    planned: dict[Path, Planned] = {}
    for path in inputs:
        ending = path.suffix if path.suffix.lower() in ENDINGS else ".wav"
        stems = (path.stem + (f"_{number}" if number > 1 else "") for number in itertools.count(1))
        while path.resolve() not in planned:
            stem = next(stems)
            names = [stem if variations == 1 else f"{stem}-{k + 1}" for k in range(variations)]
            outputs = tuple(folder / (name + ending) for name in names)
            places = {_place(output) for output in outputs}
            if not places & taken:
                taken |= places
                planned[path.resolve()] = Planned(path, outputs)
    return list(planned.values())


def vamp_files(
    model: VampNet,
    planned: Sequence[Planned],
    prompt: Prompt,
    sampling: SamplingConfig,
    progress: Progress | None = None,
    resume: bool = False,
    rhythm_of: Callable[[Path], Events | TrackerConfig | None] | None = None,
) -> Generator[Outcome, None, None]:
    """Vamp each file; yields what became of it as it is finished. Close the iterator to stop early.

    All outputs lie in one folder. `resume` leaves out what an interrupted run of the same settings finished, and goes
    on with what it began. `rhythm_of` gives the beats of an input where they are known. `progress` is told
    ("files", thousandths done, of all).
    """
    done = _DoneList(planned, resume)
    waiting, active = deque(planned), list[_Active]()
    n_done = 0
    try:
        while waiting or active:
            while waiting and sum(one.n_items for one in active) < MAX_ITEMS:
                taken_up = _take_up(model, waiting.popleft(), prompt, sampling, done, resume, rhythm_of)
                if isinstance(taken_up, _Active):
                    active.append(taken_up)
                else:
                    n_done += 1
                    yield taken_up
            for outcome in _fill(model, active, sampling, done) if active else ():
                n_done += 1
                yield outcome
            if progress is not None:
                thousandths = 1000 * (n_done + sum(one.file_job.share_done for one in active))
                progress("files", int(thousandths), 1000 * len(planned))
        done.forget()
    finally:
        for one in active:
            one.file_job.close()


@dataclass(eq=False)
class _Active:
    """A file at work."""

    planned: Planned
    file_job: FileJob
    facts: dict[str, Any]
    request: Request | None

    @property
    def n_items(self) -> int:
        return self.file_job.material.n_items * len(self.planned.outputs)


def _take_up(
    model: VampNet,
    planned: Planned,
    prompt: Prompt,
    sampling: SamplingConfig,
    done: _DoneList,
    resume: bool,
    rhythm_of: Callable[[Path], Events | TrackerConfig | None] | None,
) -> _Active | Outcome:
    """Open a file, unless it cannot be or need not be."""
    try:
        probe(planned.input)  # what cannot be read is named as everywhere else
        rhythm = rhythm_of(planned.input) if rhythm_of is not None else None
        facts = job_facts(model, planned.input, len(planned.outputs), prompt, sampling, rhythm)
        if done.has(planned, facts):
            return Outcome(planned, done_before=True)
        outputs = list(planned.outputs)
        file_job = FileJob(model, planned.input, outputs, prompt, sampling, None, rhythm, resume, facts)
    except VampnetError as error:
        return Outcome(planned, error=error)
    try:
        return _Active(planned, file_job, facts, file_job.job.request())
    except BaseException as error:
        file_job.close()
        if isinstance(error, VampnetError):
            return Outcome(planned, error=error)
        raise


def _fill(model: VampNet, active: list[_Active], sampling: SamplingConfig, done: _DoneList) -> Iterator[Outcome]:
    """Fill one batch of windows; files that it finishes, or that fail, are taken out of `active`."""
    group = _largest_group(active)
    started = time.perf_counter()
    filled = model.fill([one.request for one in group if one.request is not None], sampling)
    share_s = (time.perf_counter() - started) / max(len(group), 1)
    for one, codes_BCT in zip(group, filled, strict=True):
        assert one.request is not None
        one.file_job.clock.seconds[one.request.stage.name] += share_s
        try:
            one.file_job.job.accept(codes_BCT)
            one.request = one.file_job.job.request()
            if one.request is not None:
                continue
            drawn, timings = one.file_job.finish()
        except VampnetError as error:
            outcome = Outcome(one.planned, error=error)
        else:
            outcome = Outcome(one.planned, tuple(drawn), timings)
            done.add(one.planned, one.facts)
        active.remove(one)
        one.file_job.close(finished=outcome.error is None)
        yield outcome


def _largest_group(active: Sequence[_Active]) -> list[_Active]:
    """Files whose windows make the largest batch; of equal ones, that of the file that is longest at work."""
    groups: dict[tuple[str, int, int], list[_Active]] = {}
    for one in active:
        assert one.request is not None
        groups.setdefault(one.request.kind, []).append(one)
    return max(groups.values(), key=lambda group: sum(one.n_items for one in group))


class _DoneList:
    """What an unfinished batch has finished: a file in its output folder, one line per input."""

    def __init__(self, planned: Sequence[Planned], resume: bool) -> None:
        self._path = planned[0].outputs[0].parent / DONE_LIST
        self._done: set[str] = set()
        if resume and self._path.exists():
            self._done = set(self._path.read_text(encoding="utf-8").split("\n"))
        elif not resume:
            self.forget()

    def has(self, planned: Planned, facts: dict[str, Any]) -> bool:
        return self._line(planned, facts) in self._done and all(path.exists() for path in planned.outputs)

    def add(self, planned: Planned, facts: dict[str, Any]) -> None:
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(self._line(planned, facts) + "\n")
        except OSError as error:
            raise AudioError(f"{self._path}: cannot note what is done ({error.strerror})") from None

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)

    def _line(self, planned: Planned, facts: dict[str, Any]) -> str:
        names = [path.name for path in planned.outputs]
        return hashlib.sha256(json.dumps([names, facts], sort_keys=True).encode()).hexdigest()


def _place(path: Path) -> str:
    """Equal for paths that some file systems take for the same file."""
    return str(path.resolve()).casefold()
