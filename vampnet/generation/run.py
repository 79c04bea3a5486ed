"""The one driver of generation: runs yield windows to fill, and `drive` has them filled.

A run is a coroutine: it yields `WindowRequest`s, is sent the filled codes of each, and returns what it made. Tasks,
batches, compression and evaluation are all runs. Whoever drives them decides what is filled together: which windows
go into one batch changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from vampnet.errors import Cancelled, VampnetError
from vampnet.generation.sampling import TokenNetwork
from vampnet.generation.spans import Window, reference_windows, windows
from vampnet.models.conditioning import HeardControls

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Stage:
    """One of the two models and how it runs over long material."""

    name: str
    """"coarse" or "c2f"."""
    model: TokenNetwork
    steps: int
    """Decoding steps per window."""
    window_frames: int
    context_frames: int
    """Frames at the start of a window that are generated already."""
    is_reference: bool = False
    """Cut material as the authors' code does (see `vampnet.generation.reference_mode`)."""

    def spans(self, n_frames: int) -> list[Window]:
        """The windows that cover `n_frames` frames."""
        if self.is_reference:
            return reference_windows(n_frames, self.window_frames)
        return windows(n_frames, self.window_frames, self.context_frames)


class Watcher(Protocol):
    """Receiver of a window's progress."""

    def step(self, request: WindowRequest, done: int) -> None:
        """A decoding step of the window is done; whatever this raises ends the job."""
        ...

    def filled(self, request: WindowRequest, seconds: float) -> None:
        """The window is filled; `seconds` is its share of the time that its batch took."""
        ...

    def advanced(self, request: WindowRequest) -> None:
        """The run has the window's codes, filled now or recalled from a journal."""
        ...


@dataclass(frozen=True, eq=False)
class WindowRequest:
    """A window that is to be filled."""

    stage: Stage
    number: int
    """Number of the window within its stage."""
    codes_BCT: Tensor
    """int64; the codebooks that the stage's model reads, one item per channel."""
    keep_BCT: Tensor
    """bool, True where a token stays."""
    seeds: tuple[int, ...]
    """One per item."""
    settings: Any
    """SamplingConfig; its steps and seed are not used here."""
    watcher: Watcher | None = None
    heard: HeardControls | None = None
    """Controls that the network follows within the window."""

    @property
    def kind(self) -> tuple[Any, ...]:
        """Requests of one kind can be filled as one batch."""
        sampler = (self.settings.temperature, self.settings.mask_temperature, self.settings.top_p,
                   self.settings.typical_mass, self.settings.typical_min_tokens)  # fmt: skip
        followed = None if self.heard is None else self.heard.guidance
        return (self.stage.name, self.stage.steps, self.codes_BCT.shape[2], *sampler, followed)


Run = Generator[WindowRequest, Tensor, T]
"""A coroutine that yields windows, is sent their codes (B, C, T), and returns a T."""

Fill = Callable[[Sequence[WindowRequest]], Sequence[Tensor]]
"""Fills windows of one kind."""


class Journal(Protocol):
    """Filled windows on disk, so that an interrupted job goes on where it was (`vampnet.jobs.journal`)."""

    def recall(self, run: int, number: int, request: WindowRequest) -> Tensor | None:
        """The codes of window `number` of a run, where an earlier job filled it."""
        ...

    def record(self, run: int, number: int, filled_BCT: Tensor) -> None:
        """Keep the codes of a window."""
        ...


@dataclass(eq=False)
class _Active(Generic[T]):
    """A run at work."""

    number: int
    run: Run[T]
    request: WindowRequest | None = None
    n_filled: int = 0
    result: T | None = None
    error: VampnetError | None = None


@dataclass(frozen=True, eq=False)
class Finished(Generic[T]):
    """A run that came to its end."""

    number: int
    """Number of the run, in the order in which runs were given."""
    result: T | None = None
    error: VampnetError | None = None
    """Why it failed; None when it did not."""


def drive(
    runs: Iterable[Run[T]], fill: Fill, *, at_once: int = 1, journal: Journal | None = None
) -> Iterator[Finished[T]]:
    """Fill the windows of several runs until all are finished; yields each run when it is, in any order.

    at_once: runs at work together, whose windows of one kind are filled as one batch. 1: one run after the other, which
        is as fast on a CPU and has the first result soonest.
    journal: remembers filled windows; those that it holds are not filled again.

    A run that raises a VampnetError ends with it and leaves the others alone; Cancelled and anything else end all.
    """
    waiting, active = enumerate(runs), list[_Active[T]]()
    exhausted = False
    try:
        while True:
            while not exhausted and len(active) < at_once:
                number, run = next(waiting, (0, None))
                if run is None:
                    exhausted = True
                    break
                one = _Active(number, run)
                _advance(one, None, journal)
                active.append(one)
            for one in [one for one in active if one.request is None]:
                active.remove(one)
                yield Finished(one.number, one.result, one.error)
            if active:
                group = _largest_group(active)
                filled = fill([one.request for one in group if one.request is not None])
                if journal is not None:  # all of the batch, before a run goes on and may end everything
                    for one, filled_BCT in zip(group, filled, strict=True):
                        journal.record(one.number, one.n_filled, filled_BCT)
                for one, filled_BCT in zip(group, filled, strict=True):
                    one.n_filled += 1
                    _advance(one, filled_BCT, journal)
            elif exhausted:
                return
    finally:
        for one in active:
            one.run.close()


def run_all(runs: Sequence[Run[T]], fill: Fill, *, at_once: int = 1, journal: Journal | None = None) -> list[T]:
    """Bring runs to their ends; their results in order. Raises the first error."""
    results: dict[int, T] = {}
    for finished in drive(runs, fill, at_once=at_once, journal=journal):
        if finished.error is not None:
            raise finished.error
        results[finished.number] = finished.result  # type: ignore[assignment]
    return [results[number] for number in range(len(results))]


def _advance(one: _Active[T], filled_BCT: Tensor | None, journal: Journal | None) -> None:
    """Send a run its codes; go on while the journal holds what it asks for next."""
    try:
        while True:
            one.request = next(one.run) if filled_BCT is None else one.run.send(filled_BCT)
            filled_BCT = journal.recall(one.number, one.n_filled, one.request) if journal is not None else None
            if filled_BCT is None:
                return
            one.n_filled += 1
    except StopIteration as stop:
        one.request, one.result = None, stop.value
    except Cancelled:
        raise
    except VampnetError as error:
        one.request, one.error = None, error


def _largest_group(active: Sequence[_Active[T]]) -> list[_Active[T]]:
    """Runs whose windows make the largest batch; of equal ones, that of the run that is longest at work."""
    groups: dict[tuple[Any, ...], list[_Active[T]]] = {}
    for one in active:
        assert one.request is not None
        groups.setdefault(one.request.kind, []).append(one)
    return max(groups.values(), key=lambda group: sum(len(one.request.seeds) for one in group if one.request))
