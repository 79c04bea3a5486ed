"""The budget of a command that may be interrupted: time that it worked, all its runs together."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from vampnet.errors import SettingsError
from vampnet.storage import read_json, write_whole

SAVE_EVERY_S = 5.0


class WorkState:
    """State of a working folder from run to run: time spent, and decisions that must not change."""

    def __init__(self, folder: Path, budget_s: float) -> None:
        self.budget_s = budget_s
        self._path = folder / "state.json"
        found = read_json(self._path, SettingsError) if self._path.exists() else {}
        self._facts: dict[str, Any] = found if isinstance(found, dict) else {}
        self._before_s = float(self._facts.get("spent_s", 0.0))
        self._started = self._saved = time.monotonic()

    def __contains__(self, name: str) -> bool:
        return name in self._facts

    def get(self, name: str, default: Any = None) -> Any:
        """A decision, or a default where it is not made yet."""
        return self._facts.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self._facts[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._facts[name] = value
        self.save()

    @property
    def spent_s(self) -> float:
        """Time worked so far, seconds; pauses between runs do not count."""
        return self._before_s + time.monotonic() - self._started

    @property
    def left_s(self) -> float:
        """Time that is left of the budget, seconds, 0 at the least."""
        return max(self.budget_s - self.spent_s, 0.0)

    def tick(self) -> None:
        """Note the time spent every few seconds, so that a run that is killed has not worked for nothing."""
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write time and decisions."""
        self._saved = time.monotonic()
        self._facts["spent_s"] = round(self.spent_s, 2)
        write_whole(self._path, json.dumps(self._facts, indent=1) + "\n", SettingsError)
