"""Commands with sockets forbidden: no look-up, no connection, whatever is done."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import READERS, WRITERS, make_inputs
from vampnet.apps.cli.main import main


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def test_no_command_asks_the_network(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        asked.append(repr(arguments[-2:]))
        raise OSError("the network is forbidden here")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    codes = {}
    for command in (*WRITERS, *READERS):
        if not command.is_slow and command.client is None:  # those are tried by `make trials`, network forbidden too
            outputs = tmp_path / command.name
            outputs.mkdir()
            codes[command.name] = main(command.arguments(inputs, outputs))
    assert not asked, asked
    assert set(codes.values()) == {0}, (codes, capsys.readouterr().err)
