"""Runs commands while calls of the C library fail, each in a process forked from one that has imported everything.

A command sees a folder of its own with `out`, where its outputs go, `tmp`, its TMPDIR, and `said`, where its standard
output is a file that is written line by line. All three are watched: a call is one that makes, writes, renames or
removes a file there (failing_calls.c, loaded by LD_PRELOAD and compiled here), in the process or any that it starts.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import dataclasses
import errno
import fnmatch
import importlib
import json
import mmap
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import Command, make_inputs
from vampnet.apps.cli.main import main as vampnet

SOURCE = Path(__file__).with_name("failing_calls.c")
LIBRARY = "VAMPNET_FAILING_CALLS"
"""Environment variable: the compiled library, in processes that have loaded it."""
OFF, ONCE, FROM_THEN_ON, DIE = range(4)
READS, LOOPBACK, LOG = 1, 2, 4
COMPILER = shutil.which("cc")
LIMIT_S = 300
_HEAD_BYTES = 64
_NOT_COMPARED = ("*.lock", "*events.out.tfevents*")
"""Locks, and logs whose names hold times."""


@dataclass(frozen=True)
class Fault:
    """What happens to the calls of a command."""

    mode: int = OFF
    number: int = 0
    """The call, counted from 1."""
    code: int = errno.ENOSPC
    reads: bool = False
    """Whether calls that read inputs and outputs count as well."""
    kill_after_s: float = 0.0
    limits: tuple[tuple[int, int], ...] = ()
    """Limits of the system (resource.RLIMIT_*) and their values; that of the address space counts from what is used."""
    signal: int = 0
    """Sent instead of SIGKILL at `kill_after_s`, to the command alone."""
    stdout: str = ""
    """A file in place of standard output."""
    warnings: bool = False
    """Whether warnings are errors, as with `python -W error`."""

    def brief(self) -> str:
        """What differs from no fault."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return ", ".join(f"{k} {v}" for k, v in fields.items() if v != type(self).__dataclass_fields__[k].default)


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    code: int
    said: str
    calls: tuple[str, ...]
    """Name and path of each call."""
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
    growing: tuple[str, ...]
    """Patterns of files that are appended to: a run that goes on after a kill says some lines again."""
    calls: tuple[str, ...]
    reading: tuple[str, ...]
    """Calls, those that read among them."""
    seconds: float

    def differs(self, found: dict[str, bytes]) -> str:
        """How the contents of a folder differ from these, or nothing."""
        if found.keys() != self.contents.keys():
            odd = sorted(found.keys() ^ self.contents.keys())
            return f"{odd[:4]} missing or left over"
        fixed = [n for n in found if n not in self.varying and not any(fnmatch.fnmatch(n, p) for p in self.growing)]
        changed = [n for n in fixed if found[n] != self.contents[n]]
        return f"{changed[:4]} have other bytes" if changed else ""


def kinds_of(calls: Sequence[str]) -> list[list[int]]:
    """Numbers of calls (from 1) with the same name and the same path, but for random and running numbers in it."""
    found: dict[str, list[int]] = {}
    for number, call in enumerate(calls, 1):
        kind = re.sub(r"\d+", "N", re.sub(r"[0-9a-f]{12,}|#\d+|tmp[a-z0-9_]{8}", "*", call))
        found.setdefault(kind, []).append(number)
    return list(found.values())


def load_library() -> ctypes.CDLL | None:
    """The library that lets calls fail, in a process that was started with it; None in others."""
    path = os.environ.get(LIBRARY, "")
    if not path or path not in os.environ.get("LD_PRELOAD", ""):
        return None
    library = ctypes.CDLL(path)
    library.failing_calls_arm.argtypes = [*[ctypes.c_int, ctypes.c_long], *[ctypes.c_int] * 2, *[ctypes.c_char_p] * 2]
    library.failing_calls_state_size.restype = ctypes.c_long
    return library


def compile_library(folder: Path) -> Path:
    """Compile failing_calls.c into a folder."""
    assert COMPILER, "trials need a C compiler"
    path = folder / "failing_calls.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    return path


def contents(folder: Path, loose: Sequence[str] = ()) -> dict[str, bytes]:
    """Bytes of the outputs and of temporary files, but for locks and what a command says may be there or not."""
    found = {}
    for part, prefix in (("out", ""), ("tmp", "TMPDIR/")):
        for path in sorted((folder / part).rglob("*")):
            name = prefix + str(path.relative_to(folder / part))
            if path.is_file() and not any(fnmatch.fnmatch(name, pattern) for pattern in (*_NOT_COMPARED, *loose)):
                found[name] = path.read_bytes()
            elif (
                prefix
                and path.is_dir()
                and not any(path.iterdir())
                and not any(fnmatch.fnmatch(name, p) for p in ("TMPDIR/*.work", "TMPDIR/torchinductor_*"))
            ):
                found[name + "/"] = b""
    return found


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
        """A folder for a command, with what it begins with."""
        self._number += 1
        folder = _made(self._root / f"o{self._number}")
        for part in ("out", "tmp", "said"):
            (folder / part).mkdir()
        if command.seed is not None:
            command.seed(self.inputs, folder / "out")
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def reference(self, command: Command) -> Whole:
        """What a command leaves; it is run twice, to see which bytes vary. The folder's name must not matter."""
        found, outcomes = [], []
        for reads in (False, True):
            with self.outputs(command) as folder:
                outcomes.append(self.run(command, folder, Fault(ONCE, 0, reads=reads)))
                found.append(contents(folder, command.loose))
            assert outcomes[-1].code == 0, (command.name, outcomes[-1].said)
            assert not outcomes[-1].n_network, f"{command.name}: asks the network {outcomes[-1].n_network} times"
        assert found[0].keys() == found[1].keys(), (command.name, sorted(found[0].keys() ^ found[1].keys()))
        varying = frozenset(name for name, data in found[0].items() if found[1][name] != data)
        plain, reading = (outcome.calls for outcome in outcomes)
        return Whole(found[1], varying, ("*log.jsonl", *command.growing), plain, reading, outcomes[1].seconds)

    def run(self, command: Command, folder: Path, fault: Fault = Fault()) -> Outcome:
        """Run a command to its end."""
        return self.wait(self.start(command, folder, fault), fault)

    def start(self, command: Command, folder: Path, fault: Fault) -> _Process:
        """Start a command."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._number += 1
        state = self._root / f"state{self._number}"
        with state.open("wb") as file:
            file.truncate(self._library.failing_calls_state_size())
        # Pipes, since a limit of a file's size would count for what is said as well.
        (said, saying), (told, telling) = os.pipe(), os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(said)
            os.close(told)
            self._be_the_command(command, folder, fault, state, saying, telling)
        os.close(saying)
        os.close(telling)
        os.set_blocking(said, False)
        return _Process(pid, said, told, state, started)

    def wait(self, process: _Process, fault: Fault) -> Outcome:
        """Wait for a process, or kill it and what it started."""
        pid, until = process.pid, process.started + (fault.kill_after_s or LIMIT_S)
        status, text, is_warned = None, b"", False
        while status is None:
            left_s = max(until - time.monotonic(), 0.0)
            select.select([process.said], [], [], min(left_s, 0.1))  # its end closes the pipe
            text += _available(process.said)
            found, code = os.waitpid(pid, os.WNOHANG)
            if found:
                status = code
            elif not left_s and fault.signal and not is_warned:
                os.kill(pid, fault.signal)
                is_warned, until = True, time.monotonic() + 60
            elif not left_s:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
        seconds = time.monotonic() - process.started
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # workers of a process that was killed
        text += _available(process.said)
        os.set_blocking(process.told, False)
        for name in json.loads(_available(process.told) or "[]"):  # the next process has them from here
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        os.close(process.said)
        os.close(process.told)
        calls, call, n_network = _read_state(process.state)
        code = os.waitstatus_to_exitcode(status)
        return Outcome(code, text.decode(errors="replace"), calls, call, n_network, seconds)

    def _be_the_command(self, command: Command, folder: Path, fault: Fault, state: Path, said: int, told: int) -> None:
        """Child: run the command line as a program does, and leave."""
        code = 70
        try:
            os.setpgid(0, 0)
            before = set(sys.modules)
            stdout = fault.stdout or str(folder / "said" / f"{os.getpid()}")
            flags = os.O_WRONLY | (0 if fault.stdout else os.O_CREAT)
            for number, path, how in ((0, os.devnull, os.O_RDONLY), (1, stdout, flags)):
                os.dup2(os.open(path, how), number)
            os.dup2(said, 2)
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
            os.chdir(self._root)
            sys.modules["__main__"] = types.ModuleType("__main__")  # processes that are started import nothing of it
            for kind, value in fault.limits:
                value += _address_space() if kind == resource.RLIMIT_AS else 0
                resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
            if command.client is not None:
                strict = fault.mode == OFF or not fault.number
                threading.Thread(target=command.client, args=(folder / "out", strict), daemon=True).start()
            self._arm(command, folder, fault, state)
            if fault.warnings:
                warnings.resetwarnings()
                warnings.simplefilter("error")
            code = vampnet(command.arguments(self.inputs, folder / "out"))
            if command.client is not None:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # its client may say so once more
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            atexit._run_exitfuncs()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            self._library.failing_calls_arm(OFF, 0, 0, 0, b"", b"")
            fresh = [m for m in sys.modules if m not in before] if fault.mode == ONCE and not fault.number else []
            os.write(told, json.dumps(fresh[:900]).encode())
            os._exit(code)

    def _arm(self, command: Command, folder: Path, fault: Fault, state: Path) -> None:
        """Let calls fail, here and in processes that are started."""
        if fault.mode == OFF:
            return
        flags = LOG | (READS if fault.reads else 0) | (LOOPBACK if command.client is not None else 0)
        watched = self._root if fault.reads else folder
        words = (fault.mode, fault.number, fault.code, flags, state, watched)
        os.environ["FAILING_CALLS"] = " ".join(map(str, words))
        self._library.failing_calls_arm(*words[:4], str(state).encode(), str(watched).encode())


@dataclass(frozen=True)
class _Process:
    pid: int
    said: int
    """Handle of what it says on standard error."""
    told: int
    """Handle of the modules that it imported."""
    state: Path
    started: float


def _read_state(path: Path) -> tuple[tuple[str, ...], str, int]:
    """Calls, the one that failed, and the number of calls for the network; the file is removed."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as state:
        n_network, n_log = (int.from_bytes(state[k : k + 8], "little") for k in (8, 16))
        name, log = state[24:_HEAD_BYTES], state[_HEAD_BYTES : _HEAD_BYTES + n_log]
    path.unlink()
    return tuple(log.decode(errors="replace").splitlines()), name.rstrip(b"\0").decode(), n_network


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
