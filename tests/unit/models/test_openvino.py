"""OpenVINO as what runs the networks: the same logits and tokens, one compiled form for all shapes, clear refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.tiny import tiny_codec, tiny_models, tone, write_tiny_bundle
from vampnet.errors import DependencyError, SettingsError
from vampnet.generation.config import SamplingConfig
from vampnet.models.openvino import OpenVinoNetwork, check_backend
from vampnet.prompts.parts import Periodic
from vampnet.tasks.model import load

CPU = torch.device("cpu")


@pytest.mark.parametrize("part", [0, 1], ids=["coarse", "c2f"])
def test_logits_are_those_of_torch(part: int) -> None:
    pytest.importorskip("openvino")
    model = tiny_models(tiny_codec())[part]
    network = OpenVinoNetwork(model, torch.float32)
    generator = torch.Generator().manual_seed(0)
    for n_items, n_frames in ((1, 33), (3, 7), (1, 1)):  # the first one compiles, for all of them
        shape = (n_items, model.config.n_codebooks, n_frames)
        codes_BCT = torch.randint(0, model.config.vocab_size + 1, shape, generator=generator)
        with torch.no_grad():
            expected_BCTV = model(codes_BCT)
        logits_BCTV = network(codes_BCT)
        assert logits_BCTV.shape == expected_BCTV.shape
        assert (logits_BCTV - expected_BCTV).abs().max() < 1e-5
        chosen_BPT = torch.rand(expected_BCTV.shape[:3], generator=generator) < 0.5
        expected_NV = expected_BCTV.transpose(0, 1)[chosen_BPT.transpose(0, 1)]
        assert torch.allclose(network(codes_BCT, chosen_BPT), expected_NV, rtol=0, atol=1e-5)


def test_a_vamp_has_the_tokens_of_torch(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    folder, audio, settings = write_tiny_bundle(tmp_path / "b"), tone(0.5), SamplingConfig(steps=3, c2f_steps=2, seed=1)
    models = [load(folder, device="cpu", backend=name, precision="float32") for name in ("torch", "openvino")]
    results = [model.vamp(audio, prompt=Periodic(5), sampling=settings).codes for model in models]
    ours, theirs = results
    assert ours is not None and theirs is not None
    assert torch.equal(ours, theirs) and (ours != ours[:, :, :1]).any()


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="'tpu', but must be one of torch, openvino"):
        check_backend("tpu", CPU)
    with pytest.raises(SettingsError, match="runs on the CPU"):
        check_backend("openvino", torch.device("cuda"))
    with pytest.raises(SettingsError, match="rounds otherwise"):
        check_backend("openvino", CPU, "reference")
    monkeypatch.setitem(sys.modules, "openvino", None)  # what an import finds where it is not installed
    with pytest.raises(DependencyError, match=r"pip install 'vampnet\[openvino\]'"):
        check_backend("openvino", CPU)
    assert check_backend("torch", torch.device("mps")) == "torch"


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    """In a process of its own: OpenVINO without telemetry asks for no address and writes nothing into HOME."""
    pytest.importorskip("openvino")
    script = """
import socket, sys

def refuse(*arguments, **named):
    print("network:", arguments, flush=True)
    raise OSError("no network")

socket.getaddrinfo = socket.socket.connect = socket.create_connection = refuse
import torch
from vampnet.models.openvino import OpenVinoNetwork, check_backend
from tests.support.tiny import tiny_codec, tiny_models

check_backend("openvino", torch.device("cpu"))
model = tiny_models(tiny_codec())[0]
OpenVinoNetwork(model, torch.float32)(torch.zeros(1, model.config.n_codebooks, 4, dtype=torch.int64))
print("telemetry" if "openvino_telemetry" in sys.modules else "done")
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, env=environment, cwd=root
    )
    assert result.stdout == "done\n", result.stdout + result.stderr
    assert not [path for path in home.rglob("*") if "telemetry" in path.name or "intel" in path.name]
