"""A folder of audio as token shards: what masked models train on.

A shard is a flat file of uint16 codes, frames x codebooks (`shard-00000.u16`), and a JSON beside it: the codec's id,
the number of codebooks, and the source, first frame and length of each file in it, and the frames of its beats if the
folder's index has them, and digests of the shard and of the files. A shard appears by renaming, so whatever is there
is whole, and an interrupted run goes on at the first shard that is missing. A shard that is damaged, or whose files or
beats have changed, is made again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from synthcorpus.corpus import INDEX_NAME, read_lines
from vampnet.codec.base import Codec
from vampnet.controls.signals import Controls
from vampnet.errors import AudioError, CorpusError
from vampnet.models.bundle import load_codec
from vampnet.storage import locked, sha256_of_file, whole_file, write_whole
from vampnet.training.data.duplicates import DuplicateIndex
from vampnet.training.data.recordings import CorpusRecording, find_recordings
from vampnet.training.data.shard_controls import control_path, describe_facts, hear_controls, pack_signals
from vampnet.training.data.shard_header import CONTROLS_FORMAT, check_shard_data, read_shard_header
from vampnet.training.data.wave_dataset import levelled_channel
from vampnet.work_folders import scratch_folder

FILES_PER_SHARD = 64
N_TURNS = 3
"""Ways of encoding a file that differ in channel and in where frames begin."""


@dataclass(frozen=True)
class TokenizeReport:
    """Report of a run that tokenised a folder."""

    n_files: int
    audio_s: float
    """Audio in the shards, seconds."""
    skipped: tuple[str, ...]
    """Files left out, each with its cause."""
    audio_s_per_s: float
    """Speed of this run; 0 when all was there already."""


@dataclass(frozen=True)
class ShardTask:
    """One shard that is to be there: made now, or found made from the same files."""

    target: str
    """Folder of the shards."""
    number: int
    names: tuple[str, ...]
    paths: tuple[str, ...]
    """Files of the recordings."""
    beats: dict[str, list[float]]
    """Beats of the recordings that have known ones, seconds."""
    turn: int
    controls: bool


@dataclass(frozen=True)
class ShardReport:
    """Outcome of a shard."""

    n_frames: int
    is_new: bool
    skipped: tuple[str, ...]


RunTasks = Callable[[Iterable[ShardTask]], Iterator[ShardReport]]
"""Makes the shards of tasks, in their order: here, in a pool of processes, or on a cluster."""


def tokenize_folder(
    audio_folder: str | Path, token_folder: str | Path, codec: Codec, turn: int = 0, controls: bool = False
) -> TokenizeReport:
    """Encode every file of a folder (left, right and mid in turn for stereo), levelled as the pipeline levels it.

    `turn` 1 and 2 encode the same music differently: the other channels of stereo files, and frames that begin a third
    or two of a hop later. Little music makes more training material so.
    With `controls` the shards carry what is heard in each file beside the codes (`shard_controls.py`).
    Resumes what is there, as far as it was made from these files' very bytes; files that cannot be read are skipped and
    listed in the report and in `skipped.txt`. Raises CorpusError when the folder holds no audio, when the shards there
    come from another codec or from files of other names, and when a file changes while it is read.
    """
    return tokenize(audio_folder, token_folder, codec, turn=turn, controls=controls)


def tokenize(
    source: str | Path,
    token_folder: str | Path,
    codec: Codec,
    *,
    turn: int = 0,
    controls: bool = False,
    deduplicate: bool = False,
    run: RunTasks | None = None,
) -> TokenizeReport:
    """Encode the recordings of any source that `recordings.py` knows, as `tokenize_folder` does those of a folder.

    With `deduplicate` recordings that repeat an earlier one, by their bytes or by their sound, are left out.
    `run` makes the shards; without it this process does, with `codec`.
    """
    with locked(token_folder, CorpusError, "folder of tokens"):
        return _tokenize(source, Path(token_folder), codec, turn, controls, deduplicate, run)


def _tokenize(
    source: str | Path,
    target: Path,
    codec: Codec,
    turn: int,
    controls: bool,
    deduplicate: bool,
    run: RunTasks | None,
) -> TokenizeReport:
    beats = _beats_of(Path(source)) if Path(source).is_dir() else {}
    started = time.monotonic()
    with (
        scratch_folder(CorpusError) as scratch,
        tqdm(desc="encoding", unit="file") as bar,
    ):
        plan = _ShardPlan(target, find_recordings(source, scratch), beats, turn, controls, deduplicate)
        reports = (run or (lambda tasks: (make_shard(task, codec, bar.update) for task in tasks)))(plan.tasks())
        done_frames, total_frames, skipped = 0, 0, list[str]()
        for report, task in zip(reports, plan, strict=False):
            bar.update(len(task.names) if run or not report.is_new else 0)
            total_frames += report.n_frames
            done_frames += report.n_frames * report.is_new
            skipped += report.skipped
    if any(path.exists() for path in _paths(target, plan.n_tasks)):
        raise CorpusError(f"{target}: its shards come from other files; use a new folder")
    skipped = plan.repeated + skipped
    write_whole(target / "skipped.txt", "".join(f"{line}\n" for line in skipped), CorpusError)
    if total_frames == 0:
        raise CorpusError(f"{source}: none of its {plan.n_recordings} audio files can be read")
    speed = done_frames / codec.frames_per_s / max(time.monotonic() - started, 1e-9)
    n_files = plan.n_recordings - len(skipped)
    return TokenizeReport(n_files, total_frames / codec.frames_per_s, tuple(skipped), speed)


class _ShardPlan:
    """Tasks of a corpus, made as they are asked for; iterated, the same tasks once their shards are there."""

    def __init__(
        self,
        target: Path,
        recordings: Iterator[CorpusRecording],
        beats: dict[str, list[float]],
        turn: int,
        controls: bool,
        deduplicate: bool,
    ) -> None:
        self._target, self._recordings, self._beats, self._turn, self._controls = (
            target, recordings, beats, turn, controls,
        )  # fmt: skip
        self._index = DuplicateIndex() if deduplicate else None
        self._waiting: deque[tuple[ShardTask, list[CorpusRecording]]] = deque()
        self.n_tasks, self.n_recordings = 0, 0
        self.repeated: list[str] = []

    def tasks(self) -> Iterator[ShardTask]:
        """The tasks, one per shard."""
        while group := list(itertools.islice(self._new_ones(), FILES_PER_SHARD)):
            names = tuple(one.name for one in group)
            beats = {name: self._beats[name] for name in names if name in self._beats}
            paths = tuple(str(one.path.absolute()) for one in group)
            task = ShardTask(str(self._target), self.n_tasks, names, paths, beats, self._turn, self._controls)
            self._waiting.append((task, group))
            self.n_tasks += 1
            yield task

    def __iter__(self) -> Iterator[ShardTask]:
        while self._waiting:
            task, group = self._waiting.popleft()
            for one in group:
                if one.is_temporary:
                    one.path.unlink(missing_ok=True)
            yield task

    def _new_ones(self) -> Iterator[CorpusRecording]:
        """Recordings that are not left out."""
        for one in self._recordings:
            self.n_recordings += 1
            reason = "" if self._index is None else self._index.find(one)
            if reason:
                self.repeated.append(reason)
                if one.is_temporary:
                    one.path.unlink(missing_ok=True)
            else:
                yield one


def make_shard(task: ShardTask, codec: Codec, advance: Callable[[], object] = lambda: None) -> ShardReport:
    """Make the shard of a task, unless it is there, made from the same bytes. Raises CorpusError."""
    files = [Path(path) for path in task.paths]
    made_from = {
        "files": {name: sha256_of_file(path, CorpusError) for name, path in zip(task.names, files, strict=True)},
        "beats": task.beats,
        "turn": task.turn,
        **({"controls": True} if task.controls else {}),  # shards without them are described as they always were
    }
    header = _existing(Path(task.target), task.number, list(task.names), made_from, codec)
    is_new = header is None
    if header is None:
        header = _write_shard(Path(task.target), task.number, files, made_from, codec, advance)
    return ShardReport(header["n_frames"], is_new, tuple(header["skipped"]))


class ShardMaker:
    """Makes shards with the codec of a bundle, which it loads once: what the processes of a pool or cluster run."""

    def __init__(self, bundle: str) -> None:
        torch.set_num_threads(1)
        self._codec = load_codec(bundle)

    def __call__(self, task: ShardTask) -> ShardReport:
        """Make one shard."""
        return make_shard(task, self._codec)


def _paths(target: Path, number: int) -> tuple[Path, Path]:
    return target / f"shard-{number:05d}.u16", target / f"shard-{number:05d}.json"


def read_header(target: Path, number: int, codec: Codec) -> dict | None:
    """Read a shard's JSON; None if it is not there or damaged. Raises CorpusError for one of another codec."""
    data_path, header_path = _paths(target, number)
    if not (header_path.exists() and data_path.exists()):
        return None
    try:
        header = read_shard_header(header_path)
        check_shard_data(header, data_path)
    except CorpusError as error:
        tqdm.write(f"made again: {error}", file=sys.stderr)
        return None
    if header["codec_id"] != codec.id:
        raise CorpusError(
            f"{target}: its shards come from codec {header['codec_id']}, not {codec.id}; use a new folder"
        )
    return header


def _existing(target: Path, number: int, names: list[str], made_from: dict[str, Any], codec: Codec) -> dict | None:
    """The header of a shard that was made from these files; None where it has to be made."""
    header = read_header(target, number, codec)
    if header is None:
        return None
    if header["names"] != names:
        raise CorpusError(f"{target}: its shards come from other files; use a new folder")
    return header if header.get("made_from") == _digest(made_from) else None


def _digest(made_from: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def beat_frames(beats_s: Sequence[float], codec: Codec, late: int = 0) -> list[float]:
    """Times of beats as frames, of audio of which the first `late` samples were left out."""
    return [round((time_s * codec.sample_rate_hz - late) / codec.hop, 2) for time_s in beats_s]


def _beats_of(audio_folder: Path) -> dict[str, list[float]]:
    """Beats of each file, seconds, of a folder that `vampnet corpus` wrote; of others none are known."""
    lines = read_lines(audio_folder / INDEX_NAME)
    return {line["file"]: line["beats"] for line in lines if "file" in line and "beats" in line}


def shard_header(codec: Codec, names: Sequence[str], entries: Sequence[dict], skipped: Sequence[str]) -> dict:
    """Content of a shard's JSON; `entries` are in the order of their frames."""
    return {
        "codec_id": codec.id,
        "n_codebooks": codec.n_codebooks,
        "codebook_size": codec.codebook_size,
        "frames_per_s": codec.frames_per_s,
        "n_frames": sum(entry["n_frames"] for entry in entries),
        "names": list(names),
        "entries": list(entries),
        "skipped": list(skipped),
    }


def _write_shard(
    target: Path,
    number: int,
    files: Sequence[Path],
    made_from: dict[str, Any],
    codec: Codec,
    advance: Callable[[], object],
) -> dict:
    entries, skipped, codes_TC, controls, n_frames = [], [], [], [], 0
    turn, beats, digests = made_from["turn"], made_from["beats"], made_from["files"]
    for k, (name, path) in enumerate(zip(digests, files, strict=True)):
        advance()
        try:
            mono = levelled_channel(path, number * FILES_PER_SHARD + k + turn, codec.sample_rate_hz)
        except AudioError as error:
            skipped.append(str(error))
            continue
        if sha256_of_file(path, CorpusError) != digests[name]:
            raise CorpusError(f"{path}: changed while it was read; run the same command again when it is finished")
        late = turn * codec.hop // N_TURNS if len(mono) > 2 * codec.hop else 0
        codes_TC.append(codec.encode(torch.from_numpy(mono[late:])[None])[0].T.cpu().numpy())
        entries.append({"name": name, "start": n_frames, "n_frames": len(codes_TC[-1])})
        if name in beats:
            entries[-1]["beats"] = beat_frames(beats[name], codec, late)
        n_frames += len(codes_TC[-1])
        if "controls" in made_from:
            controls.append(hear_controls(mono[late:], codec.sample_rate_hz, codec.hop, len(codes_TC[-1])))
    header = {**shard_header(codec, list(digests), entries, skipped), "made_from": _digest(made_from)}
    write_shard(target, number, header, codes_TC, controls)
    return header


def write_shard(
    target: Path, number: int, header: dict, codes_TC: Sequence[np.ndarray], controls: Sequence[Controls] = ()
) -> None:
    """A shard and the JSON beside it, with the shard's digest, each by renaming; the JSON comes last.

    controls: of each entry of the header, or none at all.
    """
    data_path, header_path = _paths(target, number)
    digest = hashlib.sha256()
    with whole_file(data_path, CorpusError) as temporary, open(temporary, "wb") as out:
        for codes in codes_TC:
            data = codes.astype("<u2").tobytes()
            digest.update(data)
            out.write(data)
    header = {**header, "sha256": digest.hexdigest()}
    if controls:
        header = {**header, **_write_controls(control_path(data_path), header["entries"], controls)}
    write_whole(header_path, json.dumps(header), CorpusError)


def _write_controls(path: Path, entries: Sequence[dict], controls: Sequence[Controls]) -> dict[str, Any]:
    """The file of controls beside a shard; what the shard's JSON then says otherwise."""
    digest = hashlib.sha256()
    with whole_file(path, CorpusError) as temporary, open(temporary, "wb") as out:
        for entry, own in zip(entries, controls, strict=True):
            assert own.n_frames == entry["n_frames"]
            data = pack_signals(own).astype("<f2").tobytes()
            digest.update(data)
            out.write(data)
    entries = [{**entry, "facts": describe_facts(own)} for entry, own in zip(entries, controls, strict=True)]
    return {"format": CONTROLS_FORMAT, "entries": entries, "controls_sha256": digest.hexdigest()}
