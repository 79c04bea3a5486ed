"""From results to an analysis, for every kind of test; tables of it as rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vampnet.errors import ListeningError
from vampnet.evaluation.listening.choices import (
    AbxAnalysis,
    ForcedChoice,
    PreferenceAnalysis,
    analyse_abx,
    analyse_preference,
    choices_of,
)
from vampnet.evaluation.listening.design import ListeningTest
from vampnet.evaluation.listening.mushra import MushraAnalysis, Rating, analyse_mushra, ratings_of


@dataclass(frozen=True)
class ListeningAnalysis:
    """Analysis of the results of a listening test."""

    test: str
    """Id of the test."""
    title: str
    kind: str
    n_results: int
    """Number of submissions that fit the test."""
    n_listeners: int
    """Number of listeners; submissions with the same participant id are one listener."""
    found: MushraAnalysis | AbxAnalysis | PreferenceAnalysis
    answers: tuple[Rating, ...] | tuple[ForcedChoice, ...]
    """Every answer, with the conditions that the participant did not see."""

    def to_json(self) -> dict[str, Any]:
        """Without the single answers; numbers that do not exist (an interval of one listener) are null."""
        fields = {key: value for key, value in vars(self).items() if key not in ("found", "answers")}
        return fields | _finite(dataclasses.asdict(self.found))


def analyse(test: ListeningTest, results: Sequence[dict[str, Any]], seed: int = 0) -> ListeningAnalysis:
    """Analyse checked results. `seed` is that of the bootstrap. Raises ListeningError if there are none."""
    if not results:
        raise ListeningError("no results of this test; is it the folder that the participants used?")
    listeners = [result["participant"] or result["submission"][:12] for result in results]
    kind = test.settings.kind
    if kind == "mushra":
        answers = tuple(ratings_of(test, results, listeners))
        found = analyse_mushra(answers, test.conditions, seed)
    else:
        answers = tuple(choices_of(test, results, listeners))
        found = (analyse_abx if kind == "abx" else analyse_preference)(answers)
    return ListeningAnalysis(test.id, test.settings.title, kind, len(results), len(set(listeners)), found, answers)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
