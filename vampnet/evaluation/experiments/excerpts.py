"""Choice of excerpts for an evaluation: by seed, spread over pieces, none from a piece that was trained on."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vampnet.audio.files import Samples, changed, probe, resample
from vampnet.audio.folders import ENDINGS, audio_files_in
from vampnet.audio.units import seconds_to_samples
from vampnet.config import check
from vampnet.errors import AudioError, CorpusError
from vampnet.models.weights import sha256_of
from vampnet.storage import parse_json, read_text

SILENT = 1e-3
"""Peak amplitude below which an excerpt counts as silent and is left out (-60 dBFS)."""
INDEX = "index.jsonl"
MAX_LIST_BYTES = 1 << 30
"""Longest list of training music."""
PIECE_KEYS, ARTIST_KEYS = ("piece", "title"), ("artist", "composer")
"""Keys in a line of an index for the piece and its artist."""


@dataclass(frozen=True)
class EvaluationExcerpt:
    """Excerpt of a file."""

    path: str
    digest: str
    """SHA-256 of the file, first 16 hex digits."""
    start_s: float
    length_s: float

    @property
    def name(self) -> str:
        """File name and start, for reports."""
        return f"{Path(self.path).name} at {self.start_s:g} s"


@dataclass(frozen=True)
class Disjointness:
    """Result of the check that no evaluated piece was trained on."""

    training: str
    """The list or folder; empty: nothing was given, so nothing was checked."""
    n_training: int = 0
    """Pieces in it."""
    n_pieces: int = 0
    """Pieces that are evaluated."""
    compared: tuple[str, ...] = ()
    """Kinds of marks that were compared, such as "sha256" and "seed"."""

    def __str__(self) -> str:
        if not self.training:
            return "not checked: no training list was given (--training)"
        how = ", ".join(self.compared) or "nothing in common to compare by"
        return (
            f"{self.n_pieces} pieces against {self.n_training} of {self.training}, compared by {how}: none is in both"
        )


def choose_excerpts(
    folder: str | Path, n: int, length_s: float, seed: int, at_most: bool = False
) -> list[EvaluationExcerpt]:
    """`n` excerpts of a folder: first one of each file, in an order drawn by seed, then a second one of each, ...

    They do not overlap, and a larger `n` only adds to the list. Files that are too short are left out, and excerpts
    that are silent. `at_most`: take what there is when there are fewer. Raises CorpusError for too few, AudioError for
    a file that cannot be read.
    """
    check("excerpts", n, 1, 10**6)
    check("excerpt length", length_s, 1.0, 60.0)
    files = audio_files_in(folder)
    rng = np.random.default_rng(np.random.SeedSequence((seed, 0)))
    order = [files[k] for k in rng.permutation(len(files))]
    counts = {path: int(probe(path).duration_s / length_s + 1e-9) for path in order}
    waiting = deque(_find_sounding(path, rng.permutation(counts[path]), length_s) for path in order)
    chosen: list[EvaluationExcerpt] = []
    while waiting and len(chosen) < n:
        places = waiting.popleft()
        if (excerpt := next(places, None)) is not None:
            chosen.append(excerpt)
            waiting.append(places)
    if not chosen or (len(chosen) < n and not at_most):
        raise CorpusError(
            f"{folder}: {n} excerpts of {length_s:g} s are asked for, but its {len(files)} files hold {len(chosen)}; "
            "ask for fewer or shorter ones, or give more audio"
        )
    return chosen


def _find_sounding(path: Path, slots: Sequence[int] | np.ndarray, length_s: float) -> Iterator[EvaluationExcerpt]:
    """Excerpts of a file in this order, silent ones left out."""
    digest = sha256_of(path)[:16]
    for slot in slots:
        excerpt = EvaluationExcerpt(str(path), digest, round(int(slot) * length_s, 3), length_s)
        if float(np.abs(read_excerpt(excerpt)[0]).max()) >= SILENT:
            yield excerpt


def read_excerpt(excerpt: EvaluationExcerpt, sample_rate_hz: int | None = None) -> tuple[Samples, int]:
    """The excerpt mixed to mono (1, S), at its own rate or another one, and the rate."""
    try:
        with soundfile.SoundFile(excerpt.path) as file:
            rate_hz = file.samplerate
            file.seek(seconds_to_samples(excerpt.start_s, rate_hz))
            n = seconds_to_samples(excerpt.length_s, rate_hz)
            samples = file.read(n, dtype="float32", always_2d=True).mean(axis=1)[None]
    except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
        raise AudioError(f"{excerpt.path}: cannot be read any more ({error})") from None
    if sha256_of(Path(excerpt.path))[:16] != excerpt.digest:  # under which results are kept
        raise changed(excerpt.path)
    padded = np.pad(samples, ((0, 0), (0, n - samples.shape[1])))
    target_hz = sample_rate_hz or rate_hz
    return resample(padded, rate_hz, target_hz), target_hz


def check_disjoint(excerpts: list[EvaluationExcerpt], training: str | Path | None) -> Disjointness:
    """Make sure that no piece (nor artist, where both sides name them) was trained on.

    `training`: a folder of audio, with or without an `index.jsonl`; an `index.jsonl`; or a text file with a SHA-256 or
    a file name on each line. Raises CorpusError naming what is in both.
    """
    if training is None:
        return Disjointness("")
    known = _marks_of_training(Path(training))
    evaluated = {path: _marks(Path(path), digest) for path, digest in {(e.path, e.digest) for e in excerpts}}
    shared = sorted(f"{Path(path).name} ({mark})" for path, marks in evaluated.items() for mark in marks & set(known))
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise CorpusError(
            f"{', '.join(shared[:3])}{more}: in the training music {training} too; evaluate on other pieces"
        )
    kinds = {mark.split(":")[0] for mark in known} & {m.split(":")[0] for marks in evaluated.values() for m in marks}
    return Disjointness(str(training), _n_pieces(known), len(evaluated), tuple(sorted(kinds)))


def _n_pieces(known: dict[str, int]) -> int:
    return len(set(known.values()))


def _marks_of_training(path: Path) -> dict[str, int]:
    """Mark that identifies a training piece (digest, name, seed) -> number of the piece."""
    if path.is_dir():
        lines = _index(path / INDEX)
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
        if not files and not lines:
            raise CorpusError(f"{path}: holds neither audio nor {INDEX}; give a folder or list of the training music")
        return {m: k for k, file in enumerate(files) for m in _marks(file, sha256_of(file)[:16], lines)} or {
            m: k for k, line in enumerate(lines.values()) for m in _index_marks(line)
        }
    if not path.is_file():
        raise CorpusError(f"{path}: no such list or folder of training music")
    if path.suffix == ".jsonl":
        return {m: k for k, line in enumerate(_index(path).values()) for m in _index_marks(line)}
    rows = [row.strip() for row in read_text(path, CorpusError, MAX_LIST_BYTES).splitlines() if row.strip()]
    return {_mark_of_row(row): k for k, row in enumerate(rows)}


def _mark_of_row(row: str) -> str:
    is_hash = len(row) == 64 and all(c in "0123456789abcdef" for c in row)
    return f"sha256:{row[:16]}" if is_hash else f"name:{Path(row).name}"


def _marks(path: Path, digest: str, lines: dict[str, Any] | None = None) -> set[str]:
    line = (_index(path.parent / INDEX) if lines is None else lines).get(path.name)
    return {f"sha256:{digest}", f"name:{path.name}"} | (_index_marks(line) if line else set())


def _index_marks(line: dict[str, Any]) -> set[str]:
    marks = set()
    if {"split", "seed", "index"} <= line.keys():
        marks.add(f"seed:{line['split']}/{line['seed']}/{line['index']}")
    for kind, keys in (("piece", PIECE_KEYS), ("artist", ARTIST_KEYS)):
        marks |= {f"{kind}:{line[key]}" for key in keys if line.get(key)}
    return marks


def _index(path: Path) -> dict[str, Any]:
    """The lines of an index by file name; empty if there is none."""
    if not path.is_file():
        return {}
    try:
        lines = [parse_json(text) for text in read_text(path, CorpusError, MAX_LIST_BYTES).splitlines() if text.strip()]
        return {line["file"]: line for line in lines}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorpusError(f"{path}: not an index of music ({type(error).__name__}: {error})") from None


def excerpts_digest(excerpts: list[EvaluationExcerpt]) -> str:
    """Names a list of excerpts by content: files' hashes, starts and lengths, not where the files lie."""
    text = json.dumps([(e.digest, e.start_s, e.length_s) for e in excerpts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
