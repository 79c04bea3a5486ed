"""Commands that write, each with its n-th write call failing: what they say, what they leave, and whether they recover.

    python -m tests.support.faults [MOST_CALLS]

prints a table of all of them; the tests take a few. A call is one that makes, writes, forces onto the disk or renames a
file below the folder of the outputs.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.tiny import tone, write_tiny_bundle
from vampnet.apps.cli.main import main as vampnet
from vampnet.audio.files import write

FAST = ["--steps", "1", "--c2f-steps", "1", "--no-domain-warning"]


@dataclass(frozen=True)
class Command:
    """A command line, made from the folder of inputs and the one of outputs."""

    name: str
    arguments: Callable[[Path, Path], list[str]]


COMMANDS = (
    Command("vamp", lambda i, o: ["vamp", f"{i}/in.wav", "-o", f"{o}/a.wav", "--bundle", f"{i}/bundle", *FAST]),
    Command(
        "inpaint",
        lambda i, o: [
            *("inpaint", f"{i}/in.wav", "-o", f"{o}/a.flac", "--bundle", f"{i}/bundle", *FAST, "--region", "0.1:0.3")
        ],
    ),
    Command("compress", lambda i, o: ["compress", f"{i}/in.wav", "-o", f"{o}/a.vamp", "--bundle", f"{i}/bundle"]),
    Command("tokenize", lambda i, o: ["tokenize", f"{i}/audio", "-o", f"{o}/t", "--bundle", f"{i}/bundle"]),
    Command("bundle", lambda i, o: ["bundle", "--codec", f"{i}/bundle", "--coarse", f"{i}/bundle", "-o", f"{o}/b"]),
    Command("corpus", lambda i, o: ["corpus", f"{o}/c", "--hours", "0.001", "--workers", "1"]),
    Command("distance", lambda i, o: ["distance", f"{i}/audio", f"{i}/audio", "--csv", f"{o}/d.csv"]),
)


def make_inputs(folder: Path) -> Path:
    """A tiny bundle and short recordings."""
    write_tiny_bundle(folder / "bundle")
    write(folder / "in.wav", tone(0.5))
    (folder / "audio").mkdir()
    for k in range(2):
        write(folder / "audio" / f"{k}.wav", tone(0.5, seed=k))
    return folder


@contextlib.contextmanager
def failing_call(number: int, folder: Path, code: int = errno.ENOSPC) -> Iterator[list[str]]:
    """Let the write call of this number below a folder fail; the names of the calls so far."""
    calls: list[str] = []

    def counted(name: str, original: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if writes(*arguments, **named):
                calls.append(name)
                if len(calls) == number:
                    raise OSError(code, os.strerror(code), os.fspath(folder / "x"))
            return original(*arguments, **named)

        return call

    def below(path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and str(os.fspath(path)).startswith(str(folder))

    def opens(path: Any, mode: str = "r", *_: Any, **named: Any) -> bool:
        return below(path) and any(letter in named.get("mode", mode) for letter in "wax+")

    patches: list[tuple[Any, str, Callable[..., bool]]] = [
        (os, "replace", lambda a, b, **_: below(b)),
        (os, "fsync", lambda *_: True),
        (os, "mkdir", lambda path, *_, **__: below(path)),
        (os, "open", lambda path, flags, *_, **__: below(path) and bool(flags & os.O_CREAT)),
        (io, "open", opens),
        (builtins, "open", opens),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in patches]
    for module, name, writes in patches:
        setattr(module, name, counted(name, getattr(module, name), writes))
    try:
        yield calls
    finally:
        for module, name, original in before:
            setattr(module, name, original)


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file below a folder, kept work and locks left out."""
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if ".lock" not in name and ".vampnet" not in name}


def try_fault(command: Command, inputs: Path, outputs: Path, number: int, wanted: dict[str, bytes]) -> str:
    """Run a command with one failing call, and once more without: nothing, or what is wrong."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        with failing_call(number, outputs) as calls:
            code = vampnet(command.arguments(inputs, outputs))
        left = contents(outputs)
        again = vampnet(command.arguments(inputs, outputs))
    lines = [line for line in said.getvalue().replace("\r", "\n").splitlines() if line.startswith("vampnet: error")]
    if len(calls) < number:
        return "small" if code == 0 else f"exit {code} without a fault: {lines}"
    if "Traceback" in said.getvalue() or code not in (0, 2) or (code == 2 and len(lines) != 1):
        return f"exit {code} at {calls[-1]}: {said.getvalue()[-300:]!r}"
    if code == 0 and left.keys() == wanted.keys():  # a call that may fail, such as making a folder that is there
        return ""
    if code == 2 and "free some disk space" not in lines[0]:
        return f"no hint: {lines[0]}"
    whole = {name for name, data in left.items() if wanted.get(name) == data}
    if set(left) - whole - {name for name in left if name.endswith((".json", ".jsonl", ".txt", ".u16"))}:
        return f"half-written: {sorted(set(left) - whole)}"
    if again != 0 or contents(outputs).keys() != wanted.keys():
        return f"does not recover: exit {again}, {sorted(contents(outputs))}"
    return ""


def reference(command: Command, inputs: Path, outputs: Path) -> dict[str, bytes]:
    """What a command writes where nothing fails."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        code = vampnet(command.arguments(inputs, outputs))
    assert code == 0, command.name
    return contents(outputs)


def main() -> int:
    """Print the table."""
    most, n_bad = int(sys.argv[1]) if len(sys.argv) > 1 else 40, 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder))
        print("| command | failing calls tried | faults |\n|---|---|---|", flush=True)
        for command in COMMANDS:
            wanted, faults, n_tried = reference(command, inputs, Path(tempfile.mkdtemp(dir=folder))), [], 0
            for number in range(1, most + 1):
                fault = try_fault(command, inputs, Path(tempfile.mkdtemp(dir=folder)), number, wanted)
                if fault == "small":
                    break
                n_tried += 1
                faults += [f"call {number}: {fault}"] if fault else []
            print(f"| {command.name} | {n_tried} | {len(faults)} |", *faults, sep="\n    ", flush=True)
            n_bad += len(faults)
    return int(n_bad > 0)


if __name__ == "__main__":
    sys.exit(main())
