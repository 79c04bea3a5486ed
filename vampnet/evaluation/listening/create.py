"""Makes a listening test: a folder with `index.html`, one file of audio per stimulus, and `test.json`, its key.

Browsers let a page opened from a folder load scripts, but not fetch data. So audio travels as a script per stimulus,
FLAC in base64, which works from a folder and behind any static host alike. Base64 adds a third to the size.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from vampnet.errors import ListeningError
from vampnet.evaluation.listening.design import (
    MAX_STIMULI,
    REFERENCE,
    ListeningConfig,
    ListeningTest,
    Stimulus,
    Trial,
    pairs_of,
)
from vampnet.evaluation.listening.page import page_html
from vampnet.evaluation.listening.stimuli import Prepared, find_items, prepare
from vampnet.storage import write_whole
from vampnet.work_folders import whole_folder

MAX_BYTES = 1 << 30
"""Largest test, bytes of audio scripts: more is too much for a participant to load."""


@dataclass(frozen=True)
class Created:
    """Result of creating a listening test."""

    test: ListeningTest
    n_bytes: int
    """Size of the audio scripts."""
    loudness_lufs: float
    """Loudness of all stimuli, LUFS; NaN if levels were left alone."""


def create_test(conditions: str | Path, output: str | Path, settings: ListeningConfig) -> Created:
    """Make the test of `conditions`, a folder with one folder of audio per condition, in the new folder `output`.

    The folder appears whole or not at all. Raises ListeningError for conditions that do not fit the kind or each other,
    AudioError for unreadable audio.
    """
    target = Path(output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ListeningError(f"{target}: exists already; choose another folder, so that no results get lost")
    found = find_items(conditions)
    _check_conditions(settings, found)
    prepared, rate_hz, loudness_lufs = prepare(found, settings)
    coded = {_stimulus_id(settings, entry): _flac(entry.samples, rate_hz, settings.bits) for entry in prepared}
    n_bytes = sum(len(data) * 4 // 3 for data in coded.values())
    if n_bytes > MAX_BYTES:
        raise ListeningError(
            f"the audio takes {n_bytes / 1e6:.0f} MB, the limit is {MAX_BYTES / 1e6:.0f}; use fewer or shorter items"
        )
    test = _test_of(settings, prepared, coded, rate_hz)
    _write(target, test, coded)
    return Created(test, n_bytes, loudness_lufs)


def _check_conditions(settings: ListeningConfig, found: dict[str, dict[str, Path]]) -> None:
    if settings.kind == "mushra":
        if REFERENCE not in found:
            raise ListeningError(f"a MUSHRA test needs a folder named {REFERENCE!r}, there are: {', '.join(found)}")
        n_stimuli = len(found) + 2 * settings.anchors
        if n_stimuli > MAX_STIMULI:
            raise ListeningError(
                f"{n_stimuli} stimuli in a trial, reference and anchors included; {MAX_STIMULI} at most"
            )
    items = next(iter(found.values()))
    if settings.training and settings.training not in items:
        raise ListeningError(f"training is {settings.training!r}; items are: {', '.join(items)}")
    if settings.training and len(items) == 1:
        raise ListeningError("training takes the only item away; add another, or leave --training out")


def _stimulus_id(settings: ListeningConfig, entry: Prepared) -> str:
    text = json.dumps([settings.seed, settings.title, entry.item, entry.condition])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _flac(samples: np.ndarray, rate_hz: int, bits: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, rate_hz, format="FLAC", subtype=f"PCM_{bits}")
    return buffer.getvalue()


def _test_of(
    settings: ListeningConfig, prepared: Sequence[Prepared], coded: dict[str, bytes], rate_hz: int
) -> ListeningTest:
    stimuli = []
    for entry in prepared:
        id_ = _stimulus_id(settings, entry)
        lufs = round(entry.loudness_lufs, 2) if np.isfinite(entry.loudness_lufs) else None
        digest = hashlib.sha256(coded[id_]).hexdigest()
        stimuli.append(Stimulus(id_, entry.item, entry.condition, digest, lufs, round(entry.gain_db, 2)))
    durations = {entry.item: entry.samples.shape[1] / rate_hz for entry in prepared}
    conditions = tuple(dict.fromkeys(entry.condition for entry in sorted(prepared, key=_anchors_last)))
    once = [
        trial
        for item, duration_s in durations.items()
        for trial in _trials_of_item(settings, conditions, item, stimuli, duration_s)
    ]
    training = next(trial for trial in once if trial.item == (settings.training or trial.item))
    scored = [trial for trial in once if trial.item != settings.training] * settings.times
    test = ListeningTest(
        id="",
        settings=settings,
        conditions=conditions,
        sample_rate_hz=rate_hz,
        stimuli=tuple(stimuli),
        trials=tuple(dataclasses.replace(trial, id=f"t{k + 1:03d}") for k, trial in enumerate(scored)),
        training=training,
    )
    digest = hashlib.sha256(json.dumps(test.to_json(), sort_keys=True).encode()).hexdigest()
    return dataclasses.replace(test, id=digest[:16])


def _anchors_last(entry: Prepared) -> tuple[bool, str]:
    return entry.condition.startswith("anchor"), entry.condition


def _trials_of_item(
    settings: ListeningConfig, conditions: tuple[str, ...], item: str, stimuli: list[Stimulus], duration_s: float
) -> list[Trial]:
    ids = {stimulus.condition: stimulus.id for stimulus in stimuli if stimulus.item == item}
    if settings.kind == "mushra":
        return [Trial("training", item, tuple(sorted(ids.values())), ids[REFERENCE], duration_s)]
    return [
        Trial("training", item, tuple(sorted((ids[one], ids[other]))), None, duration_s)
        for one, other in pairs_of(settings.kind, conditions)
    ]


def _write(target: Path, test: ListeningTest, coded: dict[str, bytes]) -> None:
    with whole_folder(target, ListeningError) as scratch:
        (scratch / "audio").mkdir()
        for id_, data in coded.items():
            script = f'vampnetAudio("{id_}","{base64.b64encode(data).decode()}");\n'
            write_whole(scratch / "audio" / f"{id_}.js", script, ListeningError)
        write_whole(scratch / "test.json", json.dumps(test.to_json(), indent=1) + "\n", ListeningError)
        write_whole(scratch / "index.html", page_html(test), ListeningError)
