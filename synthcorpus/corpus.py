"""Writes a corpus of composed music or of diverse material: FLAC files and `index.jsonl`, one JSON line per piece.

Piece i of a split is a function of (split, seed, i) and the settings alone: not of the number of workers, nor of
which pieces exist already. The splits' seeds differ in their first number, so no piece is in two splits. Settings say
what a piece is (`PieceSource`): `CorpusConfig` composed music, `synthcorpus.diverse.pieces.DiverseConfig` all else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from synthcorpus.compose.piece import ComposeConfig, Piece, compose
from synthcorpus.errors import CompositionError
from synthcorpus.files import guarded, locked, make_folder, remove_left_over, whole_file, write_text
from synthcorpus.render.render import RenderConfig, n_samples, render
from synthcorpus.splits import SPLITS, piece_seed
from synthcorpus.synth.soundfont import load
from synthcorpus.truth import describe_truth

INDEX_NAME = "index.jsonl"
_SETTINGS_NAME = "corpus.json"


class PieceSource(Protocol):
    """Source of a corpus's pieces: a frozen dataclass of settings that makes them."""

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate, Hz."""
        ...

    @property
    def soundfont(self) -> str | None:
        """Path of a General MIDI sound font, or None."""
        ...

    def n_samples(self, split: str, seed: int, index: int) -> int:
        """Length of a piece, known without making it."""
        ...

    def make(self, split: str, seed: int, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """A piece, float32 (2, samples), and what the index says of it apart from file, seed and duration."""
        ...

    def with_soundfont(self, path: str) -> PieceSource:
        """The same with a sound font."""
        ...

    def described(self) -> dict[str, Any]:
        """All settings for corpus.json, the sound font by its file name alone."""
        ...


@dataclass(frozen=True)
class CorpusConfig:
    """Settings of composed music; with split and seed they determine every piece."""

    compose: ComposeConfig = field(default_factory=ComposeConfig)
    """Settings of the composer."""
    render: RenderConfig = field(default_factory=RenderConfig)
    """Settings of rendering."""

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate, Hz."""
        return self.render.sample_rate_hz

    @property
    def soundfont(self) -> str | None:
        """Path of the sound font, or None."""
        return self.render.soundfont

    def n_samples(self, split: str, seed: int, index: int) -> int:
        """Length of a piece."""
        return n_samples(compose(piece_seed(split, seed, index), self.compose), self.render)

    def make(self, split: str, seed: int, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Compose and render a piece; its audio, float32 (2, samples), and its line of the index."""
        drawn = piece_seed(split, seed, index)
        piece = compose(drawn, self.compose)
        rendered = render(piece, self.render, np.random.default_rng(np.random.SeedSequence((*drawn, 1))))
        return rendered.audio, {**describe(piece), "loudness_lufs": round(rendered.loudness_lufs, 2)}

    def with_soundfont(self, path: str) -> CorpusConfig:
        """The same with a sound font."""
        return dataclasses.replace(self, render=dataclasses.replace(self.render, soundfont=path))

    def described(self) -> dict[str, Any]:
        """All settings, the sound font by its file name alone."""
        told = dataclasses.asdict(self)
        told["render"]["soundfont"] = self.soundfont and Path(self.soundfont).name
        return told


@dataclass(frozen=True)
class _PieceJob:
    """One piece to be made by a worker process."""

    folder: str
    split: str
    seed: int
    index: int
    settings: PieceSource


def plan(hours: float, seed: int, split: str, settings: PieceSource) -> Iterator[tuple[int, float]]:
    """(index, duration_s) of the pieces of a corpus: the first ones whose durations sum to `hours` or more."""
    total_s, index = 0.0, 0
    while total_s < hours * 3600.0:
        duration_s = settings.n_samples(split, seed, index) / settings.sample_rate_hz
        yield index, duration_s
        total_s += duration_s
        index += 1


def write_corpus(
    folder: str | Path,
    hours: float,
    seed: int = 0,
    split: str = "train",
    workers: int | None = None,
    soundfont: str | None = None,
    settings: PieceSource | None = None,
) -> Path:
    """Make a corpus; finished pieces that are there already are kept.

    Args:
        folder: where to; made if missing. One folder holds one split of one seed with one set of settings.
        hours: length of all audio together, more than 0.
        seed: any integer from 0.
        split: train, validation or test.
        workers: processes; None for one per core.
        soundfont: path of a General MIDI sound font; None for that of `settings` (by default synthesis alone).
        settings: what the pieces are; None for composed music.

    Returns:
        The path of index.jsonl.

    Raises:
        CompositionError: bad arguments, a missing sound font, or a folder that holds another corpus.
    """
    settings = settings or CorpusConfig()
    if soundfont is not None:
        settings = settings.with_soundfont(str(soundfont))
    check_request(hours, seed, split, workers, settings)
    folder = Path(folder)
    make_folder(folder)
    with locked(folder):
        return _write_corpus(folder, hours, seed, split, workers, settings)


def _write_corpus(
    folder: Path, hours: float, seed: int, split: str, workers: int | None, settings: PieceSource
) -> Path:
    remove_left_over(folder)
    claim(folder, {"split": split, "seed": seed, **settings.described()})
    index_path = folder / INDEX_NAME
    done = {line["index"]: line for line in read_lines(index_path) if _is_whole(folder, line)}
    jobs = (
        _PieceJob(str(folder), split, seed, index, settings)
        for index, _ in plan(hours, seed, split, settings)
        if index not in done
    )
    started = time.monotonic()
    lines = _run(jobs, workers or os.cpu_count() or 1)
    made_s = _collect(lines, index_path, done, hours)
    write_text(index_path, "".join(json.dumps(done[index]) + "\n" for index in sorted(done)))
    elapsed_s = time.monotonic() - started
    total_h = sum(line["duration_s"] for line in done.values()) / 3600.0
    print(
        f"{len(done)} pieces, {total_h:.2f} h in {folder}; {made_s:.0f} s of audio made in {elapsed_s:.0f} s, "
        f"{made_s / max(elapsed_s, 1e-9):.0f} s of audio per second",
        file=sys.stderr,
    )
    return index_path


def _collect(lines: Iterator[dict[str, Any]], index_path: Path, done: dict[int, dict[str, Any]], hours: float) -> float:
    """Append lines to the index as pieces are finished, add them to `done`; returns the seconds of audio made."""
    from tqdm import tqdm

    before_s = sum(line["duration_s"] for line in done.values())
    made_s = 0.0
    bar = tqdm(total=round(hours * 3600), initial=round(before_s), unit="s of audio", file=sys.stderr, mininterval=1.0)
    with guarded(index_path), open(index_path, "a", encoding="utf-8") as index_file, bar:
        for line in lines:
            done[line["index"]] = line
            made_s += line["duration_s"]
            index_file.write(json.dumps(line) + "\n")
            index_file.flush()
            bar.total = max(bar.total, bar.n + round(line["duration_s"]))  # the last piece may go beyond
            bar.update(round(line["duration_s"]))
    return made_s


def check_request(hours: float, seed: int, split: str, workers: int | None, settings: PieceSource) -> None:
    """Raise CompositionError for arguments that no corpus can be made with."""
    if not 0.0 < hours < 1e6:
        raise CompositionError(f"hours is {hours}, but must be above 0")
    if seed < 0:
        raise CompositionError(f"seed is {seed}, but must be 0 or more")
    if split not in SPLITS:
        raise CompositionError(f"split {split!r} is unknown; it must be one of {', '.join(SPLITS)}")
    if workers is not None and workers < 1:
        raise CompositionError(f"workers is {workers}, but must be 1 or more (leave it out for one per core)")
    if settings.soundfont is not None and workers != 1:
        path = settings.soundfont
        if not Path(path).is_file():
            load(path, settings.sample_rate_hz)  # raises here what every worker would raise


def claim(folder: Path, described: dict[str, Any]) -> None:
    """Note in the folder what it holds, and refuse a folder that holds something else (CompositionError)."""
    text = json.dumps(described, indent=2, sort_keys=True) + "\n"
    path = folder / _SETTINGS_NAME
    if not path.exists():
        write_text(path, text)
        return
    with guarded(path, "read"):
        is_same = path.read_text(encoding="utf-8", errors="replace") == text
    if not is_same:
        raise CompositionError(f"{folder} holds a corpus made with other settings ({path}); choose another folder")


def _run(jobs: Iterator[_PieceJob], workers: int) -> Iterator[dict[str, Any]]:
    """Lines of finished pieces, in the order in which they are finished."""
    if workers == 1:
        yield from map(_make_piece, jobs)
        return
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_make_piece, jobs)


def _make_piece(job: _PieceJob) -> dict[str, Any]:
    """Make and write one piece; returns its line of the index."""
    import soundfile

    audio, described = job.settings.make(job.split, job.seed, job.index)
    name = f"{job.split}-{job.seed}-{job.index:06d}.flac"
    rate_hz, coded = job.settings.sample_rate_hz, io.BytesIO()
    soundfile.write(coded, audio.T, rate_hz, format="FLAC", subtype="PCM_16", compression_level=0.2)
    with whole_file(Path(job.folder) / name) as temporary:
        temporary.write_bytes(coded.getbuffer())
    digest = hashlib.sha256(coded.getbuffer()).hexdigest()
    loudness_lufs = described.pop("loudness_lufs")
    line = {"file": name, "sha256": digest, "split": job.split, "seed": job.seed, "index": job.index}
    return {**line, **described, "duration_s": audio.shape[1] / rate_hz, "loudness_lufs": loudness_lufs}


def describe(piece: Piece) -> dict[str, Any]:
    """Entry of the index about a piece's music."""
    return {
        "tempo_bpm": piece.tempo_bpm,
        "metre": piece.metre,
        "key": piece.key,
        "style": piece.style,
        "programs": [-1 if track.is_synth else track.program for track in piece.tracks],
        "tracks": [
            {"role": track.role, "program": track.program, "drums": track.is_drums, "synth": track.is_synth}
            for track in piece.tracks
        ],
        "beats": [round(beat, 4) for beat in piece.beat_times_s],
        "downbeats": [round(beat, 4) for beat in piece.downbeat_times_s],
        **describe_truth(piece),
    }


def _is_whole(folder: Path, line: dict[str, Any]) -> bool:
    """True if a piece of the index is there as it was made; of corpora of version 0.1 no digest is known."""
    path = folder / str(line.get("file"))
    if not ({"file", "index", "duration_s"} <= line.keys() and path.is_file()):
        return False
    with guarded(path, "read"):
        return line.get("sha256") in (None, hashlib.sha256(path.read_bytes()).hexdigest())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of an index; the last line of a run that was cut off may be broken and is left out."""
    if not path.is_file():
        return []
    lines = []
    with guarded(path, "read"):
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for text in texts:
        with contextlib.suppress(ValueError, RecursionError):
            line = json.loads(text)
            lines += [line] if isinstance(line, dict) else []
    return lines
