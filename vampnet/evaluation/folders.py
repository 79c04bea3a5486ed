"""Folders of audio -> matched pairs and sets of embeddings. Files that cannot be read are named and left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vampnet.audio.files import read, resample
from vampnet.audio.folders import audio_files_in
from vampnet.audio.loudness import gain_to, measure
from vampnet.errors import AudioError
from vampnet.evaluation.embeddings.base import Embedding
from vampnet.evaluation.metrics.sets import EXCERPT_S, EmbeddedSet, SetBuilder

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


@dataclass(frozen=True)
class MatchedFiles:
    """Files of two folders, matched by their path in the folder without its ending."""

    pairs: tuple[tuple[str, Path, Path], ...]
    """(name, reference file, evaluated file), sorted by name."""
    only_reference: tuple[str, ...]
    """Names that the evaluated folder lacks."""
    only_evaluated: tuple[str, ...]


def audio_files_of(place: str | os.PathLike[str]) -> dict[str, Path]:
    """Name -> audio file: those of a folder, or a single file. Names are paths in the folder without their ending.

    Raises CorpusError for a folder that is missing or holds no audio, AudioError for two files of one name.
    """
    root = Path(place)
    if root.is_file():
        return {root.stem: root}
    found: dict[str, Path] = {}
    for path in audio_files_in(root):
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in found:
            raise AudioError(f"{root}: {found[name].name} and {path.name} have the same name; keep one of them")
        found[name] = path
    return found


def match(reference: str | os.PathLike[str], evaluated: str | os.PathLike[str]) -> MatchedFiles:
    """Pairs of equal names. Two single files are a pair whatever they are called.

    Raises AudioError when nothing matches.
    """
    ours, theirs = audio_files_of(reference), audio_files_of(evaluated)
    if Path(reference).is_file() and Path(evaluated).is_file():
        return MatchedFiles(((Path(evaluated).stem, Path(reference), Path(evaluated)),), (), ())
    names = sorted(ours.keys() & theirs.keys())
    if not names:
        raise AudioError(
            f"no file of {reference} has a counterpart of the same name in {evaluated}; metrics of pairs need "
            "matching names (endings may differ), fad and kad do not"
        )
    pairs = tuple((name, ours[name], theirs[name]) for name in names)
    return MatchedFiles(pairs, tuple(sorted(ours.keys() - theirs.keys())), tuple(sorted(theirs.keys() - ours.keys())))


def read_mono(
    path: str | os.PathLike[str], sample_rate_hz: int, target_lufs: float | None = None
) -> NDArray[np.float32]:
    """Mean of a file's channels at another rate, (S,), brought to `target_lufs` unless that is None."""
    audio = read(path)
    mono = resample(audio.samples.mean(axis=0, keepdims=True), audio.sample_rate_hz, sample_rate_hz)
    if target_lufs is not None:
        mono = mono * np.float32(gain_to(measure(mono, sample_rate_hz), target_lufs))
    return mono[0]


def read_pairs(
    matched: MatchedFiles,
    sample_rate_hz: int,
    target_lufs: float | None,
    unreadable: list[str],
    progress: Progress | None = None,
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """(name, reference, evaluated), mono; what cannot be read is appended to `unreadable`."""
    for number, (name, *paths) in enumerate(matched.pairs):
        try:
            one, other = (read_mono(path, sample_rate_hz, target_lufs) for path in paths)
        except AudioError as error:
            unreadable.append(str(error))
        else:
            yield name, one, other
        if progress is not None:
            progress("pairs", number + 1, len(matched.pairs))


def embed_files(
    files: Sequence[Path],
    embedding: Embedding,
    name: str,
    unreadable: list[str],
    *,
    excerpt_s: float = EXCERPT_S,
    progress: Progress | None = None,
) -> tuple[EmbeddedSet, tuple[int, ...]]:
    """The set of all files, one in memory at a time, and how many excerpts each gave (0: unreadable).

    Raises AudioError when none can be read.
    """
    builder, counts = SetBuilder(embedding, name, excerpt_s=excerpt_s), []
    for number, path in enumerate(files):
        before = builder.n_excerpts
        try:
            audio = read(path)
            builder.add(audio.samples, audio.sample_rate_hz)
        except AudioError as error:
            unreadable.append(str(error))
        counts.append(builder.n_excerpts - before)
        if progress is not None:
            progress(name, number + 1, len(files))
    if not builder.n_excerpts:
        raise AudioError(f"{name}: none of its {len(files)} audio files can be read; the first: {unreadable[-1]}")
    return builder.finish(), tuple(counts)
