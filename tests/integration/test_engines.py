"""Tasks in a pool of processes and on Ray: the same shards as here; killed workers; what a task raises."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.squares import Square
from tests.support.tiny import tiny_codec, tone
from tests.support.trials import trial
from vampnet.audio.files import write
from vampnet.errors import CorpusError, JobError
from vampnet.jobs.pool import run_in_pool
from vampnet.jobs.ray import run_on_ray
from vampnet.models.bundle import load_codec, save_bundle
from vampnet.training.data import token_shards
from vampnet.training.data.token_shards import ShardMaker, tokenize


def test_results_come_in_order_and_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    make = functools.partial(Square, str(tmp_path))
    assert list(run_in_pool(make, [3, 1, -2, 4, 5], 2)) == [9, 1, 4, 16, 25]
    assert (tmp_path / "died").exists()
    results = run_in_pool(make, iter([1, 13, 2]), 1)
    assert next(results) == 1
    with pytest.raises(CorpusError, match="unlucky"):
        next(results)


@trial
def test_a_task_that_kills_each_worker_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="ended 3 times"):
        list(run_in_pool(functools.partial(Square, str(tmp_path)), [-1, 2], 1))


def tokens_by(engine: str, folder: Path, target: Path) -> None:
    make: Callable[[], ShardMaker] = functools.partial(ShardMaker, str(folder / "codec"))
    run = {"pool": lambda tasks: run_in_pool(make, tasks, 2), "ray": lambda tasks: run_on_ray(make, tasks, 2)}.get(
        engine
    )
    tokenize(folder / "audio", target, load_codec(folder / "codec"), run=run)


@pytest.mark.parametrize("engine", ["pool", "ray"])
def test_shards_are_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    monkeypatch.setattr(token_shards, "FILES_PER_SHARD", 1)
    (tmp_path / "audio").mkdir()
    for k in range(3):
        write(tmp_path / "audio" / f"{k}.wav", tone(0.4, seed=k))
    (tmp_path / "audio" / "broken.wav").write_bytes(b"RIFF nothing more")
    save_bundle(tmp_path / "codec", tiny_codec())
    for how in ("here", engine):
        tokens_by(how, tmp_path, tmp_path / how)
    here = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert here == {path.name: path.read_bytes() for path in (tmp_path / engine).iterdir()}
    assert len(here) == 9 and b"broken.wav" in here["skipped.txt"]
