"""Progress on stderr: one bar that never runs backwards, JSON lines for programs, or nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from vampnet.errors import SettingsError

if TYPE_CHECKING:
    from vampnet.generation.progress import Progress

log = logging.getLogger("vampnet")

PROGRESS_MODES = ("auto", "bar", "json", "none")
"""auto: a bar where stderr is a terminal, else nothing."""
_SMALLEST_STEP = 0.001
"""Share of the job between two JSON lines of one stage."""


class ProgressDisplay:
    """Shows how far a job is; a context manager. `report` is what a job is given as its `report`."""

    def __init__(self, mode: str = "auto") -> None:
        if mode not in PROGRESS_MODES:
            raise SettingsError(f"--progress is {mode!r}, but must be one of {', '.join(PROGRESS_MODES)}")
        self.mode = mode if mode != "auto" else "bar" if sys.stderr.isatty() else "none"
        self._open = contextlib.ExitStack()
        self._bar: Any = None
        self._share, self._stage = 0.0, ""
        self._stages: set[str] = set()

    def __enter__(self) -> ProgressDisplay:
        if self.mode == "bar":
            from tqdm import tqdm
            from tqdm.contrib.logging import logging_redirect_tqdm

            layout = "{desc:<7} {percentage:3.0f}%|{bar:30}| {elapsed} left {remaining}"
            self._bar = self._open.enter_context(tqdm(total=1.0, desc="load", bar_format=layout, leave=False))
            self._open.enter_context(logging_redirect_tqdm())  # a warning gets a line of its own, above the bar
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def report(self, progress: Progress) -> None:
        """Show how far the job is."""
        share = max(progress.share, self._share)
        if progress.stage not in self._stages:
            self._stages.add(progress.stage)
            log.info("stage %s begins, %.0f%% done", progress.stage, 100 * share)
        if self.mode == "json" and (progress.stage != self._stage or share >= self._share + _SMALLEST_STEP):
            fields = {"stage": progress.stage, "done": progress.done, "total": progress.total, "share": round(share, 4)}
            self._share, self._stage = share, progress.stage
            print_event("progress", **fields)
        elif self._bar is not None:
            self._bar.set_description_str(progress.stage, refresh=False)
            self._bar.update(share - self._bar.n)
            self._share = share

    def say(self, line: str) -> None:
        """A line for the user on stderr, above the bar if there is one."""
        if self.mode == "json":
            print_event("message", message=line)
        elif self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


def print_event(event: str, **fields: Any) -> None:
    """One event as a JSON line on stderr."""
    print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)
