"""Listening tests small enough for tests: conditions that are tones, and participants who follow a rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.audio.files import Audio, write
from vampnet.evaluation.listening.create import create_test
from vampnet.evaluation.listening.design import ListeningConfig, ListeningTest, Trial

TONES_HZ = {"reference": 300.0, "coarse": 1200.0, "fine": 600.0}
RATE_HZ = 44100


def tone_of(hz: float, duration_s: float = 0.6, level: float = 0.2, rate_hz: int = RATE_HZ, channels: int = 1) -> Audio:
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    row = level * np.sin(2 * np.pi * hz * time_s)
    return Audio(np.tile(row, (channels, 1)).astype(np.float32), rate_hz)


def write_conditions(folder: Path, items: tuple[str, ...] = ("one", "two")) -> Path:
    """One folder per condition, which a tone of its own tells from the others; levels differ by condition."""
    for number, (name, hz) in enumerate(TONES_HZ.items()):
        (folder / name).mkdir(parents=True)
        for item in items:
            write(folder / name / f"{item}.wav", tone_of(hz, level=0.1 * (number + 1)))
    return folder


def make_test(root: Path, kind: str, items: tuple[str, ...] = ("one", "two"), **settings: Any) -> ListeningTest:
    """A test in root / "test" of conditions in root / "conditions"."""
    folder = write_conditions(root / "conditions", items)
    return create_test(folder, root / "test", ListeningConfig(kind=kind, **settings)).test


def result_of(
    test: ListeningTest, submission: int, answer: Callable[[Trial, list[str]], dict[str, Any]], participant: str = ""
) -> dict[str, Any]:
    """A complete result; `answer` gives the parts of each trial's answer that its kind asks for, from the order."""
    trials = []
    for trial in test.trials:
        order = list(trial.stimuli)
        n_sounds = len(order) + (test.settings.kind == "abx")
        trials.append({"id": trial.id, "order": order, "plays": [1] * n_sounds, "seconds": 9} | answer(trial, order))
    return {
        "format": "vampnet-listening-result",
        "version": 1,
        "test": test.id,
        "submission": f"{submission:08x}{0:024x}",
        "seed": submission,
        "participant": participant,
        "started": "2026-01-31T09:30:00.000Z",
        "finished": "2026-01-31T09:40:00.000Z",
        "resumed": 0,
        "trials": trials,
    }


def rated(test: ListeningTest, scores: dict[str, int]) -> Callable[[Trial, list[str]], dict[str, Any]]:
    """Answers of a MUSHRA participant who gives each condition one score."""

    def answer(trial: Trial, order: list[str]) -> dict[str, Any]:
        return {"ratings": [scores[test.by_id[id_].condition] for id_ in order], "reference_plays": 1}

    return answer
