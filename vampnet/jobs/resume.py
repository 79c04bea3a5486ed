"""What is kept of an unfinished job, so that `--resume` goes on with the same result as an uninterrupted run.

Beside the output OUT there is, while the work goes on, a folder `.OUT.vampnet`:

    state.safetensors   the codes that windows to come still need, how many windows are done, what the job is made of
    audio-1.f32 ...     decoded audio of each variation, float32, channels interleaved, at the codec's rate

The state is replaced after every window and is small whatever the length of the audio (about 50 kB per item). It goes
on only with the same input (by its SHA-256), model (by its weights), prompt, settings and kind of device.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vampnet.audio.spool import Spool
from vampnet.errors import AudioError, SettingsError
from vampnet.generation.state import State

_STATE = "state.safetensors"


class WorkFolder:
    """The folder of one unfinished job; `facts` is what its result depends on, by name."""

    def __init__(self, output: Path, facts: dict[str, Any]) -> None:
        self.path, self.output, self.facts = work_folder(output), output, facts

    def start(self) -> None:
        """Begin anew, whatever was there. Raises AudioError when the folder cannot be made."""
        self.remove()
        try:
            self.path.mkdir()
        except OSError as error:
            raise AudioError(f"{self.path}: cannot make the folder for unfinished work ({error.strerror})") from None

    def load(self) -> State | None:
        """What was saved; None if nothing was. Raises SettingsError when it belongs to another job or is damaged."""
        path = self.path / _STATE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata, codes_BCT = file.metadata() or {}, file.get_tensor("codes_BCT")
            facts, numbers = json.loads(metadata["facts"]), json.loads(metadata["numbers"])
            state = State(tuple(numbers["n_done"]), numbers["n_samples"], numbers["first"], codes_BCT)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"{path}: damaged ({error}); start anew, without --resume") from None
        for name, value in self.facts.items():
            if facts.get(name) != json.loads(json.dumps(value)):
                before, now = (str(v) if len(str(v)) < 60 else "another" for v in (facts.get(name), value))
                raise SettingsError(
                    f"{self.output}: cannot be resumed, its {name} is {now} now and was {before}; give what was given "
                    "before, or start anew, without --resume"
                )
        return state

    def save(self, state: State) -> None:
        """Replace what was saved."""
        numbers = {"n_done": state.n_done, "n_samples": state.n_samples, "first": state.first}
        metadata = {"facts": json.dumps(self.facts), "numbers": json.dumps(numbers)}
        temporary = self.path / f"{_STATE}.tmp"
        try:
            save_file({"codes_BCT": state.codes_BCT.contiguous()}, temporary, metadata)
            os.replace(temporary, self.path / _STATE)
        except (OSError, SafetensorError) as error:
            raise AudioError(f"{self.path}: cannot keep unfinished work ({error}); free some disk space") from None

    def spool(self, number: int, channels: int, n_kept: int) -> Spool:
        return Spool(channels, self.path / f"audio-{number + 1}.f32", n_kept)

    def remove_if_empty(self) -> None:
        """Remove the folder if no state was ever saved in it."""
        if not (self.path / _STATE).exists():
            self.remove()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def work_folder(output: Path) -> Path:
    """Where the unfinished work for an output is kept."""
    return output.with_name(f".{output.name[:100]}.vampnet")


def part_path(output: Path) -> Path:
    """Name of what is finished of an output: `song.wav` -> `song.part.wav`."""
    return output.with_name(f"{output.stem}.part{output.suffix}")


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file. Raises AudioError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise AudioError(f"cannot read '{path}': {error.strerror}") from None
    return digest.hexdigest()
