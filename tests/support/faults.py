"""Commands that write, under faults: a call that fails, a full or read-only disk, a kill, a signal, two at once.

    python -m tests.support.faults [--trials NAMES] [--commands NAMES] [--every | --most N] [--seed N]

prints a table; the tests take a few of its cells. A call is one of the C library that makes, writes, renames or removes
a file, see laboratory.py. Of the calls of one kind (the same name and path) some are tried, by default three; `--every`
tries all. Of each try is asked: exit code 2 with one line (or 0 with all outputs), nothing half-written and
nothing left over, and that the same command then gives the same bytes.
"""

from __future__ import annotations

import argparse
import errno
import fnmatch
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.commands import READERS, WRITERS, Command
from tests.support.laboratory import (
    DIE,
    FROM_THEN_ON,
    LIBRARY,
    ONCE,
    Fault,
    Laboratory,
    Outcome,
    Whole,
    compile_library,
    contents,
    kinds_of,
    load_library,
)
from tests.support.servers import SERVERS

LEFT_OVER = ("*.tmp", "*.work/*", "*.old/*", "*.partial*", "*.part.*", "*.candidate-*", "TMPDIR/*")
KEPT = ("*.lock", "*.vampnet-done", "*.vampnet/*", "*events.out.tfevents*", "*.run/*", "*/cache/*")
"""Files that a command keeps on the way to its outputs, for the next run."""
PARTS = ("*index.jsonl", "*skipped.txt")
"""Files that hold less until all is done."""
COMMANDS = (*WRITERS, *SERVERS, *READERS)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def check_one_line(outcome: Outcome, code: int) -> str:
    """A failed command says one line, the hint about space where space is what lacks."""
    if outcome.code == 1 and "files failed:" in outcome.said and "Traceback" not in outcome.said:
        return ""  # of several files some failed, each with its line
    if "Traceback" in outcome.said or "Exception ignored" in outcome.said or outcome.code not in (0, 2):
        return f"exit {outcome.code} at {outcome.call}: {outcome.said[-1200:]}"
    if outcome.code == 2 and len(outcome.errors) != 1:
        return f"{len(outcome.errors)} lines at {outcome.call}: {outcome.said[-300:]}"
    is_told = (
        outcome.code == 2 and code and not any(name in outcome.errors[0] for name in ("job table", "as a database"))
    )  # SQLite names no cause
    if is_told and ("free some disk space" in outcome.errors[0]) != (code == errno.ENOSPC):
        return f"hint at {outcome.call}: {outcome.errors[0]}"
    return ""


def check_left(
    outcome: Outcome, found: dict[str, bytes], whole: Whole, kept: Sequence[str], may_leave: bool, may_lack: bool
) -> str:
    """Nothing half-written under its own name; nothing left over, but where that could not be removed."""
    if may_leave:  # what could not be removed: the next run does that
        found = {n: data for n, data in found.items() if n in whole.contents or not _matches(n, (*LEFT_OVER, *KEPT))}
    if outcome.code == 0 and not may_lack and (odd := whole.differs(found)):
        return f"exit 0 after {outcome.call}, but {odd}"
    for name, data in found.items():
        if ".vampnet/" not in name and _matches(name, LEFT_OVER):
            if not may_leave:
                return f"left over at {outcome.call}: {name}"
        elif name in whole.contents and name not in whole.varying and data != whole.contents[name]:
            if not _matches(name, (*whole.growing, *PARTS, *kept)):
                return f"half-written at {outcome.call}: {name}"
        elif name not in whole.contents and not _matches(name, kept):
            return f"unknown at {outcome.call}: {name}"
    return ""


def _skipped(found: dict[str, bytes]) -> str:
    """Contents of the lists of what was left out."""
    return "".join(data.decode(errors="replace") for name, data in found.items() if name.endswith("skipped.txt"))


def check_again(laboratory: Laboratory, command: Command, folder: Path, whole: Whole) -> str:
    """The same command then gives the same bytes, and removes what was left over."""
    again = laboratory.run(command, folder)
    odd = whole.differs(contents(folder, command.loose))
    is_settled = again.code == 2 and command.settled and command.settled in again.said
    if (again.code != 0 and not is_settled) or odd:
        return f"does not recover: exit {again.code}, {odd}: {again.said[-300:]}"
    return ""


def try_fault(laboratory: Laboratory, command: Command, whole: Whole, fault: Fault, *, again: bool = True) -> str:
    """Run a command under a fault, and once more without if `again` or it was killed: nothing, or what is wrong."""
    is_kill = fault.mode == DIE or (fault.kill_after_s > 0 and not fault.signal)
    with laboratory.outputs(command) as folder:
        outcome = laboratory.run(command, folder, fault)
        is_outlived = command.outlives and outcome.code == 1 and outcome.call  # a helper was killed, and it is said
        if is_kill and outcome.code not in (0, 2, -signal.SIGKILL) and not is_outlived:
            return f"exit {outcome.code}: {outcome.said[-300:]}"
        if fault.signal and (outcome.code not in (0, 130, -fault.signal) or "Traceback" in outcome.said):
            return f"exit {outcome.code} at signal {fault.signal}: {outcome.said[-300:]}"
        may_leave = (
            is_kill
            or outcome.call in ("unlink", "open to read", "list")
            or (fault.mode == FROM_THEN_ON and fault.code == errno.EROFS)
        )
        found = "" if is_kill or fault.signal else check_one_line(outcome, fault.code if fault.mode else 0)
        kept, left = (*KEPT, *command.keeps), contents(folder, command.loose)
        if fault.reads and command.skips and outcome.code == 0 and "cannot read" in outcome.said + _skipped(left):
            return found
        may_lack = command.client is not None  # a server outlives its jobs, and tells who sent them
        found = found or check_left(outcome, left, whole, kept, may_leave, may_lack)
        if not found and ((outcome.code != 0 and again) or is_kill):
            found = check_again(laboratory, command, folder, whole)
    return found


def try_warnings(laboratory: Laboratory, command: Command, whole: Whole) -> str:
    """With warnings as errors a command does what it does without."""
    with laboratory.outputs(command) as folder:
        outcome = laboratory.run(command, folder, Fault(warnings=True))
        odd = outcome.code or "Warning" in outcome.said
        return outcome.said[-1500:] if odd else whole.differs(contents(folder, command.loose))


def try_two(laboratory: Laboratory, command: Command, whole: Whole, delay_s: float) -> str:
    """Two processes with one output: each does all or says one line; the outputs are whole."""
    with laboratory.outputs(command) as folder:
        one = laboratory.start(command, folder, Fault())
        time.sleep(delay_s)
        two = laboratory.start(command, folder, Fault())
        ended = [laboratory.wait(process, Fault()) for process in (one, two)]
        for outcome in ended:
            if wrong := check_one_line(outcome, 0):
                return wrong
        if all(outcome.code for outcome in ended):
            return f"both refused: {ended[0].said[-200:]} {ended[1].said[-200:]}"
        return whole.differs(contents(folder, command.loose))


def spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most `most` of some numbers, spread over all."""
    if len(numbers) <= most:
        return list(numbers)
    return sorted({numbers[round(k * (len(numbers) - 1) / max(most - 1, 1))] for k in range(most)})


def chosen(calls: Sequence[str], options: argparse.Namespace) -> list[int]:
    """Numbers of the calls that are tried: some of each kind, the first among them, or all."""
    numbers = range(1, len(calls) + 1)
    if not options.every:
        numbers = sorted(n for same in kinds_of(calls) for n in spread(same, options.per_kind))
    return spread(numbers, options.most)


Faults = Callable[[Whole, argparse.Namespace, random.Random], list[Fault]]


def _by_call(mode: int, code: int = errno.ENOSPC, reads: bool = False) -> Faults:
    def faults(whole: Whole, options: argparse.Namespace, rng: random.Random) -> list[Fault]:
        numbers = chosen(whole.reading if reads else whole.calls, options)
        return [Fault(mode, number, code, reads) for number in numbers]

    return faults


def _at_random(kind: int = 0) -> Faults:
    return lambda whole, options, rng: [
        Fault(kill_after_s=rng.uniform(0.005, 1.1 * whole.seconds), signal=kind) for _ in range(min(options.most, 10))
    ]


def _limited(kind: int, *values: int) -> Faults:
    return lambda whole, options, rng: [Fault(limits=((kind, value),)) for value in values]


def _one(fault: Fault) -> Faults:
    return lambda whole, options, rng: [fault]


TRIALS: dict[str, tuple[str, Faults]] = {
    "once": ("one call fails, no space", _by_call(ONCE)),
    "io": ("one call fails, input/output error", _by_call(ONCE, errno.EIO)),
    "full": ("disk full from one call on", _by_call(FROM_THEN_ON)),
    "readonly": ("read-only from one call on", _by_call(FROM_THEN_ON, errno.EROFS)),
    "read": ("one call, of reading too, fails, input/output error", _by_call(ONCE, errno.EIO, True)),
    "denied": ("all calls are denied from one on", _by_call(FROM_THEN_ON, errno.EACCES, True)),
    "die": ("killed at one call, half of a write done", _by_call(DIE)),
    "kill": ("killed at random moments", _at_random()),
    "term": ("SIGTERM at random moments", _at_random(signal.SIGTERM)),
    "hup": ("SIGHUP at random moments", _at_random(signal.SIGHUP)),
    "size": ("limit of a file's size", _limited(resource.RLIMIT_FSIZE, 0, 100, 4000, 20000)),
    "handles": ("limit of open files", _limited(resource.RLIMIT_NOFILE, 7, 10, 14, 20, 30)),
    "memory": ("no more memory than so much", _limited(resource.RLIMIT_AS, *(n << 20 for n in (0, 2, 20, 100)))),
    "stdout": ("full standard output", _one(Fault(stdout="/dev/full"))),
    "warnings": ("warnings are errors", _one(Fault(ONCE, warnings=True))),
    "two": ("two at once", lambda whole, options, rng: []),
}


def run_trial(
    laboratory: Laboratory, trial: str, command: Command, whole: Whole, options: argparse.Namespace
) -> list[str]:
    """All tries of a cell of the table: what is wrong in each, or nothing."""
    rng = random.Random(f"{options.seed} {trial} {command.name}")
    if trial == "two" and command.client is not None:
        return []
    if trial == "two":
        delays = [0.0, *(rng.uniform(0, whole.seconds) for _ in range(min(options.most, 6) - 1))]
        return [try_two(laboratory, command, whole, delay_s) for delay_s in delays]
    faults = TRIALS[trial][1](whole, options, rng)
    found = []
    for number, fault in enumerate(faults):
        attempt, again = (laboratory, command, whole), number % options.again == 0
        found.append((fault, try_warnings(*attempt) if fault.warnings else try_fault(*attempt, fault, again=again)))
    return [wrong and f"{fault.brief()}: {wrong}" for fault, wrong in found]


def grouped(faults: Sequence[str]) -> list[str]:
    """Faults that differ by numbers alone as one line, with how often it came."""
    groups: dict[str, list[str]] = {}
    for fault in faults:
        groups.setdefault(re.sub(r"\d+(\.\d+)?|[0-9a-f]{12}|-[a-z0-9_]{8}/", "", fault), []).append(fault)
    return [(f"{len(same)} times: " if len(same) > 1 else "") + same[0].rstrip() for same in groups.values()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", default=",".join(TRIALS))
    parser.add_argument("--commands", default="", help="names, ; between; default: all")
    parser.add_argument("--every", action="store_true", help="try every call instead of three of each kind")
    parser.add_argument("--per-kind", type=int, default=3, help="calls of each kind (the same name and path)")
    parser.add_argument("--again", type=int, default=1, help="run the command again without a fault in each n-th try")
    parser.add_argument("--most", type=int, default=1 << 30, help="most tries per command and trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="leave out slow commands")
    options = parser.parse_args(arguments)
    names = [name.strip() for name in options.commands.split(";") if name.strip()]
    unknown = set(names) - {command.name for command in COMMANDS}
    assert not unknown, f"no commands: {unknown}"
    taken = [c for c in COMMANDS if (c.name in names if names else not (options.quick and c.is_slow))]
    trials, n_bad = options.trials.split(","), 0
    with Laboratory() as laboratory:
        print("| command | calls | kinds | " + " | ".join(TRIALS[trial][0] for trial in trials) + " |")
        print("|---|---|---|" + "---|" * len(trials), flush=True)
        for command in taken:
            cells, faults = [], []
            try:
                whole = laboratory.reference(command)
            except AssertionError as error:
                print(f"| {command.name} | does not work at all: {error!s:.900} |", flush=True)
                n_bad += 1
                continue
            for trial in trials:
                results = run_trial(laboratory, trial, command, whole, options)
                wrong = [f"{trial}: {result}" for result in results if result]
                cells.append(f"{len(results)}" + (f", {len(wrong)} wrong" if wrong else "") if results else "")
                faults += wrong
            row = f"| {command.name} | {len(whole.calls)} | {len(kinds_of(whole.calls))} | " + " | ".join(cells) + " |"
            print(row, *grouped(faults), sep="\n    ", flush=True)
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
