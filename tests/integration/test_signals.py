"""Processes that are told to end, and a full standard output: one line, the right exit code, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, time
from vampnet.apps.cli import main as cli
from vampnet.storage import whole_file

class Options:
    verbose = False
    def get(self, key):
        return None

class Slow:
    name = "slow"
    def make_parser(self):
        return self
    def parse_args(self, words):
        return Options()
    def run(self, options):
        with whole_file(sys.argv[2]) as temporary:
            temporary.write_text("half")
            print("ready", file=sys.stderr, flush=True)
            time.sleep(300)

cli._find = lambda name: Slow()
cli.refuse_removed = lambda *_: None
sys.exit(cli._run(["slow"]))
"""


def hear_all_signals() -> None:
    """Undo what `nohup` and a shell's background jobs hand down: signals that are ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_a_command_as_ctrl_c_does(tmp_path: Path, name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "slow", str(tmp_path / "o.txt")],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=hear_all_signals,
    )
    assert process.stderr is not None and process.stderr.readline() == "ready\n"
    process.send_signal(getattr(signal, name))
    said = process.stderr.read()
    assert process.wait(120) == 130
    assert said == "vampnet: interrupted; no output was written\n" and not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "vampnet", "prompts"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
    assert result.returncode == 2
    assert result.stderr.startswith("vampnet: error: ") and result.stderr.count("\n") == 1
    assert "free some disk space" in result.stderr
