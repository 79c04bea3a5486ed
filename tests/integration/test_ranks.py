"""Training by several processes: the losses of one, a killed rank, going on with another number of ranks."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.support.tiny import COARSE, tiny_codec, tone
from tests.support.trials import trial
from vampnet.audio.files import write
from vampnet.errors import SettingsError
from vampnet.models.bundle import save_bundle
from vampnet.training.data.token_shards import tokenize_folder
from vampnet.training.share import BatchShare
from vampnet.training.train import train

ROOT = Path(__file__).parents[2]
LOOP = {"steps": 8, "batch_size": 6, "warmup_steps": 2, "decay_steps": 2, "log_every": 1, "checkpoint_every": 2,
        "validate_every": 100, "precision": "32-true", "weight_decay": 0.0}  # fmt: skip
TOLERANCE = 2e-4
"""Losses differ by the order in which gradients are added up, in float32."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ranks")
    (root / "audio").mkdir()
    for k in range(2):
        write(root / "audio" / f"{k}.wav", tone(4.0, seed=k))
    save_bundle(root / "codec", tiny_codec())
    tokenize_folder(root / "audio", root / "tokens", tiny_codec())
    return root


def recipe(root: Path, path: Path, **loop: Any) -> Path:
    tokens = str(root / "tokens")
    made = {"task": "masked", "train_tokens": tokens, "validation_tokens": tokens, "bundle": str(root / "codec")}
    model = {**dataclasses.asdict(COARSE), "dropout": 0.0}  # dropout differs from rank to rank
    path.write_text(yaml.safe_dump({**made, "crop_frames": 40, "model": model, "loop": {**LOOP, **loop}}))
    return path


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def torchrun(recipe_path: Path, run: Path, ranks: int, *more: str) -> subprocess.Popen[bytes]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--master-port", str(port),
        "--max-restarts", "5", "--monitor-interval", "0.2", "-m", "vampnet", "train", str(recipe_path), "-o", str(run),
        "--device", "cpu", *more,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_passes_of_a_step_take_the_steps_of_one(data: Path, tmp_path: Path) -> None:
    train(recipe(data, tmp_path / "1.yaml"), tmp_path / "one", device="cpu")
    train(recipe(data, tmp_path / "3.yaml", accumulate=3), tmp_path / "three", device="cpu")
    train(recipe(data, tmp_path / "4.yaml", accumulate=4), tmp_path / "four", device="cpu")  # of 2, 2, 1 and 1 items
    whole = losses(tmp_path / "one")
    for run in ("three", "four"):
        assert losses(tmp_path / run) == pytest.approx(whole, rel=TOLERANCE)
    with pytest.raises(SettingsError, match="share each batch in 7 passes"):
        train(recipe(data, tmp_path / "7.yaml", accumulate=7), tmp_path / "seven", device="cpu")


def test_shares_make_up_the_whole() -> None:
    keep_BCT = torch.rand(5, 2, 7, generator=torch.Generator().manual_seed(0)) < 0.5
    shares = [BatchShare(k, 3) for k in range(3)]
    assert sum(len(share.of(keep_BCT)) for share in shares) == 5
    assert sum(share.weight(keep_BCT) for share in shares) == pytest.approx(3)
    assert BatchShare(0, 2).weight(torch.ones(2, 1, 3, dtype=torch.bool)) == 0


@trial
def test_two_ranks_a_killed_one_and_another_number(data: Path, tmp_path: Path) -> None:
    train(recipe(data, tmp_path / "1.yaml"), tmp_path / "one", device="cpu")
    whole = losses(tmp_path / "one")
    both = torchrun(recipe(data, tmp_path / "2.yaml", steps=4, decay_steps=1), tmp_path / "first", 2)
    _, told = both.communicate(timeout=500)
    assert both.returncode == 0, told.decode()[-3000:]

    path = recipe(data, tmp_path / "2.yaml", checkpoint_every=1)
    run = tmp_path / "two"
    with torchrun(path, run, 2) as started:
        while not (run / "log.jsonl").exists() or max(losses(run), default=0) < 3:
            assert started.poll() is None, "torchrun ended"
            time.sleep(0.05)
        ranks = [int(pid) for pid in _children(started.pid)]
        os.kill(ranks[-1], signal.SIGKILL)  # torchrun starts all of them again, from the last checkpoint
        _, told = started.communicate(timeout=500)
    assert started.returncode == 0, told.decode()[-3000:]
    assert losses(run) == pytest.approx(whole, rel=TOLERANCE)

    state = torch.load(tmp_path / "first" / "last.ckpt", weights_only=True)
    assert state["step"] == 4
    train(recipe(data, tmp_path / "r.yaml"), tmp_path / "first", device="cpu")  # two ranks before, one now
    later = {step: loss for step, loss in losses(tmp_path / "first").items() if step > 4}
    assert sorted(later) == [5, 6, 7, 8]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
