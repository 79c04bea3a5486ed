"""Inputs and outputs of a command: pipes, folders and patterns, and the names of many outputs."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vampnet.audio.formats import BY_ENDING, FORMATS, output_ending
from vampnet.config import nearest
from vampnet.errors import AudioError, SettingsError, VampnetError
from vampnet.jobs.request import Request
from vampnet.work_folders import scratch_folder

PIPE = "-"
"""Stands for standard input and standard output."""


def is_folder(inputs: Sequence[str], output: str) -> bool:
    """Whether the output names a folder: of several inputs always, of one if it is there or ends like one."""
    return len(inputs) > 1 or output.endswith(("/", os.sep)) or Path(output).is_dir()


def plan_outputs(
    inputs: Sequence[Path],
    folder: Path,
    ending: str,
    outputs_of: Callable[[Path], Sequence[Path]] = lambda path: [path],
) -> list[list[Path]]:
    """Outputs in `folder` for each input, named after it, with `ending` or, where that is empty, its own.

    `outputs_of` gives the outputs of one name: one per variation. Inputs of one name get NAME, NAME_2, ...; no output
    is one of the inputs.
    """
    taken = {_place(path) for path in inputs}
    planned = []
    for path in inputs:
        for number in itertools.count(1):
            stem = path.stem + (f"_{number}" if number > 1 else "")
            outputs = list(outputs_of(folder / (stem + (ending or output_ending(path)))))
            places = {_place(output) for output in outputs}
            if not places & taken:
                break
        taken |= places
        planned.append(outputs)
    return planned


def format_ending(request: Request) -> str:
    """Ending of the format that a request asks for, empty for none. Raises SettingsError for one that is unknown."""
    name = request.output.format.lower().removeprefix(".")
    known = [one.ending[1:] for one in FORMATS if one.subtype]
    if name and name not in known:
        raise SettingsError(f"--format is {name!r}, but must be one of {', '.join(known)}{nearest(name, known)}")
    return f".{name}" if name else ""


def with_ending(path: Path, ending: str) -> Path:
    """An output with the ending of --format. Raises SettingsError for a name with that of another format, or none."""
    if not ending and not path.suffix:
        raise SettingsError(
            f"-o/--output is {path}, whose ending does not say the format; write {path}.wav or {path}/ (a folder), or "
            "give --format"
        )
    if not ending or path.suffix.lower() == ending:
        return path
    named, wanted = BY_ENDING.get(path.suffix.lower()), BY_ENDING.get(ending)
    if named is None:
        return path.with_name(path.name + ending)
    if wanted is not None and named.container == wanted.container:
        return path
    raise SettingsError(
        f"--format is {ending[1:]}, but -o/--output {path} ends in {path.suffix}; leave one of them out"
    )


def _place(path: Path) -> str:
    return str(path.absolute()).casefold()  # file systems that do not tell upper from lower case


@contextlib.contextmanager
def piped_files(inputs: Sequence[str], output: str, ending: str) -> Iterator[tuple[list[str], str]]:
    """Inputs and output with temporary files in the place of pipes; at the end the output is copied to stdout.

    Raises AudioError for an empty standard input, and for pipes among several files.
    """
    if PIPE in inputs and len(inputs) > 1:
        raise AudioError("- (standard input) is one input; it cannot stand among several")
    if PIPE not in inputs and output != PIPE:
        yield list(inputs), output
        return
    with scratch_folder() as folder:
        if PIPE in inputs:
            inputs = [str(_read_stdin(folder))]
        target = folder / f"output{ending or '.wav'}"
        try:
            yield list(inputs), str(target) if output == PIPE else output
        except VampnetError as error:  # the user knows nothing of our temporary files
            text = str(error)
            for path, name in ((folder / "input", "standard input"), (target, "standard output")):
                text = text.replace(f"'{path}'", name).replace(str(path), name)
            raise type(error)(text) from None
        if output == PIPE:
            with open(target, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _read_stdin(folder: Path) -> Path:
    path = folder / "input"
    if sys.stdin.isatty():
        raise AudioError("input is -, but nothing is piped into standard input")
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if not path.stat().st_size:
        raise AudioError("input is -, but standard input is empty")
    return path
