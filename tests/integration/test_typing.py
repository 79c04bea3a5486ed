"""The public surface under a strict type checker, as a user's program sees it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np

import vampnet
from vampnet import Audio, SamplingConfig, Variation

model = vampnet.load()
one: Variation = model.vamp("a.wav", prompt="vary", sampling=SamplingConfig(seed=1))
several: list[Variation] = model.vamp((np.zeros(10), 44100), n=3)
audio: Audio = one.audio
print(audio.samples.shape, one.seed, one.codes, one.kept_share)
one.save("b.wav")
print(model.inpaint(audio, regions=[(1.0, 2.0), (3.0, None)]).audio, model.loop(audio, bars=2).audio)
print([variation.seed for variation in model.generate(seconds=3, n=2)])
model.compress(audio, "a.vamp")
print(model.decompress("a.vamp").audio)
prompt = vampnet.Periodic(7) | vampnet.Keep(0, 2) & vampnet.parse_prompt("beats")
print(model.outpaint("a.wav", after_s=2, theme=prompt).audio, model.continue_("a.wav", seconds=3).audio)
print(model.stretch("a.wav", factor=1.5).audio, model.telephone("a.wav", rounds=2).audio)
"""


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="needs pyright, of the extra dev")
def test_a_users_program_is_typed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    root = Path(__file__).parents[2]
    settings = {"include": ["program.py"], "typeCheckingMode": "strict", "extraPaths": [str(root)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "-p", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "error" not in done.stdout and done.returncode:
        pytest.skip(f"pyright cannot run here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stdout
