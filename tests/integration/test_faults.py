"""A write that fails at some call, for commands that write: one line, nothing half-written; the next run is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.faults import COMMANDS, Command, make_inputs, reference, try_fault

TAKEN = [command for command in COMMANDS if command.name in ("vamp", "compress", "tokenize")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("command", TAKEN, ids=lambda command: command.name)
def test_a_failing_write_is_one_line_and_costs_nothing(inputs: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "whole").mkdir()
    wanted = reference(command, inputs, tmp_path / "whole")
    faults = []
    for number in (1, 3, 6):
        outputs = tmp_path / str(number)
        outputs.mkdir()
        faults.append(try_fault(command, inputs, outputs, number, wanted))
    assert not [fault for fault in faults if fault not in ("", "small")], faults
    assert "" in faults  # some of the calls failed
