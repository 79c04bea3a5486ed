"""Commands that write, under faults: a call that fails, a full or read-only disk, a kill, two at once.

    python -m tests.support.faults [--trials NAMES] [--commands NAMES] [--most N] [--seed N]

prints a table; the tests take a few of its cells. A call is one of the C library that makes, writes, renames or removes
a file below the folder of the outputs (failing_calls.c, loaded by LD_PRELOAD and compiled here). Every try runs in a
process of its own, forked from one that has imported everything. Of each try is asked: exit code 2 with one line (or 0
with all outputs), nothing half-written and nothing left over, and that the same command then gives the same bytes.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import errno
import fnmatch
import importlib
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import READERS, WRITERS, Command, make_inputs
from vampnet.apps.cli.main import main as vampnet

SOURCE = Path(__file__).with_name("failing_calls.c")
LIBRARY = "VAMPNET_FAILING_CALLS"
"""Environment variable: the compiled library, in processes that have loaded it."""
OFF, ONCE, FROM_THEN_ON, DIE = range(4)
COMPILER = shutil.which("cc")
LEFT_OVER = ("*.tmp", "*.work/*", "*.old/*", "*.partial*", "*.part.*", "*.candidate-*")
KEPT = ("*.lock", "*.vampnet-done", "*.vampnet/*", "*events.out.tfevents*", "*.run/*", "*/cache/*")
"""Files that a command keeps on the way to its outputs, for the next run."""
GROWING = ("*log.jsonl",)
"""Files that are appended to line by line: a run that goes on after a kill says some lines again."""
PARTS = ("*index.jsonl", "*skipped.txt")
"""Files that hold less until all is done."""
LIMIT_S = 300


@dataclass(frozen=True)
class Fault:
    """What happens to the calls of a command."""

    mode: int = OFF
    number: int = 0
    """The call, counted from 1."""
    code: int = errno.ENOSPC
    kill_after_s: float = 0.0
    limits: tuple[tuple[int, int], ...] = ()
    """Limits of the system (resource.RLIMIT_*) and their values; that of the address space counts from what is used."""
    stdout: str = ""
    """A file in place of standard output."""
    warnings: bool = False
    """Whether warnings are errors, as with `python -W error`."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    code: int
    said: str
    n_calls: int
    call: str
    """Name of the call that failed."""
    n_network: int
    """Calls for the network, which is forbidden."""
    seconds: float

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.replace("\r", "\n").splitlines() if line.startswith("vampnet: error")]


@dataclass(frozen=True)
class Whole:
    """What a command leaves where nothing fails."""

    contents: dict[str, bytes]
    varying: frozenset[str]
    """Files whose bytes hold times, and differ from run to run."""
    n_calls: int
    seconds: float

    def differs(self, found: dict[str, bytes]) -> str:
        """How the contents of a folder differ from these, or nothing."""
        if found.keys() != self.contents.keys():
            odd = sorted(found.keys() ^ self.contents.keys())
            return f"{odd[:4]} missing or left over"
        fixed = [n for n in found if n not in self.varying and not any(fnmatch.fnmatch(n, p) for p in GROWING)]
        changed = [n for n in fixed if found[n] != self.contents[n]]
        return f"{changed[:4]} have other bytes" if changed else ""


def load_library() -> ctypes.CDLL | None:
    """The library that lets calls fail, in a process that was started with it; None in others."""
    path = os.environ.get(LIBRARY, "")
    if not path or path not in os.environ.get("LD_PRELOAD", ""):
        return None
    library = ctypes.CDLL(path)
    library.failing_calls_name.restype = ctypes.c_char_p
    library.failing_calls_count.restype = library.failing_calls_network.restype = ctypes.c_long
    library.failing_calls_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_char_p]
    return library


def compile_library(folder: Path) -> Path:
    """Compile failing_calls.c into a folder."""
    assert COMPILER, "trials need a C compiler"
    path = folder / "failing_calls.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file below a folder, but for locks and logs whose names hold times."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not fnmatch.fnmatch(name, "*.lock") and "events.out.tfevents" not in name
    }


class Laboratory:
    """Runs commands under faults: `with Laboratory() as laboratory`."""

    def __init__(self) -> None:
        library = load_library()
        assert library is not None, "start with `python -m tests.support.faults`"
        self._library = library
        self._root = Path(tempfile.mkdtemp(prefix="vampnet-faults-"))
        self.inputs = make_inputs(_made(self._root / "inputs"))
        self._number = 0

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    @contextlib.contextmanager
    def outputs(self, command: Command) -> Iterator[Path]:
        """A folder for the outputs of a command, with what it begins with."""
        self._number += 1
        folder = _made(self._root / f"o{self._number}")
        if command.seed is not None:
            command.seed(self.inputs, folder)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def reference(self, command: Command) -> Whole:
        """What a command leaves; it is run twice, to see which bytes vary. The folder's name must not matter."""
        found, outcomes = [], []
        for _ in range(2):
            with self.outputs(command) as outputs:
                outcomes.append(self.run(command, outputs, Fault(ONCE, 0)))
                found.append(contents(outputs))
            assert outcomes[-1].code == 0, (command.name, outcomes[-1].said)
            assert not outcomes[-1].n_network, f"{command.name}: asks the network {outcomes[-1].n_network} times"
        assert found[0].keys() == found[1].keys(), (command.name, sorted(found[0].keys() ^ found[1].keys()))
        varying = frozenset(name for name, data in found[0].items() if found[1][name] != data)
        return Whole(found[1], varying, outcomes[1].n_calls, outcomes[1].seconds)

    def run(self, command: Command, outputs: Path, fault: Fault = Fault()) -> Outcome:
        """Run a command to its end."""
        return self.wait(self.start(command, outputs, fault), fault)

    def start(self, command: Command, outputs: Path, fault: Fault) -> _Process:
        """Start a command."""
        sys.stdout.flush()
        sys.stderr.flush()
        # Pipes, since a limit of a file's size would count for what is said as well.
        (said, saying), (told, telling) = os.pipe(), os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(said)
            os.close(told)
            self._be_the_command(command, outputs, fault, saying, telling)
        os.close(saying)
        os.close(telling)
        os.set_blocking(said, False)
        return _Process(pid, said, told, started)

    def wait(self, process: _Process, fault: Fault) -> Outcome:
        """Wait for a process, or kill it and what it started."""
        pid, until = process.pid, process.started + (fault.kill_after_s or LIMIT_S)
        status, text = None, b""
        while status is None:
            left_s = max(until - time.monotonic(), 0.0)
            select.select([process.said], [], [], min(left_s, 0.1))  # its end closes the pipe
            text += _available(process.said)
            found, code = os.waitpid(pid, os.WNOHANG)
            if found:
                status = code
            elif not left_s:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
        seconds = time.monotonic() - process.started
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # workers of a process that was killed
        text += _available(process.said)
        os.set_blocking(process.told, False)
        report = json.loads(_available(process.told) or '{"calls": 0, "name": "", "network": 0, "modules": []}')
        os.close(process.said)
        os.close(process.told)
        for name in report["modules"]:  # the next process has them from here
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        code = os.waitstatus_to_exitcode(status)
        return Outcome(code, text.decode(errors="replace"), report["calls"], report["name"], report["network"], seconds)

    def _be_the_command(self, command: Command, outputs: Path, fault: Fault, said: int, told: int) -> None:
        """Child: run the command line as a program does, and leave."""
        code = 70
        try:
            os.setpgid(0, 0)
            before = set(sys.modules)
            for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, fault.stdout or os.devnull, os.O_WRONLY)):
                os.dup2(os.open(path, flags), number)
            os.dup2(said, 2)
            os.chdir(self._root)
            for kind, value in fault.limits:
                value += _address_space() if kind == resource.RLIMIT_AS else 0
                resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
            self._library.failing_calls_arm(fault.mode, fault.number, fault.code, str(outputs).encode())
            if fault.warnings:
                warnings.resetwarnings()
                warnings.simplefilter("error")
            code = vampnet(command.arguments(self.inputs, outputs))
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            atexit._run_exitfuncs()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            count, name = self._library.failing_calls_count(), self._library.failing_calls_name().decode()
            network = self._library.failing_calls_network()
            self._library.failing_calls_arm(OFF, 0, 0, b"")
            fresh = [m for m in sys.modules if m not in before] if fault.mode == ONCE and not fault.number else []
            report = {"calls": count, "name": name, "network": network, "modules": fresh[:900]}
            os.write(told, json.dumps(report).encode())
            os._exit(code)


@dataclass(frozen=True)
class _Process:
    pid: int
    said: int
    """Handle of what it says on standard error."""
    told: int
    """Handle of its report about calls."""
    started: float


def _address_space() -> int:
    """Bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _available(handle: int) -> bytes:
    """What can be read from a pipe now."""
    parts = []
    with contextlib.suppress(BlockingIOError):
        while part := os.read(handle, 1 << 16):
            parts.append(part)
    return b"".join(parts)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# What is asked of a try --------------------------------------------------------------------------------------------


def check_one_line(outcome: Outcome, code: int) -> str:
    """A failed command says one line, the hint about space where space is what lacks."""
    if outcome.code == 1 and "files failed:" in outcome.said and "Traceback" not in outcome.said:
        return ""  # of several files some failed, each with its line
    if "Traceback" in outcome.said or "Exception ignored" in outcome.said or outcome.code not in (0, 2):
        return f"exit {outcome.code} at {outcome.call}: {outcome.said[-600:]}"
    if outcome.code == 2 and len(outcome.errors) != 1:
        return f"{len(outcome.errors)} lines at {outcome.call}: {outcome.said[-300:]}"
    if outcome.code == 2 and code and ("free some disk space" in outcome.errors[0]) != (code == errno.ENOSPC):
        return f"hint at {outcome.call}: {outcome.errors[0]}"
    return ""


def check_left(outcome: Outcome, outputs: Path, whole: Whole, *, may_leave: bool) -> str:
    """Nothing half-written under its own name; nothing left over, but where that could not be removed."""
    found = contents(outputs)
    if outcome.code == 0 and (odd := whole.differs(found)):
        return f"exit 0 after {outcome.call}, but {odd}"
    for name, data in found.items():
        if ".vampnet/" not in name and any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OVER):
            if not may_leave:
                return f"left over at {outcome.call}: {name}"
        elif name in whole.contents and name not in whole.varying and data != whole.contents[name]:
            if not any(fnmatch.fnmatch(name, pattern) for pattern in (*GROWING, *PARTS, *KEPT)):
                return f"half-written at {outcome.call}: {name}"
        elif name not in whole.contents and not any(fnmatch.fnmatch(name, pattern) for pattern in KEPT):
            return f"unknown at {outcome.call}: {name}"
    return ""


def check_again(laboratory: Laboratory, command: Command, outputs: Path, whole: Whole) -> str:
    """The same command then gives the same bytes, and removes what was left over."""
    again = laboratory.run(command, outputs)
    odd = whole.differs(contents(outputs))
    is_settled = again.code == 2 and command.settled and command.settled in again.said
    if (again.code != 0 and not is_settled) or odd:
        return f"does not recover: exit {again.code}, {odd}: {again.said[-300:]}"
    return ""


def try_fault(laboratory: Laboratory, command: Command, whole: Whole, fault: Fault) -> str:
    """Run a command under a fault, and once more without: nothing, or what is wrong."""
    is_kill = fault.mode == DIE or fault.kill_after_s > 0
    with laboratory.outputs(command) as outputs:
        outcome = laboratory.run(command, outputs, fault)
        if is_kill and outcome.code not in (0, -signal.SIGKILL):
            return f"exit {outcome.code}: {outcome.said[-300:]}"
        may_leave = is_kill or outcome.call == "unlink" or (fault.mode == FROM_THEN_ON and fault.code == errno.EROFS)
        found = "" if is_kill else check_one_line(outcome, fault.code if fault.mode else 0)
        found = found or check_left(outcome, outputs, whole, may_leave=may_leave)
        if not found and (outcome.code != 0 or is_kill):
            found = check_again(laboratory, command, outputs, whole)
    return found


def try_warnings(laboratory: Laboratory, command: Command, whole: Whole) -> str:
    """With warnings as errors a command does what it does without."""
    with laboratory.outputs(command) as outputs:
        outcome = laboratory.run(command, outputs, Fault(warnings=True))
        return outcome.said[-1500:] if outcome.code else whole.differs(contents(outputs))


def try_two(laboratory: Laboratory, command: Command, whole: Whole, delay_s: float) -> str:
    """Two processes with one output: each does all or says one line; the outputs are whole."""
    with laboratory.outputs(command) as outputs:
        one = laboratory.start(command, outputs, Fault())
        time.sleep(delay_s)
        two = laboratory.start(command, outputs, Fault())
        ended = [laboratory.wait(process, Fault()) for process in (one, two)]
        for outcome in ended:
            if wrong := check_one_line(outcome, 0):
                return wrong
        if all(outcome.code for outcome in ended):
            return f"both refused: {ended[0].said[-200:]} {ended[1].said[-200:]}"
        return whole.differs(contents(outputs))


def spread(n_calls: int, most: int) -> list[int]:
    """At most `most` numbers of calls, spread over all."""
    if n_calls <= most:
        return list(range(1, n_calls + 1))
    return sorted({1 + round(k * (n_calls - 1) / (most - 1)) for k in range(most)})


def _by_call(mode: int, code: int = errno.ENOSPC) -> Callable[..., list[Fault]]:
    return lambda whole, most, rng: [Fault(mode, number, code) for number in spread(whole.n_calls, most)]


def _at_random(whole: Whole, most: int, rng: random.Random) -> list[Fault]:
    return [Fault(kill_after_s=rng.uniform(0.005, 1.1 * whole.seconds)) for _ in range(min(most, 10))]


def _limited(kind: int, *values: int) -> Callable[..., list[Fault]]:
    return lambda whole, most, rng: [Fault(limits=((kind, value),)) for value in values]


TRIALS: dict[str, tuple[str, Callable[..., list[Fault]]]] = {
    "once": ("one call fails, no space", _by_call(ONCE)),
    "io": ("one call fails, input/output error", _by_call(ONCE, errno.EIO)),
    "full": ("disk full from one call on", _by_call(FROM_THEN_ON)),
    "readonly": ("read-only from one call on", _by_call(FROM_THEN_ON, errno.EROFS)),
    "die": ("killed at one call, half of a write done", _by_call(DIE)),
    "kill": ("killed at random moments", _at_random),
    "size": ("limit of a file's size", _limited(resource.RLIMIT_FSIZE, 0, 100, 4000, 20000)),
    "handles": ("limit of open files", _limited(resource.RLIMIT_NOFILE, 7, 10, 14, 20, 30)),
    "memory": ("no more memory than so much", _limited(resource.RLIMIT_AS, *(n << 20 for n in (0, 2, 20, 100)))),
    "stdout": ("full standard output", lambda whole, most, rng: [Fault(stdout="/dev/full")]),
    "warnings": ("warnings are errors", lambda whole, most, rng: [Fault(ONCE, warnings=True)]),
    "two": ("two at once", lambda whole, most, rng: []),
}


def run_trial(laboratory: Laboratory, trial: str, command: Command, whole: Whole, most: int, seed: int) -> list[str]:
    """All tries of a cell of the table: what is wrong in each, or nothing."""
    rng = random.Random(f"{seed} {trial} {command.name}")
    if trial == "two":
        delays = [0.0, *(rng.uniform(0, whole.seconds) for _ in range(min(most, 6) - 1))]
        return [try_two(laboratory, command, whole, delay_s) for delay_s in delays]
    faults = TRIALS[trial][1](whole, most, rng)
    found = [
        (
            fault,
            try_warnings(laboratory, command, whole)
            if fault.warnings
            else try_fault(laboratory, command, whole, fault),
        )
        for fault in faults
    ]
    return [wrong and f"{fault}: {wrong}" for fault, wrong in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", default=",".join(TRIALS))
    parser.add_argument("--commands", default="", help="names, ; between; default: all")
    parser.add_argument("--most", type=int, default=40, help="tries per command and trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="leave out slow commands")
    options = parser.parse_args(arguments)
    names = [name.strip() for name in options.commands.split(";") if name.strip()]
    chosen = [c for c in (*WRITERS, *READERS) if (c.name in names if names else not (options.quick and c.is_slow))]
    trials, n_bad = options.trials.split(","), 0
    with Laboratory() as laboratory:
        print("| command | calls | " + " | ".join(TRIALS[trial][0] for trial in trials) + " |")
        print("|---|---|" + "---|" * len(trials), flush=True)
        for command in chosen:
            whole, cells, faults = laboratory.reference(command), [], []
            for trial in trials:
                results = run_trial(laboratory, trial, command, whole, options.most, options.seed)
                wrong = [f"{trial}: {result}" for result in results if result]
                cells.append(f"{len(results)}" + (f", {len(wrong)} wrong" if wrong else "") if results else "")
                faults += wrong
            print(
                f"| {command.name} | {whole.n_calls} | " + " | ".join(cells) + " |", *faults, sep="\n    ", flush=True
            )
            n_bad += len(faults)
    return int(n_bad > 0)


def _with_library() -> int:
    """Start this module once more with the library loaded; one thread, since a fork has one."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(compile_library(Path(folder)))
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {**os.environ, **threads, "MPLBACKEND": "Agg", LIBRARY: path, "LD_PRELOAD": path}
        command = [sys.executable, "-m", "tests.support.faults", *sys.argv[1:]]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main() if load_library() else _with_library())
