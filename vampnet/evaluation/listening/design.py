"""Settings, stimuli and trials of a listening test, and `test.json`, the file that holds them.

| kind | a trial | answer |
|---|---|---|
| mushra | one item: open reference; in unknown order all conditions, the reference again, two anchors | 0 to 100 each |
| abx | two stimuli A and B of one item, and X, which is one of them | which one X is |
| preference | two stimuli of one item | which one is preferred, or none |

Stimuli and trials have ids that say nothing about the condition. The page knows only ids; `test.json` has the key.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from vampnet.audio.integrity import quoted
from vampnet.config import check
from vampnet.errors import ListeningError, SettingsError
from vampnet.storage import cause, parse_json, read_bytes

FORMAT = "vampnet-listening-test"
RESULT_FORMAT = "vampnet-listening-result"
VERSION = 1
KINDS = ("mushra", "abx", "preference")
REFERENCE = "reference"
ANCHORS_HZ = {"anchor35": 3500.0, "anchor70": 7000.0}
MAX_STIMULI = 12
"""In one MUSHRA trial, as BS.1534-3 advises; the page has a key for each."""
MAX_TEST_BYTES = 1 << 26
"""Longest test.json that is read."""

_QUESTIONS = {
    "mushra": "How good is each compared with the reference?",
    "abx": "Is X the same as A, or the same as B?",
    "preference": "Which do you prefer?",
}
_ABX_REPEATS = 4


@dataclass(frozen=True)
class ListeningConfig:
    """Settings of a listening test."""

    kind: str = "mushra"
    """mushra, abx or preference."""
    title: str = "Listening test"
    """Heading of the page."""
    instructions: str = ""
    """Instructions for participants, shown on the first page."""
    question: str = ""
    """The question above every trial; empty: that of the kind."""
    repeats: int = 0
    """Repetitions of each trial, 1 to 100; 0: 4 for abx, else 1."""
    anchors: bool = True
    """For mushra: add the reference low-passed at 3.5 and at 7 kHz."""
    allow_tie: bool = True
    """For preference: offer "no preference" as an answer."""
    match_loudness: bool = True
    """Bring every stimulus to one loudness; false leaves levels as they are, and the louder one tends to win."""
    loudness_lufs: float = -23.0
    """Loudness to bring them to, -60 to -10 LUFS; all get less if a peak would clip."""
    start_s: float = 0.0
    """Start of the excerpt in every file, seconds."""
    length_s: float = 0.0
    """Its length, seconds; 0: to the end. BS.1534-3 advises about 10 s, 60 is the limit."""
    bits: int = 16
    """Sample size of the FLAC data in the page, 16 or 24."""
    training: str = ""
    """Item used for training only; empty: training shows the first item, which is scored as well."""
    ask_participant: bool = False
    """Ask for a participant id."""
    submit_url: str = ""
    """Address for results (POST); empty: they are downloaded as a file (`vampnet listen serve` sets its own)."""
    seed: int = 0
    """Seed of the ids of stimuli, 0 to 2**63 - 1."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"kind is {self.kind!r}; known: {', '.join(KINDS)}")
        check("repeats", self.repeats, 0, 100)
        check("loudness_lufs", self.loudness_lufs, -60.0, -10.0)
        check("start_s", self.start_s, 0.0, 86400.0)
        check("length_s", self.length_s, 0.0, 60.0)
        check("seed", self.seed, 0, 2**63 - 1)
        if self.bits not in (16, 24):
            raise SettingsError(f"bits is {self.bits}, but must be 16 or 24")
        if self.submit_url and not self.submit_url.startswith(("https://", "http://")):
            raise SettingsError(f"submit_url is {self.submit_url!r}, but must begin with https:// or http://")

    @property
    def times(self) -> int:
        """Repetitions of each trial, with 0 resolved."""
        return self.repeats or (_ABX_REPEATS if self.kind == "abx" else 1)

    @property
    def asked(self) -> str:
        """The question above every trial."""
        return self.question or _QUESTIONS[self.kind]


@dataclass(frozen=True)
class Stimulus:
    """One audio file of the test."""

    id: str
    """Name that tells nothing, 12 hexadecimal digits."""
    item: str
    """Stem of the file it was made from."""
    condition: str
    """Folder of that file, or the name of an anchor."""
    sha256: str
    """SHA-256 of the FLAC data in the page."""
    loudness_lufs: float | None
    """Loudness before the gain, LUFS; None for silence."""
    gain_db: float
    """Gain that was applied, dB."""


@dataclass(frozen=True)
class Trial:
    """One question of the test."""

    id: str
    """t001, t002, ..., or `training`."""
    item: str
    """Item that is heard."""
    stimuli: tuple[str, ...]
    """Ids of the stimuli, sorted; for abx and preference two."""
    reference: str | None
    """Id of the open reference; None where there is none."""
    duration_s: float
    """Length of each stimulus, seconds."""


@dataclass(frozen=True)
class ListeningTest:
    """A whole test, as in `test.json`."""

    id: str
    """16 hexadecimal digits, another for every change of audio or settings."""
    settings: ListeningConfig
    conditions: tuple[str, ...]
    """Names of the conditions, anchors last."""
    sample_rate_hz: int
    """Sample rate of all stimuli, Hz."""
    stimuli: tuple[Stimulus, ...]
    trials: tuple[Trial, ...]
    """Trials in a fixed order; each participant gets another one."""
    training: Trial
    """Trial shown before the others; its answer is not kept."""

    @property
    def by_id(self) -> dict[str, Stimulus]:
        """Stimuli by their ids."""
        return {stimulus.id: stimulus for stimulus in self.stimuli}

    def to_json(self) -> dict[str, Any]:
        """The whole test as plain data, with the key (the condition of each stimulus)."""
        return {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}

    def for_page(self) -> dict[str, Any]:
        """The part of the test that the page may know: no items, no conditions."""

        def shown(trial: Trial) -> dict[str, Any]:
            return {key: value for key, value in dataclasses.asdict(trial).items() if key != "item"}

        settings = self.settings
        return {
            "id": self.id,
            "version": VERSION,
            "kind": settings.kind,
            "title": settings.title,
            "instructions": settings.instructions,
            "question": settings.asked,
            "allowTie": settings.allow_tie,
            "askParticipant": settings.ask_participant,
            "rateHz": self.sample_rate_hz,
            "trials": [shown(trial) for trial in self.trials],
            "training": shown(self.training),
        }


def pairs_of(kind: str, conditions: tuple[str, ...]) -> list[tuple[str, str]]:
    """Conditions to compare by two: for abx each with the reference if there is one, else all with all."""
    if kind == "abx" and REFERENCE in conditions:
        return [(REFERENCE, other) for other in conditions if other != REFERENCE]
    return list(combinations(conditions, 2))


def load_test(folder: str | Path) -> ListeningTest:
    """The test of a folder that `vampnet listen create` made. Raises ListeningError."""
    path = Path(folder) / "test.json"
    try:
        data = parse_json(read_bytes(path, ListeningError, MAX_TEST_BYTES))
    except ListeningError:
        if not path.exists():
            raise ListeningError(f"{folder}: no listening test in it; `vampnet listen create` makes one") from None
        raise
    except (ValueError, RecursionError) as error:
        raise ListeningError(f"cannot read {quoted(path)}: {cause(error)}") from None
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise ListeningError(f"{path}: not a listening test of version {VERSION}")
    try:
        return ListeningTest(
            id=data["id"],
            settings=ListeningConfig(**data["settings"]),
            conditions=tuple(data["conditions"]),
            sample_rate_hz=data["sample_rate_hz"],
            stimuli=tuple(Stimulus(**entry) for entry in data["stimuli"]),
            trials=tuple(_trial(entry) for entry in data["trials"]),
            training=_trial(data["training"]),
        )
    except (KeyError, TypeError) as error:
        raise ListeningError(f"{path}: damaged, {error}; make the test again") from None


def _trial(entry: dict[str, Any]) -> Trial:
    return Trial(**{**entry, "stimuli": tuple(entry["stimuli"])})
