"""Runs the targets: numbers of tries, faults by target, peak memory.

    python -m tests.fuzz --minutes 30 [--seed 0] [--only audio]

prints a table. A target is a function of a random generator and an empty folder that raises on a fault: an exception
that is not of the package, or a damaged file that was taken for good. Try k of a seed is always the same.
"""

from __future__ import annotations

import argparse
import importlib
import random
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Target = Callable[[random.Random, Path], None]


@dataclass
class Count:
    """What came of a target."""

    tries: int = 0
    faults: list[str] = field(default_factory=list)
    """Number of the try and the last line of its traceback."""


def targets_of(only: str = "") -> dict[str, Target]:
    """All targets by name, of every module fuzz_*.py beside this one whose name contains `only`."""
    found: dict[str, Target] = {}
    for path in sorted(Path(__file__).parent.glob("fuzz_*.py")):
        if only in path.stem:
            found |= importlib.import_module(f"tests.fuzz.{path.stem}").TARGETS
    return found


def attempt(target: Target, name: str, seed: int, number: int) -> str:
    """One try in a folder of its own; the fault in one line, or nothing."""
    folder = Path(tempfile.mkdtemp(prefix="vampnet-fuzz-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target(random.Random(f"{name}/{seed}/{number}"), folder)
    except Exception:
        return f"{name} {seed}/{number}: {traceback.format_exc().strip()[-600:]}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


def run(seconds: float, seed: int = 0, only: str = "") -> dict[str, Count]:
    """Try all targets in turn for a time."""
    targets, counts, started = targets_of(only), {}, time.monotonic()
    counts = {name: Count() for name in targets}
    number = 0
    while time.monotonic() - started < seconds:
        for name, target in targets.items():
            fault = attempt(target, name, seed, number)
            counts[name].tries += 1
            if fault:
                counts[name].faults.append(fault)
        number += 1
    return counts


def main() -> int:
    """Print the table and the first faults of each target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Try hostile input for a while.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the name of a module, such as audio")
    options = parser.parse_args()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = run(60 * options.minutes, options.seed, options.only)
    print("| target | tries | faults |\n|---|---|---|")
    for name, count in counts.items():
        print(f"| {name} | {count.tries} | {len(count.faults)} |")
    total = sum(count.tries for count in counts.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"| all | {total} | {sum(len(count.faults) for count in counts.values())} |")
    print(f"\nPeak memory {peak / 1024:.0f} MiB, {before / 1024:.0f} MiB before the first try; seed {options.seed}.")
    for count in counts.values():
        for fault in count.faults[:5]:
            print("\n" + fault)
    return int(any(count.faults for count in counts.values()))
