"""Other files that people hand on: performances, sets, tables of embeddings, tokens, requests, listening results."""

from __future__ import annotations

import functools
import io
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutate import mutated_bytes, mutated_json, mutated_json_text
from tests.support.listening import make_test, rated, result_of
from tests.support.looper import noise
from vampnet.apps.live.looper import Looper, LooperConfig
from vampnet.apps.live.performance import PerformanceRecord, replay
from vampnet.apps.live.sets import SET_FILE, capture_set, load_set, save_set
from vampnet.errors import SettingsError, VampnetError
from vampnet.evaluation.embedding_table import read_table
from vampnet.evaluation.listening.results import check_result, parse_result
from vampnet.generation.token_file import TokenFacts, read_tokens, write_tokens
from vampnet.jobs.request import GenerateRequest, VampRequest, request_from_json, request_to_json
from vampnet.storage import parse_json

CONFIG = LooperConfig(sample_rate_hz=8000, channels=1, delay=256)
ENTRIES = [[0, "do", 0, "tempo", 120], [64, "do", 64, "gain", -6, 1], [128, "do", 128, "record", 0, 1, 0], [300, "ask"]]
PERFORMANCE = {
    "version": 1,
    "looper": {"sample_rate_hz": 8000, "channels": 1, "delay": 256},
    "model": {},
    "model_id": "",
    "n_samples": 400,
    "entries": ENTRIES,
}


def _one_line(work: Any) -> Any:
    """The result of some work, or None after an error of one line."""
    try:
        return work()
    except VampnetError as error:
        assert "\n" not in str(error), str(error)
        return None


def performance(rng: random.Random, folder: Path) -> None:
    """A performance with hostile values: refused, or played within its length."""
    (folder / "show.json").write_bytes(mutated_json_text(PERFORMANCE, rng))
    record = _one_line(lambda: PerformanceRecord.load(folder / "show.json"))
    if record is None or record.n_samples > 1 << 20:
        return
    played = 0

    def write(block: Any) -> None:
        nonlocal played
        played += block.shape[1]

    def refuse(request: Any) -> Any:
        raise SettingsError("no model is here")

    channels = record.looper.channels
    _one_line(lambda: replay(record, lambda n: np.zeros((channels, n), np.float32), refuse, write, folder=folder))
    assert played <= record.n_samples


@functools.cache
def _set() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vampnet-fuzz-")) / "set"
    looper = Looper(CONFIG)
    looper.load(1, noise(8000, 0, 1))
    take = looper.track(1).current
    assert take is not None
    take.codes = np.zeros((1, 2, 9), np.int32)
    save_set(capture_set(looper), folder)
    return folder


def live_set(rng: random.Random, folder: Path) -> None:
    """A set whose JSON or tokens are damaged: refused, or brought back."""
    shutil.copytree(_set(), folder / "set")
    if rng.random() < 0.6:
        text = mutated_json_text(json.loads((_set() / SET_FILE).read_text()), rng)
        (folder / "set" / SET_FILE).write_bytes(text)
    else:
        path = rng.choice(sorted((folder / "set").glob("*.npz")))
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))
    _one_line(lambda: load_set(folder / "set", CONFIG))


@functools.cache
def _table() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    about = {b"vampnet": b'{"embedding": "mel", "bundle": "default", "id": "x", "excerpt_s": 2.0}'}
    vectors = pa.array([[0.5] * 4] * 40, pa.list_(pa.float32(), 4))
    table = pa.table({"file": [f"{k}.wav" for k in range(40)], "start_s": [0.0] * 40, "vector": vectors})
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(about), file)
    return file.getvalue()


def embedding_table(rng: random.Random, folder: Path) -> None:
    """Damaged Parquet: refused, or rows that belong together."""
    (folder / "e.parquet").write_bytes(mutated_bytes(_table(), rng))
    found = _one_line(lambda: read_table(folder / "e.parquet"))
    if found is not None:
        files, starts_s, vectors_ND, _ = found
        assert len(files) == len(starts_s) == len(vectors_ND) and np.isfinite(vectors_ND).all()


def token_file(rng: random.Random, folder: Path) -> None:
    """A damaged file of tokens: refused, or tokens of three axes."""
    path = folder / "a.tokens"
    write_tokens(path, np.arange(60).reshape(1, 3, 20), TokenFacts("0" * 16, 44100, 15000, 1.0, False))
    data = path.read_bytes()
    if rng.random() < 0.5:
        length = int.from_bytes(data[:8], "little")
        header = mutated_json_text(json.loads(data[8 : 8 + length]), rng)
        data = len(header).to_bytes(8, "little") + header + data[8 + length :]
    else:
        data = mutated_bytes(data, rng)
    path.write_bytes(data)
    found = _one_line(lambda: read_tokens(path))
    assert found is None or (found[1].ndim == 3 and found[1].min(initial=0) >= 0)


def request(rng: random.Random, folder: Path) -> None:
    """A request's JSON with hostile values: refused, or one that is written as it is read."""
    del folder
    data = request_to_json(rng.choice((VampRequest(input="a.wav", variations=2), GenerateRequest(seconds=3.0))))
    found = _one_line(lambda: request_from_json(mutated_json(data, rng)))
    if found is not None:
        assert request_from_json(request_to_json(found)) == found


@functools.cache
def _test() -> Any:
    return make_test(Path(tempfile.mkdtemp(prefix="vampnet-fuzz-")), "mushra")


def listening_result(rng: random.Random, folder: Path) -> None:
    """A participant's result with hostile values: refused, or complete."""
    del folder
    good = result_of(_test(), 1, rated(_test(), {one.condition: 50 for one in _test().stimuli}))
    text = mutated_json_text(good, rng)
    result = _one_line(lambda: parse_result(text))
    if result is not None:
        _one_line(lambda: check_result(_test(), result))


def strict_json(rng: random.Random, folder: Path) -> None:
    """Damaged JSON: refused, or what Python's own reader finds."""
    del folder
    text = mutated_bytes(json.dumps(PERFORMANCE).encode(), rng)
    try:
        found = parse_json(text)
    except (ValueError, RecursionError):
        return
    assert found == json.loads(text)


TARGETS = {
    "performance": performance,
    "live set": live_set,
    "embedding table": embedding_table,
    "token file": token_file,
    "request": request,
    "listening result": listening_result,
    "JSON": strict_json,
}
