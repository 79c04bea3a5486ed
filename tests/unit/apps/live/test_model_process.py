"""The model process: samples there and back, crashes, hangs, refusals, cancelling."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import model_processes
from tests.support.looper import do, looper, noise
from vampnet.apps.live.looper import Looper, MadeVariation, VariationRequest
from vampnet.apps.live.making import Failure
from vampnet.apps.live.model_process import ModelProcess, ProcessConfig
from vampnet.models.choice import ModelChoice


def asked() -> tuple[Looper, VariationRequest]:
    core = looper(channels=2)
    core.load(1, noise(4000, 0, 2))
    do(core, "vary 1")
    request = core.ask()
    assert request is not None
    return core, request


def wait_for(process: ModelProcess, found: Callable[[], Any], seconds: float = 40) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (result := found()) is not None:
            return result
        time.sleep(0.01)
    pytest.fail(f"nothing came; {process.status()}")


def config(**changes: Any) -> ProcessConfig:
    return ProcessConfig(**{"max_samples": 8000, "niceness": 0, **changes})


def test_samples_go_there_and_back_and_refusals_are_told() -> None:
    process = ModelProcess(config(), target=model_processes.quick)
    try:
        core, request = asked()
        process.submit(request)
        made = wait_for(process, lambda: process.poll(0))
        assert isinstance(made, MadeVariation) and np.array_equal(made.samples, request.source.samples / 2)
        assert made.codes is not None and made.codes[0, 0, 0] == 0 and core.offer(made)
        core, _ = asked()
        do(core, "prompt nothing")
        again = core.ask()
        assert again is not None
        process.submit(again)
        failure = wait_for(process, lambda: process.poll(0))
        assert isinstance(failure, Failure) and failure.is_final and failure.text == "it keeps nothing"
        assert process.status().state == "ready" and process.model_id == "test"
    finally:
        process.close()


def test_a_process_that_ends_is_replaced(tmp_path: Path) -> None:
    process = ModelProcess(config(model=ModelChoice(str(tmp_path / "mark"))), target=model_processes.crash_once)
    try:
        _, request = asked()
        process.submit(request)
        failure = wait_for(process, lambda: process.poll(0))
        assert isinstance(failure, Failure) and not failure.is_final and "code 9" in failure.text
        process.submit(request)
        made = wait_for(process, lambda: process.poll(0))
        assert isinstance(made, MadeVariation) and process.n_restarts == 1 and not process.status().text
    finally:
        process.close()


def test_a_process_that_hangs_is_replaced_and_one_that_refuses_is_not() -> None:
    process = ModelProcess(config(hang_s=0.3), target=model_processes.hang)
    try:
        _, request = asked()
        process.submit(request)
        failure = wait_for(process, lambda: process.poll(0))
        assert isinstance(failure, Failure) and "no sign of life" in failure.text
    finally:
        process.close()
    process = ModelProcess(config(), target=model_processes.refuse)
    try:
        wait_for(process, lambda: process.status() if process.status().state == "failed" else None)
        assert "no such bundle" in process.status().text and process.n_restarts <= 1
    finally:
        process.close()
