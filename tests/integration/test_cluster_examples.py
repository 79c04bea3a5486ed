"""Examples for clusters: the syntax of the scripts, and the commands of vampnet in them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vampnet.apps.cli.commands import COMMANDS

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.sbatch"))
TEXTS = sorted(path.name for path in FOLDER.glob("*.yaml"))
BY_NAME = {command.name: command for command in COMMANDS}


def commands(text: str) -> list[list[str]]:
    """The words after `vampnet` of each command in a text; lines that end in a backslash go on, variables are 8."""
    joined = re.sub(r"\$\w+", "8", re.sub(r"\\\n\s*", " ", text))
    found = re.findall(r"(?:^|\s)(?:-m )?vampnet (tokenize|train) (.+)$", joined, re.MULTILINE)
    return [[name, *shlex.split(rest)] for name, rest in found]


def bash_is_happy(script: str) -> bool:
    return subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_of_slurm(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert bash_is_happy(text) and not bash_is_happy(text + "\nif true")
    assert text.startswith("#!/bin/bash\n") and "\n#SBATCH --requeue\n" in text
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", str(FOLDER / name)], capture_output=True).returncode == 0


def test_kuberay() -> None:
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    groups = [job["spec"]["rayClusterSpec"]["headGroupSpec"], *job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        assert {m["name"] for c in pod["containers"] for m in c["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_skypilot() -> None:
    task = yaml.safe_load((FOLDER / "skypilot.yaml").read_text())
    known = {"name", "resources", "num_nodes", "workdir", "file_mounts", "setup", "run"}
    assert set(task) <= known and bash_is_happy(task["run"]) and bash_is_happy(task["setup"])


@pytest.mark.parametrize("name", [*SCRIPTS, *TEXTS])
def test_their_commands_are_commands(name: str) -> None:
    found = commands((FOLDER / name).read_text())
    assert found
    for command, *words in found:
        options = BY_NAME[command].make_parser().parse_args(words)
        assert options.output
