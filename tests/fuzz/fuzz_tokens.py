"""Damaged token shards: one line, or the codes that were written."""

from __future__ import annotations

import functools
import json
import random
import tempfile
from pathlib import Path

import numpy as np

from tests.fuzz.mutate import mutated_bytes, mutated_json_text
from tests.support.tiny import tiny_codec
from vampnet.errors import CorpusError
from vampnet.training.data.token_dataset import open_tokens
from vampnet.training.data.token_shards import shard_header, write_shard

NAME = "shard-00000"


@functools.cache
def _shard() -> tuple[bytes, dict, np.ndarray]:
    """Data, header and codes of a shard."""
    codec, folder = tiny_codec(), Path(tempfile.mkdtemp(prefix="vampnet-fuzz-"))
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, codec.codebook_size, (n, codec.n_codebooks)) for n in (40, 60)]
    entries = [
        {"name": "a.wav", "start": 0, "n_frames": 40, "beats": [1.5, 20]},
        {"name": "b.wav", "start": 40, "n_frames": 60},
    ]
    write_shard(folder, 0, shard_header(codec, ["a.wav", "b.wav"], entries, []), codes)
    header = json.loads((folder / f"{NAME}.json").read_text())
    return (folder / f"{NAME}.u16").read_bytes(), header, np.concatenate(codes)


def shard_data(rng: random.Random, folder: Path) -> None:
    """Damaged codes are found by their SHA-256."""
    data, header, codes = _shard()
    (folder / f"{NAME}.u16").write_bytes(mutated_bytes(data, rng))
    (folder / f"{NAME}.json").write_text(json.dumps(header))
    if _opens(folder):
        assert np.array_equal(open_tokens(folder).shards[0], codes), "a damaged shard was read"


def shard_json(rng: random.Random, folder: Path) -> None:
    """A hostile header: one line, or crops that lie inside the shard."""
    data, header, _ = _shard()
    (folder / f"{NAME}.u16").write_bytes(data)
    (folder / f"{NAME}.json").write_bytes(mutated_json_text(header, rng))
    if _opens(folder):
        tokens = open_tokens(folder)
        assert tokens.batch((1,), 2, 50).max() < 65536
        tokens.batch_beats((1,), 2, 30)


def _opens(folder: Path) -> bool:
    try:
        open_tokens(folder)
    except CorpusError as error:
        assert "\n" not in str(error), str(error)
        return False
    return True


TARGETS = {"shard data": shard_data, "shard header": shard_json}
