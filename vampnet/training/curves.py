"""Curves of a training run for TensorBoard, written as they come; and the run's log of JSON lines."""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from vampnet.errors import SettingsError, require
from vampnet.storage import guarded, write_whole

_NUMBERS = itertools.count()


class Curves:
    """An event file of TensorBoard, appended to at every `flush`. No thread writes it: a full disk ends the run with a
    line that says so."""

    def __init__(self, folder: Path) -> None:
        """Raises DependencyError without the extra `train`, SettingsError where the file cannot be made."""
        require("tensorboard", "training logs")
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._event: Any = Event
        self._path = folder / name
        self._waiting: list[bytes] = []
        self._add(file_version="brain.Event:2")
        self.flush()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve."""
        from torch.utils.tensorboard.summary import scalar

        self._add(step=step, summary=scalar(name, value))

    def add_audio(self, name: str, samples_1S: Tensor, step: int, sample_rate_hz: int) -> None:
        """Add a sound."""
        from torch.utils.tensorboard.summary import audio

        self._add(step=step, summary=audio(name, samples_1S, sample_rate=sample_rate_hz))
        self.flush()

    def flush(self) -> None:
        """Write what was added. Raises SettingsError where that is not possible."""
        from tensorboard.summary.writer.record_writer import RecordWriter

        with guarded(self._path, SettingsError), open(self._path, "ab") as file:
            records = RecordWriter(file)
            while self._waiting:
                records.write(self._waiting.pop(0))

    def _add(self, **fields: Any) -> None:
        self._waiting.append(self._event(wall_time=time.time(), **fields).SerializeToString())


def mend_log(path: Path) -> None:
    """Cut off a last line that was half written when its process ended. Raises SettingsError."""
    with guarded(path, SettingsError, "read"):
        data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        write_whole(path, data[: data.rfind(b"\n") + 1], SettingsError)
