"""Corpora as token shards without audio on disk: pieces are made and encoded in one go, by all cores.

The shards are those of `vampnet.training.data.token_shards`. Piece i of a split is the piece i that
`synthcorpus.corpus` would write. It can be encoded in several versions, each with the next of left, right and mid,
and all but the first played up to MAX_SEMITONES faster or slower, which moves tempo, key and timbre together and
costs a fraction of a new piece. All of it is a function of split, seed and settings: whatever stops a run, the same
command goes on to the same bytes.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from synthcorpus.corpus import CorpusConfig, PieceSource, check_request, claim, plan
from synthcorpus.splits import piece_seed
from vampnet.audio.files import resample
from vampnet.audio.loudness import gain_to, measure
from vampnet.codec.base import Codec
from vampnet.controls.signals import Controls
from vampnet.errors import CorpusError
from vampnet.models.bundle import load_codec
from vampnet.storage import locked
from vampnet.training.data.shard_controls import version_controls
from vampnet.training.data.token_shards import beat_frames, read_header, shard_header, write_shard
from vampnet.training.data.wave_dataset import one_channel

PIECES_PER_SHARD = 16
MAX_SEMITONES = 4.0
MAX_VERSIONS = 12


@dataclass(frozen=True)
class TokenCorpus:
    """Settings of a token corpus; with the codec's weights they determine every token."""

    bundle: str
    """Bundle whose codec encodes."""
    material: PieceSource
    """Source of the pieces."""
    split: str
    seed: int
    versions: int
    """Number of versions that each piece is encoded in, 1 to MAX_VERSIONS."""
    controls: bool = False
    """The shards carry controls beside the codes."""


@dataclass(frozen=True)
class TokenReport:
    """Report of a run that wrote a token corpus."""

    hours: float
    """Tokens in the folder, of all runs."""
    made_hours: float
    """Hours of tokens made by this run."""
    elapsed_s: float

    @property
    def hours_per_hour(self) -> float:
        """Hours of audio made per hour of run time."""
        return self.made_hours * 3600 / max(self.elapsed_s, 1e-9)


@dataclass(frozen=True)
class _Job:
    shard: int
    index: int


@dataclass(frozen=True, eq=False)
class _Encoded:
    """A piece in all its versions."""

    shard: int
    codes_TC: list[np.ndarray]
    """uint16 (frames, codebooks) of each version."""
    beats: list[list[float]]
    """Frames of each version's beats."""
    controls: list[Controls]
    """Controls of each version; empty where none are wanted."""


def write_token_corpus(
    folder: str | Path,
    hours: float,
    bundle: str = "default",
    versions: int = 1,
    seed: int = 0,
    split: str = "train",
    workers: int | None = None,
    soundfont: str | None = None,
    settings: PieceSource | None = None,
    controls: bool = False,
    run: Callable[[Callable[[], PieceEncoder], Iterator[_Job]], Iterator[_Encoded]] | None = None,
) -> TokenReport:
    """Make `hours` of tokens, all versions together; shards that are there already are kept.

    Arguments are those of `synthcorpus.corpus.write_corpus`, and: bundle, whose codec encodes; versions of each piece,
    1 to MAX_VERSIONS; controls, whether the shards carry them (`shard_controls.py`); run, an engine in the place of the
    processes here. Raises CorpusError for bad arguments or a folder that holds other tokens.
    """
    settings = settings or CorpusConfig()
    if soundfont is not None:
        settings = settings.with_soundfont(str(soundfont))
    check_request(hours, seed, split, workers, settings)
    if not 1 <= versions <= MAX_VERSIONS:
        raise CorpusError(f"versions is {versions}, but must lie in 1 to {MAX_VERSIONS}")
    corpus, target = TokenCorpus(bundle, settings, split, seed, versions, controls), Path(folder)
    codec = load_codec(bundle)
    spread = run or functools.partial(_here, workers=workers or os.cpu_count() or 1)
    with locked(target, CorpusError, "corpus"):
        return _write(corpus, codec, target, hours, functools.partial(spread, functools.partial(PieceEncoder, corpus)))


def _write(corpus: TokenCorpus, codec: Codec, target: Path, hours: float, run: _RunPieces) -> TokenReport:
    settings, split, seed, versions = corpus.material, corpus.split, corpus.seed, corpus.versions
    described = {"split": split, "seed": seed, "codec_id": codec.id, "versions": versions, **settings.described()}
    described |= {"controls": True} if corpus.controls else {}  # folders without them are described as they always were
    claim(target, described)
    groups = _groups(plan(hours / versions, seed, split, settings))
    started, done_frames, made_frames = time.monotonic(), 0, 0
    with tqdm(total=round(hours, 2), unit="h of tokens", file=sys.stderr) as bar:
        for n_frames, is_new in _shards(corpus, target, groups, codec, run):
            done_frames += n_frames
            made_frames += n_frames * is_new
            made_h = round(n_frames / codec.frames_per_s / 3600, 4)
            bar.total = max(bar.total, bar.n + made_h)  # the last group may go beyond what was asked for
            bar.update(made_h)
    per_hour = codec.frames_per_s * 3600
    return TokenReport(done_frames / per_hour, made_frames / per_hour, time.monotonic() - started)


def _groups(planned: Iterator[tuple[int, float]]) -> Iterator[list[int]]:
    """Numbers of the pieces of each shard."""
    while group := [index for index, _ in itertools.islice(planned, PIECES_PER_SHARD)]:
        yield group


def _shards(
    corpus: TokenCorpus, target: Path, groups: Iterator[list[int]], codec: Codec, run: _RunPieces
) -> Iterator[tuple[int, bool]]:
    """Frames of each shard, and whether it was made now; those that are there are kept."""
    sizes: dict[int, list[int]] = {}
    there: list[int] = []

    def jobs() -> Iterator[_Job]:
        for number, group in enumerate(groups):
            header = read_header(target, number, codec)
            if header is not None and len(header["names"]) >= len(_names(corpus, group)):  # a last one may have grown
                there.append(header["n_frames"])
                continue
            sizes[number] = group
            yield from (_Job(number, index) for index in group)

    waiting: dict[int, list[_Encoded]] = {}
    for made in run(jobs()):
        group = sizes[made.shard]
        waiting.setdefault(made.shard, []).append(made)
        if len(waiting[made.shard]) == len(group):
            yield _write_group(corpus, target, group, waiting.pop(made.shard), codec), True
    yield from ((n_frames, False) for n_frames in there)


def _names(corpus: TokenCorpus, group: list[int]) -> list[str]:
    return [
        f"{corpus.split}-{corpus.seed}-{index:06d}.{version}" for index in group for version in range(corpus.versions)
    ]


def _write_group(corpus: TokenCorpus, target: Path, group: list[int], pieces: list[_Encoded], codec: Codec) -> int:
    names = _names(corpus, group)
    codes_TC, beats = ([x for piece in pieces for x in of(piece)] for of in (lambda p: p.codes_TC, lambda p: p.beats))
    starts = np.cumsum([0, *map(len, codes_TC)]).tolist()
    entries: list[dict[str, Any]] = [
        {"name": name, "start": start, "n_frames": len(codes), "beats": own}
        for name, start, codes, own in zip(names, starts, codes_TC, beats, strict=False)
    ]
    controls = [x for piece in pieces for x in piece.controls]
    write_shard(target, pieces[0].shard, shard_header(codec, names, entries, skipped=[]), codes_TC, controls)
    return starts[-1]


class PieceEncoder:
    """Makes and encodes pieces of a corpus; loads the codec when it is made."""

    def __init__(self, corpus: TokenCorpus) -> None:
        torch.set_num_threads(1)
        self._corpus, self._codec = corpus, load_codec(corpus.bundle)

    def __call__(self, job: _Job) -> _Encoded:
        """One piece in all its versions."""
        return encoded(self._corpus, self._codec, job)


_RunPieces = Callable[[Iterator[_Job]], Iterator[_Encoded]]
"""Makes the pieces of jobs, in their order."""
_maker: Callable[[_Job], _Encoded] | None = None


def _begin(make: Callable[[], PieceEncoder]) -> None:
    """State that a worker process keeps from piece to piece."""
    global _maker
    _maker = make()


def _here(make: Callable[[], PieceEncoder], jobs: Iterator[_Job], workers: int) -> Iterator[_Encoded]:
    """Encoded pieces in the order of the jobs, by processes of this machine."""
    if workers == 1:
        yield from map(make(), jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _begin, (make,)) as pool:
        yield from pool.imap(_make_piece, jobs)


def _make_piece(job: _Job) -> _Encoded:
    assert _maker is not None
    return _maker(job)


@torch.no_grad()
def encoded(corpus: TokenCorpus, codec: Codec, job: _Job) -> _Encoded:
    """One piece, made and encoded in all its versions."""
    audio, described = corpus.material.make(corpus.split, corpus.seed, job.index)
    rate_hz = corpus.material.sample_rate_hz
    gain = np.float32(gain_to(measure(audio, rate_hz)))
    result = _Encoded(job.shard, [], [], [])
    for version in range(corpus.versions):
        speed = speed_of(corpus, job.index, version)
        mono = resample(one_channel(audio, job.index + version), round(rate_hz * speed), codec.sample_rate_hz) * gain
        result.codes_TC.append(codec.encode(torch.from_numpy(mono))[0].T.cpu().numpy().astype(np.uint16))
        result.beats.append(beat_frames([beat_s / speed for beat_s in described.get("beats", [])], codec))
        if corpus.controls:
            size = (codec.sample_rate_hz, codec.hop, len(result.codes_TC[-1]))
            result.controls.append(version_controls(described, mono[0], *size, speed, job.index + version))
    return result


def speed_of(corpus: TokenCorpus, index: int, version: int) -> float:
    """Speed factor of a version: 1 for the first, else up to MAX_SEMITONES either way."""
    if version == 0:
        return 1.0
    drawn = np.random.default_rng(np.random.SeedSequence((*piece_seed(corpus.split, corpus.seed, index), 2, version)))
    return float(2 ** (drawn.uniform(-MAX_SEMITONES, MAX_SEMITONES) / 12))
