"""Recorders: files that are written beside the music."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.apps.live.priority import hurry
from vampnet.audio.files import AudioWriter
from vampnet.audio.samples import Samples
from vampnet.errors import VampnetError


class FileThread:
    """Does slow work with files beside the music, one after the other."""

    def __init__(self, failed: Callable[[str], Any]) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name="vampnet-live-files", daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], Any]) -> None:
        """Have something done."""
        self._jobs.put(job)

    def close(self) -> None:
        """Finish what is left, and end."""
        self._jobs.put(None)
        self._thread.join(60)

    def _run(self) -> None:
        hurry()
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # whatever goes wrong with files, the music and later files go on
                text = str(error).splitlines()[0] if str(error) else type(error).__name__
                self._failed(text if isinstance(error, VampnetError | OSError) else f"{type(error).__name__}: {text}")


def input_file(record: Path) -> Path:
    """File of the input beside that of a performance."""
    return record.with_suffix(".input.wav")


@contextlib.contextmanager
def writing(path: Path, rate_hz: int, channels: int, *, keep: bool = False) -> Iterator[Callable[[Samples], Any]]:
    """A function that appends to an audio file, of floats where the format has them.

    `keep`: what was played until Ctrl-C is kept; otherwise the file appears whole or not at all.
    """
    subtype = "FLOAT" if path.suffix.lower() in (".wav", ".aif", ".aiff") else None
    with AudioWriter(path, rate_hz, channels, subtype) as writer:
        with contextlib.suppress(KeyboardInterrupt) if keep else contextlib.nullcontext():
            yield writer.write
        # A session that ends before the first block leaves a file all the same.
        writer.write(np.zeros((channels, 0), np.float32))
