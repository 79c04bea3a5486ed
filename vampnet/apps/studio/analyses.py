"""Analyses of files: made once by a helper process, kept beside the file, asked for until they are there."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
from pathlib import Path
from typing import Any

from vampnet.apps.http.probe import Probe
from vampnet.apps.studio.ear import analyse
from vampnet.errors import VampnetError

_MOST_HELD = 200


class Analyses:
    """Analyses of one server; `listener` is the process that listens."""

    def __init__(self, listener: Probe, bundle: str, folder: Path) -> None:
        """`folder`: data folder; analyses of files elsewhere are held in memory alone."""
        self._listener, self._bundle, self._folder = listener, bundle, folder
        self._pool = concurrent.futures.ThreadPoolExecutor(2, "analysis")
        self._lock = threading.Lock()
        self._running: dict[Path, concurrent.futures.Future[dict[str, Any]]] = {}

    def look(self, path: Path) -> dict[str, Any] | None:
        """The analysis of a file; None while it is being made, which the first call begins. Raises VampnetError."""
        kept = self.kept_path(path)
        if kept is not None:
            with contextlib.suppress(OSError, ValueError):  # not there, or damaged: then it is made anew
                return json.loads(kept.read_text("utf-8"))
        with self._lock:
            future = self._running.get(path)
            if future is None:
                target = "" if kept is None else str(kept)
                future = self._pool.submit(self._listener.ask, analyse, str(path), self._bundle, target)
                self._running[path] = future
                while len(self._running) > _MOST_HELD:
                    self._running.pop(next(iter(self._running)))
            if not future.done():
                return None
            if kept is not None:
                self._running.pop(path)
        try:
            return future.result()
        except VampnetError as error:
            with self._lock:
                self._running.pop(path, None)
            raise type(error)(str(error).replace(f"{path.parent}/", "")) from None

    def kept_path(self, path: Path) -> Path | None:
        """Where the analysis of a file of the data folder is kept."""
        return path.with_name(f".{path.name}.analysis.json") if path.is_relative_to(self._folder) else None

    def close(self) -> None:
        """Begin no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
