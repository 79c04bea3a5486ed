"""Audio of a training session: workers that render without pause, and what trainers see of it meanwhile.

A piece is a file `KIND-INDEX.npy`, int16 samples (S,) of one channel at 44.1 kHz and INPUT_LUFS. Which pieces there are
at which moment depends on the machine; what piece i of a kind sounds like does not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthcorpus.corpus import CorpusConfig, PieceSource
from synthcorpus.diverse.pieces import DiverseConfig
from synthcorpus.diverse.speech import version
from vampnet.audio.loudness import gain_to, measure
from vampnet.errors import CorpusError, VampnetError
from vampnet.storage import make_folder, whole_file, write_whole
from vampnet.training.data.wave_dataset import DeviceWaves, WaveSet

KINDS = ("validation", "diverse", "music")
N_VALIDATION = 24
"""Held-out pieces of music; they are rendered first."""
SEED = 11
"""Seed of the training pieces; corpora of other seeds hold other pieces."""
EARLY_S = 90.0
"""For so long every second piece is diverse, later every fifth: codecs train first, and on diverse material."""
LEFT = "left"
"""Counter of the samples that are still wanted."""
BYTES_PER_SAMPLE = 2
MUSIC_PER_DIVERSE = 0.6
"""Music that codecs hear, over diverse material."""


def pieces(audio: Path, kind: str) -> list[Path]:
    """Finished pieces of a kind, in the order of their numbers."""
    return sorted(path for path in audio.glob(f"{kind}-*.npy") if not path.name.endswith(".partial.npy"))


def beats_beside(piece: Path) -> Path:
    """The file that says where the beats of a piece are, seconds."""
    return piece.with_suffix(".beats.json")


@contextlib.contextmanager
def rendering(
    audio: Path, soundfont: str | None, n_workers: int, seconds: float, hours: float
) -> Iterator[list[BaseProcess]]:
    """Worker processes that render into `audio`, after what is there already. They are ended with the context.

    They stop once there are `hours` of audio to train on, or after `seconds`.
    """
    make_folder(audio, CorpusError)
    context = multiprocessing.get_context("spawn")
    counters = {kind: context.Value("q", _next_number(audio, kind)) for kind in KINDS}
    there = sum(path.stat().st_size for kind in KINDS[1:] for path in pieces(audio, kind)) // BYTES_PER_SAMPLE
    counters[LEFT] = context.Value("q", int(hours * 3600 * CorpusConfig().sample_rate_hz) - there)
    until = time.time() + seconds
    workers: list[BaseProcess] = [
        context.Process(target=say_error, args=(_render, worker, counters, str(audio), soundfont, until), daemon=True)
        for worker in range(n_workers)
    ]
    for process in workers:
        process.start()
    try:
        yield workers
    finally:
        for process in workers:
            process.terminate()


def _next_number(audio: Path, kind: str) -> int:
    there = pieces(audio, kind)
    return int(there[-1].stem.rpartition("-")[2]) + 1 if there else 0


def say_error(work: Callable[..., None], *arguments: Any) -> None:
    """Do the work of a process; an error that a user can mend is one line on stderr and exit code 2."""
    try:
        work(*arguments)
    except VampnetError as error:
        print(f"vampnet: error: {work.__name__.strip('_')}: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    except KeyboardInterrupt:  # the first process says what it means
        sys.exit(130)


def _render(worker: int, counters: dict[str, Any], audio: str, soundfont: str | None, until: float) -> None:
    os.nice(15)  # trainers, which share the machine, come first
    torch.set_num_threads(1)
    music: PieceSource = CorpusConfig()
    diverse: PieceSource = DiverseConfig(espeak_ng=version())
    if soundfont is not None:
        music, diverse = music.with_soundfont(soundfont), diverse.with_soundfont(soundfont)
    started, turn = time.time(), worker
    while time.time() < until and counters[LEFT].value > 0:
        turn += 1
        kind = "diverse" if turn % (2 if time.time() < started + EARLY_S else 5) == 0 else "music"
        if counters["validation"].value < N_VALIDATION:
            kind = "validation"
        with counters[kind].get_lock():
            index = counters[kind].value
            counters[kind].value += 1
        made, described = (diverse if kind == "diverse" else music).make(*_seed(kind), index)
        path = Path(audio) / f"{kind}-{index:06d}.npy"
        write_whole(beats_beside(path), json.dumps(described.get("beats", [])), CorpusError)
        _write(path, made, index)
        if kind != "validation":
            with counters[LEFT].get_lock():
                counters[LEFT].value -= made.shape[1]


def _seed(kind: str) -> tuple[str, int]:
    return ("validation", 0) if kind == "validation" else ("train", SEED)


def _write(path: Path, made: np.ndarray, index: int) -> None:
    gain = gain_to(measure(made, CorpusConfig().sample_rate_hz))
    mono = (made[0], made[1], made.mean(axis=0))[index % 3] * np.float32(gain)  # as `data.waves.levelled_channel`
    with whole_file(path, CorpusError) as temporary, open(temporary, "wb") as file:
        np.save(file, np.round(np.clip(mono, -1, 1) * 32767).astype(np.int16))


class GrowingWaves:
    """Crops of diverse pieces and of some music (MUSIC_PER_DIVERSE), on a device; new pieces join every few seconds."""

    def __init__(self, audio: Path, device: torch.device, every_s: float = 8.0) -> None:
        self.audio, self.device = audio, device
        self.length = {"diverse": 0, "music": 0}
        """Samples of each kind."""
        self._seen: set[str] = set()
        self._set = DeviceWaves(
            WaveSet(np.zeros(0, np.int16), np.zeros(1, np.int64)), torch.zeros(0, dtype=torch.int16)
        )
        self.grow()
        threading.Thread(target=self._keep_growing, args=(every_s,), daemon=True).start()

    def grow(self) -> None:
        """Take in what has been finished."""
        fresh = []
        for kind in self.length:
            for path in pieces(self.audio, kind):
                enough = kind == "music" and self.length["music"] > MUSIC_PER_DIVERSE * self.length["diverse"]
                if path.name not in self._seen and not enough:
                    self._seen.add(path.name)
                    fresh.append(np.load(path))
                    self.length[kind] += len(fresh[-1])
        if fresh:
            starts = np.concatenate([self._set.source.starts, [0] * len(fresh)])
            starts[-len(fresh) :] = starts[-len(fresh) - 1] + np.cumsum([len(samples) for samples in fresh])
            joined = torch.from_numpy(np.concatenate(fresh)).to(self.device)
            whole = torch.cat([self._set.samples_S.to(self.device), joined])
            self._set = DeviceWaves(dataclasses.replace(self._set.source, starts=starts), whole)

    def _keep_growing(self, every_s: float) -> None:
        while True:
            time.sleep(every_s)
            self.grow()

    def batch(self, seed: tuple[int, ...], batch_size: int, n_samples: int, jitter_db: float) -> Tensor:
        """A batch of crops, see `DeviceWaves.batch`."""
        return self._set.batch(seed, batch_size, n_samples, jitter_db)


def held_out_waves(audio: Path) -> WaveSet:
    """The validation pieces."""
    held_out = [np.load(path) for path in pieces(audio, "validation")[:N_VALIDATION]]
    starts = np.cumsum([0, *(len(samples) for samples in held_out)])
    return WaveSet(np.concatenate(held_out), starts)
