"""Results of participants: what a valid one is, and reading them from a database, folder or file.

A result is what the page hands in: JSON with the test's id, an id of the submission, the seed of the participant's
order, and per trial the order of stimuli, the answer and how often each was played. Nothing in it is trusted: one that
does not fit the test in every part is refused.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from vampnet.errors import ListeningError
from vampnet.evaluation.listening.design import RESULT_FORMAT, VERSION, ListeningTest, Trial
from vampnet.storage import read_bytes

MAX_RESULT_BYTES = 1 << 20
MAX_PARTICIPANT = 64
_HEX = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_KEYS = {"format", "version", "test", "submission", "seed", "participant", "started", "finished", "resumed", "trials"}
_TRIAL_KEYS = {
    "mushra": {"id", "order", "ratings", "plays", "reference_plays", "seconds"},
    "abx": {"id", "order", "x", "answer", "plays", "seconds"},
    "preference": {"id", "order", "answer", "plays", "seconds"},
}
_MAX_COUNT = 10**6


def parse_result(text: str | bytes) -> Any:
    """JSON as the standard has it: no NaN, no key twice. Raises ListeningError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key comes twice")
        return dict(pairs)

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ListeningError(f"not JSON: {str(error)[:100]}") from None


def check_result(test: ListeningTest, result: Any) -> None:
    """Raise ListeningError, naming the place, unless `result` is a complete result of `test`."""
    _need_keys("result", result, _KEYS)
    _need(result["format"] == RESULT_FORMAT, "format", result["format"], repr(RESULT_FORMAT))
    _need(result["version"] == VERSION, "version", result["version"], str(VERSION))
    _need(result["test"] == test.id, "test", result["test"], f"{test.id!r}, the id of this test")
    submission = result["submission"]
    _need(isinstance(submission, str) and _HEX.fullmatch(submission), "submission", submission, "32 hexadecimal digits")
    _need(_whole(result["seed"], 0, 2**32 - 1), "seed", result["seed"], "0 to 2**32 - 1")
    name = result["participant"]
    longest = MAX_PARTICIPANT if test.settings.ask_participant else 0
    fits = isinstance(name, str) and len(name) <= longest and _is_name(name)
    _need(fits, "participant", name, f"at most {longest} letters, digits and _.@-, a letter or digit first")
    for key in ("started", "finished"):
        moment = result[key]
        _need(isinstance(moment, str) and _TIME.fullmatch(moment), key, moment, "a time such as 2026-01-31T09:30:00Z")
    _need(_whole(result["resumed"], 0, _MAX_COUNT), "resumed", result["resumed"], f"0 to {_MAX_COUNT}")
    _check_trials(test, result["trials"])


def _check_trials(test: ListeningTest, answers: Any) -> None:
    _need(isinstance(answers, list), "trials", answers, "a list")
    trials = {trial.id: trial for trial in test.trials}
    for number, answer in enumerate(answers):
        place = f"trials[{number}]"
        _need_keys(place, answer, _TRIAL_KEYS[test.settings.kind])
        id_ = answer["id"]
        _need(isinstance(id_, str) and id_ in trials, f"{place}.id", id_, "a trial of this test, each once")
        _check_answer(test, trials.pop(id_), place, answer)
    if trials:
        raise ListeningError(f"trials: {len(trials)} are missing, {next(iter(trials))} among them")


def _check_answer(test: ListeningTest, trial: Trial, place: str, answer: dict[str, Any]) -> None:
    kind, order = test.settings.kind, answer["order"]
    listed = isinstance(order, list) and all(isinstance(id_, str) for id_ in order)
    _need(listed and sorted(order) == list(trial.stimuli), f"{place}.order", order, "the stimuli of the trial")
    n_sounds = len(order) + (kind == "abx")
    plays = answer["plays"]
    counted = isinstance(plays, list) and len(plays) == n_sounds and all(_whole(n, 1, _MAX_COUNT) for n in plays)
    _need(counted, f"{place}.plays", plays, f"{n_sounds} counts of at least 1")
    _need(_whole(answer["seconds"], 0, _MAX_COUNT), f"{place}.seconds", answer["seconds"], f"0 to {_MAX_COUNT}")
    if kind == "mushra":
        ratings = answer["ratings"]
        rated = isinstance(ratings, list) and len(ratings) == len(order) and all(_whole(r, 0, 100) for r in ratings)
        _need(rated, f"{place}.ratings", ratings, f"{len(order)} whole numbers of 0 to 100")
        count = answer["reference_plays"]
        _need(_whole(count, 0, _MAX_COUNT), f"{place}.reference_plays", count, f"0 to {_MAX_COUNT}")
        return
    allowed = [*order, None] if kind == "preference" and test.settings.allow_tie else order
    _need(answer["answer"] in allowed, f"{place}.answer", answer["answer"], "one of the two stimuli")
    if kind == "abx":
        _need(answer["x"] in order, f"{place}.x", answer["x"], "one of the two stimuli")


def load_results(test: ListeningTest, path: str | Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Valid results, each submission once, and one line per refused one.

    `path` is a database of `vampnet listen serve`, a folder of downloaded files, or one such file. Raises
    ListeningError if there is nothing at `path`.
    """
    found: dict[str, dict[str, Any]] = {}
    refused = []
    for name, text in _texts(Path(path)):
        try:
            result = parse_result(text)
            check_result(test, result)
        except ListeningError as error:
            refused.append(f"{name}: {error}")
            continue
        if found.setdefault(result["submission"], result) != result:
            refused.append(f"{name}: submission {result['submission'][:8]} is there already, with other answers")
    return sorted(found.values(), key=lambda result: (result["finished"], result["submission"])), refused


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            if file.name != "test.json":
                yield file.name, read_bytes(file, ListeningError, MAX_RESULT_BYTES)
        return
    if not path.is_file():
        raise ListeningError(f"{path}: no such file or folder; name a database, a folder of results, or a result")
    with path.open("rb") as file:
        head = file.read(16)
    if not head.startswith(b"SQLite format 3"):
        yield path.name, read_bytes(path, ListeningError, MAX_RESULT_BYTES)
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT submission, body FROM results ORDER BY rowid").fetchall()
    except sqlite3.Error as error:
        raise ListeningError(f"{path}: not a database of results: {error}") from None
    yield from ((f"submission {submission[:8]}", body.encode()) for submission, body in rows)


def _is_name(text: str) -> bool:
    """Letters and digits, so that no spreadsheet takes it for a formula. The page leaves out all else."""
    return not text or (text[0].isalnum() and all(c.isalnum() or c in "_.@ -" for c in text))


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _need_keys(place: str, value: Any, keys: set[str]) -> None:
    if not isinstance(value, dict):
        raise ListeningError(f"{place} is {_short(value)}, but must be an object")
    if value.keys() != keys:
        odd = sorted(value.keys() ^ keys)
        raise ListeningError(f"{place} has the wrong keys: {_short(odd)} missing or unknown")


def _need(holds: Any, place: str, value: Any, allowed: str) -> None:
    if not holds:
        raise ListeningError(f"{place} is {_short(value)}, but must be {allowed}")


def _short(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 is JSON
        return "infinite"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
