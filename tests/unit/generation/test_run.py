"""The driver: order of results, failures that leave others alone, runs that are closed, batches by kind, journals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from vampnet.errors import AudioError, Cancelled, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.run import Run, Stage, WindowRequest, drive, run_all

NETWORK: Any = SimpleNamespace(config=SimpleNamespace(n_codebooks=1))
COARSE = Stage("coarse", NETWORK, 2, 4, 1)
C2F = Stage("c2f", NETWORK, 2, 4, 1)


def window(value: int, stage: Stage = COARSE, settings: SamplingConfig = SamplingConfig()) -> WindowRequest:
    codes_BCT = torch.full((1, 1, 4), value)
    return WindowRequest(stage, 0, codes_BCT, torch.zeros_like(codes_BCT, dtype=torch.bool), (value,), settings)


def plus_one(requests: Sequence[WindowRequest]) -> list[Tensor]:
    return [request.codes_BCT + 1 for request in requests]


def count_up(start: int, n: int, closed: list[int] | None = None) -> Run[int]:
    """A run of n windows, each a number; the number that comes back is the next window."""
    value = start
    try:
        for _ in range(n):
            value = int((yield window(value))[0, 0, 0])
    finally:
        if closed is not None:
            closed.append(start)
    return value


def failing(error: BaseException, after: int = 1) -> Run[int]:
    for _ in range(after):
        yield window(0)
    raise error


@dataclass
class Memory:
    """A journal in memory."""

    held: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    recalled: int = 0

    def recall(self, run: int, number: int, request: WindowRequest) -> Tensor | None:
        found = self.held.get((run, number))
        self.recalled += found is not None
        return found

    def record(self, run: int, number: int, filled_BCT: Tensor) -> None:
        assert (run, number) not in self.held
        self.held[run, number] = filled_BCT


def test_results_come_as_runs_end_and_in_order_from_run_all() -> None:
    lengths = (3, 1, 2)
    one_by_one = list(drive([count_up(10 * n, n) for n in lengths], plus_one))
    assert [(f.number, f.result, f.error) for f in one_by_one] == [(0, 33, None), (1, 11, None), (2, 22, None)]
    together = list(drive([count_up(10 * n, n) for n in lengths], plus_one, at_once=3))
    assert [(f.number, f.result) for f in together] == [(1, 11), (2, 22), (0, 33)]  # the shortest first
    assert run_all([count_up(10 * n, n) for n in lengths], plus_one, at_once=3) == [33, 11, 22]
    assert run_all([], plus_one) == [] and run_all([count_up(7, 0)], plus_one) == [7]  # a run without windows


@pytest.mark.parametrize("at_once", [1, 2, 3, 9])
def test_a_run_that_fails_leaves_the_others_alone(at_once: int) -> None:
    runs = [count_up(0, 3), failing(AudioError("no good")), failing(SettingsError("at once"), 0), count_up(5, 2)]
    finished = {f.number: f for f in drive(runs, plus_one, at_once=at_once)}
    assert {number: f.result for number, f in finished.items()} == {0: 3, 1: None, 2: None, 3: 7}
    assert str(finished[1].error) == "no good" and str(finished[2].error) == "at once"
    with pytest.raises(AudioError, match="no good"):
        run_all([count_up(0, 3), failing(AudioError("no good"))], plus_one, at_once=at_once)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError(), Cancelled("stop")])
def test_anything_else_ends_all_and_closes_the_runs(error: BaseException) -> None:
    closed: list[int] = []
    with pytest.raises(type(error)):
        list(drive([count_up(1, 9, closed), failing(error), count_up(2, 9, closed)], plus_one, at_once=3))
    assert sorted(closed) == [1, 2]


def test_an_exception_of_the_filler_closes_the_runs() -> None:
    closed: list[int] = []

    def fill(requests: Sequence[WindowRequest]) -> list[Tensor]:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        list(drive([count_up(1, 9, closed), count_up(2, 9, closed)], fill, at_once=2))
    assert sorted(closed) == [1, 2]


def test_leaving_early_closes_the_runs_at_work_and_begins_no_other() -> None:
    closed: list[int] = []
    begun: list[int] = []

    def runs() -> Iterator[Run[int]]:
        for number, length in enumerate((1, 9, 9, 9)):
            begun.append(number)
            yield count_up(number, length, closed)

    driver = drive(runs(), plus_one, at_once=2)
    assert next(driver).number == 0
    driver.close()  # type: ignore[attr-defined]
    assert closed == [0, 1] and begun == [0, 1]


def test_runs_are_asked_for_when_there_is_room() -> None:
    most, open_now = 0, 0

    def counted(number: int) -> Run[int]:
        nonlocal most, open_now
        open_now += 1
        most = max(most, open_now)
        yield window(number)
        open_now -= 1
        return number

    assert len(list(drive((counted(n) for n in range(20)), plus_one, at_once=4))) == 20
    assert most == 4 and open_now == 0


def test_windows_of_one_kind_are_one_batch() -> None:
    batches: list[list[tuple[str, float]]] = []

    def fill(requests: Sequence[WindowRequest]) -> list[Tensor]:
        batches.append([(r.stage.name, r.settings.temperature) for r in requests])
        return plus_one(requests)

    def one(stage: Stage, settings: SamplingConfig = SamplingConfig()) -> Run[int]:
        yield window(0, stage, settings)
        return 0

    hot = SamplingConfig(temperature=2.0)
    other_seed = SamplingConfig(seed=9)  # a seed is the item's own
    runs = [one(C2F), one(COARSE), one(COARSE, other_seed), one(COARSE, hot), one(COARSE)]
    assert len(run_all(runs, fill, at_once=5)) == 5
    own = SamplingConfig().temperature
    assert batches == [[("coarse", own)] * 3, [("c2f", own)], [("coarse", 2.0)]]  # the largest first, then the oldest


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("n_before", [0, 1, 4, 6])
def test_what_the_journal_holds_is_not_filled_again(at_once: int, n_before: int) -> None:
    def runs() -> list[Run[int]]:
        return [count_up(10, 3), count_up(20, 1), count_up(30, 2)]

    journal, calls = Memory(), 0

    def stopping(requests: Sequence[WindowRequest]) -> list[Tensor]:
        nonlocal calls
        if len(journal.held) >= n_before:
            raise KeyboardInterrupt
        return plus_one(requests)

    def counting(requests: Sequence[WindowRequest]) -> list[Tensor]:
        nonlocal calls
        calls += len(requests)
        return plus_one(requests)

    whole = run_all(runs(), plus_one)
    if n_before < 6:
        with pytest.raises(KeyboardInterrupt):
            run_all(runs(), stopping, at_once=at_once, journal=journal)
    else:
        run_all(runs(), plus_one, at_once=at_once, journal=journal)
    n_held = len(journal.held)
    assert n_held >= n_before
    assert run_all(runs(), counting, at_once=at_once, journal=journal) == whole
    assert calls == 6 - n_held and journal.recalled == n_held and len(journal.held) == 6
