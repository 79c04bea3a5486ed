"""The journal of an unfinished job: every filled window, so that `--resume` goes on with the same result.

Beside the first output OUT there is, while the work goes on, a folder `.OUT.vampnet`:

    job.json       what the result depends on: input, model, request, versions
    .lock          held by the process that works on the output: another one is refused
    windows.bin    one record per filled window, in the order in which they were filled, each with its checksum

A job is a function of its request, input and model, and of the filled windows alone. So an interrupted one is run
again, and windows that the journal holds are taken from it instead of the network. Records are appended and never
changed; one that was cut off by the end of a process, and all after it, are filled again.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from vampnet.errors import AudioError, SettingsError
from vampnet.generation.run import WindowRequest
from vampnet.storage import guarded, lock_folder, make_folder, read_json, write_whole

FACTS, WINDOWS = "job.json", "windows.bin"
_RECORD = struct.Struct("<4sIIIIII")
"""Magic, run, number, items, codebooks, frames, and the checksum of these and of the codes."""
_MAGIC = b"VWJ1"


class WindowJournal:
    """Filled windows of one job, on disk."""

    def __init__(self, output: Path, facts: dict[str, Any], resume: bool = False) -> None:
        """`facts`: what the result depends on, by names that a user knows; plain data.

        Without `resume`, what an earlier job left is removed. Raises SettingsError when that belongs to another job,
        AudioError when it cannot be read.
        """
        self.path, self._output, self._facts = journal_folder(output), output, json.loads(json.dumps(facts))
        self._places: dict[tuple[int, int], tuple[int, tuple[int, int, int]]] = {}
        self._file: BinaryIO | None = None
        # As a file, so that a journal which is dropped lets go of it.
        self._lock: BinaryIO | None = os.fdopen(lock_folder(self.path, AudioError, "output", str(output)), "rb")
        try:
            if not resume:
                self._clear()
            elif (self.path / WINDOWS).exists():
                self._check_facts()
                self._file = self._open("r+b")
                self._index(self._file)
        except BaseException:
            if self._file is not None:
                self._file.close()
            self._unlock()
            raise

    @property
    def n_records(self) -> int:
        """Windows that are held."""
        return len(self._places)

    def recall(self, run: int, number: int, request: WindowRequest) -> Tensor | None:
        """The codes of window `number` of a run, int64 (B, C, T); None where it was not filled."""
        found = self._places.get((run, number))
        if found is None or self._file is None:
            return None
        place, shape = found
        if shape != tuple(request.codes_BCT.shape):
            raise SettingsError(
                f"{self._output}: what was kept does not fit the job; start anew, without --resume (or resume=False)"
            )
        with guarded(self.path / WINDOWS, AudioError, "read"):
            self._file.seek(place)
            data = self._file.read(2 * int(np.prod(shape)))
            self._file.seek(0, 2)
        return torch.from_numpy(np.frombuffer(data, "<u2").astype(np.int64)).view(shape)

    def record(self, run: int, number: int, filled_BCT: Tensor) -> None:
        """Keep the codes (B, C, T) of a window. Raises AudioError where there is no room."""
        if self._file is None:
            make_folder(self.path, AudioError)
            write_whole(self.path / FACTS, json.dumps(self._facts, indent=1), AudioError)
            self._file = self._open("w+b")
        data = filled_BCT.cpu().numpy().astype("<u2").tobytes()
        fields = (run, number, *filled_BCT.shape)
        packed = _RECORD.pack(_MAGIC, *fields, zlib.crc32(data, zlib.crc32(repr(fields).encode())))
        place = self._file.seek(0, 2)
        with guarded(self.path / WINDOWS, AudioError, "write"):
            self._file.write(packed + data)
            self._file.flush()
        n_items, n_codebooks, n_frames = filled_BCT.shape
        self._places[run, number] = (place + _RECORD.size, (n_items, n_codebooks, n_frames))

    def close(self) -> None:
        """Let go of the file; what it holds stays, and where it holds nothing the folder goes."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None and not (self.path / WINDOWS).exists():
            shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def remove(self) -> None:
        """Remove the folder and all in it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._places.clear()
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _clear(self) -> None:
        """Remove what an earlier job left."""
        with guarded(self.path, AudioError, "remove unfinished work in"):
            for name in (WINDOWS, FACTS):
                (self.path / name).unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open(self, mode: str) -> BinaryIO:
        with guarded(self.path / WINDOWS, AudioError, "keep unfinished work in"):
            return open(self.path / WINDOWS, mode)  # type: ignore[return-value]

    def _index(self, file: BinaryIO) -> None:
        """Find all records; cut off what comes after the first that is damaged."""
        place = 0
        while True:
            with guarded(self.path / WINDOWS, AudioError, "read"):
                file.seek(place)
                head = file.read(_RECORD.size)
                if len(head) < _RECORD.size:
                    break
                magic, *fields, checksum = _RECORD.unpack(head)
                n_bytes = 2 * fields[2] * fields[3] * fields[4]
                data = file.read(n_bytes) if magic == _MAGIC and n_bytes < 1 << 31 else b""
            if len(data) != n_bytes or zlib.crc32(data, zlib.crc32(repr(tuple(fields)).encode())) != checksum:
                break
            self._places[fields[0], fields[1]] = (place + _RECORD.size, (fields[2], fields[3], fields[4]))
            place += _RECORD.size + n_bytes
        file.truncate(place)
        file.seek(place)

    def _check_facts(self) -> None:
        """Raise SettingsError where the journal is that of another job."""
        before = read_json(self.path / FACTS, SettingsError)
        if not isinstance(before, dict):
            raise SettingsError(f"{self.path / FACTS}: damaged; start anew, without --resume (or resume=False)")
        for name in {**self._facts, **before}:  # settings of which either has the default are in one of them alone
            now, was = self._facts.get(name), before.get(name)
            if now != was:
                raise SettingsError(
                    f"{self._output}: cannot be resumed, its {name} {_differ(now, was)}; give what was given before, "
                    "or start anew, without --resume"
                )


def _differ(now: object, was: object) -> str:
    """Difference between a fact and its earlier value, in words."""
    texts = ["the default" if value is None else str(value) for value in (now, was)]
    return "is another now" if max(map(len, texts)) > 60 else f"is {texts[0]} now and was {texts[1]}"


def journal_folder(output: Path) -> Path:
    """Folder of the unfinished work for an output."""
    return output.with_name(f".{output.name[:100]}.vampnet")


def part_path(output: Path) -> Path:
    """Name of what is finished of an output: `song.wav` -> `song.part.wav`."""
    return output.with_name(f"{output.stem}.part{output.suffix}")
