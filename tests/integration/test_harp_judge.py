"""Our HARP routes beside real gradio: the same driver passes on both, and their answers have the same keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support import gradio_app
from tests.support.harp_driver import HarpDriver, HarpError
from tests.support.server import ROOT, running_server, wait_for
from tests.support.wav_bytes import wav_bytes
from vampnet.apps.http.config import ServerConfig
from vampnet.apps.http.server import _listen

pytestmark = pytest.mark.slow  # importing gradio takes that long
WAV = wav_bytes(0.5)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gradio")
    with _listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, gradio_app.__file__, str(port)], env=environment)

    def answers() -> bool:
        assert process.poll() is None, "gradio ended"
        try:
            return httpx2.get(f"http://127.0.0.1:{port}/config", timeout=30).status_code == 200
        except httpx2.TransportError:
            return False

    try:
        wait_for(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def shape(value: Any) -> Any:
    """Keys and kinds of an answer, all the way down; of a list its first entry's."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__ if value is not None and not isinstance(value, (int, float)) else "?"


@pytest.mark.parametrize("parser", ["old", "new"])
def test_the_driver_passes_on_both_and_answers_have_the_same_keys(judge: str, tmp_path: Path, parser: str) -> None:
    with running_server(ServerConfig(data=str(tmp_path))) as (address, _):
        ours, theirs = HarpDriver(address, parser=parser), HarpDriver(judge, parser=parser)
        assert shape(ours.load()) == shape(theirs.load())
        files = []
        for driver in (ours, theirs):
            values = driver.values(driver.upload("Süße Schleife 1.wav", WAV), Seed="7")
            files.append(json.loads(driver.wait("process", driver.start("process", values))))
        assert set(files[0][0]) == set(files[1][0])
        assert files[0][0]["meta"] == files[1][0]["meta"]
        assert set(files[0][1]["labels"][0]) == set(files[1][1]["labels"][0])
        driver = theirs
        assert driver.process(driver.values(driver.upload("Süße Schleife 1.wav", WAV)))[0] == WAV
        ours.cancel()
        theirs.cancel()
        for driver, prompt in ((ours, "periodic(x)"), (theirs, "fail")):
            with pytest.raises(HarpError, match="Cannot vamp: "):
                driver.process(driver.values(driver.upload("a.wav", WAV), Keep=prompt))
            driver.close()
