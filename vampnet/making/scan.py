"""A folder of audio, scanned: what can be read, what is there twice, what belongs together, what is held out.

Whole groups are held out, never single files of one: a group holds what one artist made, or one folder, and all copies
of one recording. So no figure of held-out music gains from music that was trained on.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.audio.files import AudioReader
from vampnet.audio.folders import list_audio
from vampnet.errors import AudioError, CorpusError
from vampnet.storage import sha256_of_file

_BLOCK = 1024
MIN_FILE_S = 1.0
"""Shorter files are left out: a training crop would be many repeats of them."""
ENVELOPE_S = 0.25
"""Step of the level envelope by which copies in other codings are known."""
LIKE_S, LIKE_DB, LIVELY_DB = 8.0, 0.5, 1.5
"""Files of at least this length, whose envelopes differ by no more than this on average and vary by more than that, are
taken for one recording."""
SILENT = 1e-5
"""Files whose samples all stay below this, of full scale, are silence."""


@dataclass(frozen=True)
class ScannedFile:
    """A file that can be used."""

    name: str
    """Path below the folder."""
    digest: str
    """SHA-256 of the file."""
    sound: str
    """SHA-256 of its samples: equal for copies with other tags."""
    envelope_db: tuple[float, ...]
    """Level of each quarter of a second, dB."""
    seconds: float
    artist: str
    """Artist that its tags name; empty where they name none."""
    group: str = ""
    """Name of the group that is held out or trained on as one."""
    held_out: bool = False


@dataclass(frozen=True)
class Inventory:
    """Content of a folder."""

    files: tuple[ScannedFile, ...]
    left_out: tuple[str, ...]
    """Files that cannot be used, each with its cause."""
    grouped_by: str
    """Reason for a group, in words."""

    @property
    def train(self) -> tuple[ScannedFile, ...]:
        """Files to train on."""
        return tuple(one for one in self.files if not one.held_out)

    @property
    def held_out(self) -> tuple[ScannedFile, ...]:
        """Files that training never sees."""
        return tuple(one for one in self.files if one.held_out)

    def hours(self, files: Iterable[ScannedFile] | None = None) -> float:
        """Length of some files (default: all), hours."""
        return sum(one.seconds for one in (self.files if files is None else files)) / 3600

    def describe(self) -> list[str]:
        """Lines for the user."""
        n_groups = len({one.group for one in self.files})
        lines = [f"{_count(self.files)}, {_duration(self.hours())}, {n_groups} groups ({self.grouped_by})"]
        if self.held_out:
            held = f"{_count(self.held_out)}, {_duration(self.hours(self.held_out))}"
            lines.append(f"train on {_duration(self.hours(self.train))}, held out: {held}")
        else:
            lines.append("one recording: its last part is held out, so figures are of music that resembles the rest")
        return lines + [f"left out: {line}" for line in self.left_out]


def _count(files: Sequence[ScannedFile]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def scan(
    folder: str | Path,
    held_out: float = 0.1,
    seed: int = 0,
    known: dict[str, dict[str, Any]] | None = None,
    say: Callable[[int, int], None] | None = None,
) -> Inventory:
    """Read every audio file below a folder once, and decide what is held out.

    held_out: share of the sound that is held out, in whole groups, 0 to 0.5.
    known: what an earlier scan found, by SHA-256 of the file; such files are not decoded again. It is added to.
    say: told how many files were looked at, and how many there are.

    Raises CorpusError when no file can be used.
    """
    found = list_audio(folder)
    left_out = [f"{one.path.relative_to(folder)}: {one.reason}" for one in found.left_out]
    known = {} if known is None else known
    files, sounds = [], {}
    for number, path in enumerate(found.files):
        if say is not None:
            say(number, len(found.files))
        name = str(path.relative_to(folder))
        try:
            one = _look_at(path, name, known)
        except AudioError as error:
            left_out.append(str(error))
            continue
        if one.sound in sounds:
            left_out.append(f"{name}: the same sound as {sounds[one.sound]}")
            continue
        sounds[one.sound] = name
        files.append(one)
    if not files:
        why = f"; {left_out[0]}" if left_out else ""
        raise CorpusError(f"{folder}: holds no audio that can be trained on{why}")
    names, grouped_by = _groups(files)
    chosen = _held_out_groups(files, names, held_out, seed)
    return Inventory(
        tuple(_placed(one, group, group in chosen) for one, group in zip(files, names, strict=True)),
        tuple(left_out),
        grouped_by,
    )


def _placed(one: ScannedFile, group: str, held_out: bool) -> ScannedFile:
    return dataclasses.replace(one, group=group, held_out=held_out)


def _look_at(path: Path, name: str, known: dict[str, dict[str, Any]]) -> ScannedFile:
    """Decode a file once, unless it is known. Raises AudioError for one that cannot be used."""
    digest = sha256_of_file(path, AudioError)
    if digest not in known:
        try:
            known[digest] = _decode(path)
        except AudioError as error:
            known[digest] = {"error": str(error).replace(str(path), "{name}")}
    facts = known[digest]
    if "error" in facts:
        raise AudioError(str(facts["error"]).replace("{name}", name))
    if facts["seconds"] < MIN_FILE_S:
        raise AudioError(f"{name}: {facts['seconds']:.2f} s are too short; {MIN_FILE_S:g} s is the least")
    if facts["peak"] < SILENT:
        raise AudioError(f"{name}: is silent")
    return ScannedFile(name, digest, facts["sound"], tuple(facts["envelope_db"]), facts["seconds"], facts["artist"])


def _decode(path: Path) -> dict[str, Any]:
    """Length, peak, digest of the samples and artist of a file."""
    digest, n_samples, peak, powers = hashlib.sha256(), 0, 0.0, list[np.ndarray]()
    envelope_db: list[float] = []
    with AudioReader(path) as reader:
        for block in reader:
            digest.update(np.ascontiguousarray(block.T, dtype=np.float32).tobytes())
            powers.append((block.astype(np.float32) ** 2).mean(axis=0))
            envelope_db += _levels_db(powers, max(int(ENVELOPE_S * reader.info.sample_rate_hz), 1))
            n_samples += block.shape[1]
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
        artist = reader.info.metadata.tags.get("artist", "").strip()
        rate_hz = reader.info.sample_rate_hz
    found: dict[str, Any] = {"seconds": n_samples / rate_hz, "peak": peak, "sound": digest.hexdigest()}
    return {**found, "artist": artist, "envelope_db": envelope_db}


def _levels_db(waiting: list[np.ndarray], n_samples: int) -> list[float]:
    """Levels of whole steps of `n_samples`; what is left of the power waits for the next block."""
    power = np.concatenate(waiting)
    n_steps = len(power) // n_samples
    means = power[: n_steps * n_samples].reshape(n_steps, n_samples).mean(axis=1)
    waiting[:] = [power[n_steps * n_samples :]]
    return [round(float(level), 1) for level in 10 * np.log10(means + 1e-10)]


def _groups(files: Sequence[ScannedFile]) -> tuple[list[str], str]:
    """The group of each file, and what makes a group: artist and folder where they tell files apart, else the file."""
    folders = [str(Path(one.name).parent) for one in files]
    keys: list[list[str]] = [[] for _ in files]
    words = []
    if len({one.artist for one in files if one.artist}) > 1:
        words.append("artist")
        for key, one in zip(keys, files, strict=True):
            key += [f"artist {one.artist.casefold()}"] if one.artist else []
    if len(set(folders)) > 1:
        words.append("folder")
        for key, place in zip(keys, folders, strict=True):
            key += [f"folder {place}"] if place != "." else []
    names, alike = [one.name for one in files], _alike(files)
    joined = _join([[*own, *same] for own, same in zip(keys, alike, strict=True)], names)
    if words and len(set(joined)) > 1:
        return joined, f"by {' and '.join(words)}"
    return _join(alike, names), "each recording is one: neither artists nor folders tell them apart"


def _alike(files: Sequence[ScannedFile]) -> list[list[str]]:
    """Keys that copies of one recording share, such as an MP3 and a WAV of it."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for k, one in enumerate(files):
        if len(one.envelope_db) >= LIKE_S / ENVELOPE_S:
            by_length[len(one.envelope_db)].append(k)
    keys: list[list[str]] = [[] for _ in files]
    for length, own in by_length.items():
        others = [k for longer in range(length, length + 3) for k in by_length.get(longer, ())]
        for k, other in _candidates(files, own, others, length):
            if _is_like(files[k].envelope_db, files[other].envelope_db):
                keys[k].append(f"recording {files[k].name}")
                keys[other].append(f"recording {files[k].name}")
    return keys


def _candidates(
    files: Sequence[ScannedFile], own: Sequence[int], others: Sequence[int], length: int
) -> Iterator[tuple[int, int]]:
    """Pairs whose envelopes are near each other, by one matrix product per block: ten thousand files take seconds."""
    shapes = _shapes(files, others, length)
    square = (shapes**2).sum(axis=1)
    for start in range(0, len(own), _BLOCK):
        block = own[start : start + _BLOCK]
        rows = _shapes(files, block, length)
        distance = (rows**2).sum(axis=1)[:, None] + square - 2 * rows @ shapes.T
        for row, column in zip(*np.nonzero(distance < length * (4 * LIKE_DB) ** 2), strict=True):
            if block[row] < others[column] or len(files[others[column]].envelope_db) > length:
                yield block[row], others[column]


def _shapes(files: Sequence[ScannedFile], chosen: Sequence[int], length: int) -> np.ndarray:
    levels = np.maximum(np.array([files[k].envelope_db[:length] for k in chosen], dtype=np.float32), -60.0)
    return levels - levels.mean(axis=1, keepdims=True)


def _is_like(one_db: Sequence[float], other_db: Sequence[float]) -> bool:
    """Whether two envelopes are of one recording, at any level."""
    n = min(len(one_db), len(other_db))
    if n < LIKE_S / ENVELOPE_S:
        return False
    one, other = np.maximum(one_db[:n], -60.0), np.maximum(other_db[:n], -60.0)
    if min(one.std(), other.std()) < LIVELY_DB:
        return False
    return bool(np.abs(one - one.mean() - other + other.mean()).mean() < LIKE_DB)


def _join(keys: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
    """One name per file; files that share a key, directly or through others, share it."""
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for name, own in zip(names, keys, strict=True):
        for key in own:
            one, other = sorted((find(f"file {name}"), find(key)), reverse=True)
            parent[one] = other
    return [find(f"file {name}") for name in names]


def _held_out_groups(files: Sequence[ScannedFile], groups: Sequence[str], share: float, seed: int) -> set[str]:
    """Groups to hold out: about `share` of the sound, small groups first to be tried, at least one, never all."""
    seconds: dict[str, float] = defaultdict(float)
    for one, group in zip(files, groups, strict=True):
        seconds[group] += one.seconds
    if len(seconds) < 2 or share <= 0:
        return set()
    order = np.random.default_rng(seed).permutation(len(seconds))
    names, wanted, chosen = sorted(seconds), share * sum(seconds.values()), set[str]()
    for k in order:
        left = wanted - sum(seconds[name] for name in chosen)
        if seconds[names[k]] <= left * 1.5:
            chosen.add(names[k])
        if left <= 0:
            break
    return chosen or {min(seconds, key=lambda name: (seconds[name], name))}
