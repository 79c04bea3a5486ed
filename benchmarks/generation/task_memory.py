"""Peak memory and time of commands on short and long files, each in a process of its own (Linux).

    python -m benchmarks.generation.task_memory examples/loop.wav [--seconds 300 3600] [--tasks inpaint continue]

The file is repeated to each length. Models run one step, which changes no memory. inpaint fills two seconds in the
middle, continue adds eight, compress keeps all tokens and decompress opens that file again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

FAST = ["--steps", "1", "--c2f-steps", "1"]
TASKS = ("vamp", "inpaint", "continue", "outpaint", "stretch", "telephone", "compress", "decompress")


def write_repeated(audio: Path, path: Path, seconds: float) -> None:
    """The audio over and over up to a length, without ever holding all of it."""
    samples, rate_hz = soundfile.read(audio, dtype="int16", always_2d=True)
    n_samples = int(seconds * rate_hz)
    with soundfile.SoundFile(path, "w", rate_hz, samples.shape[1], "PCM_16") as file:
        for start in range(0, n_samples, len(samples)):
            file.write(samples[: n_samples - start])


def arguments_of(task: str, source: Path, seconds: float) -> list[str]:
    """What a user would write."""
    out, small = str(source.with_name("out.wav")), str(source.with_suffix(".vamp"))
    middle_s = seconds / 2
    return {
        "vamp": ["vamp", str(source), "-o", out, *FAST],
        "inpaint": ["inpaint", str(source), "-o", out, "--region", f"{middle_s - 1}:{middle_s + 1}", *FAST],
        "continue": ["continue", str(source), "-o", out, "--seconds", "8", *FAST],
        "outpaint": ["outpaint", str(source), "-o", out, "--before", "8", "--after", "8", *FAST],
        "stretch": ["stretch", str(source), "-o", out, "--factor", "1.25", *FAST],
        "telephone": ["telephone", str(source), "-o", out, "--rounds", "2", *FAST],
        "compress": ["compress", str(source), "-o", small, "--codebooks", "14"],
        "decompress": ["decompress", small, "-o", out],
    }[task]


def measure(arguments: list[str]) -> tuple[float, float]:
    """Peak resident memory, MiB, and seconds of one command."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "vampnet.apps.cli.main", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"vampnet {' '.join(arguments)}: exit code {process.returncode}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[300.0, 3600.0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["inpaint", "continue", "compress", "decompress"])
    parser.add_argument("--folder", type=Path, default=None, help="where the long files go (default: temporary)")
    options = parser.parse_args()
    info = soundfile.info(options.audio)
    print(f"{info.channels} channels, {info.samplerate} Hz\ntask         seconds  peak MiB  took s")
    for seconds in sorted(options.seconds):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            source = Path(folder) / "in.wav"
            write_repeated(options.audio, source, seconds)
            for task in options.tasks:
                peak_mib, took_s = measure(arguments_of(task, source, seconds))
                print(f"{task:<11}  {seconds:7.0f}  {peak_mib:8.0f}  {took_s:6.0f}", flush=True)


if __name__ == "__main__":
    main()
