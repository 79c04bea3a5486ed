"""Performance: a looper with its maker, and the list of all that happened to it, from which it is played again.

An entry is a list of an output sample and what happened there: ["do", heard, command, values ...], ["ask"], ["offer",
number, digest], ["give up"], ["load", loop, file, digest, bars] or ["recall", folder, digest]. The looper is a function
of its input and of these, so a replay gives the same bytes. Variations are made anew from their recipes, and their
digests are compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vampnet.apps.live.commands import LiveCommand, make_command
from vampnet.apps.live.looper import Looper, LooperConfig, MadeVariation, VariationRequest
from vampnet.apps.live.making import Failure, Maker
from vampnet.apps.live.sets import LoadedSet, fit_audio, load_set, restore_set
from vampnet.audio.samples import Samples
from vampnet.config import check, from_dict, to_dict
from vampnet.errors import SettingsError
from vampnet.models.choice import ModelChoice
from vampnet.storage import read_json, sha256_of_file, write_whole

log = logging.getLogger("vampnet")

VERSION = 1


@dataclass
class PerformanceRecord:
    """A performance as its file has it."""

    looper: LooperConfig
    model: ModelChoice
    entries: list[list[Any]] = field(default_factory=list)
    n_samples: int = 0
    """Length, output samples."""
    model_id: str = ""

    def save(self, path: Path) -> None:
        """Write the file. Raises StorageError."""
        data = {"version": VERSION, "looper": to_dict(self.looper), "model": to_dict(self.model),
                "model_id": self.model_id, "n_samples": self.n_samples}  # fmt: skip
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in self.entries)
        head = json.dumps(data, ensure_ascii=False, indent=1)[:-2]
        write_whole(path, f'{head},\n "entries": [\n{lines}\n]}}\n'.encode())

    @classmethod
    def load(cls, path: Path) -> PerformanceRecord:
        """Read the file. Raises SettingsError for one that is no performance."""
        data = read_json(path, SettingsError)
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise SettingsError(f"{path} is no performance of version {VERSION}; make one with --record")
        try:
            looper = from_dict(LooperConfig, data["looper"], str(path))
            model = from_dict(ModelChoice, data["model"], str(path))
            entries, n_samples = [list(entry) for entry in data["entries"]], int(data["n_samples"])
            check(f"{path}: n_samples", n_samples, 0, 86400 * looper.sample_rate_hz)
            for entry in entries:
                check(f"{path}: the moment of an entry", entry[0], 0, n_samples)
            return cls(looper, model, entries, n_samples, str(data["model_id"]))
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise SettingsError(f"{path} is damaged: {type(error).__name__} {error}") from None


class Performance:
    """Drives a looper: commands, requests and answers go through it and are noted."""

    def __init__(self, looper: Looper, maker: Maker | None, *, record: PerformanceRecord | None = None) -> None:
        """`maker`: None where nothing is varied. `record`: takes up what happens."""
        self.looper, self.maker, self._record = looper, maker, record
        self.message = ""
        """Last error, for the display."""
        self.n_repeats = 0
        """Turns that repeated, since the variation that was awaited was not there yet."""
        self._turns: dict[int, tuple[float, int]] = {}

    def load(self, loop: int, path: Path, *, bars: int = 0) -> None:
        """Put a file into a loop. Raises VampnetError."""
        load_loop(self.looper, loop, path, bars)
        self._note("load", loop, str(path.resolve()), digest_of_file(path), bars)

    def recall(self, loaded: LoadedSet) -> None:
        """Bring a saved set back."""
        restore_set(self.looper, loaded)
        self._note("recall", str(loaded.folder.resolve()), loaded.digest)

    def do(self, command: LiveCommand, heard: int | None = None) -> bool:
        """Carry out a command; False, and a message, where it cannot be done."""
        self._note("do", heard, *command.as_list())
        try:
            self.looper.do(command, heard)
        except SettingsError as error:
            self.message = str(error)
            return False
        self.message = ""
        return True

    def tend(self) -> None:
        """Take answers of the maker and ask for what is to be made next. To be called often."""
        looper, maker = self.looper, self.maker
        if maker is None:
            return
        if looper.asked is not None and looper.is_stale():
            maker.cancel()
            self._give_up()
        while (answer := maker.poll(looper.now)) is not None:
            self._take(answer)
        if looper.asked is None:
            request = looper.ask()
            if request is not None:
                self._note("ask")
                maker.submit(request)
        self._count_repeats()

    def render(self, block: Samples) -> Samples:
        """The next output for a block of input."""
        return self.looper.render(block)

    def _take(self, answer: MadeVariation | Failure) -> None:
        asked = self.looper.asked
        if asked is None or answer.number != asked.number:
            return
        if isinstance(answer, Failure):
            self.message = answer.text
            self._give_up()
            if answer.is_final:
                self.do(make_command("vary", [0, asked.loop]))
                self.message = answer.text
            return
        if self.looper.offer(answer):
            self._note("offer", answer.number, digest_of(answer.samples))
        else:
            self._give_up()

    def _give_up(self) -> None:
        self.looper.give_up()
        self._note("give up")

    def _count_repeats(self) -> None:
        song = self.looper.song
        for track in self.looper.tracks:
            take = track.current
            if not (track.vary and track.is_playing and take is not None):
                self._turns.pop(track.number, None)
                continue
            if track.swap is not None and track.swap.song <= song:  # it begins with the next sample
                take = track.swap.take
            turn = (song - take.origin) // take.n_samples
            before, number = self._turns.get(track.number, (turn, 0))
            self.n_repeats += turn > before and number == take.number
            if turn > before or track.number not in self._turns:
                self._turns[track.number] = turn, take.number

    def _note(self, *what: Any) -> None:
        if self._record is not None:
            self._record.entries.append([self.looper.now, *what])


def replay(
    record: PerformanceRecord,
    sound: Callable[[int], Samples],
    make: Callable[[VariationRequest], MadeVariation],
    write: Callable[[Samples], Any],
    *,
    block: int = 4096,
    folder: Path | None = None,
) -> list[str]:
    """Play a performance again: `sound(n)` gives the next `n` input samples, `write` takes the output.

    Returns warnings, such as of variations that came out otherwise than then. `folder` is where loops' files are
    looked for when they are not where they were. Raises SettingsError where one of them has changed.
    """
    looper, warnings = Looper(record.looper), list[str]()

    def advance(to: int) -> None:
        while looper.now < to:
            n = min(block, to - looper.now)
            write(looper.render(sound(n)))

    def play(at: int, what: str, *values: Any) -> None:
        advance(at)
        if what == "do":
            with contextlib.suppress(SettingsError):  # it could not be done then, either
                looper.do(make_command(values[1], values[2:]), values[0])
        elif what == "load":
            loop, name, digest, bars = values
            path = Path(name) if Path(name).exists() or folder is None else folder / Path(name).name
            if not path.exists() or digest_of_file(path) != digest:
                raise SettingsError(f"{path} is not the file that was played then; bring it back to replay")
            load_loop(looper, loop, path, bars)
        elif what == "recall":
            loaded = load_set(Path(values[0]), looper.config)
            if loaded.digest != values[1]:
                raise SettingsError(f"the set {values[0]} has changed since; bring it back to replay")
            restore_set(looper, loaded)
        elif what == "ask":
            looper.ask()
        elif what == "give up":
            looper.give_up()
        elif what == "offer":
            request = looper.asked
            if request is None or request.number != values[0]:
                raise SettingsError("the performance is damaged: an answer without its question")
            made = make(request)
            if digest_of(made.samples) != values[1]:
                warnings.append(
                    f"variation {values[0]} came out otherwise than then (another model, machine or version)"
                )
            looper.offer(made)

    for number, entry in enumerate(record.entries, 1):
        try:
            play(*entry)
        except (TypeError, ValueError, LookupError) as error:
            why = f"{type(error).__name__} {error}"
            raise SettingsError(f"the performance is damaged: entry {number} ({why})") from None
    advance(record.n_samples)
    return warnings


def load_loop(looper: Looper, loop: int, path: Path, bars: int = 0) -> None:
    """Put a file into a loop, at the looper's rate and channels; with `bars` it sets the tempo where there is none."""
    samples = fit_audio(path, looper.config)
    take = looper.load(loop, samples, bars=bars)
    if bars and looper.grid.beat is None:
        looper.grid.beat, looper.grid.zero = take.n_samples / (bars * looper.grid.beats_per_bar), take.origin


def digest_of(samples: Samples) -> str:
    """Digest of samples."""
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """Digest of a file."""
    return sha256_of_file(path, SettingsError)[:16]
